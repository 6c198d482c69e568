"""Tags of languages, as far as they are looked at."""

import re
from typing import Final

_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")


def is_tag(text: str) -> bool:
    """Whether it has the form of a tag such as "en" or "pt-BR"; not whether anybody speaks it."""
    return _TAG.fullmatch(text) is not None
