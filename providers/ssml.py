"""The document that providers of SSML are sent: everything from outside is escaped here, and nowhere else."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from providers.interface import Utterance

# XML 1.0 has no place for these, not even as references.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


Element = tuple[str, Mapping[str, str]]
"""A name, which is ours, and attributes, whose values may be anybody's."""


def bare(markup: str) -> str:
    """A whole `<speak>` that says nothing of itself, for voices that know their own language.

    `xml:lang` is more than a remark: espeak-ng takes another voice for it, whatever voice was asked for.
    """
    return f"<speak>{markup}</speak>"


def document(
    utterance: Utterance,
    *,
    language: str,
    voice: str | None = None,
    around: Sequence[Element] = (),
    spaces: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A whole `<speak>`: the utterance's own markup, or its plain text escaped.

    `language` is a tag, `voice` the vendor's name for one, where its wire has `<voice name>` (Azure). `around` are
    elements around what is said, the outermost first, `spaces` the namespaces that they need, by prefix. Whatever is
    in them is a value, never markup.
    """
    said = utterance.ssml if utterance.ssml is not None else escape(_known(utterance.text))
    for name, attributes in reversed(around):
        said = f"<{name}{_written(attributes)}>{said}</{name}>"
    if voice is not None:
        said = f"<voice{_written({'name': voice})}>{said}</voice>"
    root = {"version": "1.0", "xmlns": "http://www.w3.org/2001/10/synthesis"}
    root |= {f"xmlns:{prefix}": space for prefix, space in spaces.items()}
    return f"<speak{_written({**root, 'xml:lang': language})}>{said}</speak>"


def _written(attributes: Mapping[str, str]) -> str:
    return "".join(f" {name}={quoteattr(_known(value))}" for name, value in attributes.items())


def _known(text: str) -> str:
    return _NO_XML.sub("", text)
