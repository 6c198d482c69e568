"""Whole pages: the article without what stands around it."""

import logging
import math
from typing import Final

import regex
from selectolax.lexbor import LexborHTMLParser, LexborNode

from app.text.document import Writer
from app.text.intake import elements
from app.text.intake.fragment import parsed, read, read_tree
from app.text.intake.reading import Reading
from app.text.normalize import InvalidText

# A page begins so, behind white space, comments and an XML declaration; a fragment has no reason to.
_PAGE: Final = regex.compile(
    r"[\s\ufeff]*+(?:(?:<!--(?:-?>|.*?-->)|<\?[^>]*+>)[\s\ufeff]*+)*+<(?:!doctype|html|head|body)(?=[\s/>])",
    regex.DOTALL | regex.IGNORECASE,
)
# Captions are lost as such, and kept as paragraphs.
_CAPTION: Final = regex.compile(r"<(/?)figcaption(?=[\s>])", regex.IGNORECASE)
_AROUND: Final = frozenset({"footer", "nav"})
_SHORT: Final = 2000  # characters of a page that are so few that half of them are no ornament
_ARTICLE: Final = 500  # characters; what is found of less is more often a teaser or a notice than the article
_SHARE: Final = 20  # a find of less than one part in so many missed the page's point
# trafilatura is quadratic in lists and tables and in one element's attributes, and it fills wide cells up with others.
_MOST_CELLS: Final = 6000  # elements, and columns and rows of their spans; 0.7 s at worst
_MOST_ATTRIBUTES: Final = 100


def is_page(source: str) -> bool:
    """Whether it is a whole page: its first tag is a document type, `<html>`, `<head>` or `<body>`."""
    return _PAGE.match(source) is not None


def page(source: str, reading: Reading) -> Writer:
    """The article of a page, or all of the page, without menus, where no article stands out. Linear.

    Raises:
        InvalidText: the source has NUL or half a surrogate pair in it.
    """
    tree = parsed(source)
    whole = read_tree(tree, reading, without=_AROUND)
    if not whole.blocks:
        return read_tree(tree, reading)
    article = _article(tree)
    try:
        found = read(article, reading)
    except InvalidText:  # it came out with half a character
        return whole
    return found if _stands_out(found.length, whole.length) else whole


def _stands_out(found: int, whole: int) -> bool:
    share = 2 if whole < _SHORT else _SHARE
    return found >= max(_ARTICLE, whole // share)


def _article(tree: LexborHTMLParser) -> str:
    """What trafilatura takes for the article, as HTML; "" where it finds none, or fails."""
    prepared = _prepared(tree)
    if not prepared:
        return ""
    import trafilatura  # noqa: PLC0415 - takes 0.2 s and 30 MB; only whole pages need it

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)  # it would log pieces of the page
    try:
        return (
            trafilatura.extract(
                prepared,
                output_format="html",
                include_comments=False,
                include_formatting=True,
                include_images=True,
                include_links=True,
                include_tables=True,
            )
            or ""
        )
    except Exception:  # noqa: BLE001 - whatever a page does to it, its reader has the whole page instead
        return ""


def _prepared(tree: LexborHTMLParser) -> str:
    """The page without what is not read, and with what trafilatura would lose put where it stays.

    "" where it would take too long over it. Changes the tree.
    """
    body = tree.body
    if body is None or not _is_modest(body):
        return ""
    for node in _unread(body):
        node.decompose()
    for ordered in tree.css("ol"):
        _number(ordered)
    return _CAPTION.sub(r"<\1p", tree.html or "")


def _is_modest(body: LexborNode) -> bool:
    """Whether it is of a size that pages for readers have."""
    left = _MOST_CELLS
    node, last = body.first_child, body.mem_id
    while node is not None and left >= 0:
        if not node.is_text_node:
            attributes = node.attributes
            if len(attributes) > _MOST_ATTRIBUTES:
                return False
            spans = (max(1, elements.number(attributes.get(name), 1)) for name in ("colspan", "rowspan"))
            left -= math.prod(spans)
        node = node.first_child or elements.beyond(node, last)
    return left >= 0


def _unread(body: LexborNode) -> list[LexborNode]:
    """Hidden elements and notes, none within another."""
    found: list[LexborNode] = []
    node, last = body.first_child, body.mem_id
    while node is not None:
        inside = node.first_child
        attributes = node.attributes if inside is not None else {}
        if inside is not None and (
            elements.is_hidden(node.tag or "", attributes) or elements.is_note(attributes)
        ):
            found.append(node)
            inside = None
        node = inside or elements.beyond(node, last)
    return found


def _number(ordered: LexborNode) -> None:
    """Write the numbers of a list's items before them: trafilatura makes bullets of all."""
    number, step = elements.numbering(ordered, ordered.attributes)
    item = ordered.first_child
    while item is not None:
        if item.tag == "li":
            number = elements.number(item.attributes.get("value"), number)
            if (first := item.first_child) is not None:
                first.insert_before(f"{number}. ")
            number += step
        item = item.next
