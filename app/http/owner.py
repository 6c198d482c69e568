"""Whose sound a request is about. There are no accounts yet: a user is whoever presents the same credential."""

from typing import Literal

from litestar.types import HTTPScope

from app.http.wire import header
from app.speech.plan import owner_of

_ANYBODY = owner_of("")


class Owners:
    """Tells users apart where `cache.scope` is "user"; where it is "shared", all own everything."""

    def __init__(self, scope: Literal["shared", "user"]) -> None:
        self._apart = scope == "user"

    def of(self, scope: HTTPScope) -> str | None:
        """Who asks; None where all share what is made. Who presents no credential is the one anonymous user."""
        return owner_of(_credential(scope)) if self._apart else None


def asker_of(scope: HTTPScope) -> str:
    """For whom the cache is asked, whether or not its entries are kept apart: who floods it makes room himself."""
    credential = _credential(scope)
    return owner_of(credential) if credential else _ANYBODY


def _credential(scope: HTTPScope) -> str:
    """As OpenAI's clients present it, or as ElevenLabs' do; empty: none."""
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and (token := token.strip()):
        return token
    return (header(scope, b"xi-api-key") or "").strip()
