"""What can go wrong at a provider, in one tree, whoever the vendor is.

    ProviderError
    ├── Passing                 may pass by itself: retried, then the next in the chain
    │   ├── RateLimited         too many requests; `retry_after` seconds where the vendor says so
    │   │   └── Busy            not asked at all: others had all that the account may have at once
    │   ├── Unavailable         refused, 5xx, cut connection, unreadable answer
    │   │   └── CircuitOpen     not asked at all: it has failed too often of late
    │   └── TimedOut            connect, first byte or total time ran out
    ├── BadAudio                an answer that is not the sound asked for; the next in the chain
    ├── Account                 nothing with this account will work until somebody acts
    │   ├── BadCredentials      key missing, wrong, revoked
    │   └── QuotaExceeded       credit or quota used up
    └── Refused                 this request will never work here; the next in the chain
        ├── BadVoice            unknown voice or model, or one not on this plan
        ├── BadRequest          the vendor does not take these parameters or this text
        └── TooLong             over the vendor's limit

Adapters translate the vendor's answers into this tree at the edge, once. Messages are ours: they never
carry the vendor's body, a key, or the text.
"""


class ProviderError(Exception):
    """A provider did not speak. `provider` is its configured name."""

    retryable: bool = False
    code: str = "provider_error"

    def __init__(self, message: str, *, provider: str = "", retry_after: float | None = None) -> None:
        """`retry_after` is in seconds, as the vendor announced it; None where it did not."""
        super().__init__(message)
        self.provider = provider
        self.retry_after = retry_after


class Passing(ProviderError):
    """May pass by itself."""

    retryable = True


class RateLimited(Passing):
    """Too many requests for this account at the moment."""

    code = "rate_limited"


class Busy(RateLimited):
    """It was not asked: as many utterances as the account may have were under way for as long as was waited."""

    retryable = False
    code = "busy"


class Unavailable(Passing):
    """The vendor could not be reached or failed on its side."""

    code = "unavailable"


class CircuitOpen(Unavailable):
    """It was not asked: it has failed too often, and nobody has found out yet that it speaks again."""

    retryable = False
    code = "circuit_open"


class TimedOut(Passing):
    """The vendor took longer than the configured time."""

    code = "timeout"


class BadAudio(ProviderError):
    """What came back is not speech for this text: empty, silent, cut, of another format, or noise."""

    code = "bad_audio"


class Account(ProviderError):
    """Nothing with this account will work until somebody acts."""


class BadCredentials(Account):
    """The key is missing, wrong or revoked."""

    code = "auth"


class QuotaExceeded(Account):
    """The account's credit or quota is used up."""

    code = "quota"


class Refused(ProviderError):
    """This request will never work at this provider; the provider itself is well."""


class BadVoice(Refused):
    """The vendor does not know this voice or model, or does not give it to this account."""

    code = "bad_voice"


class BadRequest(Refused):
    """The vendor does not take these parameters or this text."""

    code = "bad_request"


class TooLong(Refused):
    """The text is over the vendor's limit."""

    code = "too_long"
