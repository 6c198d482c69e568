"""What carries users' words shows none of them where it is printed: in a log, in a trace, in a debugger's answer.

Dataclasses say it field by field (`field(repr=False)`); structs, which cannot, descend from this.
"""

import msgspec


class Unprinted(msgspec.Struct, frozen=True):
    """A struct that is printed without anything in it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"
