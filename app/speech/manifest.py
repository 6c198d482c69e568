"""What a speech consists of: enough to find its clips and answer for its bytes without the text."""

import hashlib
from collections.abc import Sequence

import msgspec

from app.audio.formats import FORMATS, Format, Output, output
from app.audio.silence import rest_samples
from app.speech.clips import Clip, ClipMeta
from app.speech.plan import Plan
from cache.interface import Entry
from cache.value import new_entry


class ClipLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One clip of a speech, in order. `samples` at 24 kHz, `size` in bytes, `expires` in epoch seconds.

    `rest` is the silence behind it, at 24 kHz as well, not counted in `samples` and `size`.
    """

    digest: str
    checksum: str
    samples: int
    size: int
    provider: str
    characters: int
    first_choice: bool
    expires: float
    rest: int = 0


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A speech: its format and its clips in order.

    `bit_rate` is in bits per second, None where the format has no such choice or the usual one was taken.
    """

    format: str
    sample_rate: int
    clips: tuple[ClipLine, ...]
    bit_rate: int | None = None
    layout: int = 1

    @classmethod
    def of(cls, plan: Plan, clips: Sequence[Clip]) -> "Manifest":
        """From the clips of all of a plan's chunks, in order."""
        lines = tuple(_line(clip, rest) for clip, rest in zip(clips, rests(plan), strict=True))
        wanted = plan.request.output
        return cls(wanted.format.name, wanted.sample_rate, lines, wanted.bit_rate, wanted.form.layout)

    @property
    def fmt(self) -> Format:
        """The table's row for the format."""
        return FORMATS[self.format]

    @property
    def output(self) -> Output:
        """The format with its parameters."""
        return output(self.fmt, self.sample_rate, self.bit_rate)

    @property
    def samples(self) -> int:
        """Length at 24 kHz."""
        return sum(clip.samples + clip.rest for clip in self.clips)

    @property
    def etag(self) -> str:
        """Names the bytes: the same clips and rests in the same order and format give the same bytes."""
        named = hashlib.blake2b(f"{self.format}/{self.sample_rate}".encode(), digest_size=16)
        if any(clip.rest for clip in self.clips):
            # Rests are not kept but encoded where they are sent, by the encoder that is there then.
            rests = ",".join(str(clip.rest) for clip in self.clips)
            named.update(f"{self.output.identity} {rests}".encode())
        for clip in self.clips:
            named.update(bytes.fromhex(clip.checksum))
        return f'"{named.hexdigest()}"'

    @property
    def providers(self) -> tuple[str, ...]:
        """Who spoke, in order of first use."""
        return tuple(dict.fromkeys(clip.provider for clip in self.clips))

    def with_sound(self, entries: Sequence[Entry]) -> "Manifest":
        """The same clips as they are now: one that was made anew since has other bytes, and so another ETag.

        The address names the request. Another replica, or another text with the same sentence, may have had a
        clip made anew without this speech being asked for; then it is not gone, it sounds otherwise.
        """
        lines = tuple(_now(line, entry) for line, entry in zip(self.clips, entries, strict=True))
        return msgspec.structs.replace(self, clips=lines)

    def cache_control(self, now: float) -> str:
        """`immutable` where every clip is by the first choice; else what is left of the stand-in's life."""
        left = max(0, int(min(clip.expires for clip in self.clips) - now))
        if all(clip.first_choice for clip in self.clips):
            return f"public, max-age={left}, immutable"
        return f"public, max-age={left}"

    def entry(self, now: float) -> Entry:
        """For the cache: it lives as long as its shortest-lived clip. `now` in epoch seconds."""
        ttl = max(1.0, min(clip.expires for clip in self.clips) - now)
        return new_entry(msgspec.json.encode(self), b"", made_at=now, ttl=ttl)


def rests(plan: Plan) -> list[int]:
    """The silence behind each chunk's clip, in samples at 24 kHz."""
    return [rest_samples(plan.request.output.format, planned.rest) for planned in plan.chunks]


def _now(line: ClipLine, entry: Entry) -> ClipLine:
    if entry.checksum == line.checksum:
        return line
    meta = msgspec.json.decode(entry.meta, type=ClipMeta)
    return msgspec.structs.replace(
        line,
        checksum=entry.checksum,
        samples=meta.samples,
        size=len(entry.payload),
        expires=entry.made_at + entry.ttl,
    )


def _line(clip: Clip, rest: int) -> ClipLine:
    entry, meta = clip.entry, clip.meta
    return ClipLine(
        digest=clip.digest,
        checksum=entry.checksum,
        samples=meta.samples,
        size=clip.size,
        provider=meta.provider,
        characters=meta.characters,
        first_choice=clip.first_choice,
        expires=entry.made_at + entry.ttl,
        rest=rest,
    )
