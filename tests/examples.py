"""How often chance is tried."""

from hypothesis import settings


def tries(many: int) -> int:
    """All of them under soak, and as large a part of them as of Hypothesis' own hundred in the fast suite."""
    return max(1, many * settings.default.max_examples // 100)
