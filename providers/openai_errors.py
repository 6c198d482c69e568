"""What servers with OpenAI's wire say when they refuse, in every shape seen, into our tree.

Shapes: `{"error": {"message", "type", "param", "code"}}` (OpenAI, LiteLLM), `{"error": "text"}`,
`{"detail": "text" | {"error", "message", "type"} | [{"loc", "msg", "type"}]}` (FastAPI servers), HTML (proxies).
The body is read to decide and then dropped: it may quote the text or the key.
"""

from collections.abc import Mapping
from typing import Any, Final

from providers.errors import BadCredentials, BadVoice, ProviderError, QuotaExceeded, RateLimited, TooLong
from providers.wire import by_status, said

_Marks = tuple[tuple[type[ProviderError], tuple[str, ...]], ...]

# In this order; the first that is found decides.
_OF_THE_ACCOUNT: Final[_Marks] = (
    (
        QuotaExceeded,
        ("insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "billing_not_active"),
    ),
    (BadCredentials, ("invalid_api_key", "incorrect api key")),
)
_OF_THE_REQUEST: Final[_Marks] = (
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
_ACCOUNT: Final = frozenset((401, 402, 403, 429))


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:  # noqa: ARG001
    """The error that an answer with this status stands for. `body` may be cut off or empty."""
    document = said(body)
    return _kind(status, _fields(document.get("error") or document.get("detail") or document))


def _kind(status: int, fields: dict[str, str]) -> type[ProviderError]:
    kind = by_status(status)
    if kind.retryable and kind is not RateLimited:
        return kind
    everything = " ".join(fields.values())
    # Validation quotes what it was sent. What a listener has read out must not shut the whole account, so that
    # messages are believed of it only where the status speaks of nothing else.
    certain = everything if status in _ACCOUNT else f"{fields.get('code')} {fields.get('type')}"
    account = _marked(_OF_THE_ACCOUNT, certain)
    if kind is RateLimited:
        return QuotaExceeded if account is QuotaExceeded else kind
    marked = account or _marked(_OF_THE_REQUEST, everything)
    if marked is None and fields.get("param") in {"voice", "model"}:
        return BadVoice
    return marked or kind


def _marked(marks: _Marks, everything: str) -> type[ProviderError] | None:
    return next((error for error, words in marks if any(word in everything for word in words)), None)


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
