# ruff: noqa: ARG002, N802 - SAX decides how its handlers are named and called
"""SSML: the elements of version 1.1 that voices share, by an allow-list; everything else is refused by name."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesNSImpl

import regex
from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from app.text.document import Document
from app.text.intake.reading import Reading
from app.text.intake.ssml_elements import (
    ELEMENTS,
    LONGEST_ALIAS,
    NOT_TAKEN,
    Content,
    Element,
    Refused,
    checked,
    silence,
)
from app.text.intake.ssml_writer import SsmlWriter
from app.text.normalize import InvalidText, spelled

_DEEPEST: Final = 16  # elements inside each other
_SSML: Final = "http://www.w3.org/2001/10/synthesis"
_PREFIXES: Final = {
    None: "",
    "http://www.w3.org/XML/1998/namespace": "xml:",
    "http://www.w3.org/2001/XMLSchema-instance": "xsi:",
}
_LETTER_BY_LETTER: Final = frozenset({"characters", "spell-out", "verbatim", "digits"})
_LINE_END: Final = re.compile(r"\r\n?|\n")
_REFERENCE: Final = re.compile(r"&(?:#[0-9]+|#x[0-9a-fA-F]+|[a-z]+);")
_TAG: Final = re.compile(r"</?([A-Za-z_][A-Za-z0-9_.:-]{0,39})(?![^\s/>])")
_LETTER: Final = regex.compile(r"\X")
# What is said of expat's errors; of all others, that it is not well-formed.
_REASONS: Final = {
    "undefined entity": "uses an entity that XML does not have; write the character itself",
    "unbound prefix": "has a prefix that is not declared; leave vendors' own elements out",
    "mismatched tag": "does not end the element that was opened last; check the tags before it",
    "no element found": "ends too early; check that each tag is closed",
    "XML or text declaration not at start of entity": "has something before its XML declaration; begin with that",
    "duplicate attribute": "has an attribute twice; leave one out",
}
_OTHERWISE: Final = "is not well-formed XML; check its tags, quotes and ampersands"


class InvalidSsml(ValueError):
    """SSML that is not well-formed, or has more in it than is taken.

    `element` is the name of the element it is about, if there is one; `line` and `column` say where that is, both
    from 1, in characters. The message is one sentence for its sender and never contains text or values.
    """

    def __init__(self, why: str, line: int, column: int, element: str | None = None) -> None:
        what = f"<{element}>" if element else "this"
        super().__init__(f"In line {line}, column {column}, {what} {why}.")
        self.line = line
        self.column = column
        self.element = element


def ssml(source: str, reading: Reading) -> Document:  # noqa: ARG001 - a reader's signature
    """The document of a text in SSML.

    Raises:
        InvalidText: it has nothing to speak, or characters that are none.
        InvalidSsml: it is not well-formed, or has an element, an attribute or a value that is not taken.
    """
    spelled(source)  # refuses what is no text at all
    if not source.strip():
        raise InvalidText("empty")
    if not source.lstrip("\ufeff").lstrip().startswith("<"):
        raise InvalidSsml("does not begin with a tag; wrap the text in <speak>", 1, 1)
    parser = DefusedExpatParser(1, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    handler = _Handler(source, parser)
    parser.setContentHandler(handler)
    try:
        parser.feed(source)
        parser.close()
    except DefusedXmlException:
        at = source.rfind("<!", 0, handler.offset)
        raise handler.error("declares a document type or entities; leave that out", at) from None
    except SAXParseException as error:
        raise handler.error(_REASONS.get(error.getMessage(), _OTHERWISE), handler.offset) from None
    return handler.document()


@dataclass(frozen=True, slots=True)
class _Frame:
    """An element that is open; `offset` says where it begins, `marked` whether the writer has opened one for it."""

    name: str
    element: Element
    offset: int
    attributes: dict[str, str]
    marked: bool


class _Handler(ContentHandler):
    """Checks what the parser reports, and passes it on to the writer."""

    def __init__(self, source: str, parser: DefusedExpatParser) -> None:
        super().__init__()
        self._source = source
        self._parser = parser
        self._lines = [0, *(end.end() for end in _LINE_END.finditer(source))]
        self._writer = SsmlWriter()
        self._stack: list[_Frame] = []
        self._language: str | None = None

    def document(self) -> Document:
        """What has been read, once the parser has come to the end."""
        return self._writer.document(self._language)

    @property
    def offset(self) -> int:
        """Where the parser is: the beginning of what it reports, in characters of the source."""
        line, column = self._parser.getLineNumber(), self._parser.getColumnNumber()
        assert line is not None, "the parser has begun"
        assert column is not None, "the parser has begun"
        return self._lines[line - 1] + column

    def error(self, why: str, offset: int) -> InvalidSsml:
        """The error for what stands there."""
        if offset >= len("</") and self._source.startswith("</", offset - 2):
            # Expat points behind it, at the name of an element that should not end yet.
            offset -= 2
        tag = _TAG.match(self._source, offset)
        line = bisect_right(self._lines, offset)
        return InvalidSsml(why, line, offset - self._lines[line - 1] + 1, tag[1] if tag else None)

    def startElementNS(
        self, name: tuple[str | None, str], qname: str | None, attrs: AttributesNSImpl
    ) -> None:
        """Begin an element that may stand here."""
        offset = self.offset
        try:
            element = self._allowed(name)
            attributes = checked(element, {_named(key): value for key, value in attrs.items()})
        except Refused as refused:
            raise self.error(refused.why, offset) from None
        marked = self._begin(name[1], attributes)
        self._stack.append(_Frame(name[1], element, offset, attributes, marked))

    def endElementNS(self, name: tuple[str | None, str], qname: str | None) -> None:
        """End the innermost element."""
        frame = self._stack.pop()
        said = self._writer.flush()
        if frame.element.content is Content.TEXT and not said:
            raise self.error("has no text; put what is written between its tags", frame.offset)
        if frame.marked:
            self._writer.close(self._alias(frame, said))
        if frame.name in {"p", "s"}:
            self._writer.border(paragraph=frame.name == "p")

    def characters(self, content: str) -> None:
        """Take text as it is in the source, or what a reference stands for."""
        frame = self._stack[-1]
        if frame.element.content is Content.NOTHING and content.strip():
            raise self.error("has text in it; close it before the text", frame.offset)
        offset = self.offset
        # A single character at an ampersand is what a reference stands for; in CDATA, more comes with it.
        reference = _REFERENCE.match(self._source, offset) if len(content) == 1 else None
        size = reference.end() - offset if reference else len(content)
        self._writer.text(content, offset, size)

    def processingInstruction(self, target: str, data: str) -> None:
        """Refuse what is meant for some program."""
        raise self.error("is a processing instruction; leave it out", self.offset)

    def _allowed(self, name: tuple[str | None, str]) -> Element:
        """The element, if it is one that may stand here."""
        namespace, local = name
        names = [frame.name for frame in self._stack]
        if len(names) == _DEEPEST:
            raise Refused(f"is inside too many others; nest at most {_DEEPEST}")
        if not names and local != "speak":
            raise Refused("is the outermost element; wrap everything in <speak>")
        if namespace not in {None, _SSML}:
            raise Refused("is not one of SSML's own; leave vendors' elements out")
        if local not in ELEMENTS:
            raise Refused(f"is not taken; {NOT_TAKEN.get(local, 'leave it out')}")
        element = ELEMENTS[local]
        if names and (local == "speak" or self._stack[-1].element.content is not Content.MIXED):
            raise Refused(f"must not be inside <{names[-1]}>; take it out of there")
        around = next((name for name in reversed(names) if name in element.outside), None)
        if around:
            raise Refused(f"must not be inside <{around}>; close that first")
        return element

    def _begin(self, name: str, attributes: dict[str, str]) -> bool:
        """Tell the writer; whether that has an element to close later."""
        match name:
            case "speak":
                self._language = attributes.get("xml:lang")
                return False
            case "p" | "s":
                self._writer.border(paragraph=name == "p")
                if attributes.get("xml:lang", self._language) == self._language:
                    return False
                name = "lang"
            case "break":
                self._writer.rest(silence(attributes))
                return False
            case "mark" | "w" | "token":
                return False
            case "phoneme":
                attributes = {"alphabet": "ipa"} | attributes
        self._writer.open(name, tuple(attributes.items()))
        return True

    def _alias(self, frame: _Frame, said: str) -> str | None:
        """What a voice says that does not take the element."""
        if frame.attributes.get("interpret-as") not in _LETTER_BY_LETTER:
            return frame.attributes.get("alias")
        if len(said) > LONGEST_ALIAS // 2:
            why = f"has too much text to be read letter by letter; send at most {LONGEST_ALIAS // 2} letters"
            raise self.error(why, frame.offset)
        return " ".join(letter for letter in _LETTER.findall(said) if not letter.isspace())


def _named(name: tuple[str | None, str]) -> str:
    """An attribute by its usual prefix; one of an unknown namespace by a name that no table has."""
    return _PREFIXES.get(name[0], "?:") + name[1]
