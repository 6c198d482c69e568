# ruff: noqa: RUF001 - marks and quotes of many scripts are meant
import unicodedata
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.text.normalize import normalize, speakable
from app.text.origin import Origin, Segment, aligned
from app.text.sentences import sentences
from app.text.span import Span
from tests.growth import is_linear

SPELLINGS = st.sampled_from(
    [
        *["a", "B", "e", "word", "The", "7", "한", "你", "好", "か", "\u3099", "ｶ", "\uff9e", "ไ", "\u0e33"],
        *[
            "\u1112",
            "\u1161",
            "\u11ab",
            "\u0301",
            "\u0323",
            "\u0344",
            "\u0301" * 40,
            "\u034f",
            "\u212b",
            "\u0958",
        ],
        *[" ", " ", "\n", "\r\n", "\r", "\n\n", "\t", "\u00a0", "\u2028", "\u2029", "\u3000", "\x85"],
        *["\ufeff", "\x07", "\x1f", "\u200d", "\u200c", "\xad", "\U0001f3fd", "👩", "🇩", "🇪"],
        *[". ", "! ", "? ", ".", "。", "？", ", ", "“", "”", "\u037e", "&", "&amp;", "&#8217;", "<", ">"],
    ]
)


def mapped(origin: Origin, source: str, text: str, part: str) -> str:
    """What of the source a part of the text came from."""
    start = text.index(part)
    span = origin.span(Span(start, start + len(part)))
    return source[span.start : span.end]


def bare(text: str) -> str:
    """What of a text is heard: no blanks, no controls, one spelling."""
    return unicodedata.normalize("NFC", "".join(normalize(f"x {text}").split())).replace("\u034f", "")


@given(st.lists(SPELLINGS, max_size=40).map("".join).filter(speakable))
@example("\uff9ea")
@example("e\ufeff\u0301. \ufeff\u0301Next one.")
@example("\u1112\u1161\u11ab. " + "e" + "\u0301" * 70 + "! End.")
def test_a_sentence_of_plain_text_is_found_in_its_source(source: str):
    """A caption over a document in decomposed letters, as macOS writes them, would light up the wrong words."""
    try:
        text = normalize(source)
    except ValueError:
        return
    origin = aligned(source, text)
    behind = 0
    for span in sentences(text):
        found = origin.span(span)
        part = text[span.start : span.end]
        assert bare(source[found.start : found.end]) == bare(part)
        assert behind <= found.start <= found.end <= len(source)
        behind = found.end


@given(st.lists(SPELLINGS, max_size=40).map("".join), st.lists(SPELLINGS, max_size=40).map("".join))
def test_any_two_texts_can_be_aligned(source: str, text: str):
    """What a reader does with strange markup is not known: the map stays monotone, in bounds, and without errors."""
    origin = aligned(source, text)
    behind = 0
    for at in range(len(text)):
        found = origin.span(Span(at, at + 1))
        assert behind <= found.start <= found.end <= len(source)
        behind = found.start
    whole = origin.span(Span(0, len(text)))
    assert 0 <= whole.start <= whole.end <= len(source)


@given(st.text(st.sampled_from("ab \n&é"), max_size=20))
def test_a_text_that_is_its_own_source_maps_to_itself(text: str):
    """Plain text that is in order already must be mapped to the character."""
    origin = aligned(text, text)
    for start in range(len(text)):
        assert origin.span(Span(start, start + 1)) == Span(start, start + 1)


