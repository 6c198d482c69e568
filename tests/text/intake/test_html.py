# ruff: noqa: RUF001 - the minus sign is meant
import re
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.text.document import BlockKind, Document
from app.text.intake.html import html
from app.text.intake.markdown import markdown
from app.text.intake.reading import Reading
from app.text.intake.tags import masked, shallow
from app.text.normalize import InvalidText
from app.text.origin import NOTHING
from app.text.span import Span
from tests.examples import tries
from tests.growth import is_linear

SILENT = Reading()
PIECES = st.sampled_from(
    """
    <div> </div> <p> </p> <b> </b> <ul> </ul> <ol start=3> <li> <table> </table> <tr> <td> <th> <td colspan=3>
    <thead> <caption> <br> <hr> <pre> </pre> <code> <sup> </sup> <a href=#x> </a>
    <img alt=cat> <q> </q> <script> </script>
    <!-- --> <svg> </svg> <math> </math> <template> </template> <select> <option> <h2> </h2> <body> <html> </body> <a
    <p hidden> &amp; &#0; &#xd800; &nbsp; &shy; https://example.com/a word é 漢字 [1] " ' > < = 2
    """.split()  # noqa: SIM905 - a list of pieces reads best without quotes
) | st.sampled_from([" ", "\n", "\n\n"])


def heard(source: str, reading: Reading = SILENT) -> list[str]:
    """The text of each block."""
    document = html(source, reading)
    return [document.text[block.start : block.end] for block in document.blocks]


def kinds(document: Document) -> list[BlockKind]:
    """The kind of each block."""
    return [block.kind for block in document.blocks]


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("<div>a</div><div>b</div>", ["a", "b"]),
        ("<b>a</b>b<i>c</i>", ["abc"]),
        ("a<custom-tag>b</custom-tag>c", ["abc"]),
        ("one\n  two\t three", ["one two three"]),
        ("<button>Save</button><button>Load</button><label>Name</label><input value=x>", ["Save Load Name"]),
        ("a<br>b", ["a b"]),
        ("a<br> <br/>b<br>c", ["a", "b c"]),
        ("<p>a<wbr>b s&shy;t&nbsp;u &amp; v &lt;w&gt;", ["ab st u & v <w>"]),
        ("<details><summary>More</summary>text</details>", ["More", "text"]),
        ("<dl><dt>Tea</dt><dd>A drink</dd></dl>", ["Tea", "A drink"]),
        ("<blockquote><p>a</p><p>b</p></blockquote>", ["a", "b"]),
        ("He said <q>no</q>.", ["He said “no”."]),
        ("<abbr title='World Health Organization'>WHO</abbr>", ["WHO"]),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp>字<rt>ji</rt></ruby>", ["漢字"]),
    ],
)
def test_words_and_blocks(source: str, blocks: list[str]):
    """Words glued over a block's border, or torn within a line, are heard as other words."""
    assert heard(source) == blocks


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("a < b and c > d", ["a < b and c > d"]),
        ("<p>a<p>b", ["a", "b"]),
        ("<b>bold <i>both</b> slanted</i> plain", ["bold both slanted plain"]),
        ("a</div>b</p>c", ["ab", "c"]),
        ("<table><tr><td>out<table><tr><td>in</table>side</table>", ["out", "in", "side"]),
        ("<ul><li>a<li>b", ["a", "b"]),
        ("<p>text <a href='x", ["text"]),
        ("&notanentity; &copy", ["¬anentity; ©"]),
        ("<p title='a > b'>c", ["c"]),
        ("<!-- a -- > b -->c<!--> d", ["c d"]),
    ],
)
def test_broken_markup_is_read_as_a_browser_shows_it(source: str, blocks: list[str]):
    """What people paste is broken, and looks right to them in their browser."""
    assert heard(source) == blocks


