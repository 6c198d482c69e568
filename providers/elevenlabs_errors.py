"""What ElevenLabs says when it refuses, into our tree: its `code`, else its `status`, before that of HTTP.

Shapes: `{"detail": {"type", "code", "message", "status", "request_id", "param"}}`, the older
`{"detail": {"status", "message"}}`, `{"detail": [{"loc", "msg", "type"}]}` (FastAPI, 422), `{"detail": "text"}`, HTML.
The body is read to decide and then dropped: it may quote the text or the key.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from providers.errors import (
    BadCredentials,
    BadRequest,
    BadVoice,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    TooLong,
    Unavailable,
)
from providers.wire import by_status

CODES: MappingProxyType[str, type[ProviderError]] = MappingProxyType(
    {
        # Comes as 401 and as 402.
        "quota_exceeded": QuotaExceeded,
        "insufficient_credits": QuotaExceeded,
        "payment_required": QuotaExceeded,
        "invalid_api_key": BadCredentials,
        "missing_api_key": BadCredentials,
        "needs_authorization": BadCredentials,
        "missing_permissions": BadCredentials,
        "detected_unusual_activity": BadCredentials,
        "voice_not_found": BadVoice,
        "invalid_voice_id": BadVoice,
        "voice_not_fine_tuned": BadVoice,
        "model_not_found": BadVoice,
        "invalid_model_id": BadVoice,
        "unsupported_model": BadVoice,
        # A voice or a model that this plan has not: the account's others still speak.
        "paid_plan_required": BadVoice,
        "subscription_required": BadVoice,
        "free_users_not_allowed": BadVoice,
        "max_character_limit_exceeded": TooLong,
        "text_too_long": TooLong,
        "too_many_concurrent_requests": RateLimited,
        "concurrent_limit_exceeded": RateLimited,
        "rate_limit_exceeded": RateLimited,
        # Of the vendor's own load, not of this account's: fewer requests from us would not end it.
        "system_busy": Unavailable,
        "output_format_not_allowed": BadRequest,
        "invalid_output_format": BadRequest,
        "unsupported_language": BadRequest,
    }
)
"""As seen in ElevenLabs' help pages and in public reports up to November 2026."""

_VOICE: Final = frozenset(("voice_id", "model_id", "voice", "model"))
_ITS_OWN: Final = frozenset((400, 402, 403, 404, 422))  # a status that speaks of the one parameter it names


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer with this status stands for. `body` may be cut off or empty."""
    said = _said(body)
    for field in ("code", "status"):
        if said.get(field) in CODES:
            return CODES[said[field]]
    if status in _ITS_OWN and said.get("param") in _VOICE:
        return BadVoice
    if said.get("type") == "string_too_long" and said.get("param") == "text":
        return TooLong
    return by_status(status)


def _said(body: bytes) -> dict[str, str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return _fields(document.get("detail")) if isinstance(document, dict) else {}


def _fields(detail: Any) -> dict[str, str]:
    match detail:
        case dict():
            return {key: value.lower() for key, value in detail.items() if isinstance(value, str)}
        case [{"loc": [*_, place], **rest}, *_]:
            return {"param": str(place), "type": str(rest.get("type"))}
        case _:
            return {}
