"""What a client asks to have its speech in, with what the operator set for what is left out."""

from collections.abc import Iterable

from app.audio.formats import FORMATS, Format, Output, output
from app.errors import UnsupportedFormat
from app.settings import Sound


class Outputs:
    """All formats, found by name and parameters."""

    def __init__(self, sound: Sound) -> None:
        """`sound` is `[sound]` of the configuration, checked."""
        usual = {"mp3": sound.mp3_bit_rate, "opus": sound.opus_bit_rate, "aac": sound.aac_bit_rate}
        self._bit_rates = {name: usual.get(fmt.form.name) for name, fmt in FORMATS.items()}

    def find(
        self, name: str | None = None, sample_rate: int | None = None, bit_rate: int | None = None
    ) -> Output:
        """The format of that name (left out: mp3), at rates in Hz and bits per second (left out: as is usual).

        Raises:
            UnsupportedFormat: naming the field, and what there is.
        """
        fmt = FORMATS.get(name or "mp3")
        if fmt is None:
            message = f"Unknown format. Use one of {', '.join(FORMATS)}."
            raise UnsupportedFormat(message, param="response_format")
        if sample_rate not in (None, *fmt.sample_rates):
            raise _not_at(fmt, "sample_rate", "Hz", fmt.sample_rates)
        if bit_rate not in (None, *fmt.bit_rates):
            raise _not_at(fmt, "bit_rate", "bit/s", fmt.bit_rates)
        return output(fmt, sample_rate, bit_rate or self._bit_rates[fmt.name])


def _not_at(fmt: Format, field: str, unit: str, offered: Iterable[int]) -> UnsupportedFormat:
    if rates := ", ".join(map(str, offered)):
        message = f"{fmt.name} does not come at that `{field}`. Use one of {rates} ({unit}), or leave it out."
    else:
        message = f"{fmt.name} has no choice of `{field}`. Leave it out."
    return UnsupportedFormat(message, param=field)