@pytest.mark.parametrize(
    ("source", "text", "parts"),
    [
        pytest.param(
            "     Home  News  About                  Tea is   good  .  It is    hot.       Imprint ",
            "Tea is good. It is hot.",
            {"Tea is good.": "Tea is   good  .", "It is hot.": "It is    hot."},
            id="tags blanked, navigation passed over",
        ),
        pytest.param(
            "He said &ldquo;don&#8217;t&rdquo; to AT&amp;T&nbsp;today. Caf&eacute;s  &gt; bars.",
            "He said “don’t” to AT&T today. Cafés > bars.",
            {
                "“don’t”": "&ldquo;don&#8217;t&rdquo;",
                "AT&T": "AT&amp;T",
                "Cafés > bars.": "Caf&eacute;s  &gt; bars.",
                "é": "&eacute;",
            },
            id="entities",
        ),
        pytest.param(
            "Write &amp;amp; or not.",
            "Write &amp; or not.",
            {"or not.": "or not."},
            id="an entity of an entity",
        ),
        pytest.param(
            "Cafe\u0301s &amp; bars: \u1112\u1161\u11ab\uae00\u1100\uae30\u11a8 words",
            "Cafés & bars: 한글ᄀ긱 words",
            {
                "Café": "Cafe\u0301",
                "s &": "s &amp;",
                "한": "\u1112\u1161\u11ab",
                "긱": "\uae30\u11a8",
                "bars": "bars",
            },
            id="letters composed",
        ),
        pytest.param(
            "Write  &lt;b&gt;, or  &amp;.",
            "Write &lt;b&gt;, or &amp;.",
            {"&lt;": "&lt;", "lt": "lt", "&amp;": "&amp;"},
            id="plain text about entities",
        ),
        pytest.param(
            "See https://www.example.com/a/b?c=d for all. And go.",
            "See example.com for all. And go.",
            {
                "See example.com for all.": "See https://www.example.com/a/b?c=d for all.",
                "example.com": "example.com",
            },
            id="a domain for an address",
        ),
        pytest.param(
            "| Name | Price |\n|--|--|\n| Green tea | $2 |\n| Coffee | $3 |\n\nThe end.",
            "Name: Green tea; Price: $2.\n\nName: Coffee; Price: $3.\n\nThe end.",
            {"Coffee; Price: $3": "Coffee | $3", "The end.": "The end."},
            id="labels said again for each row",
        ),
        pytest.param(
            "<one>\n  first\n  second\n",
            "1. first\n\n2. second",
            {"first": "first", "2. second": "second"},
            id="numbers",
        ),
        pytest.param(
            "      你好，世界。    今天天气很好。  菜单  我们去公园。",
            "你好，世界。今天天气很好。我们去公园。",
            {
                "你好，世界。": "你好，世界。",
                "今天天气很好。": "今天天气很好。",
                "我们去公园。": "我们去公园。",
                "天气": "天气",
            },
            id="no blanks between words",
        ),
        pytest.param(
            "The cat. The dog. Hidden: the cow. The cat. The dog.",
            "The cat. The dog. The cat. The dog.",
            {"The cat. The dog. The cat. The dog.": "The cat. The dog. Hidden: the cow. The cat. The dog."},
            id="said twice",
        ),
        pytest.param("nothing in common", "Ganz anderes!", {"anderes": ""}, id="nothing in common"),
        pytest.param("", "a b", {"a b": ""}, id="nothing"),
    ],
)
def test_a_source_with_more_in_it(source: str, text: str, parts: dict[str, str]):
    """A caption of a web page would point at its menu."""
    origin = aligned(source, text)
    assert {part: mapped(origin, source, text, part) for part in parts} == parts


def test_words_that_come_from_nowhere_do_not_move_their_neighbours():
    """One announced block of code would shift the captions of all that follows."""
    words = [f"w{number}" for number in range(2000)]
    source = " ".join(words)
    text = " ".join(f"{word} said" if number % 7 == 0 else word for number, word in enumerate(words))
    origin = aligned(source, text)
    assert all(mapped(origin, source, f"{text} ", f"{word} ").strip() == word for word in words[::50])


def test_repeated_words_are_told_apart_by_their_neighbours():
    """Prose is made of few words, said often."""
    lines = [f"the {number} of the {number * 7 % 100} and the end of it." for number in range(300)]
    source = "  ".join(
        f"menu the of and {line}" if number % 3 == 0 else line for number, line in enumerate(lines)
    )
    text = "\n\n".join(lines)
    origin = aligned(source, text)
    assert [mapped(origin, source, text, line) for line in lines] == lines


def span_of(*segments: Segment) -> Origin:
    """A map by hand."""
    return Origin(segments)


@pytest.mark.parametrize(
    ("read", "source"),
    [
        (Span(0, 2), Span(10, 10)),  # before all segments
        (Span(0, 3), Span(10, 11)),
        (Span(2, 5), Span(10, 13)),
        (Span(3, 4), Span(11, 12)),
        (Span(4, 8), Span(12, 24)),  # into the one whose inside is not known
        (Span(5, 6), Span(20, 20)),  # between two
        (Span(8, 8), Span(20, 24)),  # nothing, inside of it
        (Span(6, 9), Span(20, 24)),
        (Span(7, 20), Span(20, 24)),
        (Span(9, 20), Span(24, 24)),  # behind all
        (Span(0, 20), Span(10, 24)),
        (Span(3, 3), Span(11, 11)),
        (Span(0, 0), Span(10, 10)),
    ],
)
def test_spans_of_a_map(read: Span, source: Span):
    """At its ends and between two segments, a map answers what is next to them, not an error."""
    assert span_of(Segment(2, 3, 10, 3), Segment(6, 3, 20, 4)).span(read) == source


def test_an_empty_map_answers_the_beginning():
    """A text of which nothing came from its source has no place in it."""
    assert span_of().span(Span(0, 9)) == Span(0, 0)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("a ", "a ", id="one word"),
        pytest.param("b a c", "a b ", id="two words"),
        pytest.param("你好世界今天天气", "你好世界天气", id="solid"),
        pytest.param("&amp;", "&", id="entities"),
        pytest.param("\u0301", "\u0301\u0302", id="marks"),
        pytest.param("\u1100\u1161\u11a8", "\uac01", id="jamo"),
        pytest.param("\u1161", "a", id="vowels"),
        pytest.param("&#", "&", id="half an entity"),
        pytest.param("a\0b ", "ab ", id="divided words"),
        pytest.param("a\0", "b", id="one word in many parts"),
        pytest.param("a\xad. ", "a. ", id="soft hyphens"),
        pytest.param("&a", "x &a", id="no entity"),
    ],
)
def test_hostile_sources_take_linear_time(source: str, text: str):
    """One upload of repeated words must not hold a worker for minutes."""

    def seconds(count: int) -> float:
        begun = process_time()
        aligned("x" + source * count, "y" + text * (count * 19 // 20))
        return process_time() - begun

    assert is_linear(seconds, 1_000, 10_000, slack=0.0125)
