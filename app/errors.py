"""What Refrain itself says no with, and the one table from error to status and code.

    RefrainError
    ├── BadRequest        InvalidJson, InvalidInput, InvalidSsml, UnknownVoice, UnsupportedFormat
    ├── Unadmitted        MissingKey, InvalidKey, Revoked, Forbidden
    ├── Absent            NotFound, NotCached, MethodNotAllowed
    ├── TooMuch           BodyTooLarge, InputTooLong
    ├── UnsupportedMedia, IdempotencyMismatch
    ├── OverLimit         RateLimited, CharactersExceeded, TooManyConcurrent, BudgetExceeded
    ├── Unable            ProviderFailed, ProvidersUnavailable, CacheUnavailable, UsersUnavailable, Draining,
    │                     DeadlineExceeded
    └── Internal          a defect of ours; says nothing but the request's id

Messages are one or two sentences that say what was wrong and what to do. They never carry the text, a key,
a vendor's answer or a stack trace. `docs/errors.md` is made from the table: `python -m app.errors`.
"""

from dataclasses import dataclass
from typing import ClassVar


class RefrainError(Exception):
    """An answer that is not speech. `param` names the field at fault, where one is."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        hopeless: bool = False,
    ) -> None:
        """`retry_after` is in seconds. `hopeless`: asking again will fail again until somebody acts."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.hopeless = hopeless

    @property
    def row(self) -> "Row":
        """This error's line in the table."""
        return TABLE[type(self)]


class InvalidJson(RefrainError):
    """The body is not JSON in UTF-8, or not an object."""


class InvalidInput(RefrainError):
    """A field is missing, of the wrong type, out of range, or the text has nothing that can be spoken."""


class InvalidSsml(RefrainError):
    """The input is not well-formed SSML, or has an element or attribute that is not taken; names it and its place."""


class UnknownVoice(RefrainError):
    """No voice of that name or alias is configured."""


class UnsupportedFormat(RefrainError):
    """The format, or the sample rate with this format, is not one of ours."""


class MissingKey(RefrainError):
    """The request carries no key and no token, and this address needs one."""


class InvalidKey(RefrainError):
    """The key or token is none of ours, has expired, or is not made out for this service."""


class Revoked(RefrainError):
    """The key or token was good once and has been revoked."""


class Forbidden(RefrainError):
    """Who asks is known, and may not do this."""


class NotFound(RefrainError):
    """Nothing is at this address, or no longer."""


class NotCached(RefrainError):
    """`cache: "only"` was asked for, and some of the sound would have to be made."""


class MethodNotAllowed(RefrainError):
    """The address exists, but not for this method. `allow` lists those that it takes."""

    def __init__(self, message: str, *, allow: str) -> None:
        """`allow` is the value of the Allow header."""
        super().__init__(message)
        self.allow = allow


class BodyTooLarge(RefrainError):
    """The body is over `server.max_body`."""


class InputTooLong(RefrainError):
    """The text is over `server.max_input_chars`."""


class UnsupportedMedia(RefrainError):
    """The body is announced as something other than JSON."""


class IdempotencyMismatch(RefrainError):
    """The `Idempotency-Key` was sent before with another body."""


class OverLimit(RefrainError):
    """More than the user's plan has. `headers` say how much that is and how much is left."""

    headers: tuple[tuple[str, str], ...] = ()


class RateLimited(OverLimit):
    """More requests than the user's plan has for a minute."""


class CharactersExceeded(OverLimit):
    """More characters to be spoken anew than the user's plan has for a minute, or for a day."""


class TooManyConcurrent(OverLimit):
    """As many requests of the user are being spoken as the plan has at once, or as many WebSockets are open."""


class BudgetExceeded(OverLimit):
    """What is to be spoken would cost more than is left of the user's budget for this month."""


class ProviderFailed(RefrainError):
    """Nobody of the voice's chain speaks, and waiting will not help: accounts refused, voices unknown, or no speech."""


class ProvidersUnavailable(RefrainError):
    """Nobody of the voice's chain speaks now, but one may soon: out of reach, or busy. `Retry-After` says when."""


