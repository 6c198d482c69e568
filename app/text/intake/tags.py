"""HTML's tags as they stand in the source: what is masked, and what is too deep to be parsed."""

# ruff: noqa: SIM905 - lists of names read best without quotes

from collections import Counter
from typing import Final

import regex

from app.text.origin import NOTHING

# The elements that begin and end a block of their own; all others stand within a line.
BLOCKS: Final = frozenset(
    """
    address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li listing main menu nav ol optgroup p plaintext pre search
    section summary table tbody td tfoot th thead tr ul xmp
    """.split()
)
# These, too, have blanks around them.
_APART: Final = BLOCKS | {"br", "button", "img", "label", "math"}
_VOID: Final = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_RAW: Final = frozenset("iframe noembed noframes plaintext script style textarea title xmp".split())
# Their ends may be left out: how many there are says nothing about how deep they are.
_LOOSE: Final = frozenset(
    "body colgroup dd dt head html li optgroup option p rp rt tbody td tfoot th thead tr".split()
)
# Browsers give up at 512. lexbor looks through all open elements at each block's tag: 40,000 nested <div> take 1.7 s,
# and four times that for twice as many.
_DEEPEST: Final = 500

_NAME: Final = regex.compile(r"<(\\?/|)([A-Za-z][^\s/>]*+)(?=([^<>]*+(?<=/)>)?)")
_ATTRIBUTES: Final = r"""(?:[^>"'=]++|=\s*+"[^"]*+"|=\s*+'[^']*+'|["'=])*+>?"""
MARKUP: Final = regex.compile(
    rf"<!--(?:-?>|.*?(?:--!?>|\Z))"
    rf"|<(?P<raw>script|style|template|textarea|title|svg|iframe|noscript)(?=[\s/>]){_ATTRIBUTES}.*?(?:</(?P=raw)\s*+>?|\Z)"
    rf"|<[A-Za-z][A-Za-z0-9-]*+(?=[\s/>]){_ATTRIBUTES}"
    rf"|<[/!?][A-Za-z\[][^>]*+>?",
    regex.DOTALL | regex.IGNORECASE,
)
_TAG: Final = regex.compile(r"</?([A-Za-z][A-Za-z0-9-]*+)")
_ALT: Final = regex.compile(r"""\salt\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""", regex.IGNORECASE)


def masked(source: str) -> str:
    """The same text, as long as before, without HTML's markup: what of it ends words is blanks, the rest `NOTHING`.

    Alternative texts stay. Linear.
    """
    return MARKUP.sub(mask, source)


def mask(markup: "regex.Match[str]") -> str:
    """What stands in place of one piece of markup, as long as that."""
    piece = markup.group()
    tag = _TAG.match(piece)
    filler = " " if tag and tag[1].lower() in _APART else NOTHING
    alt = _ALT.search(piece) if piece[:4].lower() == "<img" else None
    if alt is None:
        return filler * len(piece)
    start, end = alt.span(alt.lastindex or 0)
    return filler * start + piece[start:end] + filler * (len(piece) - end)


def shallow(source: str) -> str:
    """The same source with tags that are nested too deep renamed to line breaks: what is in them is still text.

    A tag counts as open until its name is closed; tags in comments and scripts count too. An estimate is enough:
    what it misses costs its author so many characters that it is no longer slow. Linear.
    """
    depth = _Depth()
    return _NAME.sub(depth.renamed, source) if source.count("<") > _DEEPEST else source


class _Depth:
    """How many elements are open, by name, and how many of those were renamed."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.renamed_open: Counter[str] = Counter()
        self.total = 0

    def renamed(self, tag: "regex.Match[str]") -> str:
        slash, name, closed = tag.groups()
        name = name.lower()
        deep = self.total >= _DEEPEST
        if name in _VOID or name in _RAW or (closed and name not in BLOCKS):
            return tag.group()
        if name not in _LOOSE:
            deep = self._ended(name) if slash else self._begun(name)
        return f"<{slash}{'br' if name in BLOCKS else 'wbr'}" if deep else tag.group()

    def _begun(self, name: str) -> bool:
        if self.total >= _DEEPEST:
            self.renamed_open[name] += 1
            return True
        self.open[name] += 1
        self.total += 1
        return False

    def _ended(self, name: str) -> bool:
        if self.renamed_open[name]:
            self.renamed_open[name] -= 1
            return True
        if self.open[name]:
            self.open[name] -= 1
            self.total -= 1
        return False
