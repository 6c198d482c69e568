"""The kinds of input that are read: one line each."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, Literal

from app.text.document import Document
from app.text.intake.html import html
from app.text.intake.markdown import markdown
from app.text.intake.plain import plain
from app.text.intake.reading import Reading
from app.text.intake.ssml import ssml

InputType = Literal["text", "markdown", "html", "ssml"]

READERS: Final[MappingProxyType[InputType, Callable[[str, Reading], Document]]] = MappingProxyType(
    {"text": plain, "markdown": markdown, "html": html, "ssml": ssml}
)
"""Each reads a source and raises `InvalidText` where there is nothing to speak; `ssml` also `InvalidSsml`."""
