"""From what providers could not do to what the caller is told."""

from collections.abc import Sequence

from app.errors import InvalidInput, ProviderFailed, ProvidersUnavailable, RefrainError
from providers import errors

RETRY_AFTER = 2.0
"""Seconds; a failure is remembered no longer than that, so asking again then asks the providers again."""

BY_CODE: dict[str, type[errors.ProviderError]] = {
    kind.code: kind
    for kind in (
        errors.RateLimited,
        errors.Busy,
        errors.Unavailable,
        errors.CircuitOpen,
        errors.TimedOut,
        errors.BadAudio,
        errors.BadCredentials,
        errors.QuotaExceeded,
        errors.BadVoice,
        errors.BadRequest,
        errors.TooLong,
        errors.ProviderError,
    )
}
"""How a failure on another replica, of which only the code travels, becomes one of ours."""


def remembered(error: BaseException) -> float:
    """For how many seconds a failed flight's error answers late-comers (promise 6: at most 2)."""
    if isinstance(error, errors.CircuitOpen | errors.Busy):
        # The one is said at once anyway, and the first request behind a closed circuit is to be spoken. The other says
        # that somebody's time was over: who has some left is to have his own turn.
        return 0.0
    return RETRY_AFTER if isinstance(error, errors.ProviderError) else 0.0


def told(failures: Sequence[errors.ProviderError]) -> RefrainError:
    """What the caller is told when the whole chain failed; says which provider failed how, and no more.

    Where one link at least may pass by itself, it is worth asking again, and when is what the soonest of them says.
    """
    summary = ", ".join(f"{failure.provider or 'a provider'}: {failure.code}" for failure in failures)
    if all(isinstance(failure, errors.BadRequest | errors.TooLong) for failure in failures):
        return InvalidInput(
            f"No provider of this voice can speak this text ({summary}). Check that its language is the voice's.",
            param="input",
        )
    passing = [failure for failure in failures if isinstance(failure, errors.Passing)]
    if passing:
        # One that speaks again is enough: neither the longest wait counts, nor an account that is over.
        after = min(max(RETRY_AFTER, failure.retry_after or 0.0) for failure in passing)
        return ProvidersUnavailable(
            f"No provider of this voice is available at the moment ({summary}). Try again.", retry_after=after
        )
    hopeless = all(isinstance(failure, errors.Account | errors.Refused) for failure in failures)
    advice = "Ask" if hopeless else "Try again, or ask"
    return ProviderFailed(
        f"Every provider of this voice failed ({summary}). {advice} the operator to run `refrain doctor`.",
        retry_after=max([RETRY_AFTER, *(failure.retry_after or 0.0 for failure in failures)]),
        hopeless=hopeless,
    )
