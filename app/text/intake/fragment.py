"""The one reader of markup: a tree of HTML, as a browser builds it, to a document's blocks."""

from collections.abc import Callable
from typing import Final

import regex
from selectolax.lexbor import LexborHTMLParser, LexborNode

from app.text.document import BlockKind, Writer
from app.text.intake import elements
from app.text.intake.links import by_domain, domain_of
from app.text.intake.reading import Reading
from app.text.intake.tables import Cell, Table, is_data
from app.text.intake.tags import BLOCKS, shallow
from app.text.normalize import spelled

_RULE: Final = 1.0  # seconds of silence for a thematic break
_EMPTY_LINE: Final = regex.compile(r"\n[^\S\n]*+\n")
_KINDS: Final = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), BlockKind.HEADING) | dict.fromkeys(
    ("li", "dt", "dd"), BlockKind.ITEM
)
# Controls within a line: they touch no word beside them.
_APART: Final = frozenset({"button", "label"})


def read(source: str, reading: Reading) -> Writer:
    """What is to be heard of a piece of HTML; every block is closed.

    Linear in the length of the source, and never recursive.

    Raises:
        InvalidText: the source has NUL or half a surrogate pair in it.
    """
    return read_tree(parsed(source), reading)


def parsed(source: str) -> LexborHTMLParser:
    """The tree that a browser would make of it.

    Raises:
        InvalidText: the source has NUL or half a surrogate pair in it.
    """
    return LexborHTMLParser(shallow(spelled(source)))


def read_tree(tree: LexborHTMLParser, reading: Reading, *, without: frozenset[str] = frozenset()) -> Writer:
    """What is to be heard of a tree; elements of `without` are passed over."""
    reader = _Reader(reading, elements.SILENT | without)
    if tree.body is not None:
        reader.walk(tree.body)
    return reader.writer


