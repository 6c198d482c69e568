"""What a speech consists of: enough to find its clips and answer for its bytes without the text."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import msgspec

from app.audio.formats import FORMATS, Format, Output, output
from app.audio.silence import SILENCE_VERSION
from app.speech.clips import Clip, ClipMeta, by
from app.speech.plan import Plan, PlannedChunk
from app.text.chunks import Chunk
from app.text.document import Document
from app.text.render import replaced
from app.unprinted import Unprinted
from cache.cache import Cache
from cache.interface import Entry
from cache.labels import Label
from cache.value import new_entry

MOST_LABELS = 64
"""That a manifest tells of: whoever asks for one text under ever new tags must not have it grow for ever."""


class ClipLine(Unprinted, frozen=True, omit_defaults=True):
    """One clip of a speech, in order. `samples` at 24 kHz, `size` in bytes, `expires` in epoch seconds.

    `rest` is the silence behind it, at 24 kHz as well, not counted in `samples` and `size`.

    For captions: `sentences` as they were written, together the chunk's text, and where of it something else is
    said (`app.text.render.replaced`). `runs_on`: no blank stands between its text and the next one's.
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
    sentences: tuple[str, ...] = ()
    replaced: tuple[tuple[int, int, int], ...] = ()
    runs_on: bool = False

    @classmethod
    def of(
        cls,
        clip: Clip,
        rest: int,
        sentences: tuple[str, ...] = (),
        replaced: tuple[tuple[int, int, int], ...] = (),
        *,
        runs_on: bool = False,
    ) -> "ClipLine":
        """From a clip, and what belongs to it only here."""
        return cls(
            digest=clip.digest,
            checksum=clip.entry.checksum,
            samples=clip.meta.samples,
            size=clip.size,
            provider=clip.meta.provider,
            characters=clip.meta.characters,
            first_choice=clip.first_choice,
            expires=clip.entry.made_at + clip.entry.ttl,
            rest=rest,
            sentences=sentences,
            replaced=replaced,
            runs_on=runs_on,
        )

    def now(self, entry: Entry) -> "ClipLine":
        """The same with the clip that is there by now."""
        if entry.checksum == self.checksum:
            return self
        meta = msgspec.json.decode(entry.meta, type=ClipMeta)
        return msgspec.structs.replace(
            self,
            checksum=entry.checksum,
            samples=meta.samples,
            size=len(entry.payload),
            expires=entry.made_at + entry.ttl,
        )


