"""Polly's exceptions into our tree: the name counts, hardly ever the status (throttling is a 400)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

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

_BY_NAME: Final[Mapping[str, type[ProviderError]]] = MappingProxyType(
    {
        "ThrottlingException": RateLimited,
        "TooManyRequestsException": RateLimited,
        "RequestLimitExceeded": RateLimited,
        "ServiceQuotaExceededException": QuotaExceeded,
        "OptInRequired": QuotaExceeded,
        "SubscriptionRequiredException": QuotaExceeded,
        "AccessDeniedException": BadCredentials,
        "ExpiredTokenException": BadCredentials,
        "IncompleteSignatureException": BadCredentials,
        "InvalidClientTokenId": BadCredentials,
        "InvalidSignatureException": BadCredentials,
        "MissingAuthenticationTokenException": BadCredentials,
        "UnrecognizedClientException": BadCredentials,
        "TextLengthExceededException": TooLong,
        "EngineNotSupportedException": BadVoice,
        "LanguageNotSupportedException": BadVoice,
        "InvalidParameterValue": BadVoice,
        "InvalidSampleRateException": BadRequest,
        "InvalidSsmlException": BadRequest,
        "LexiconNotFoundException": BadRequest,
        "MarksNotSupportedForFormatException": BadRequest,
        "SsmlMarksNotSupportedForTextTypeException": BadRequest,
        "ServiceFailureException": Unavailable,
        "InternalFailure": Unavailable,
        "ServiceUnavailable": Unavailable,
    }
)


def classify(status: int, headers: Mapping[str, str], body: bytes) -> type[ProviderError]:
    """The error that an answer stands for.

    The name is in `x-amzn-errortype` (before a colon) or in `__type` of the body (behind a hash).
    """
    document = said(body)
    name = headers.get("x-amzn-errortype", "").partition(":")[0] or str(document.get("__type", ""))
    name = name.rpartition("#")[2]
    if name == "ValidationException":
        message = document.get("message") or document.get("Message")
        return BadVoice if "voiceid" in str(message).lower() else BadRequest
    return _BY_NAME.get(name) or by_status(status)
