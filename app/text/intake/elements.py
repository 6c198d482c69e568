"""What single elements of HTML say about themselves: not to be read, code, a footnote's mark, a power."""

# ruff: noqa: SIM905 - lists of names read best without quotes

from typing import Final

import regex
from selectolax.lexbor import LexborNode

# Never read: not text, not for readers, or taken back by its author (struck text cannot be heard as such).
SILENT: Final = frozenset(
    """
    applet area audio canvas datalist del embed frame frameset head iframe input link meta meter noembed noframes
    noscript object optgroup option param progress rp rt rtc s script select strike style svg template textarea title
    video
    """.split()
)
NOTES: Final = frozenset(
    """
    footnote footnote-backref footnote-ref footnotes footnotes-sep headerlink mw-editsection references reflist
    """.split()
)
_NOTE_ROLES: Final = frozenset("doc-backlink doc-endnote doc-endnotes doc-footnote doc-noteref".split())
_NOTE_TYPES: Final = frozenset("noteref footnote footnotes endnote endnotes rearnote rearnotes".split())
_UNSEEN: Final = regex.compile(
    r"(?:^|;)\s*+(?:display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse))", regex.IGNORECASE
)
_CODE: Final = regex.compile(r"code|highlight|lang|syntax|prettyprint|source|shell|console", regex.IGNORECASE)
_TYPESETTING: Final = frozenset("a b br cite em i q small strong sub sup u".split())
_FILE: Final = regex.compile(r"\S+\.(?:avif|bmp|gif|jpe?g|png|svg|webp)", regex.IGNORECASE)
_BRACKETED: Final = regex.compile(r"\[[^\[\]]*+\]")
_POWERS: Final = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")  # noqa: RUF001 - the minus sign is meant
_POWER: Final = regex.compile(r"[+\-−]?(?:[0-9]{1,4}|n)")  # noqa: RUF001 - likewise
# A number, a variable or a unit: what is raised behind it is a power. Behind a word it is a footnote's mark.
_BASE: Final = regex.compile(r"(?:(?:^|[^\p{L}])\p{L}{1,2}|[0-9)\]])$")
_NUMBER: Final = regex.compile(r"[+\-]?[0-9]{1,9}")
_SIGNS: Final = frozenset("*†‡§¶#↩")
_DISPLAY: Final = regex.compile(r"\{\\(?:display|text)style\s*+(.*)\}", regex.DOTALL)
_NEAR: Final = 8  # nodes that are looked at to tell what an element is


def classes(attributes: dict[str, str | None]) -> frozenset[str]:
    """The names in `class`."""
    return frozenset((attributes.get("class") or "").split())


def is_hidden(tag: str, attributes: dict[str, str | None]) -> bool:
    """Whether a browser would not show it, or its author keeps it from being read aloud."""
    if not attributes:
        return tag == "dialog"
    return (
        "hidden" in attributes
        or (attributes.get("aria-hidden") or "").strip().lower() == "true"
        or (tag == "dialog" and "open" not in attributes)
        or _UNSEEN.search(attributes.get("style") or "") is not None
    )


def is_note(attributes: dict[str, str | None]) -> bool:
    """Whether it is a footnote, a list of them, or a mark that leads to one or back."""
    if not attributes:
        return False
    return (
        (attributes.get("role") or "") in _NOTE_ROLES
        or bool(_NOTE_TYPES & frozenset((attributes.get("epub:type") or "").split()))
        or bool(NOTES & classes(attributes))
    )


def is_note_mark(text: str, target: str) -> bool:
    """Whether a link is a footnote's mark, or the mark of a place on the page."""
    text = text.strip()
    return "#" in target and (bool(_BRACKETED.fullmatch(text)) or bool(text and set(text) <= _SIGNS))


def is_file_name(alt: str) -> bool:
    """Whether an alternative text was put there by a machine."""
    return _FILE.fullmatch(alt.strip()) is not None


def is_code(node: LexborNode, attributes: dict[str, str | None]) -> bool:
    """Whether preformatted text is code: it says so, or it has other elements in it than a text would have."""
    parent = node.parent
    names = attributes.get("class") or ""
    around = (parent.attributes.get("class") or "") if parent is not None else ""
    if _CODE.search(names) or _CODE.search(around):
        return True
    inside = _near(node)
    return any(not inner.is_text_node and inner.tag not in _TYPESETTING for inner in inside)


def raised(text: str, before: str) -> str | None:
    """What to say for raised text: a power as such; "": as it stands; None: nothing, it is a footnote's mark."""
    text = text.strip()
    if _BRACKETED.fullmatch(text) or (text and set(text) <= _SIGNS):
        return None
    if not _POWER.fullmatch(text):
        return ""
    return text.translate(_POWERS) if _BASE.search(before) else None


def beginning(node: LexborNode) -> tuple[str, bool]:
    """The text in the first few nodes of an element, and whether there is a link among them."""
    inside = _near(node)
    text = "".join(inner.text_content or "" for inner in inside if inner.is_text_node)
    return text, any(inner.tag == "a" for inner in inside)


def annotation(node: LexborNode) -> str:
    """A formula as its author wrote it down; "": nobody did."""
    found = node.css_first("annotation")
    return str(found.text()) if found is not None else ""


def formula(written: str) -> str:
    """A formula without the frame that typesetting puts around it."""
    framed = _DISPLAY.fullmatch(written.strip())
    return framed[1] if framed else written


def number(attribute: str | None, otherwise: int) -> int:
    """A whole number in an attribute, of at most nine digits."""
    found = _NUMBER.fullmatch((attribute or "").strip())
    return int(found.group()) if found else otherwise


def numbering(ordered: LexborNode, attributes: dict[str, str | None]) -> tuple[int, int]:
    """The number of a list's first item, and the step to the next."""
    if "reversed" not in attributes:
        return number(attributes.get("start"), 1), 1
    count, inner = 0, ordered.first_child
    while inner is not None:
        count += inner.tag == "li"
        inner = inner.next
    return number(attributes.get("start"), count), -1


def beyond(node: LexborNode, last: int) -> LexborNode | None:
    """The node that follows in the order of the source, not within `node` but within the element of the id `last`."""
    up: LexborNode | None = node
    while up is not None and up.mem_id != last:
        if (beside := up.next) is not None:
            return beside
        up = up.parent
    return None


def _near(node: LexborNode) -> list[LexborNode]:
    """The first nodes within an element, in the order of the source."""
    found: list[LexborNode] = []
    waiting = [node.first_child]
    while waiting and len(found) < _NEAR:
        inner = waiting.pop()
        if inner is not None:
            found.append(inner)
            waiting += [inner.next, inner.first_child]
    return found
