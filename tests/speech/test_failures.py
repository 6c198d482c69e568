"""What a caller is told when nobody of a chain speaks: to wait, to send something else, or to call somebody."""

import pytest

from app.errors import InvalidInput, ProviderFailed, ProvidersUnavailable, RefrainError
from app.speech.failures import told
from providers import errors

DOWN = errors.Unavailable("down", provider="first")
BUSY = errors.RateLimited("busy", provider="busy", retry_after=30)
OPEN = errors.CircuitOpen("open", provider="open", retry_after=5)
OVER = errors.BadCredentials("no", provider="over", retry_after=60)
UNKNOWN = errors.BadVoice("no such voice", provider="unknown")
NOISE = errors.BadAudio("noise", provider="noisy")
REFUSED = errors.BadRequest("no", provider="refusing")


@pytest.mark.parametrize("others", [[OVER], [UNKNOWN], [NOISE], [REFUSED], [OVER, NOISE, REFUSED]])
@pytest.mark.parametrize("passing", [DOWN, BUSY, OPEN])
def test_one_who_may_be_back_is_worth_asking_again(
    passing: errors.ProviderError, others: list[errors.ProviderError]
):
    """A client gives up on 502, though in a few seconds somebody could speak."""
    for failures in ([passing, *others], [*others, passing]):
        assert isinstance(told(failures), ProvidersUnavailable)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [([DOWN], 2), ([BUSY], 30), ([BUSY, OPEN], 5), ([BUSY, OVER], 30), ([OVER, DOWN], 2)],
)
def test_asked_again_when_the_first_may_be_back(failures: list[errors.ProviderError], seconds: float):
    """A listener would wait half a minute for the slowest of three, or a minute for an account that is over."""
    assert told(failures).retry_after == seconds


@pytest.mark.parametrize(
    ("failures", "kind", "hopeless"),
    [
        ([OVER, UNKNOWN], ProviderFailed, True),
        ([OVER, REFUSED], ProviderFailed, True),
        ([OVER, NOISE], ProviderFailed, False),
        ([NOISE], ProviderFailed, False),
        ([REFUSED, REFUSED], InvalidInput, False),
    ],
)
def test_waiting_is_not_advised_where_it_does_not_help(
    failures: list[errors.ProviderError], kind: type[RefrainError], hopeless: bool
):
    """Clients would ask three times, and maybe pay three times, for what somebody has to mend first."""
    error = told(failures)
    assert type(error) is kind
    assert error.hopeless is hopeless
    assert ("Try again" in error.message) is (kind is ProviderFailed and not hopeless)
