"""A provider's sound to a clip: checked, edited, encoded, while it still arrives.

    bytes ─▶ intake ─▶ meter ─▶ 24 kHz ─▶ tempo ─▶ loudness ─▶ edges ─▶ grid ─▶ client's rate ─▶ encoder
            (samples) (checks)                     (limiter)  (pydub)         (wav, pcm, ...)

The encoder's packets, as they are packed, are the payload.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from app.audio.check import BadSound, Meter, Samples, dot, refuse_pace, refuse_short
from app.audio.edges import FRONT, RATE, Edges
from app.audio.encode import Encoder
from app.audio.formats import Output
from app.audio.intake import FileIntake, PcmIntake
from app.audio.joiners import at_rate
from app.audio.loudness import Leveler, Leveling, Measured
from app.audio.rate import Resampler, Tempo

_LEAST_RATE: Final = 4_000
_MOST_RATE: Final = 192_000
_MOST_CHANNELS: Final = 8


@dataclass(frozen=True, slots=True)
class Recorded:
    """A clip that is complete and passed all checks.

    `tail` is the payload's last part, behind all that `feed` returned. `samples` (at 24 kHz) is the clip's
    exact length, whatever the client's rate, a multiple of its form's frame; `seconds` is the same.
    `peak` (0 to 32,768) and `rms` are of the edited sound in steps of 16 bits. `audible` is from which sample
    to which (without it) there is sound, to 10 ms. `lead` is by how many samples the provider's sound comes
    later in the clip than it came, its tempo changed: zeros put in front, less silence taken away there.
    `measured` is how loud the sound came; None where that was known, or did not matter.
    """

    tail: bytes
    samples: int
    seconds: float
    peak: int
    rms: float
    audible: tuple[int, int]
    lead: int
    measured: Measured | None = None


class Recorder:
    """Makes one clip. Synchronous CPU work, for one thread at a time; ends with `finish` or `close`.

    The bytes of all `feed` together with `Recorded.tail` are the clip's payload, and are the same however the
    provider's sound was cut into pieces.
    """

    def __init__(
        self,
        *,
        encoding: Literal["pcm_s16le", "file"],
        sample_rate: int,
        channels: int,
        characters: int,
        spoken: int | None = None,
        believable: tuple[float, float] | None = None,
        output: Output,
        tempo: float = 1.0,
        leveling: Leveling | None = None,
    ) -> None:
        """`encoding`, `sample_rate` (Hz) and `channels` are the provider's; a `file` says its own.

        `characters` of the text bound how long its sound may be, those of them that are `spoken` (left out:
        all) how short: a line of dots may take its time, or none. `believable` is, where more can be told,
        from how many to how many seconds the provider may take, without the silence around. `output` is what the
        client asked for. `tempo` is how much faster the sound is to become: the part of the speed that the provider
        could not do. `leveling` is how loud; left out: as it comes. Where it does not know the voice, nothing
        comes before some seconds of sound tell how loud it is.

        Raises:
            BadSound: `unreadable`, the provider announces a sample rate or channels that no speech has.
        """
        self._characters = characters
        self._spoken = characters if spoken is None else spoken
        self._believable = believable
        self._output = output
        self._intake: PcmIntake | FileIntake
        self._waiting = b""
        self._samples = 0
        self._peak = 0
        self._squares = 0.0
        self._leveler = Leveler(leveling)
        self._edges = Edges()
        self._tempo_factor = tempo
        self._tempo = Tempo(tempo, RATE)
        self._packer = output.form.packer()
        if encoding == "file":
            self._intake = FileIntake(characters)
        else:
            self._intake = PcmIntake(channels)
            self._listen(sample_rate, channels)
        self._encoder = Encoder(output.form, output.sample_rate)
        self._to_client = Resampler(RATE, output.sample_rate)

    def feed(self, piece: bytes) -> bytes:
        """The part of the payload that is final with this piece of the provider's sound; often empty.

        Nothing comes out before 20 ms of clear sound have been heard and a first verdict was given. A `file` gives
        nothing until `finish`.

        Raises:
            BadSound: `not_sound`, `noise`, `too_long`.
        """
        if isinstance(self._intake, FileIntake):
            self._intake.push(piece)
            return b""
        return self._record(self._intake.push(piece))

    def finish(self) -> Recorded:
        """The end of the provider's sound, which came cleanly.

        Raises:
            BadSound: any kind. What `feed` returned must then never be stored.
        """
        try:
            return self._finish()
        finally:
            self.close()

    def close(self) -> None:
        """Give back the codec's memory, at any time. Idempotent."""
        self._encoder.close()
        self._tempo.close()
        if isinstance(self._intake, FileIntake):
            self._intake.close()

    def _listen(self, sample_rate: int, channels: int) -> None:
        if not (_LEAST_RATE <= sample_rate <= _MOST_RATE and 1 <= channels <= _MOST_CHANNELS):
            raise BadSound("unreadable", f"The provider announced {channels} channels at {sample_rate} Hz.")
        self._meter = Meter(sample_rate, self._characters)
        self._to_24 = Resampler(sample_rate, RATE)

    def _record(self, samples: Samples) -> bytes:
        self._meter.push(samples)
        payload = self._waiting + self._edit(self._tempo.push(self._to_24.push(samples)))
        self._waiting = b"" if self._meter.begun else payload
        return payload if self._meter.begun else b""

    def _finish(self) -> Recorded:
        payload = self._last_sound()
        self._meter.finish()
        payload += self._edit(self._tempo.push(self._to_24.finish())) + self._edit(self._tempo.finish())
        payload += self._encode(self._edges.push(self._leveler.finish())) + self._encode(self._edges.finish())
        if not self._samples:
            raise BadSound("silent", "The provider sent silence.")
        # Shorter or longer by the tempo is our own doing, and not held against the provider.
        seconds = self._edges.audible / RATE * self._tempo_factor
        refuse_short(seconds, self._spoken)
        refuse_pace(seconds, self._believable)
        tail = self._waiting + payload + self._close_grid()
        rms = (self._squares / self._samples) ** 0.5
        begin = FRONT + self._edges.onset
        return Recorded(
            tail,
            self._samples,
            self._samples / RATE,
            self._peak,
            rms,
            audible=(begin, begin + self._edges.audible),
            lead=FRONT - self._edges.cut,
            measured=self._leveler.measured,
        )

    def _last_sound(self) -> bytes:
        if isinstance(self._intake, PcmIntake):
            return self._record(self._intake.finish())
        rate, sound = self._intake.finish()
        self._listen(rate, 1)
        return b"".join(self._record(samples) for samples in sound)

    def _edit(self, samples: Samples) -> bytes:
        return self._encode(self._edges.push(self._leveler.push(samples)))

    def _encode(self, samples: Samples) -> bytes:
        if not len(samples):
            return b""
        exact = samples.astype(np.float64)
        self._samples += len(samples)
        self._squares += dot(exact, exact)
        self._peak = max(self._peak, int(np.abs(exact).max()))
        return self._pack(self._encoder.push(self._to_client.push(samples)))

    def _close_grid(self) -> bytes:
        """Fill up to the grid, and flush.

        The resampler's own count may be off by one; the encoder takes exactly the samples of the grid.
        """
        payload = self._encode(np.zeros(-self._samples % self._output.form.frame, np.int16))
        rest = self._to_client.finish()
        missing = at_rate(self._samples, self._output.sample_rate) - self._encoder.pushed
        rest = np.concatenate((rest, np.zeros(max(0, missing - len(rest)), np.int16)))[:missing]
        payload += self._pack(self._encoder.push(rest)) + self._pack(self._encoder.finish())
        return payload + self._packer.end()

    def _pack(self, packets: list[bytes]) -> bytes:
        return b"".join(map(self._packer.add, packets))
