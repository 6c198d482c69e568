"""What was measured, and how it is printed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HEAD = "| Figure | Median | Least | Most | Runs | Must |\n|---|---:|---:|---:|---:|---|"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: `values` has one number for each run. `must` is the promise, in words; empty: none."""

    what: str
    unit: str
    values: tuple[float, ...]
    must: str = ""

    def row(self) -> str:
        """A line of the Markdown table."""
        median = statistics.median(self.values)
        cells = [_plain(number) for number in (median, min(self.values), max(self.values))]
        return f"| {self.what}, {self.unit} | {' | '.join(cells)} | {len(self.values)} | {self.must} |"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by this share (0 to 1) of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _plain(number: float) -> str:
    if number == int(number) or abs(number) >= 1_000:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) < 100 else f"{number:.0f}"
