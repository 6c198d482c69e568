"""What the operator decides of how documents are read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """`code` is said in place of a block of code; empty: such blocks are passed over in silence."""

    code: str = ""
