"""What ElevenLabs says when it refuses, into our tree: its `code`, else its `status`, before that of HTTP.

Shapes: `{"detail": {"type", "code", "message", "status", "request_id", "param"}}`, the older
`{"detail": {"status", "message"}}`, `{"detail": [{"loc", "msg", "type"}]}` (FastAPI, 422), `{"detail": "text"}`, HTML.
The body is read to decide and then dropped: it may quote the text or the key.
"""

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
from providers.wire import by_status, said

CODES: MappingProxyType[str, type[ProviderError]] = MappingProxyType(
    {
        # Comes as 401 and as 402.
        "quota_exceeded": QuotaExceeded,
        "insufficient_credits": QuotaExceeded,
        "payment_required": QuotaExceeded,
        "invalid_api_key": BadCredentials,
        "missing_permissions": BadCredentials,
        "detected_unusual_activity": BadCredentials,
        "voice_not_found": BadVoice,
        "voice_not_fine_tuned": BadVoice,
        "voice_does_not_exist": BadVoice,
        "model_not_found": BadVoice,
        "model_id_does_not_exist": BadVoice,
        "unsupported_model": BadVoice,
        # A voice or a model that this plan has not: the account's others still speak.
        "paid_plan_required": BadVoice,
        "subscription_required": BadVoice,
        "free_users_not_allowed": BadVoice,
        "max_character_limit_exceeded": TooLong,
        "too_many_concurrent_requests": RateLimited,
        "concurrent_limit_exceeded": RateLimited,
        # Of the vendor's own load, not of this account's: fewer requests from us would not end it.
        "system_busy": Unavailable,
        "output_format_not_allowed": BadRequest,
    }
)
"""Each of them seen: in ElevenLabs' help pages (quota_exceeded, invalid_api_key, voice_not_found,
max_character_limit_exceeded and those of 429), in answers that its users quote in public, or in its own application's
list of what does not pass by itself (insufficient_credits, payment_required, subscription_required); up to November
2026. Its SDK names none. Codes that nobody has shown are not here: they go by the parameter that they name, and by
HTTP's status."""

_VOICE: Final = frozenset(("voice_id", "model_id", "voice", "model"))
_ITS_OWN: Final = frozenset((400, 402, 403, 404, 422))  # a status that speaks of the one parameter it names


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer with this status stands for. `body` may be cut off or empty."""
    told = _fields(said(body).get("detail"))
    for field in ("code", "status"):
        if told.get(field) in CODES:
            return CODES[told[field]]
    if status in _ITS_OWN and told.get("param") in _VOICE:
        return BadVoice
    if told.get("type") == "string_too_long" and told.get("param") == "text":
        return TooLong
    return by_status(status)


def _fields(detail: Any) -> dict[str, str]:
    match detail:
        case dict():
            return {key: value.lower() for key, value in detail.items() if isinstance(value, str)}
        case [{"loc": [*_, place], **rest}, *_]:
            return {"param": str(place), "type": str(rest.get("type"))}
        case _:
            return {}
