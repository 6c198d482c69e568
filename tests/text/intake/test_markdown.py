from itertools import pairwise
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.text.document import BlockKind
from app.text.intake.markdown import _masked, markdown, rendered
from app.text.intake.reading import Reading
from app.text.normalize import InvalidText
from app.text.origin import NOTHING
from app.text.span import Span
from tests.examples import tries
from tests.growth import is_linear

ARTICLE = Path(__file__).parent / "data" / "article.md"
SILENT = Reading()
PIECES = st.sampled_from(
    ["# ", "- ", "* ", "1. ", "7) ", "> ", "| ", "|-|-|\n", "```\n", "~~~", "`", "``", "*", "**", "_", "~~", "[", "]",
     "(", ")", "![", "](", "[a]: b\n", "[^1]", "[^1]: ", "^[", "<", ">", "<b>", "</div>", "<!--", "-->", "\\", "&amp;",
     "---\n", "===\n", "\n", "\n\n", "    ", "\t", " ", "word", "é", "漢字", "https://example.com/a", "[x] ", "a: b\n"]
)  # fmt: skip


def heard(source: str, reading: Reading = SILENT) -> list[str]:
    """The text of each block."""
    document = markdown(source, reading)
    return [document.text[block.start : block.end] for block in document.blocks]


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("*a* __b__ ***c*** d*e*f snake_case_name", ["a b c def snake_case_name"]),
        ("2 * 3 * 4 and 5*6", ["2 * 3 * 4 and 5*6"]),
        (r"\*a\* &copy; &amp; \# b", ["*a* © & # b"]),
        ("hard  \nbreak and\nsoft\\\nbreak", ["hard break and soft break"]),
        ("# One\n\nTwo\n---\n\nthree\nfour", ["One", "Two", "three four"]),
        ("> a\n>> b\n\n> c\nlazy", ["a", "b", "c lazy"]),
        ("[text](https://a.example/b \"title\") [ref] [x][ref]\n\n[ref]: /target 'title'", ["text ref x"]),
        ("<https://www.example.com/a> https://example.org/x_y_z", ["example.com example.org"]),
        ("[https://example.com/a?b=c](https://example.com/a?b=c)", ["example.com"]),
        ("[run](javascript:alert(1)) ![pic](data:text/html,x)", ["run pic"]),
        ("![a *big* cat](cat.jpg) ![](x.png)", ["a big cat"]),
        ("kept ~~struck~~ text", ["kept text"]),
        ("a <b>bold</b> word <!-- no --> <span hidden>no</span>\n\n<div>raw\n</div>", ["a bold word", "raw"]),
        ("<script>\nno\n</script>\n\nyes", ["yes"]),
        ("1. a\n2. b\n   - c\n   - d\n\n3. e", ["1. a", "2. b", "c", "d", "3. e"]),
        ("7) a\n8) b", ["7. a", "8. b"]),
        ("- [ ] open\n- [x] done\n- [x]\n- [link] stays", ["open", "done", "[link] stays"]),
        (
            "| Name | Price |\n|------|------:|\n| Tea | $2 |\n| *Milk* | |",
            ["Name: Tea; Price: $2", "Name: Milk"],
        ),
        (
            "A claim.[^1] More.^[inline]\n\n[^1]: The note.\n\n    And more of it.\n\nEnd.",
            ["A claim. More.", "End."],
        ),
        ("[^missing] stays", ["[^missing] stays"]),
        ("a [b and *c", ["a [b and *c"]),
        ("**a", ["**a"]),
        (
            "[![a **b _c_**](x)](y) *a **b *c **d *e **f *g **h** i* j** k* l** m* n** o*",
            ["a b c a b c d e f g h i j k l m n o"],
        ),
        ("[[[[[[[[[[a]]]]]]]]]](x) (((((((((b)))))))))", ["[[[[[[[[[[a]]]]]]]]]](x) (((((((((b)))))))))"]),
    ],
)
def test_what_is_heard(source: str, blocks: list[str]):
    """Marks are for the eye: none is heard, and no text is lost with them."""
    assert heard(source) == blocks


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("---\ntitle: no\ntags: [no]\n---\nyes", ["yes"]),
        ("\ufeff---\r\n# no\r\ntitle: no\r\n...\r\n\r\nyes", ["yes"]),
        ("+++\ntitle = 'no'\n+++\nyes", ["yes"]),
        ("---\n\nA text.\n\n---\n\nyes", ["A text.", "yes"]),
        ("---\ntitle: never closed\n\nyes", ["title: never closed", "yes"]),
    ],
)
def test_front_matter(source: str, blocks: list[str]):
    """A site's settings are not text; but a text between two rules is."""
    assert heard(source) == blocks


