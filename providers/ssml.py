"""The document that providers of SSML are sent: everything from outside is escaped here, and nowhere else."""

import re
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from providers.interface import Utterance

# XML 1.0 has no place for these, not even as references.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(utterance: Utterance, *, language: str, voice: str | None = None) -> str:
    """A whole `<speak>`: the utterance's own markup, or its plain text escaped.

    `language` is a tag, `voice` the vendor's name for one, where its wire has `<voice name>` (Azure). Whatever is in
    them is a value, never markup.
    """
    said = utterance.ssml if utterance.ssml is not None else escape(_known(utterance.text))
    if voice is not None:
        said = f"<voice name={quoteattr(_known(voice))}>{said}</voice>"
    namespace = "http://www.w3.org/2001/10/synthesis"
    return f'<speak version="1.0" xmlns="{namespace}" xml:lang={quoteattr(_known(language))}>{said}</speak>'


def _known(text: str) -> str:
    return _NO_XML.sub("", text)