class Manifest(Unprinted, frozen=True, omit_defaults=True, weakref=True, dict=True):
    """A speech: its format and its clips in order.

    `bit_rate` is in bits per second, None where the format has no such choice or the usual one was taken.
    `labels` are those that it was asked for with. `owner` is who alone may have it; None: whoever has its address.
    """

    format: str
    sample_rate: int
    clips: tuple[ClipLine, ...]
    bit_rate: int | None = None
    layout: int = 1
    labels: tuple[Label, ...] = ()
    owner: str | None = None

    @classmethod
    def of(cls, plan: Plan, clips: Sequence[Clip]) -> "Manifest":
        """From the clips of all of a plan's chunks, in order."""
        lines = tuple(
            _line(plan.document, planned, clip, rest, keeps_text=plan.keeps_text)
            for planned, clip, rest in zip(plan.chunks, clips, plan.rests, strict=True)
        )
        return cls.begun(plan, lines)

    @classmethod
    def decode(cls, written: bytes) -> "Manifest | None":
        """From JSON; None: it is something else, or of a release whose clips differ."""
        try:
            manifest = msgspec.json.decode(written, type=cls)
        except msgspec.DecodeError:  # a clip's, not a speech's, or no JSON at all
            return None
        return manifest if manifest.layout == manifest.fmt.form.layout else None

    @classmethod
    def begun(cls, plan: Plan, lines: tuple[ClipLine, ...] = ()) -> "Manifest":
        """Of a speech of which there are these clips so far."""
        wanted = plan.request.output
        return cls(
            format=wanted.format.name,
            sample_rate=wanted.sample_rate,
            clips=lines,
            bit_rate=wanted.bit_rate,
            layout=wanted.form.layout,
            labels=plan.labels,
            owner=plan.request.owner,
        )

    def tells_of(self, plan: Plan) -> bool:
        """Whether it is the plan's speech by all first choices, with the silences that the plan has behind them."""
        return self._content == plan.content

    @cached_property
    def _content(self) -> tuple[tuple[str, int], ...]:
        return tuple((line.digest, line.rest) for line in self.clips)

    @property
    def fmt(self) -> Format:
        """The table's row for the format."""
        return FORMATS[self.format]

    @cached_property
    def output(self) -> Output:
        """The format with its parameters."""
        return output(self.fmt, self.sample_rate, self.bit_rate)

    @property
    def has_text(self) -> bool:
        """Whether its text was kept: of all its clips, or of none."""
        return bool(self.clips and self.clips[0].sentences)

    @property
    def text(self) -> str:
        """As it was written, but for white space: one blank, also where something that nobody says was left out."""
        parts = [part for clip in self.clips for part in (*clip.sentences, "" if clip.runs_on else " ")]
        return "".join(parts[:-1])

    @property
    def samples(self) -> int:
        """Length at 24 kHz."""
        return sum(clip.samples + clip.rest for clip in self.clips)

    @cached_property
    def etag(self) -> str:
        """Names the bytes: the same clips and rests in the same order and format give the same bytes."""
        named = hashlib.blake2b(f"{self.format}/{self.sample_rate}".encode(), digest_size=16)
        if any(clip.rest for clip in self.clips):
            # Rests are not kept but composed where they are sent, by the release that is there then.
            rests = ",".join(str(clip.rest) for clip in self.clips)
            named.update(f"{SILENCE_VERSION} {self.output.bit_rate or 0} {rests}".encode())
        for clip in self.clips:
            named.update(bytes.fromhex(clip.checksum))
        return f'"{named.hexdigest()}"'

    @cached_property
    def characters(self) -> int:
        """Of all clips, as they were sent."""
        return sum(clip.characters for clip in self.clips)

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """Who spoke, in order of first use."""
        return tuple(dict.fromkeys(clip.provider for clip in self.clips))

    def with_sound(self, entries: Sequence[Entry]) -> "Manifest":
        """The same clips as they are now: one that was made anew since has other bytes, and so another ETag.

        The address names the request. Another replica, or another text with the same sentence, may have had a
        clip made anew without this speech being asked for; then it is not gone, it sounds otherwise.
        """
        lines = tuple(line.now(entry) for line, entry in zip(self.clips, entries, strict=True))
        return msgspec.structs.replace(self, clips=lines)

    def also_labelled(self, before: "Manifest | None") -> "Manifest":
        """With the labels that it was kept with already, so that one request's tags do not take away another's."""
        if before is None:
            return self
        # Its own behind the others, so that none of them is cut off: it is found by them.
        others = (label for label in before.labels if label not in self.labels)
        labels = (*others, *self.labels)[-MOST_LABELS:]
        return msgspec.structs.replace(self, labels=labels)

    def cache_control(self, now: float, *, private: bool = False) -> str:
        """`immutable` where every clip is by the first choice; else what is left of the stand-in's life.

        What has an owner, or is `private`, is for the own cache of who asks only.
        """
        reach = "private" if private or self.owner is not None else "public"
        left = max(0, int(min(clip.expires for clip in self.clips) - now))
        if all(clip.first_choice for clip in self.clips):
            return f"{reach}, max-age={left}, immutable"
        return f"{reach}, max-age={left}"

    def entry(self, now: float) -> Entry:
        """For the cache: it lives as long as its shortest-lived clip. `now` in epoch seconds."""
        ttl = max(1.0, min(clip.expires for clip in self.clips) - now)
        return new_entry(msgspec.json.encode(self), b"", made_at=now, ttl=ttl)


async def keep(cache: Cache, digest: str, manifest: Manifest, now: float) -> None:
    """Store a speech under its address, and label it and its clips. `now` in epoch seconds."""
    entry = manifest.entry(now)
    # The labels first: what is labelled and not there harms nobody.
    until = {digest: entry.made_at + entry.ttl}
    cache.label(manifest.labels, until | {line.digest: line.expires for line in manifest.clips})
    cache.label(map(by, manifest.providers), until)  # its clips are labelled so since they were made
    await cache.put(digest, entry)


def _line(document: Document, planned: PlannedChunk, clip: Clip, rest: int, *, keeps_text: bool) -> ClipLine:
    chunk = planned.chunk
    if not keeps_text:
        return ClipLine.of(clip, rest)
    instead = replaced(document, chunk.start, chunk.end)
    return ClipLine.of(clip, rest, _sentences(chunk), instead, runs_on=planned.runs_on)


def _sentences(chunk: Chunk) -> tuple[str, ...]:
    """Each with the blanks behind it: the only place where a speech's text is put where it is kept."""
    if len(chunk.sentences) == 1:
        return (chunk.text,)
    starts = [span.start - chunk.start for span in chunk.sentences]
    return tuple(chunk.text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True))