def test_code():
    """Blocks of code are passed over or announced, fenced and indented ones; code within a line is read."""
    source = "Call `run()`:\n\n```python\nx\n```\n\nthen\n\n    y\n\nDone.\n\n~~~\nnever closed"
    assert heard(source) == ["Call run():", "then", "Done."]
    assert heard(source, Reading("Code.")) == ["Call run():", "Code.", "then", "Code.", "Done.", "Code."]


def test_an_article_is_heard_as_it_was_written():
    """All kinds of blocks in one honest text, in order."""
    document = markdown(ARTICLE.read_text(encoding="utf-8"), Reading("Code omitted."))
    blocks = [(block.kind, document.text[block.start : block.end]) for block in document.blocks]
    assert [text for kind, text in blocks if kind is BlockKind.HEADING] == [
        "A year of rain", "How much is there?", "What you need", "Putting it together", "A counter for the impatient",
        "Through the seasons", "What it cost", "Questions", "Further reading",
    ]  # fmt: skip
    assert (BlockKind.ROW, "Month: July; Rain (mm): 22; From the roof (l): 1,320; Used (l): 4,100") in blocks
    assert (BlockKind.ITEM, "2. A filter, so that leaves stay out.") in blocks
    assert (BlockKind.ITEM, "a spirit level") in blocks
    assert (BlockKind.PARAGRAPH, "Code omitted.") in blocks
    assert sum(block.pause == 1.0 for block in document.blocks) == 1
    for mark in ("*", "`", "|", "[", "http", "garden club", "our own gauge", "mistakes", "&"):
        assert mark not in document.text.replace("birches & hazels", "")


def test_where_words_came_from():
    """Highlighting needs the places in the source, behind front matter, fences and targets of links."""
    source = ARTICLE.read_text(encoding="utf-8")
    document = markdown(source, Reading("Code omitted."))
    origin = document.origin()
    for words in (
        "Most gardens get more",
        "weather station",
        "a saw with fine",
        "wakes in September",
        "like lungs.",
    ):
        start = document.text.index(words)
        found = origin.span(Span(start, start + len(words)))
        assert source[found.start : found.end] == words


@pytest.mark.parametrize(
    ("source", "read", "of"),
    [
        ("**O**nce upon a time.", "Once upon a time.", "O**nce upon a time."),
        ("An un*believ*able day", "unbelievable", "un*believ*able"),
        ("An un[believ](a 'b c')able `co`de", "unbelievable", "un[believ](a 'b c')able"),
        ("An un[believ](a 'b c')able `co`de", "code", "co`de"),
        ("An end[^1]. Next\\. <b>O</b>n.\n\n[^1]: no", "end. Next.", "end[^1]. Next\\."),
        ("An end[^1]. Next\\. <b>O</b>n.\n\n[^1]: no", "On.", "O</b>n."),
        ("|a|b|\n|-|-|\n|one|two|", "two", "two"),
    ],
)
def test_words_that_marks_divide_have_a_place(source: str, read: str, of: str):
    """A caption would leave out the word that is half emphasised."""
    document = markdown(source, SILENT)
    start = document.text.index(read)
    found = document.origin().span(Span(start, start + len(read)))
    assert source[found.start : found.end] == of


def test_what_is_not_text_is_masked_where_words_are_looked_for():
    """A word in a fence or an address would be taken for the one that is read."""
    source = (
        "---\na: b\n---\n# one **two**_three_ `four<b>`\n\n```\nno\n```\n"
        '[five](no "no") six[^no] <i>7</i>\n\n[no]: no'
    )
    assert _masked(source).replace(NOTHING, " ").split() == [
        "one",
        "two",
        "three",
        "four<b>",
        "five",
        "six",
        "7",
    ]


