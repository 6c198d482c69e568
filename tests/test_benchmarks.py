"""The benchmarks run: a measure that broke with the code would be found only by whoever needs its figure."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import MEASURES

ROOT = Path(__file__).parent.parent


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_gives_its_figures(name: str):
    """`make bench` would end in a stack trace half-way."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"### {name}" in done.stdout
