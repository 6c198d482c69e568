"""What every table of the file has in common."""

import re

from pydantic import AfterValidator, BaseModel, ConfigDict


def written_as(pattern: str, advice: str) -> AfterValidator:
    """Holds a string to a form; `advice` tells who wrote another how it is written."""
    form = re.compile(pattern)

    def check(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(advice)
        return text

    return AfterValidator(check)


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