@pytest.mark.parametrize(
    "source",
    [
        "<p hidden>no</p>",
        "<span aria-hidden='true'>no</span>",
        "<p style='color: red; display : NONE'>no</p>",
        "<p style='visibility:hidden'>no</p>",
        "<script>no</script>",
        "<style>no</style>",
        "<template><p>no</p></template>",
        "<noscript>no</noscript>",
        "<svg><title>no</title><text>no</text></svg>",
        "<iframe>no</iframe><object>no</object><canvas>no</canvas><audio>no</audio><video>no</video>",
        "<select><option>no</option></select><textarea>no</textarea><progress>no</progress>",
        "<dialog>no</dialog>",
        "<!-- no -->",
        "<del>no</del><s>no</s><strike>no</strike>",
        "<img alt=''><img src=no.png><img alt='IMG_0001.JPG'>",
        "<math><mi>no</mi></math>",
        "<section class='footnotes'><ol><li>no</li></ol></section>",
        "<aside role='doc-footnote'>no</aside>",
        "<sup><a href='#fn1'>1</a></sup>",
        "<sup>[2]</sup><a href='#n'>[3]</a><a class='x footnote-ref' href='#n'>4</a><a role=doc-noteref>5</a>",
        "<a class='headerlink' href='#h'>no</a><a href='#h'>¶</a>",
        "<head><title>no</title></head>",
    ],
)
def test_what_is_not_read(source: str):
    """A listener who hears scripts, hidden menus or footnotes' numbers loses the thread."""
    assert heard(f"before {source} after") == ["before after"]
    assert heard(f"<p>before</p>{source}<p>after</p>") == ["before", "after"]


def test_what_only_looks_hidden_is_read():
    """Text that a browser shows must not be lost to a careless rule."""
    assert heard("<p aria-hidden=false style='font-display:none-such'>a</p><dialog open>b</dialog>") == [
        "a",
        "b",
    ]
    assert heard("<p class=notes>c</p><p style='display:block'>d") == ["c", "d"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("H<sub>2</sub>O", "H2O"),
        ("E = mc<sup>2</sup>", "E = mc²"),
        ("10<sup>-6</sup> m", "10⁻⁶ m"),
        ("x<sup>n</sup> (a+b)<sup>2</sup>", "xⁿ (a+b)²"),
        ("the 1<sup>st</sup>", "the 1st"),
        ("a claim<sup>1</sup>.", "a claim."),
        ("a claim.<sup>12</sup> More", "a claim. More"),
        ("<math alttext='{\\displaystyle a+b}'><mi>a</mi></math>", "a+b"),
        ("<math><semantics><mi>a</mi><annotation>c+d</annotation></semantics></math>", "c+d"),
    ],
)
def test_raised_and_lowered_text(source: str, text: str):
    """Ten to the sixth must not become 106, nor a footnote's mark a number in the sentence."""
    assert heard(source) == [text]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<a href='https://example.com/x'>our shop</a>", "our shop"),
        ("<a href='https://www.example.com/x?y=1'>https://www.example.com/x?y=1</a>", "example.com"),
        ("<a href='https://example.com/x/y'>example.com/x/y</a>", "example.com"),
        ("<a href='https://www.example.com/'>www.example.com</a>", "example.com"),
        ("<a href='https://example.com/x'>example.community</a>", "example.community"),
        (
            "See http://user:secret@example.com:8080/a_(b)?c=d#e, or www.example.org.",
            "See example.com, or example.org.",
        ),
        ("(https://example.com/a)", "(example.com)"),
        ("见https://example.com/路径。谢谢", "见example.com路径。谢谢"),
        ("https:// and http://- and www. are none", "https:// and http://- and www. are none"),
    ],
)
def test_addresses_are_read_by_their_domain(source: str, text: str):
    """Nobody wants to hear a query string; and no text behind an address may vanish with it."""
    assert heard(source) == [text]


