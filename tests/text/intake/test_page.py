import logging
import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest

from app.text.document import BlockKind
from app.text.intake.html import html
from app.text.intake.page import is_page
from app.text.intake.reading import Reading
from app.text.span import Span
from tests.growth import is_linear

BEES = Path(__file__).parent / "data" / "bees.html"
SILENT = Reading()


def heard(source: str, reading: Reading = SILENT) -> list[str]:
    """The text of each block."""
    document = html(source, reading)
    return [document.text[block.start : block.end] for block in document.blocks]


@pytest.mark.parametrize(
    "source",
    [
        "<!DOCTYPE html><p>x",
        "\ufeff \n<!-- saved from --><html lang=en>",
        "<?xml version='1.0'?>\n<!doctype HTML PUBLIC 'x'>",
        "<HTML>",
        "<head>",
        "<body class=x>",
        "<!--><body>",
    ],
)
def test_a_page(source: str):
    """Menus and cookies' notices of a page would be read before its first word."""
    assert is_page(source)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "<p>x</p>",
        "<header>x</header>",
        "text <html>",
        "<!-- <html> --><p>",
        "<!-- <html>",
        "<bodyguard>",
        "&lt;html>",
    ],
)
def test_a_fragment(source: str):
    """All of a fragment was chosen by its sender: nothing of it may be taken for a menu."""
    assert not is_page(source)


def test_the_article_is_read_and_what_stands_around_it_is_not():
    """What a listener came for, with its numbers, names of columns, captions and code as in a fragment."""
    document = html(BEES.read_text(encoding="utf-8"), Reading("Code omitted."))
    blocks = [(block.kind.value, document.text[block.start : block.end]) for block in document.blocks]
    assert blocks[0] == ("heading", "Keeping bees on a roof")
    assert ("item", "2. A hive with a lid that holds in the wind") in blocks
    assert ("item", "3. A smoker, a veil and gloves") in blocks
    assert (
        "paragraph",
        "A hive weighs forty kilograms in summer. Ask whoever knows the building, see example.org.",
    ) in blocks
    assert ("row", "Month: July; Work: Harvest") in blocks
    assert ("paragraph", "Two wooden hives beside a chimney") in blocks
    assert ("paragraph", "The hives in May.") in blocks
    assert ("paragraph", "Code omitted.") in blocks
    for stranger in ("Home", "Shop", "Copyright", "Ten plants", "not shown", "print", "var a"):
        assert stranger not in document.text


def test_where_words_came_from():
    """Highlighting on the page itself needs places in the whole source."""
    source = BEES.read_text(encoding="utf-8")
    document = html(source, SILENT)
    origin = document.origin()
    for words in ("roof is a quiet place", "Two wooden hives", "Harvest", "balconies."):
        start = document.text.index(words)
        found = origin.span(Span(start, start + len(words)))
        assert source[found.start : found.end] == words


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("<html><body><p>Hello there.</p></body></html>", ["Hello there."]),
        (
            "<body><nav>Home</nav><h1>Title</h1><p>Short.</p><ol><li>a</ol></body>",
            ["Title", "Short.", "1. a"],
        ),
        ("<!doctype html><nav>Only a menu</nav>", ["Only a menu"]),
        ("<!doctype html>Bare <b>text</b>.", ["Bare text."]),
        ("<html><head><title>no</title></head>", []),
    ],
)
def test_a_short_page_is_read_whole(source: str, blocks: list[str]):
    """A finder of articles has nothing to find in three lines, and may not drop any."""
    assert heard(f"{source}") == blocks if blocks else True
    if not blocks:
        with pytest.raises(ValueError, match="empty"):
            html(source, SILENT)


def test_a_page_without_an_article_is_read_whole():
    """A price list is no article, and was still sent to be read."""
    rows = "".join(
        f"<div class=x><span>Item {number}</span> <b>{number} euros</b></div>" for number in range(60)
    )
    blocks = heard(f"<html><body><h1>Prices</h1>{rows}</body></html>")
    assert blocks[0] == "Prices"
    assert [f"Item {number} {number} euros" in blocks for number in (0, 30, 59)] == [True] * 3


def test_a_page_is_not_talked_about(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]):
    """Logs must not hold users' text, and what a library thinks of a page is no warning of ours."""
    with caplog.at_level(logging.DEBUG):
        html(BEES.read_text(encoding="utf-8"), SILENT)
        html("<html><body><p>word", SILENT)
        with pytest.raises(ValueError, match="empty"):
            html("<html>", SILENT)
    assert not [record for record in caplog.records if record.name.startswith("trafilatura")]
    assert capfd.readouterr() == ("", "")


def test_other_inputs_do_not_pay_for_pages():
    """The finder of articles is heavy: a server that reads plain text, Markdown and fragments never loads it."""
    code = (
        "import sys; from app.text.intake.html import html; from app.text.intake.markdown import markdown;"
        "from app.text.intake.reading import Reading; html('<p>a', Reading()); markdown('a', Reading());"
        "sys.exit('trafilatura' in sys.modules or 'lxml' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode
        == 0
    )


def test_kinds_survive_the_finding_of_the_article():
    """Pauses depend on kinds: headings of the article must still be such."""
    document = html(BEES.read_text(encoding="utf-8"), SILENT)
    headings = [
        document.text[block.start : block.end] for block in document.blocks if block.kind is BlockKind.HEADING
    ]
    assert headings == ["Keeping bees on a roof", "What you need", "The first year"]


HOSTILE = {
    "wide cells": "<td colspan=1000 rowspan=1000>x",
    "lists": "<ul><li>x</ul>",
    "tables": "<table><tr><td>x</table>",
    "open blocks": "<div>x",
    "breaks": "x<br>",
    "links": "<a href=x>word</a> ",
    "preformatted": "<pre>x</pre>",
    "paragraphs": "<p>some text, with words.</p>",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pages_take_bounded_time(unit: str):
    """One page of wide cells kept trafilatura busy for two minutes."""
    html("<html><p>warm", SILENT)

    def cost(size: int) -> float:
        source = "<!doctype html><table><tr>" * ("td" in unit) + "<html><body>" + unit * (size // len(unit))
        begin = process_time()
        html(source, SILENT)
        return process_time() - begin

    assert is_linear(cost, 12_500, 100_000, slack=0.5)


def test_one_element_with_very_many_attributes():
    """Each is compared with all before it: a second parser that saw them would take far longer than the first."""
    html("<html><p>warm", SILENT)
    attributes = " ".join(f"a{number}" for number in range(10_000))
    element = f"<p {attributes}>{'Some words. ' * 100}</p>"

    def cost(source: str) -> float:
        begin = process_time()
        html(source, SILENT)
        return process_time() - begin

    page = min(cost(f"<html><body>{element}") for _ in range(2))
    assert page < 2.5 * max(cost(element) for _ in range(3)) + 0.1


@pytest.mark.parametrize(
    "hidden",
    ["<ul><li hidden>SECRET</li><li>shown</li></ul>", "<p>a <span style='display:none'>SECRET</span> b</p>",
     "<p>a<span role=doc-noteref>SECRET</span></p>"],
)  # fmt: skip
def test_what_is_hidden_on_a_page_stays_hidden(hidden: str):
    """The finder of articles forgets what says that an element is hidden."""
    page = BEES.read_text(encoding="utf-8").replace("<h2>The first year", f"{hidden}<h2>The first year")
    assert "SECRET" not in html(page, SILENT).text
