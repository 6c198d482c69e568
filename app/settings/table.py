"""What every table of the file has in common."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
