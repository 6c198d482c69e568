"""On whose behalf the cache is asked: carried beside the call, as a trace is, and so into a request's own tasks.

It decides who makes room when there is too little (`FairQueue`, `Ledger`) and nothing else: what is found does not
depend on it. Tasks that are nobody's request run in an empty context, and ask for nobody.
"""

from contextvars import ContextVar

_asker: ContextVar[str | None] = ContextVar("asker", default=None)


def asker() -> str | None:
    """Who asks, in a word that tells nothing of him; None: nobody in particular."""
    return _asker.get()


class asking:  # noqa: N801 - used as the function that it would be, were it not around every request
    """Within it, and in tasks begun there, `owner` asks."""

    __slots__ = ("_owner", "_token")

    def __init__(self, owner: str | None) -> None:
        self._owner = owner

    def __enter__(self) -> None:
        self._token = _asker.set(self._owner)

    def __exit__(self, *_: object) -> None:
        _asker.reset(self._token)