@pytest.mark.parametrize(
    "source", ["*" * 9, "| |\n|-|\n", "```\nonly code\n```", "---\na: b\n---\n", "[a]: b", ""]
)
def test_nothing_to_say_is_refused(source: str):
    """Silence would be sold as speech."""
    with pytest.raises(InvalidText):
        markdown(source, SILENT)


@pytest.mark.parametrize("mark", ["> ", "- ", "1. ", ">- ", "* > "])
def test_text_below_the_deepest_nesting_is_not_lost(mark: str):
    """markdown-it drops what is nested deeper than it goes: a long thread of quotes would lose its beginning."""
    source = "\n".join(f"{' ' * 0}{mark * depth}word{depth}" for depth in (1, 2, 5, 12, 30, 300))
    text = " ".join(heard(source))
    assert [f"word{depth}" in text for depth in (1, 2, 5, 12, 30, 300)] == [True] * 6


def test_a_list_that_is_nested_too_deep_has_its_items_apart():
    """What is below the deepest level is still read item by item."""
    source = "".join(f"{'  ' * depth}- item{depth}\n" for depth in range(40))
    assert heard(source) == [f"item{depth}" for depth in range(40)]


def test_a_target_is_not_written_out_at_each_use():
    """One long address used by 20,000 short references would be 1 GB of HTML."""
    source = "[a]: https://example.com/" + "x" * 50_000 + " 'title'\n\n" + "[a] " * 20_000
    assert len(rendered(source)) < 10 * len(source)


@settings(max_examples=tries(250), deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_any_text_gives_sound_blocks(source: str):
    """Broken Markdown is the rule; a crash is an outage for its sender."""
    assert len(_masked(source)) == len(source)
    try:
        document = markdown(source, Reading("Code."))
    except InvalidText:
        return
    assert all(before.end < after.start for before, after in pairwise(document.blocks))
    assert all(document.text[block.start : block.end].strip() for block in document.blocks)


HOSTILE = {
    "brackets": "[",
    "images": "![",
    "links": "[a](",
    "references": "[a][",
    "notes": "[^",
    "inline notes": "^[",
    "stars": "*a _b ",
    "opening stars": "*a **b ",
    "struck": "~~a ",
    "less than": "<",
    "ampersands": "&",
    "quotes": ">",
    "quoted lists": ">- ",
    "lists": "- ",
    "definitions": "[a]: ",
    "definitions in lines": "[a]:\n",
    "bars": "|",
    "comments": "<!-- ",
    "scripts": "<script>",
    "fences": "```\n~~~\n",
    "parentheses": "](a",
    "underscores": "_",
    "blanks": " ",
    "rules": "---\na: b\n",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_markup_takes_linear_time(unit: str):
    """A parser that tries twice at each of 100,000 brackets stops the server for minutes."""

    def cost(size: int) -> float:
        source = "w\n\n" + unit * (size // len(unit))
        begin = process_time()
        markdown(source, Reading("Code."))
        _masked(source)
        return process_time() - begin

    assert is_linear(cost, 4_000, 32_000)


def test_deep_quotes_cost_no_more_than_flat_ones():
    """Each level of a quote goes over all of its lines again: twenty levels would take twenty times as long."""

    def cost(levels: int) -> float:
        source = "> " * levels + "a\n" * 10_000
        begin = process_time()
        markdown(source, SILENT)
        return process_time() - begin

    flat = min(cost(1) for _ in range(3))
    assert min(cost(50) for _ in range(3)) < 8 * flat + 0.05


def test_lengthening_runs_of_backticks_take_linear_time():
    """Each run looks for its equal behind it: 600 runs of all lengths are the worst text of that size."""

    def cost(runs: int) -> float:
        source = " ".join("`" * length for length in range(1, runs)) + " w"
        begin = process_time()
        markdown(source, SILENT)
        _masked(source)
        return process_time() - begin

    assert any(cost(600) < 16 * 3 * min(cost(150) for _ in range(3)) + 0.2 for _ in range(3))
