"""Whose sound a request is about."""

from typing import Literal

from litestar.types import HTTPScope

from app.http.doorway import user_of


class Owners:
    """Tells users apart where `cache.scope` is "user"; where it is "shared", all own everything."""

    def __init__(self, scope: Literal["shared", "user"]) -> None:
        self._apart = scope == "user"

    def of(self, scope: HTTPScope) -> str | None:
        """Who asks; None where all share what is made. Who presents no credential is the one anonymous user."""
        return user_of(scope).owner if self._apart else None