class _Reader:
    """Walks the tree once, with what is open on a stack of its own."""

    def __init__(self, reading: Reading, silent: frozenset[str]) -> None:
        self.writer = Writer()
        self._reading = reading
        self._silent = silent
        self._kind = BlockKind.PARAGRAPH
        self._lists: list[
            tuple[int, int] | None
        ] = []  # the open ones: the next number and the step; None: no numbers
        self._prefix = ""  # the number of an item that has said nothing yet
        self._break = False  # a line break was the last thing
        self._ruled = True  # nothing has been said since a rule, or at all
        self._told = False  # nothing has been said since code was announced
        self._tail = ""  # the end of what was said last
        self._verbatim = 0
        self._table: Table | None = None
        self._cell: Cell | None = None
        self._enter: dict[str, Callable[[LexborNode, dict[str, str | None]], bool]] = {
            "a": self._link,
            "br": self._line_break,
            "hr": self._rule,
            "img": self._image,
            "li": self._item,
            "math": self._formula,
            "ol": self._list,
            "pre": self._preformatted,
            "q": self._quote,
            "sup": self._raised,
            "table": self._open_table,
            "td": self._open_cell,
            "th": self._open_cell,
            "tr": self._open_row,
            "ul": self._list,
        }

    def walk(self, root: LexborNode) -> None:
        """Read everything within `root`."""
        opened: list[tuple[LexborNode, str, BlockKind]] = []
        node = root.first_child
        while node is not None or opened:
            if node is None:
                node, tag, kind = opened.pop()
                self._leave(tag)
                self._kind = kind
            elif node.is_text_node:
                self._text(node.text_content or "")
            elif (tag := node.tag or "-") and not tag.startswith("-"):
                kind = self._kind
                if self._begin(node, tag):
                    opened.append((node, tag, kind))
                    node = node.first_child
                    continue
                self._kind = kind
            node = node.next
        self._end()

    def _begin(self, node: LexborNode, tag: str) -> bool:
        """Open an element; False: what is in it is not to be walked through."""
        attributes = node.attributes
        if tag in self._silent or elements.is_hidden(tag, attributes) or elements.is_note(attributes):
            if tag in BLOCKS:
                self._say(" ")
            return False
        self._end_if(tag)
        self._kind = _KINDS.get(tag, self._kind)
        enter = self._enter.get(tag)
        return enter is None or enter(node, attributes)

    def _end_if(self, tag: str) -> None:
        """Close the open block, or the open word, where an element of this kind begins or ends."""
        if tag in BLOCKS and not (self._table and self._cell is None and tag != "caption"):
            self._end()
        elif tag in _APART:
            self._say(" ")

    def _leave(self, tag: str) -> None:
        if tag in {"td", "th"} and self._cell is not None and self._table is not None:
            self._table.add(self._cell)
            self._cell = None
            return
        self._end_if(tag)
        if tag in {"ol", "ul"}:
            self._lists.pop()
        elif tag == "li":
            self._prefix = ""
        elif tag == "pre":
            self._verbatim -= 1
        elif tag == "q":
            self._say("”")
        elif self._table is not None:
            self._leave_table(tag, self._table)

    def _text(self, text: str) -> None:
        if self._verbatim and self._cell is None:
            first, *others = _EMPTY_LINE.split(text)
            self._say(first)
            for other in others:
                self._end()
                self._say(other)
            return
        self._say(by_domain(text.replace("\u00ad", "")))

    def _say(self, text: str) -> None:
        if text and not text.isspace():
            self._break = self._ruled = self._told = False
            self._tail = text[-24:]
            if self._prefix and self._cell is None:
                self.writer.write(self._prefix)
                self._prefix = ""
        else:
            self._tail = ""
        (self.writer if self._cell is None else self._cell).write(text)

    def _end(self) -> None:
        self._break = False
        self._tail = ""
        if self._cell is not None:
            self._cell.end()
        else:
            self.writer.end(self._kind)

    # What single elements do. Each answers whether what is in them is walked through.

    def _line_break(self, _node: LexborNode, _attributes: dict[str, str | None]) -> bool:
        again = self._break
        self._say(" ")
        if again or self._cell is not None:
            self._end()
        self._break = True
        return False

    def _rule(self, _node: LexborNode, attributes: dict[str, str | None]) -> bool:
        self._end()
        if not self._ruled and not elements.classes(attributes) & elements.NOTES:
            self.writer.end(self._kind, _RULE)
            self._ruled = True
        return False

    def _image(self, _node: LexborNode, attributes: dict[str, str | None]) -> bool:
        alt = attributes.get("alt") or ""
        if not elements.is_file_name(alt):
            self._say(f" {alt} ")
        return False

    def _formula(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        self._say(f" {elements.formula(attributes.get('alttext') or elements.annotation(node))} ")
        return False

    def _preformatted(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        if not elements.is_code(node, attributes):
            self._verbatim += 1
            return True
        if self._reading.code and not self._told:
            self._say(self._reading.code)
            self._end()
            self._told = True
        return False

    def _quote(self, _node: LexborNode, _attributes: dict[str, str | None]) -> bool:
        self._say("“")
        return True

    def _raised(self, node: LexborNode, _attributes: dict[str, str | None]) -> bool:
        text, linked = elements.beginning(node)
        said = elements.raised(text, self._tail)
        if linked or said is None:
            return False
        if said:
            self._say(said)
        return not said

    def _link(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        target = attributes.get("href") or ""
        text, _ = elements.beginning(node)
        if elements.is_note_mark(text, target):
            return False
        domain = domain_of(text, target)
        if domain:
            self._say(domain)
        return not domain

    def _list(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        self._lists.append(elements.numbering(node, attributes) if node.tag == "ol" else None)
        return True

    def _item(self, _node: LexborNode, attributes: dict[str, str | None]) -> bool:
        self._prefix = ""
        if self._lists and (counter := self._lists[-1]) is not None:
            number = elements.number(attributes.get("value"), counter[0])
            self._lists[-1] = number + counter[1], counter[1]
            self._prefix = f"{number}. "
        return True

    def _open_table(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        if self._table is None and is_data(node, attributes):
            self._table = Table()
        return True

    def _open_row(self, node: LexborNode, _attributes: dict[str, str | None]) -> bool:
        if self._table is not None:
            parent = node.parent
            self._table.in_head = parent is not None and parent.tag == "thead"
            self._table.begin()
        return True

    def _open_cell(self, node: LexborNode, attributes: dict[str, str | None]) -> bool:
        if self._table is not None:
            self._cell = Cell(node.tag or "", attributes)
        return True

    def _leave_table(self, tag: str, table: Table) -> None:
        if tag == "tr":
            self._row(table.end())
        elif tag == "table":
            self._row(table.close())
            self._table = None

    def _row(self, text: str) -> None:
        if text:
            self._say(text)
            self.writer.end(BlockKind.ROW)
