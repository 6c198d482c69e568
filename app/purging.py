"""An administrator's purge: what fits is forgotten, in Redis, in the archive and in every running server."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from app.errors import UnknownVoice
from app.speech.cast import Casting
from app.speech.clips import by
from app.speech.relabel import relabel
from app.speech.studio import Studio
from app.stores import Stores
from app.users import audit
from app.users.user import User
from cache.cache import Cache
from cache.errors import Away, Full
from cache.labels import Label


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be forgotten: what fits all that is said here.

    A `digest` (a speech's, with its clips, or a clip's) stands alone.
    """

    voice: str = field(default="", repr=False)
    provider: str = field(default="", repr=False)
    tag: str = field(default="", repr=False)
    digest: str = ""

    @property
    def marked(self) -> dict[str, str | int]:
        """For the audit: tags are their users' own words, and so may be what is taken for a name here."""
        words = {"voice": self.voice, "provider": self.provider, "tag": self.tag}
        what: dict[str, str | int] = {name: audit.marked(word) for name, word in words.items() if word}
        return what | ({"digest": self.digest} if self.digest else {})


@dataclass(frozen=True, slots=True)
class Purged:
    """How many entries were forgotten, and what is to be said of those that may be there still (empty: nothing)."""

    count: int
    missed: str = ""


class Purging:
    """Purges of one house."""

    def __init__(
        self,
        studio: Studio,
        casting: Casting,
        cache: Cache,
        stores: Callable[[], AbstractAsyncContextManager[Stores]],
    ) -> None:
        """`stores` are those behind the cache, opened with more patience than a listener has."""
        self._studio = studio
        self._casting = casting
        self._cache = cache
        self._stores = stores

    async def purge(self, wanted: Wanted, by: User | None, request: str = "") -> Purged:
        """Forget, and have it written down. `by` nobody: the command line.

        All of the archive is read, unless it is for a digest: Redis may have lost the index of it.

        Raises:
            Unreachable: Redis does not answer, or the archive.
        """
        outcome, count = "failed", 0
        try:
            purged = await self._purge(wanted)
            outcome, count = "incomplete" if purged.missed else "done", purged.count
        finally:
            # Also where the process is told to end meanwhile: some may have gone.
            what = wanted.marked | {"count": count}
            audit.note("cache.purge", by, outcome=outcome, request=request, what=what)
        return purged

    async def _purge(self, wanted: Wanted) -> Purged:
        if wanted.digest:
            return Purged(await self._studio.erase(wanted.digest))
        labels = [Label("tag", wanted.tag)] if wanted.tag else []
        labels += [Label("voice", self._name(wanted.voice))] if wanted.voice else []
        labels += [by(wanted.provider)] if wanted.provider else []
        return await self.forget(labels)

    async def forget(self, labels: list[Label]) -> Purged:
        """Forget what has all of these labels; who has it done, writes it down.

        Raises:
            Unreachable: Redis does not answer, or the archive.
        """
        count = 0
        try:
            missed = await self._archived(labels)
        except Full:
            # What is known goes first, and makes room for the index of the others.
            count = await self._cache.purge(labels)
            missed = await self._archived_at_last(labels)
        # Also where the archive is not read to its end: what is known is gone the sooner.
        count += await self._cache.purge(labels)
        return Purged(count, missed)

    async def _archived(self, labels: list[Label]) -> str:
        """Have the index know what the archive has under these labels; what is to be said where that fails."""
        async with self._stores() as stores:
            if stores.archive is None:
                return ""
            try:
                unread = await relabel(stores.archive, stores.shared.labels, labels)
            except Away:
                return (
                    "The archive does not answer, so not everything is. Do it again when `refrain doctor` finds it "
                    "well."
                )
        if unread:
            return (
                f"{unread} more in the archive cannot be read, so nobody knows what they are. "
                "`refrain cache verify --repair` deletes them, if they stay so."
            )
        return ""

    async def _archived_at_last(self, labels: list[Label]) -> str:
        try:
            return await self._archived(labels)
        except Full:
            return (
                "Redis is full and throws nothing out, so what the archive alone knows of was not looked for. Give it "
                "more memory (maxmemory), or maxmemory-policy volatile-lfu; then do it again."
            )

    def _name(self, voice: str) -> str:
        """The voice's own name, where it is an alias. One that is configured no longer may still have sound here."""
        try:
            return self._casting.now.voices.find(voice).name
        except UnknownVoice:
            return voice
