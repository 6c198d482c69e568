"""HTML: a fragment or a whole page."""

import functools
from dataclasses import replace

from app.text.document import Document
from app.text.intake.fragment import read
from app.text.intake.page import is_page, page
from app.text.intake.reading import Reading
from app.text.intake.tags import masked
from app.text.origin import Origin, aligned


def html(source: str, reading: Reading) -> Document:
    """The document of a piece of HTML, read as a browser reads it, however broken it is.

    Of a whole page (one whose first tag is a document type, `<html>`, `<head>` or `<body>`) the article is read,
    without menus and what else stands around it; of a fragment everything.

    Raises:
        InvalidText: it cannot be spoken.
    """
    writer = page(source, reading) if is_page(source) else read(source, reading)
    document = writer.document()
    return replace(document, origin=functools.partial(_origin, source, document.text))


def _origin(source: str, text: str) -> Origin:
    return aligned(masked(source), text)
