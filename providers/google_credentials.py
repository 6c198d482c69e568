"""Google's tokens, for those who have a file of credentials, or a machine of Google's, instead of an API key.

A service account's key signs its own token, as Google's libraries do (AIP-4111): nobody is asked, and nothing can
fail on the way. A user's refresh token (`gcloud auth application-default login`) is exchanged where its file says, and
a machine's own account is asked for at its metadata server.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from providers.authorities import authorities
from providers.errors import BadCredentials, TimedOut, Unavailable
from providers.line import head_of
from providers.wire import by_status

VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
"""Where Google's own tools look for the path of a file."""
METADATA: Final = "metadata"
AUDIENCE: Final = "https://texttospeech.googleapis.com/"
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
LIFETIME: Final = 3_600
"""Seconds that a token signed here is good for; the most that Google takes."""
EARLY: Final = 300.0
"""Seconds before a token's end in which the next one is asked for, while the old one is still used."""
MARGIN: Final = 30.0
"""Seconds before its end from which it is no longer sent: clocks differ, and requests take their time."""
PAUSE: Final = 10.0
"""Seconds between two attempts at a new token while the old one is good."""
_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_MOST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Token:
    """Good until `ends`, in seconds since the epoch. `project` is whom its file would have billed, if it says so."""

    value: str = field(repr=False)
    ends: float
    project: str | None = None


def place(given: str) -> str:
    """Parses the option `credentials`: `metadata`, or `file:` and a path."""
    if given != METADATA and not given.removeprefix("file:").strip():
        raise ValueError('"file:" and the path of a JSON file, or "metadata"')
    return given.removeprefix("file:")


def usual() -> str | None:
    """Where Google's own tools would find a file, as far as the environment says."""
    return os.environ.get(VARIABLE) or None


class Bearer(httpx.Auth):
    """Puts a token on each request; it is renewed before its end, by one request for all who wait."""

    def __init__(
        self,
        provider: str,
        source: str,
        *,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`source` is a path or `metadata`; `timeout` of a token's request in seconds; `clock` since the epoch."""
        self._provider = provider
        self._source = source
        self._clock = clock
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            timeout=timeout,
            verify=authorities(),
            transport=transport,
            # A proxy that the environment names is for the world outside: it knows nothing of this machine's account.
            trust_env=source != METADATA,
        )
        self._token: Token | None = None
        self._due = 0.0
        self._task: asyncio.Task[Token] | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """See httpx."""
        token = await self.token()
        request.headers["Authorization"] = f"Bearer {token.value}"
        if token.project is not None:
            request.headers.setdefault("X-Goog-User-Project", token.project)
        response = yield request
        # Revoked, or its key was: kept until its end, it would have all of the hour's requests refused.
        if response.status_code == httpx.codes.UNAUTHORIZED and self._token is token:
            self._token = None

    async def token(self) -> Token:
        """One that is good.

        Raises:
            BadCredentials: there are no credentials there, or Google gives no token for them.
            Passing: it could not be had now.
        """
        now, token = self._clock(), self._token
        if token is None or now >= token.ends - MARGIN:
            return await self._next()
        if now >= self._due:
            self._renewal()
        return token

    async def _next(self) -> Token:
        renewal = self._renewal()
        # Waited for like this, it is not cancelled with one of those who wait.
        await asyncio.wait((renewal,))
        if renewal.cancelled():
            raise Unavailable(f"{self._provider} is closed.", provider=self._provider)
        return renewal.result()

    def _renewal(self) -> asyncio.Task[Token]:
        """The one under way, or a new one; no await here, so there are never two."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew(), name=f"token of {self._provider}")
            # While the old one is good nobody waits, and nobody would look at what went wrong.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._task

    async def _renew(self) -> Token:
        self._due = self._clock() + PAUSE
        self._token = token = await self._asked()
        self._due = max(self._due, token.ends - EARLY)
        return token

    async def _asked(self) -> Token:
        if self._source == METADATA:
            host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
            return await self._granted("GET", f"http://{host}{_PATH}", headers={"Metadata-Flavor": "Google"})
        # Read each time: a key that was replaced is found by itself. In a thread, as is all that signing imports.
        match await asyncio.to_thread(_read, self._source):
            case {
                "type": "service_account",
                "client_email": str() as email,
                "private_key": str() as key,
                **rest,
            }:
                return await asyncio.to_thread(self._signed, email, key, rest.get("private_key_id"))
            case {"type": "authorized_user", "refresh_token": str() as refresh, **rest}:
                client = {key: str(rest.get(key, "")) for key in ("client_id", "client_secret")}
                form = {"grant_type": "refresh_token", "refresh_token": refresh, **client}
                address = str(rest.get("token_uri") or TOKEN_URI)
                project = rest.get("quota_project_id")
                return await self._granted("POST", address, form, project=str(project) if project else None)
            case _:
                raise BadCredentials(
                    f"{self._provider} finds no credentials in its file; it must be the JSON of a service "
                    f"account's key, or what gcloud's application-default login wrote.",
                    provider=self._provider,
                )

    def _signed(self, email: str, key: str, identity: object) -> Token:
        import jwt  # noqa: PLC0415 - 70 ms, and only for those who have such a key
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

        now = int(self._clock())
        claims = {"iss": email, "sub": email, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME}
        named = {"kid": str(identity)} if identity else None
        try:
            signed = jwt.encode(claims, key, algorithm="RS256", headers=named)
        except (ValueError, TypeError, jwt.PyJWTError, UnsupportedAlgorithm):
            raise BadCredentials(
                f"{self._provider} cannot sign with the key in its file of credentials.",
                provider=self._provider,
            ) from None
        return Token(signed, now + LIFETIME)

    async def _granted(
        self,
        method: str,
        address: str,
        form: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        project: str | None = None,
    ) -> Token:
        """What a server of tokens answers. `from None`: httpx's own messages may quote the address or a header."""
        try:
            async with self._client.stream(method, address, data=form, headers=headers) as response:
                status, body = response.status_code, await head_of(response, _MOST)
        except httpx.TimeoutException:
            raise TimedOut(
                f"{self._provider} had no token of Google's in time.", provider=self._provider
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise Unavailable(
                f"{self._provider} cannot reach Google's server of tokens.", provider=self._provider
            ) from None
        if status == httpx.codes.OK:
            return self._read_grant(body, project)
        if (kind := by_status(status)).retryable:
            raise kind(f"{self._provider} is given no token at the moment.", provider=self._provider)
        raise BadCredentials(
            f"{self._provider} is given no token by Google; check its credentials.", provider=self._provider
        )

    def _read_grant(self, body: bytes, project: str | None) -> Token:
        try:
            match json.loads(body):
                case {"access_token": str() as value, "expires_in": int() | float() | str() as seconds}:
                    return Token(value, self._clock() + float(seconds), project)
        except (ValueError, RecursionError):
            pass
        raise Unavailable(f"{self._provider} was sent a token in an unknown form.", provider=self._provider)

    async def aclose(self) -> None:
        """Give back the connection; who waits for a token hears of it. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._client.aclose()


def _read(path: str) -> Any:
    """The file's JSON; None where there is none that can be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
