"""The whole suite: how much of it, and in which order."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Long tests first: what the workers end with is short, so that they end together.
FIRST = ("wire", "samples", "chaos", "cli")

# No deadline for a single try: others use the machine as well.
settings.register_profile("every", deadline=None)
settings.register_profile("fast", max_examples=40, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Without the cruel tests, chance has fewer tries; see `tests/examples.py`."""
    settings.load_profile("fast" if config.option.markexpr == "not soak" else "every")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """What is collected lasts as long as the run: the garbage collector would look through it hundreds of times."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long ones first. Under soak all that is left to chance runs too, with all of its tries."""
    order = {f"tests/{name}": at for at, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get("/".join(item.nodeid.split("/", 2)[:2]), len(FIRST)))
    if config.option.markexpr == "soak":
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(pytest.mark.soak)
