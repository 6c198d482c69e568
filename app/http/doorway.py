"""Who asks, found out before anything else is done for him."""

import re
from typing import Final
from urllib.parse import parse_qs

from litestar.enums import ScopeType
from litestar.types import HTTPScope, WebSocketScope

from app.errors import Forbidden, RefrainError
from app.http import request_id
from app.http.wire import header
from app.users import audit
from app.users.doorman import Doorman
from app.users.user import Role, User, anybody

_ANYBODYS: Final = re.compile(r"/(healthz|readyz|metrics|docs(/.*)?|page/.*)?")
"""The process' own state, and what a browser needs before anybody can give it a key."""
_LISTINGS: Final = re.compile(r"/v1/(audio/voices|audio/models|models(/.*)?|voices)|/v2/voices")
_SOUNDS: Final = re.compile(r"/v1/speech/.")
"""What a page plays by its address alone; HEAD is GET by now."""
_ADMINS: Final = ("/v1/providers", "/v1/cache/")


class Doorway:
    """Lets in whom the doorman knows, where it takes somebody."""

    def __init__(self, doorman: Doorman, *, public_listings: bool, open_role: Role) -> None:
        """`open_role` is what everybody may do where everybody is let in."""
        self._doorman = doorman
        self._public_listings = public_listings
        self._open_role = open_role

    async def enter(self, scope: HTTPScope | WebSocketScope) -> User:
        """Who asks; `user_of` tells him from here on.

        Raises:
            MissingKey, InvalidKey, Revoked, UsersUnavailable: as `Doorman.check`.
            Forbidden: he may not ask this.
        """
        credential = credential_of(scope)
        path = scope["path"]
        if not credential and (presented := pass_of(scope)):
            user = await self._by_pass(presented, path, speaks=scope["type"] == ScopeType.WEBSOCKET)
        elif self._doorman.is_open or takes_anybody(path, public_listings=self._public_listings):
            user = anybody(credential, self._open_role if self._doorman.is_open else "user")
        else:
            user = self._doorman.recall(credential) or await self._doorman.check(credential)
        if path.startswith(_ADMINS) and not user.is_admin:
            audit.note("administration", user, outcome="forbidden", request=request_id.current())
            raise Forbidden("This is for keys with the admin role. Use one of those.")
        scope["user"] = user
        return user

    async def _by_pass(self, presented: str, path: str, *, speaks: bool) -> User:
        try:
            return await self._doorman.check_pass(presented, path, speaks=speaks)
        except RefrainError:
            if not self._doorman.is_open:
                raise
            # Nobody needs one here: he hears what everybody may.
            return anybody("", self._open_role)


def takes_anybody(path: str, *, public_listings: bool) -> bool:
    """Whether this address needs no key, wherever keys are asked for."""
    return bool(_ANYBODYS.fullmatch(path) or (public_listings and _LISTINGS.fullmatch(path)))


def user_of(scope: HTTPScope | WebSocketScope) -> User:
    """Who asks."""
    user: User = scope["user"]
    return user


def is_checked(scope: HTTPScope) -> bool:
    """Whether it was looked at who asks: then the answer is for him, and caches on the way must not keep it."""
    return bool(user_of(scope).credential)


def credential_of(scope: HTTPScope | WebSocketScope) -> str:
    """As OpenAI's clients present it, or as ElevenLabs' do; empty: none."""
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and (token := token.strip()):
        return token
    return (header(scope, b"xi-api-key") or "").strip()


def pass_of(scope: HTTPScope | WebSocketScope) -> str:
    """As a page presents it where it can send no header: `?token=`, where sound is, or a WebSocket; empty: none."""
    if scope["type"] == ScopeType.HTTP and (scope["method"] != "GET" or not _SOUNDS.match(scope["path"])):
        return ""
    return parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
