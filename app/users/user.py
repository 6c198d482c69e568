"""Who asks."""

from dataclasses import dataclass, field
from typing import Literal

from cache.digest import digest

Role = Literal["user", "admin"]

DEFAULT_PLAN = "default"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, as known by what he presented.

    `id` is what limits and usage are counted under: several keys may be one user's. `credential` names the key or
    token, for the audit and for revocation, and does not give it away. `owner` is a word that nobody can guess, for
    what is whose: sound, places in queues, room in the cache.
    """

    id: str
    role: Role
    plan: str
    credential: str
    owner: str = field(repr=False)

    @property
    def is_admin(self) -> bool:
        """Whether he may do what concerns everybody."""
        return self.role == "admin"


def anybody(credential: str, role: Role) -> User:
    """Who asks where everybody is let in: told apart by what he presents, which nobody checks; counted as one.

    Made anew with every request (2 µs): what somebody presents may be a key to something else, and is not kept.
    """
    return User("anybody", role, DEFAULT_PLAN, "", owner_of(credential) if credential else _NOBODYS)


def owner_of(credential: str) -> str:
    """Whose sound it is that somebody with this unchecked credential asks for (empty: nobody in particular).

    A hash: it goes into digests and is kept with speeches, and neither may give the credential away.
    """
    return digest("owner", [credential])


_NOBODYS = owner_of("")
