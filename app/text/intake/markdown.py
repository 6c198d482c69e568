"""Markdown: made into HTML, and read by the reader of HTML."""

import functools
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import replace
from typing import Final

import regex
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from mdit_py_plugins.footnote import footnote_plugin

from app.text.document import Document
from app.text.intake.fragment import read
from app.text.intake.reading import Reading
from app.text.intake.tags import MARKUP, mask
from app.text.normalize import spelled
from app.text.origin import NOTHING, Origin, aligned

_DEEPEST: Final = 20  # nested blocks; each level of a list counts twice. markdown-it calls itself for each
_BRACKETS: Final = (
    6  # nested brackets and what else is looked through in search of a link's end, at each of them
)
_QUOTES: Final = (
    4  # nested quotes: each level goes over all of its lines again, and nobody hears how many there are
)
_MANY_QUOTES: Final = regex.compile(rf"^((?: {{0,3}}>){{{_QUOTES}}})(?: {{0,3}}>)++", regex.MULTILINE)
_FRONT: Final = regex.compile(
    r"\ufeff?(?:---[^\S\n]*+\n(?=\s*+(?:#[^\n]*+\n\s*+)*+[\w\"'-][^\n:]*+:(?:\s|\Z)).*?\n(?:---|\.\.\.)"
    r"|\+\+\+[^\S\n]*+\n.*?\n\+\+\+)[^\S\n]*+(?:\n|\Z)",
    regex.DOTALL,
)
_MARKS: Final = regex.compile(r"^[ \t]*+(?:(?:[-*+>]|[0-9]{1,9}[.)])[ \t]++)++|\n[ \t]*+\n", regex.MULTILINE)
_BOX: Final = regex.compile(r"^\[[ xX]\](?:\s+|\Z)")
_SYNTAX: Final = regex.compile(
    r"^ {0,3}(?P<fence>`{3,}+|~{3,}+)[^\n]*+(?:\n.*?(?:\n {0,3}(?P=fence)[`~]*+[^\S\n]*+$|\Z)|\Z)"
    r"|`++(?P<code>[^`\n]*+)`++"
    rf"|{MARKUP.pattern}"
    r"|\]\((?:[^()\n]|\([^()\n]*+\))*+\)"
    r"|\]\[[^\]\[\n]*+\]"
    r"|^ {0,3}\[[^\]\[\n]++\]:[^\n]*+"
    r"|\[\^[^\]\[\s]++\]"
    r"|[*~`|\[\]]++|^[#>\s]++|\\(?=[!-/:-@\[-`{-~])|(?<!\w)_++|_++(?!\w)",
    MARKUP.flags | regex.MULTILINE,
)

_SIGNS: Final = regex.compile(r"[^\s|]")


def markdown(source: str, reading: Reading) -> Document:
    """The document of a Markdown text: CommonMark with GitHub's tables, struck text and footnotes.

    Front matter in YAML or TOML is passed over. Broken marks are text.

    Raises:
        InvalidText: it cannot be spoken.
    """
    document = read(rendered(source), reading).document()
    return replace(document, origin=functools.partial(_origin, source, document.text))


def rendered(source: str) -> str:
    """The HTML of a Markdown text, without the targets of links. Linear, and as deep as `_DEEPEST` at most.

    Raises:
        InvalidText: the source has NUL or half a surrogate pair in it.
    """
    text = spelled(source)
    front = _FRONT.match(text)
    body = text[front.end() :] if front else text
    return str(_parser().render(_MANY_QUOTES.sub(r"\1", body), {}))


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    parser.use(footnote_plugin)
    # Any target will do: none is ever opened, and a refused one would leave the marks of its link in the text.
    parser.validateLink = _any_target  # type: ignore[method-assign] # how the library wants it to be set
    parser.block.ruler.before("table", "deep", _deep)
    parser.core.ruler.at("inline", _inline(parser))
    parser.core.ruler.push("plain", _plain)
    return parser


def _inline(parser: MarkdownIt) -> Callable[[StateCore], None]:
    """The library's own step from blocks to what is within their lines, with a limit of its own for nesting."""
    within = copy(parser)
    within.options = deepcopy(parser.options)
    within.options["maxNesting"] = _BRACKETS

    def run(state: StateCore) -> None:
        for token in state.tokens:
            if token.type == "inline" and token.children is not None:
                parser.inline.parse(token.content, within, state.env, token.children)

    return run


def _any_target(url: str) -> bool:  # noqa: ARG001 - markdown-it's signature
    return True


def _deep(state: StateBlock, begin: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    """What is nested deeper than the parser goes is plain paragraphs: by itself it would drop them."""
    if silent or state.level < _DEEPEST - 2:
        return False
    token = state.push("paragraph_open", "p", 1)
    token.map = [begin, end]
    token = state.push("inline", "", 0)
    token.content = _MARKS.sub("<br><br>", state.getLines(begin, end, 0, False))  # noqa: FBT003 - likewise
    token.map = [begin, end]
    token.children = []
    state.push("paragraph_close", "p", -1)
    state.line = end
    return True


def _plain(state: StateCore) -> None:
    """Take off what would only be carried along: boxes of tasks, and targets, each of which a text can use often."""
    for index, token in enumerate(state.tokens):
        children = token.children or []
        if children and index > 1 and state.tokens[index - 2].type == "list_item_open":
            children[0].content = _BOX.sub("", children[0].content)
        for child in children:
            child.attrs.pop("href", None)
            child.attrs.pop("src", None)
            child.attrs.pop("title", None)


def _origin(source: str, text: str) -> Origin:
    return aligned(_masked(source), text)


def _masked(source: str) -> str:
    """The same text, as long as before, with `NOTHING` for all that is Markdown's, and blanks between cells. Linear."""
    front = _FRONT.match(source)
    begin = front.end() if front else 0
    return " " * begin + _SYNTAX.sub(_mask, source[begin:])


def _mask(syntax: "regex.Match[str]") -> str:
    piece = syntax.group()
    if syntax["code"] is not None:
        start, end = (at - syntax.start() for at in syntax.span("code"))
        return NOTHING * start + piece[start:end] + NOTHING * (len(piece) - end)
    if piece[0] == "<":
        return mask(syntax)
    if piece[0] == "]":  # the end of a link, with its target
        return NOTHING * len(piece)
    return _SIGNS.sub(NOTHING, piece).replace("|", " ")
