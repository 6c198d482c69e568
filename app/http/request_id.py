"""Which request is being answered: what the answer says in `X-Request-Id`, for the log to say it too."""

import random
import re
from contextvars import ContextVar

from litestar.types import HTTPScope, WebSocketScope

from app.http.wire import header

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_current: ContextVar[str] = ContextVar("request_id", default="none")


def begin(scope: HTTPScope | WebSocketScope) -> str:
    """The caller's id, if it is sane; else a new one. From here on it is this task's, and that of those it starts."""
    given = header(scope, b"x-request-id")
    request_id = given if given and _SANE.fullmatch(given) else new()
    _current.set(request_id)
    return request_id


def new() -> str:
    """A name, not a secret: the system's own randomness costs a call of the kernel for each request."""
    return f"{random.getrandbits(128):032x}"  # nosec B311


def current() -> str:
    """Of the request that this task works for; "none": for none."""
    return _current.get()
