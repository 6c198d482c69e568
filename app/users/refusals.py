"""What somebody is told who asks for more than he may have."""

from app.errors import BudgetExceeded, CharactersExceeded, OverLimit, RateLimited, TooManyConcurrent
from app.settings.tables import LimitTable


def too_many(room: int, seconds: float | None) -> RateLimited:
    """For who has asked more than `room` times in a minute."""
    message = f"That is more than your {room} requests a minute. Ask again after Retry-After."
    return RateLimited(message, retry_after=seconds)


def refusal(said: str, limits: LimitTable, seconds: float | None) -> OverLimit:
    """What `scripts/reserve.lua` says no with, in words. `seconds` until it would do; None: never, or not known."""
    match said:
        case "minute":
            return _characters(
                f"{limits.characters_per_minute} characters a minute", seconds, "after Retry-After"
            )
        case "day":
            return _characters(f"{limits.characters_per_day} characters a day (UTC)", seconds, "tomorrow")
        case "concurrent":
            places = limits.concurrent_requests
            message = f"You have {places} requests at once, and all are being spoken. Wait for one to end."
            return TooManyConcurrent(message, retry_after=1.0)
        case _:
            return BudgetExceeded(
                "This would cost more than is left of your budget for this month. Ask the operator for more.",
                hopeless=True,
            )


def _characters(room: str, seconds: float | None, when: str) -> CharactersExceeded:
    if seconds is None:
        return CharactersExceeded(
            f"This text alone is more than your {room}. Send it in parts.", hopeless=True
        )
    return CharactersExceeded(f"That is more than your {room}. Ask again {when}.", retry_after=seconds)