def test_images_are_read_by_their_alternative_text():
    """Who cannot see the picture is who the text was written for."""
    assert heard("<p>Look:<img alt='a cat'>there</p>") == ["Look: a cat there"]


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("<ol><li>a<li>b</ol>", ["1. a", "2. b"]),
        ("<ol start=3><li>a<li value=9>b<li>c</ol>", ["3. a", "9. b", "10. c"]),
        ("<ol reversed><li>a<li>b</ol>", ["2. a", "1. b"]),
        ("<ol start=99999999999><li value=x>a</ol>", ["1. a"]),
        ("<ul><li>a<li>b</ul>", ["a", "b"]),
        ("<ol><li><p>a</p><p>b</p></li></ol>", ["1. a", "b"]),
        ("<ol><li>a<ul><li>b</ul>c<li>d</ol>", ["1. a", "b", "c", "2. d"]),
        ("<ol><li>a<ol><li>b<li>c</ol><li>d</ol>", ["1. a", "1. b", "2. c", "2. d"]),
        ("<ol><li></li><li>b</ol><p>c", ["2. b", "c"]),
        ("<li>a", ["a"]),
    ],
)
def test_lists(source: str, blocks: list[str]):
    """Steps are followed by their numbers; a wrong one sends the listener to the wrong step."""
    assert heard(source) == blocks
    assert kinds(html(source, SILENT))[0] is BlockKind.ITEM


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("<tr><th>Name<th>Price<tr><td>Tea<td>$2", ["Name: Tea; Price: $2"]),
        ("<thead><tr><td>Name<td>Price</thead><tr><td>Tea<td>$2", ["Name: Tea; Price: $2"]),
        ("<tr><td>Tea<td>$2", ["Tea; $2"]),
        ("<tr><th>People<td>5,000<tr><th>Area<td>3", ["People: 5,000", "Area: 3"]),
        ("<tr><th>A<th>B<th>C<tr><td>1<td><td>3", ["A: 1; C: 3"]),
        ("<tr><th>A<th>B<th>C<tr><td colspan=2>1<td>3", ["A: 1; C: 3"]),
        ("<tr><th>A<th>B<tr><td rowspan=2>1<td>2<tr><td>3", ["A: 1; B: 2", "B: 3"]),
        ("<thead><tr><th><th colspan=2>2023<tr><th>City<th>Q1<th>Q2</thead><tr><td>Rome<td>1<td>2",
         ["City: Rome; 2023 Q1: 1; 2023 Q2: 2"]),
        ("<caption>Prices</caption><tr><td>Tea<td>$2", ["Prices", "Tea; $2"]),
        ("<tr><th>Name:<th>Note<tr><td>Is it?<td>Yes. ", ["Name: Is it? Note: Yes."]),
        ("<tr><th>" + "x" * 61 + "<th>B<tr><td>1<td>2", ["1; B: 2"]),
        ("<tr><th>Only<th>Names", ["Only; Names"]),
        ("<tr><td>1 Main St<br>Rome<td><ul><li>a<li>b</ul>", ["1 Main St, Rome; a, b"]),
        ("<tr><td><td>", []),
    ],
)  # fmt: skip
def test_rows(source: str, blocks: list[str]):
    """A row must make sense by itself: the columns' names are heard again."""
    assert heard(f"<p>t</p><table>{source}</table>") == ["t", *blocks]


def test_a_table_that_lays_out_a_page_is_no_table():
    """Old pages and newsletters put whole articles into cells: as a row they would be one endless sentence."""
    assert heard("<table><tr><td><h1>News</h1><p>First.</p><p>Second.</p><td>Side</table>") == [
        "News", "First.", "Second.", "Side"
    ]  # fmt: skip
    assert heard("<table role=presentation><tr><td>a<td>b</table>") == ["a", "b"]
    assert heard(f"<table><tr><td>{'long text ' * 110}<td>b</table>")[1] == "b"


def test_names_of_columns_are_said_to_the_last_row():
    """A listener would lose the thread in the middle of a table, or another one for a paragraph elsewhere."""
    names = ["Year", "Population", "Births", "Deaths", "Marriages", "Migration", "Households", "Unemployed"]
    head = "<tr>" + "".join(f"<th>{name}" for name in names)
    rows = [[str((7 * row + column) % 100) for column in range(8)] for row in range(100)]
    body = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    table = f"<table>{head}{body}</table>"
    spoken = ["; ".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=True)) for row in rows]
    assert heard(table) == spoken
    assert heard(f"{table}<p>Prose.</p>{table}") == [*spoken, "Prose.", *spoken]


