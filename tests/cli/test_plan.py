"""`refrain plan`: what it would cost somebody with limits."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import refrain
from tests.cli.test_cli import TONES

LIMITS = """
[limits.plans.hits]
charge_hits = true
[limits.plans.poor]
spend_per_month = 0.0005
[limits.plans.quiet]
characters_per_day = 60
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text, and plans that it is too much for."""
    (tmp_path / "refrain.toml").write_text(TONES + LIMITS)
    (tmp_path / "doc.txt").write_text(
        "The first sentence is a short one. And this is the second, of one text."
    )
    return tmp_path


def test_says_what_is_charged_and_refused(folder: Path):
    """A batch would be begun, and end half-way where the budget ends."""
    characters = json.loads(refrain(folder, "plan", "doc.txt", "--json").stdout)["characters"]
    cost = f"{characters / 100_000:.6g}"
    fine = refrain(folder, "plan", "doc.txt")
    assert f"Charged: {characters} characters, {cost} at the most." in fine.stdout
    assert "refused" not in fine.stdout
    poor = refrain(folder, "plan", "doc.txt", "--plan", "poor")
    assert (poor.returncode, "refused (budget_exceeded): This would cost more" in poor.stdout) == (0, True)
    quiet = refrain(folder, "plan", "doc.txt", "--plan", "quiet", "--user", "ada", "--json")
    assert json.loads(quiet.stdout)["refused"]["code"] == "characters_exceeded"
    refrain(folder, "warm", "doc.txt")
    assert "Charged: 0 characters, 0 at the most." in refrain(folder, "plan", "doc.txt").stdout
    hits = refrain(folder, "plan", "doc.txt", "--plan", "hits").stdout
    assert f"Charged: {characters} characters, 0 at the most." in hits


def test_a_plan_that_there_is_not_is_refused(folder: Path):
    """A typing error would show everybody's limits."""
    done = refrain(folder, "plan", "doc.txt", "--plan", "pooor")
    assert done.returncode == 2
    assert "There are default, hits, poor, quiet" in done.stderr


def test_whose_sound_it_is_has_to_be_known(folder: Path):
    """An outage would be a screenful of Python."""
    file = folder / "refrain.toml"
    file.write_text('[redis]\nurl = "redis://127.0.0.1:1/0"\n[cache]\nscope = "user"\n' + file.read_text())
    done = refrain(folder, "plan", "doc.txt", "--user", "ada")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: Redis does not answer, so nobody knows")
