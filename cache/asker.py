"""On whose behalf the cache is asked: carried beside the call, as a trace is, and so into a request's own tasks.

It decides who makes room when there is too little (`FairQueue`, `Ledger`) and nothing else: what is found does not
depend on it. Tasks that are nobody's request run in an empty context, and ask for nobody.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_asker: ContextVar[str | None] = ContextVar("asker", default=None)


def asker() -> str | None:
    """Who asks, in a word that tells nothing of him; None: nobody in particular."""
    return _asker.get()


@contextmanager
def asking(owner: str | None) -> Iterator[None]:
    """Within it, and in tasks begun there, `owner` asks."""
    token = _asker.set(owner)
    try:
        yield
    finally:
        _asker.reset(token)
