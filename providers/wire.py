"""HTTP as the vendors' adapters share it: httpx's errors into our tree, Retry-After, the class of a bare status."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import anyio
import httpx

from providers.errors import (
    BadCredentials,
    BadRequest,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    TimedOut,
    TooLong,
    Unavailable,
)

T = TypeVar("T")


@contextmanager
def translated(provider: str) -> Iterator[None]:
    """Turn what httpx raises into our tree.

    `from None` throughout: httpx's own messages may quote a header with the key in it.
    """
    try:
        yield
    except httpx.TimeoutException:
        raise TimedOut(f"{provider} could not be reached in time.", provider=provider) from None
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL):
        raise BadRequest(
            f"The request to {provider} cannot be sent; check its base_url and api_key.", provider=provider
        ) from None
    except httpx.ConnectError:
        raise Unavailable(f"{provider} refused the connection.", provider=provider) from None
    except httpx.HTTPError:
        raise Unavailable(f"The connection to {provider} broke.", provider=provider) from None


async def whole(step: Callable[[], Awaitable[T]]) -> T:
    """Await a step of httpx so that cancelling it loses no connection.

    httpcore 1.0.9 shields its bookkeeping against anyio's cancellation, not against asyncio's: cancelled by
    asyncio at one of its locks (a connection just opened, a body just ended), it leaves an open connection in
    the pool that no request owns and none will use. So the step runs in a task of its own, and what reaches it
    is anyio's cancellation. A response that comes in the same moment is closed.
    """
    scope = anyio.CancelScope()
    task = asyncio.ensure_future(_within(scope, step))
    try:
        (result,) = await asyncio.shield(task)
    except asyncio.CancelledError:
        scope.cancel()
        await asyncio.wait((task,))
        late = () if task.cancelled() or task.exception() else task.result()
        for response in late:
            if isinstance(response, httpx.Response):
                await response.aclose()
        raise
    return result


async def _within(scope: anyio.CancelScope, step: Callable[[], Awaitable[T]]) -> tuple[T, ...]:
    with scope:
        return (await step(),)
    return ()


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds the vendor asks us to wait: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.

    `now` is in seconds since the epoch. None where nothing readable is announced (RFC 9110, 10.2.3).
    """
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
    return max(0.0, moment - (time.time() if now is None else now))


def number(value: str | None) -> float | None:
    """A header's, if it is one that makes sense."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


_BY_STATUS: dict[int, type[ProviderError]] = {
    401: BadCredentials,
    402: QuotaExceeded,
    403: BadCredentials,
    408: TimedOut,
    409: Unavailable,
    413: TooLong,
    425: Unavailable,
    429: RateLimited,
    504: TimedOut,
}


def by_status(status: int) -> type[ProviderError]:
    """What a status means where the body says nothing more certain."""
    server_side = 500
    return _BY_STATUS.get(status, Unavailable if status >= server_side else BadRequest)


def said(body: bytes) -> dict[str, Any]:
    """The JSON object that a refusal came with; empty where it is anything else, or cut off."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


_SENTENCES: dict[str, str] = {
    "rate_limited": "{name} takes no more requests at the moment.",
    "timeout": "{name} took too long.",
    "unavailable": "{name} failed on its side (status {status}).",
    "auth": "{name} refuses the credentials; check them in its configuration.",
    "quota": "The account at {name} has no credit or quota left.",
    "bad_voice": "{name} does not know this voice or model, or not for this account.",
    "too_long": "The text is over the limit of {name}.",
    "bad_request": "{name} does not take this request (status {status}); check base_url, model and options.",
    "bad_audio": "{name} answered with something that is not sound (status {status}).",
}


def refused(
    provider: str, kind: type[ProviderError], status: int, headers: Mapping[str, str]
) -> ProviderError:
    """A refusal of this kind, in our words."""
    return kind(
        _SENTENCES[kind.code].format(name=provider, status=status),
        provider=provider,
        retry_after=retry_after(headers),
    )
