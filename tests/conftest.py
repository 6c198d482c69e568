"""The whole suite: how much of it, and in which order."""

import pytest
from hypothesis import settings

# Long tests first: what the workers end with is short, so that they end together.
FIRST = ("wire", "samples", "chaos", "cli")

settings.register_profile("fast", max_examples=40)


def pytest_configure(config: pytest.Config) -> None:
    """Without the cruel tests, chance has fewer tries; see `tests/examples.py`."""
    if config.option.markexpr == "not soak":
        settings.load_profile("fast")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long ones first. Under soak all that is left to chance runs too, with all of its tries."""
    folders = [config.rootpath / "tests" / name for name in FIRST]
    items.sort(
        key=lambda item: next(
            (at for at, folder in enumerate(folders) if folder in item.path.parents), len(FIRST)
        )
    )
    if config.option.markexpr == "soak":
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(pytest.mark.soak)
