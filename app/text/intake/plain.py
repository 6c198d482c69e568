"""Plain text: nothing in it is markup, whatever it looks like."""

import functools

from app.text.blocks import blocks
from app.text.document import Document
from app.text.intake.reading import Reading
from app.text.normalize import normalize
from app.text.origin import aligned


def plain(source: str, reading: Reading) -> Document:  # noqa: ARG001 - a reader's signature
    """The document of a plain text.

    Raises:
        InvalidText: it cannot be spoken.
    """
    text = normalize(source)
    return Document(text, tuple(blocks(text)), functools.partial(aligned, source, text))
