"""Tables as they are heard: each row by itself, each cell behind its column's name."""

# ruff: noqa: SIM905 - lists of names read best without quotes

from typing import Final

from selectolax.lexbor import LexborNode

from app.text.intake.elements import beyond, number
from app.text.marks import TERMINATORS

_LONGEST_LABEL: Final = 60  # characters; what is longer is no name, and would be heard again in every row
_HEADS: Final = 3  # rows of names that are taken for such
_COLUMNS: Final = 1000  # columns that have names; browsers' own limit for a cell's width
_LONGEST_CELL: Final = 1000  # characters; what is longer is a text, not an entry
_PROSE: Final = frozenset("blockquote h1 h2 h3 h4 h5 h6 hr pre table".split())


class Cell:
    """What a cell holds: parts of text, apart where a block or a line ends."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.head = tag == "th"
        self.columns = _count(attributes.get("colspan"))
        self.rows = _count(attributes.get("rowspan"))
        self._parts: list[list[str]] = [[]]

    def write(self, piece: str) -> None:
        """Add to the open part."""
        self._parts[-1].append(piece)

    def end(self) -> None:
        """Close the open part."""
        self._parts.append([])

    @property
    def text(self) -> str:
        """All parts as one phrase."""
        parts = (" ".join("".join(part).split()) for part in self._parts)
        return _joined([part for part in parts if part], ", ")


class Table:
    """The rows of one table as sentences.

    What a row says depends on the names and on itself alone, never on how much was said before: so it is the same
    clip wherever its table stands. Names can make the text some thirty times as long as a source of tiny cells.
    """

    def __init__(self) -> None:
        self.in_head = False
        self._labels: list[str] = []
        self._row: list[tuple[int, Cell]] = []
        self._taken: dict[int, int] = {}  # column -> rows below that a cell above still reaches into
        self._heads = 0
        self._rows = 0

    def begin(self) -> None:
        """A row begins."""
        self._row = []
        self._column = 0

    def add(self, cell: Cell) -> None:
        """The row's next cell."""
        while self._taken.get(self._column, 0) > 0:
            self._taken[self._column] -= 1
            self._column += 1
        self._row.append((self._column, cell))
        if cell.rows > 1 and self._column < _COLUMNS:
            self._taken[self._column] = cell.rows - 1
        self._column += cell.columns

    def end(self) -> str:
        """The row as it is said; "" where it is the columns' names, or empty."""
        if self._names_columns():
            self._heads += 1
            self._learn()
            return ""
        self._rows += bool(self._row)
        return self._sentence()

    def close(self) -> str:
        """What is left to say at the end: the names, where no row has said them."""
        return "" if self._rows else _joined([label for label in dict.fromkeys(self._labels) if label], "; ")

    def _names_columns(self) -> bool:
        if not self._row or self._rows or self._heads == _HEADS:
            return False
        return self.in_head or (len(self._row) > 1 and all(cell.head for _, cell in self._row))

    def _learn(self) -> None:
        for column, cell in self._row:
            end = min(column + cell.columns, _COLUMNS)
            self._labels += [""] * (end - len(self._labels))
            text = cell.text
            for index in range(column, end):
                self._labels[index] = f"{self._labels[index]} {text}".strip()[: _LONGEST_LABEL + 1]

    def _sentence(self) -> str:
        pair = not self._labels and len(self._row) == 2  # noqa: PLR2004 - a name and what it names
        if pair and self._row[0][1].head and not self._row[1][1].head:
            return self._labelled(self._row[0][1].text, self._row[1][1].text)
        said = [self._labelled(self._label(column), cell.text) for column, cell in self._row]
        return _joined([phrase for phrase in said if phrase], "; ")

    def _label(self, column: int) -> str:
        return self._labels[column] if column < len(self._labels) else ""

    def _labelled(self, label: str, text: str) -> str:
        label = label.rstrip(": ")
        if not label or not text or label == text or len(label) > _LONGEST_LABEL:
            return text
        return f"{label}: {text}"


def is_data(table: LexborNode, attributes: dict[str, str | None]) -> bool:
    """Whether a table holds entries, and not the layout of a page or prose in columns.

    Looks no further than the first table within: tables in tables take linear time.
    """
    if attributes.get("role") in {"presentation", "none"}:
        return False
    size = paragraphs = 0
    node, last = table.first_child, table.mem_id
    while node is not None:
        tag = node.tag
        if tag in {"td", "th"}:
            size = paragraphs = 0
        elif node.is_text_node:
            size += len((node.text_content or "").strip())
        paragraphs += tag == "p"
        if tag in _PROSE or paragraphs > 1 or size > _LONGEST_CELL:
            return False
        node = node.first_child or beyond(node, last)
    return True


def _joined(phrases: list[str], separator: str) -> str:
    """The phrases in one, with `separator` between them unless a sentence ends there."""
    parts = []
    for phrase in phrases[:-1]:
        closed = phrase[-1] in TERMINATORS or phrase[-1] in ",;:"
        parts += [phrase, " " if closed else separator]
    return "".join(parts + phrases[-1:])


def _count(attribute: str | None) -> int:
    return max(1, min(number(attribute, 1), _COLUMNS))