class CacheUnavailable(RefrainError):
    """What was to be forgotten could not be forgotten everywhere: the cache that replicas share does not answer."""


class UsersUnavailable(RefrainError):
    """Keys, tokens or budgets cannot be checked: the Redis that keeps them does not answer."""


class Draining(RefrainError):
    """This process is about to end and takes no new work."""


class DeadlineExceeded(RefrainError):
    """No sound within `server.deadline`."""


class Internal(RefrainError):
    """A defect of ours."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one error looks on the wire; `kind` is OpenAI's `type`."""

    status: int
    code: str
    kind: str


_BAD = "invalid_request_error"
_OURS = "server_error"
_WHO = "authentication_error"
_LIMIT = "rate_limit_error"

TABLE: dict[type[RefrainError], Row] = {
    InvalidJson: Row(400, "invalid_json", _BAD),
    InvalidInput: Row(400, "invalid_input", _BAD),
    InvalidSsml: Row(400, "invalid_ssml", _BAD),
    UnknownVoice: Row(400, "unknown_voice", _BAD),
    UnsupportedFormat: Row(400, "unsupported_format", _BAD),
    MissingKey: Row(401, "missing_key", _WHO),
    InvalidKey: Row(401, "invalid_key", _WHO),
    Revoked: Row(401, "revoked", _WHO),
    Forbidden: Row(403, "forbidden", "permission_error"),
    NotFound: Row(404, "not_found", _BAD),
    NotCached: Row(404, "not_cached", _BAD),
    MethodNotAllowed: Row(405, "method_not_allowed", _BAD),
    BodyTooLarge: Row(413, "body_too_large", _BAD),
    InputTooLong: Row(413, "input_too_long", _BAD),
    UnsupportedMedia: Row(415, "unsupported_media_type", _BAD),
    IdempotencyMismatch: Row(422, "idempotency_mismatch", _BAD),
    RateLimited: Row(429, "rate_limited", _LIMIT),
    CharactersExceeded: Row(429, "characters_exceeded", _LIMIT),
    TooManyConcurrent: Row(429, "too_many_concurrent", _LIMIT),
    BudgetExceeded: Row(429, "budget_exceeded", "insufficient_quota"),
    Internal: Row(500, "internal_error", _OURS),
    ProviderFailed: Row(502, "provider_failed", _OURS),
    ProvidersUnavailable: Row(503, "providers_unavailable", _OURS),
    CacheUnavailable: Row(503, "cache_unavailable", _OURS),
    UsersUnavailable: Row(503, "users_unavailable", _OURS),
    Draining: Row(503, "draining", _OURS),
    DeadlineExceeded: Row(504, "deadline_exceeded", _OURS),
}


def whereabouts(error: BaseException) -> str:
    """A defect for the log: its type and place, never its message, which may carry text."""
    trace, where = error.__traceback__, "unknown"
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {where}"


class ErrorsPage:
    """`docs/errors.md`, made from the table."""

    HEAD: ClassVar[str] = (
        "# Errors\n\n"
        "Made from the table in `app/errors.py` by `python -m app.errors`; a test compares the two.\n\n"
        'On `/v1/audio/*` an error is `{"error": {"message", "type", "param", "code"}}`, elsewhere '
        "`application/problem+json`\n(RFC 9457) with the same `code`. With 429, 502 and 503 comes `Retry-After`, or "
        "`x-should-retry: false` where asking again will not help.\n\n"
        "| Status | Code | Means |\n|---|---|---|\n"
    )
    FOOT: ClassVar[str] = (
        "\nWhat is no request is refused before anybody looks at its address, always as `application/problem+json`, "
        "and the\nconnection is closed: 400 `invalid_http` (not HTTP, or a head with CR, LF or NUL in a value), "
        "431 `head_too_large`\n(over 32 KiB, or 100 fields).\n"
    )

    @classmethod
    def render(cls) -> str:
        """The whole page."""
        rows = (f"| {row.status} | `{row.code}` | {error.__doc__} |" for error, row in TABLE.items())
        return cls.HEAD + "\n".join(rows) + "\n" + cls.FOOT


if __name__ == "__main__":
    print(ErrorsPage.render(), end="")  # noqa: T201 - printing the page is what this does
