"""What servers with OpenAI's wire say when they refuse, in every shape seen, into our tree.

Shapes: `{"error": {"message", "type", "param", "code"}}` (OpenAI, LiteLLM), `{"error": "text"}`,
`{"detail": "text" | {"error", "message", "type"} | [{"loc", "msg", "type"}]}` (FastAPI servers), HTML (proxies).
The body is read to decide and then dropped: it may quote the text or the key.
"""

import json
from collections.abc import Mapping
from typing import Any

from providers.errors import BadCredentials, BadVoice, ProviderError, QuotaExceeded, RateLimited, TooLong
from providers.wire import by_status

# In this order; the first that is found in what the server says decides.
_MARKS: tuple[tuple[type[ProviderError], tuple[str, ...]], ...] = (
    (
        QuotaExceeded,
        ("insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "billing_not_active"),
    ),
    (BadCredentials, ("invalid_api_key", "incorrect api key")),
    (
        TooLong,
        ("string_too_long", "text_too_long", "maximum input limit", "too long", "context_length_exceeded"),
    ),
    # OpenAI's own answer to a wrong voice lists the right ones and names no parameter.
    (
        BadVoice,
        (
            "voice_not_found",
            "voice not found",
            "model_not_found",
            "unknown voice",
            "invalid voice",
            "'alloy'",
        ),
    ),
)


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer with this status stands for. `body` may be cut off or empty."""
    return _kind(status, _said(body))


def _kind(status: int, said: dict[str, str]) -> type[ProviderError]:
    kind = by_status(status)
    if kind.retryable and kind is not RateLimited:
        return kind
    everything = " ".join(said.values())
    marked = next((error for error, marks in _MARKS if any(mark in everything for mark in marks)), None)
    if kind is RateLimited:
        return QuotaExceeded if marked is QuotaExceeded else kind
    if marked is None and said.get("param") in {"voice", "model"}:
        return BadVoice
    return marked or kind


def _said(body: bytes) -> dict[str, str]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    return _fields(document.get("error") or document.get("detail") or document)


def _fields(said: Any) -> dict[str, str]:
    match said:
        case str():
            return {"message": said.lower()}
        case {"error": dict() as inner}:
            return _fields(inner)
        case dict():
            keys = ("message", "type", "param", "code", "error")
            return {key: str(said[key]).lower() for key in keys if said.get(key)}
        case [{"loc": [*_, place], **rest}, *_]:
            return {
                "param": str(place),
                "message": str(rest.get("msg")).lower(),
                "type": str(rest.get("type")),
            }
        case _:
            return {}