def test_names_of_columns_take_linear_time():
    """2,000 cells of one character under long names must not hold a worker up."""
    row = "|x" * 50 + "\n"
    head = f"|{('n' * 60 + '|') * 50}\n{'|-' * 50}|\n"

    def seconds(rows: int) -> float:
        begun = process_time()
        assert len(markdown(head + row * rows, SILENT).text) < 35 * len(head + row * rows)
        return process_time() - begun

    assert is_linear(seconds, 25, 250, slack=0.025)


def test_kinds_and_pauses():
    """Headings and rules are heard as pauses, and a hundred rules as one."""
    document = html("<hr><h2>a</h2>b<ul><li>c</ul><table><tr><td>d</table>e" + "<hr>" * 100 + "f", SILENT)
    assert [(block.kind.value, block.pause) for block in document.blocks] == [
        ("heading", None), ("paragraph", None), ("item", None), ("row", None), ("paragraph", 1.0), ("paragraph", None),
    ]  # fmt: skip


def test_code():
    """An operator decides whether blocks of code are announced; nobody hears one spelled out."""
    source = (
        "<p>Call <code>run()</code>:</p><pre><code>x = 1</code></pre><pre class=highlight>y</pre><p>Done.</p>"
    )
    assert heard(source) == ["Call run():", "Done."]
    assert heard(source, Reading("Code omitted.")) == ["Call run():", "Code omitted.", "Done."]


def test_preformatted_text_that_is_no_code():
    """A poem in <pre> is text."""
    assert heard("<pre>A rose\nis a rose\n\nis a <b>rose</b></pre>") == ["A rose is a rose", "is a rose"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "empty"),
        ("<p> </p><script>x</script>", "empty"),
        ("<p>...</p>", "unspeakable"),
        ("a\0b", "nul"),
        ("<p>secret \ud800", "surrogate"),
        ("<frameset><frame src=x></frameset>", "empty"),
    ],
)
def test_what_cannot_be_spoken_is_refused(source: str, reason: str):
    """Whoever sent it must hear what is wrong."""
    with pytest.raises(InvalidText) as caught:
        html(source, SILENT)
    assert caught.value.reason == reason


def test_where_words_came_from():
    """Highlighting in a reader's page needs the places in the source, behind tags, scripts and entities."""
    source = "\ufeff<p>Fish &amp; <b>chips</b></p><script>chips</script><p title='chips'>and <i>chips</i></p>"
    document = html(source, SILENT)
    for word, place in [("Fish", 4), ("chips", source.index("chips")), ("and", source.index("and"))]:
        start = document.text.index(word)
        assert document.origin().span(Span(start, start + len(word))) == Span(place, place + len(word))
    last = document.text.rindex("chips")
    assert document.origin().span(Span(last, last + 5)).start == source.rindex("chips")


@pytest.mark.parametrize(
    ("source", "read", "of"),
    [
        ("<p><span class=dropcap>O</span>nce upon a time.</p>", "Once upon a time.", "O</span>nce upon a time."),
        ("<p>A w<b>or</b>d.", "word", "w<b>or</b>d"),
        ("one <!-- no -->t<!-- no -->wo<script>no</script>th three", "twoth", "t<!-- no -->wo<script>no</script>th"),
        ("So x<sup>2</sup> is 10<sup>-6</sup> mc<sup>n</sup>.", "x²", "x<sup>2"),
        ("So x<sup>2</sup> is 10<sup>−6</sup> mc<sup>n</sup>.", "10⁻⁶", "10<sup>−6"),
        ("Drink H<sub>2</sub>O now.", "H2O", "H<sub>2</sub>O"),
        ("The end<sup>1</sup> is here<a href='#n'>[2]</a>.", "end", "end"),
        ("The end<sup>1</sup> is here<a href='#n'>[2]</a>.", "here.", "here<a href='#n'>[2]</a>."),
        ("hy\xadphen&shy;ati<wbr>on x", "hyphenation", "hy\xadphen&shy;ati<wbr>on"),
        ("<p>one<p>two<br>three<td>four", "two", "two"),
        ("a<img alt='cat'>b<button>c</button>d", "cat", "cat"),
        ("caf<i>&eacute;s</i> x", "cafés", "caf<i>&eacute;s"),
        ("<ol><li>First.<li>Second.<li>Third!</ol>", "1. First.", "First."),
        ("<ol><li>First.<li>Second.<li>Third!</ol>", "2. Second.", "Second."),
        ("<ol><li>First.<li>Second.<li>Third!</ol>", "3. Third!", "Third!"),
    ],
)  # fmt: skip
def test_words_that_tags_divide_have_a_place(source: str, read: str, of: str):
    """A caption would leave out the first word of each chapter, whose initial stands in an element of its own."""
    document = html(source, SILENT)
    start = document.text.index(read)
    found = document.origin().span(Span(start, start + len(read)))
    assert source[found.start : found.end] == of


