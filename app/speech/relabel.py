"""The index of labels made anew from an archive: for an operator's purge, since Redis may have lost it."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator

import msgspec

from app.speech.clips import ClipMeta, by
from app.speech.manifest import Manifest
from cache import value
from cache.archive import Archive
from cache.errors import Away, Damaged, Full, Unreachable
from cache.interface import Entry
from cache.inventory import Values, archive_values
from cache.labels import Label, Labels
from cache.server import full

_Labelled = tuple[Label, str, float]
"""A label, what has it, and until when."""


async def relabel(
    archive: Archive, index: Labels, wanted: Collection[Label], now: Callable[[], float] = time.time
) -> int:
    """Have in the index again what the archive says has these labels; reads all of it. `now` in epoch seconds.

    How many entries could not be read, of which nobody knows what they are. A speech tells of itself and its clips,
    also when it has expired before them; a clip of who spoke it, and not under which voice or tag.

    Raises:
        Away: the archive cannot be listed.
        Unreachable: Redis does not answer.
        Full: it has no room for the index.
    """
    unread = 0
    async for batch in archive_values(archive):
        unread += sum(stored is None for _, stored in batch)
        found: dict[Label, dict[str, float]] = defaultdict(dict)
        for label, digest, until in _labelled(batch):
            if label in wanted and until > now():
                found[label][digest] = until
        for label, digests in found.items():
            await _index(index, label, digests)
    return unread


async def _index(index: Labels, label: Label, digests: dict[str, float]) -> None:
    try:
        await index.add([label], digests)
    except Away as error:
        raise (Full if full(error.__cause__) else Unreachable) from error


def _labelled(batch: Values) -> Iterator[_Labelled]:
    """Nothing of what is damaged: nobody is ever served that."""
    for digest, stored in batch:
        if stored is None:
            continue
        try:
            entry = value.decode(stored)
        except Damaged:
            continue
        yield from _of_clip(digest, entry) if entry.payload else _of_speech(digest, entry)


def _of_clip(digest: str, entry: Entry) -> Iterator[_Labelled]:
    try:
        meta = msgspec.json.decode(entry.meta, type=ClipMeta)
    except msgspec.DecodeError:  # of a release that wrote it otherwise
        return
    yield by(meta.provider), digest, entry.made_at + entry.ttl


def _of_speech(digest: str, entry: Entry) -> Iterator[_Labelled]:
    manifest = Manifest.decode(entry.meta)
    if manifest is None:
        return
    for label in (*manifest.labels, *map(by, manifest.providers)):
        yield label, digest, entry.made_at + entry.ttl
    for line in manifest.clips:
        for label in (*manifest.labels, by(line.provider)):
            yield label, line.digest, line.expires