def test_what_is_not_text_is_masked_where_words_are_looked_for():
    """A word in a script or an address would be taken for the one that is read."""
    source = "<p title='a>b'>one<script>two <b></script><img src=x alt='three'><!-- four > -->five<!doctype six>&amp;"
    assert masked(source).replace(NOTHING, " ").split() == ["one", "three", "five", "&amp;"]
    assert masked("a < b and c > d") == "a < b and c > d"
    assert masked("<p>a<BR/>b<i>c</i>") == "   a     b" + NOTHING * 3 + "c" + NOTHING * 4


@settings(max_examples=tries(250), deadline=None)
@given(st.sampled_from(["", "<!doctype html>"]), st.lists(PIECES, max_size=60).map("".join))
def test_any_markup_gives_sound_blocks(opening: str, pieces: str):
    """A page that crashes the reader is an outage for its sender, and a block out of order garbles everything."""
    source = opening + pieces
    assert len(masked(source)) == len(source)
    try:
        document = html(source, Reading("Code."))
    except InvalidText:
        return
    assert all(before.end < after.start for before, after in pairwise(document.blocks))
    for block in document.blocks:
        text = document.text[block.start : block.end]
        assert text == text.strip() != ""
        assert not re.search(r"\s{2}|\n", text)


HOSTILE = {
    "open blocks": "<div>x",
    "only tags": "<div>",
    "open lists": "<ul><li>x",
    "reversed lists": "<ol reversed><li>x",
    "tables in tables": "<table><tr><td>x",
    "foster children": "<table>x<b>",
    "fonts": "<font size=1>x<font size=2>",
    "crossing": "<b><i>x</b>",
    "closed under an object": "<div><object></div></object>",
    "closed in a comment": "<div><!--</div>-->x",
    "less than": "<",
    "ampersands": "&",
    "unclosed attributes": "<a b='",
    "both quotes": "<a b='\"",
    "comments": "<!--",
    "scripts": "<script>",
    "foreign styles": "<svg><style></svg>",
    "raised": "<sup>x",
    "formulas": "<math><annotation>",
    "preformatted": "<pre>x\n\n",
    "addresses": "http://a@",
    "wide heads": "<table><tr><th colspan=1000 rowspan=1000>x",
    "breaks": "<br>x",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_markup_takes_linear_time(unit: str):
    """Nested too deep, lexbor alone takes 25 seconds for the larger of these: the sender would stop the server."""

    def cost(size: int) -> float:
        source = "w " + unit * (size // len(unit))
        begin = process_time()
        html(source, SILENT)
        masked(source)
        return process_time() - begin

    assert is_linear(cost, 15_000, 120_000)


def test_text_in_a_hundred_thousand_elements():
    """Nothing is lost where a browser, too, gives up nesting; and words stay words."""
    deep = "<div>" * 100_000 + "<p>a<b>b</b>c</p><ul><li>d</ul>" + "</div>" * 100_000 + "<p>e"
    assert heard(deep) == ["abc", "d", "e"]
    assert heard("<i>" * 100_000 + "a<i>b</i>" + "</i>" * 100_000 + "c") == ["abc"]


def test_what_a_page_brings_in_scripts_does_not_flatten_it():
    """Pages carry thousands of tags as text: taken for open elements, they would cost the page its lists."""
    source = "<script>x = '" + "<div>a<\\/div>" * 2000 + "'</script>" + "<path d=''/>" * 2000 + "<br>" * 2000
    assert shallow(source) == source
