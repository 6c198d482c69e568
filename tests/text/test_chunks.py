# ruff: noqa: ISC004 - sample texts in many scripts, each on its line

from collections.abc import Callable
from itertools import pairwise
from time import process_time

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from icu4py.breakers import WordBreaker

from app.text.blocks import blocks
from app.text.chunks import SHORTEST, Chunk, Limits, chunks
from app.text.document import Document, Mark
from app.text.normalize import InvalidText, normalize, speakable
from app.text.origin import Origin
from tests.examples import tries
from tests.growth import is_linear

ATOMS = st.sampled_from(
    [
        *".!?…。,;\"'()—-1aA",
        " ",
        " ",
        "\n",
        "\n\n",
        ". ",
        "words and words ",
        "Dr. ",
        "- ",
        "1. ",
        "***",
        "\u0301",
        "\u200d",
        "🎉",
        "🇩🇪",
        "👨‍👩‍👧",
        "你好。",
        "สวัสดี",
        "नि",
        "각",
        "A sentence that is long enough to stand alone. ",
    ]
)
TEXTS = st.lists(ATOMS | st.characters(exclude_categories=["Cs"]), max_size=80).map("".join)


def in_bytes(most: int) -> Callable[[Document, int, int], bool]:
    """Room for so many bytes of UTF-8."""
    return lambda document, start, end: len(document.text[start:end].encode()) <= most


BYTES = st.none() | st.integers(4, 200)
CHARS = st.integers(1, 200)
PROFILES = st.sampled_from(["sentence", "group"])
LIMITS = st.builds(
    Limits,
    first_chars=st.integers(1, 150),
    max_chars=CHARS,
    fits=st.none() | st.integers(4, 200).map(in_bytes),
    profile=PROFILES,
)

PARAGRAPHS = [
    "The tide was out when they reached the harbour. Nobody spoke. Two boats lay on their sides in the mud, and a "
    "dog ran between them.",
    "“Is this the place?” asked the younger one. Her brother nodded. He had been here once, many years before, when "
    "the cranes were still working and the quay smelled of tar.",
    "They sat down on a bollard. The lighthouse turned. It would be hours until the ferry came, if it came at all.",
    "In the morning the water was back. So was the dog. It had found a fish and would not share it with anybody.",
]


def document(text: str) -> Document:
    """Of a text that is normalized already; empty ones as well."""
    return Document(text, tuple(blocks(text)), lambda: Origin([]))


def cut(text: str, limits: Limits) -> list[Chunk]:
    """The chunks of such a text."""
    return chunks(document(text), limits)


def normalized(text: str) -> str:
    """Normalized; empty where that is refused."""
    try:
        return normalize(text)
    except InvalidText:
        return ""


def said(text: str) -> list[str]:
    """The characters of it that a voice says."""
    return [c for c in text if speakable(c)]


@settings(max_examples=tries(250), deadline=None)
@given(TEXTS.map(normalized), LIMITS)
def test_no_speakable_character_is_lost_or_said_twice(text: str, limits: Limits):
    """A letter that falls between two chunks is a word that nobody hears."""
    found = cut(text, limits)
    assert [c for chunk in found for c in said(chunk.text)] == said(text)
    assert all(a.end <= b.start for a, b in pairwise(found))


@settings(max_examples=tries(250), deadline=None)
@given(TEXTS.map(normalized), LIMITS)
def test_limits_are_kept_and_offsets_are_true(text: str, limits: Limits):
    """A chunk over a provider's limit is refused there; a wrong offset highlights the wrong words."""
    for chunk in cut(text, limits):
        assert len(chunk.text) <= limits.max_chars
        assert limits.fits is None or limits.fits(document(text), chunk.start, chunk.end)
        assert chunk.text == text[chunk.start : chunk.end].replace("\n", " ")
        assert speakable(chunk.text)
        assert (chunk.sentences[0].start, chunk.sentences[-1].end) == (chunk.start, chunk.end)


@settings(max_examples=tries(250), deadline=None)
@given(TEXTS.map(normalized), st.integers(25, 120))
def test_no_grapheme_is_torn(text: str, longest: int):
    """Half a flag, or an accent without its letter, is read as something else."""
    clusters = [
        m for m in regex.finditer(r"\X", text) if len(m[0].encode()) <= longest and not m[0][-1:].isspace()
    ]
    inside = {at for m in clusters for at in range(m.start() + 1, m.end())}
    for chunk in cut(text, Limits(first_chars=longest, max_chars=longest)):
        assert chunk.start not in inside
        assert chunk.end not in inside


@pytest.mark.parametrize(
    ("cluster", "each"), [("🇩🇪", 2), ("👨‍👩‍👧", 5), ("e\u0323\u0302", 3)], ids=["flags", "family", "marks"]
)
def test_a_long_run_without_blanks_is_cut_between_graphemes(cluster: str, each: int):
    """A cut far from any blank still must count flags in pairs."""
    found = cut(cluster * 2000, Limits(first_chars=119, max_chars=599))
    assert "".join(chunk.text for chunk in found) == cluster * 2000
    assert all(len(chunk.text) % each == 0 for chunk in found)


def test_a_runaway_cluster_is_cut():
    """Ten thousand accents on one letter must not make a chunk that no provider takes."""
    found = cut(normalize("a" + "\u0301" * 10_000), Limits())
    assert found
    assert max(len(chunk.text) for chunk in found) <= 600


def test_the_first_chunk_is_the_first_sentence():
    """Speech starts when the first chunk is made; a longer one starts later."""
    assert cut("Hi. I am here to help you today.", Limits())[0].text == "Hi."


def test_a_long_first_sentence_is_cut_at_a_clause():
    """A listener waits for a whole paragraph where the first sentence is one."""
    text = (
        "When the old man, who had walked for two days, came to the river, "
        + "he sat down and waited " * 5
        + "."
    )
    first, *rest = cut(text, Limits())
    assert first.text == "When the old man, who had walked for two days,"
    assert first.text + " " + " ".join(c.text for c in rest) == text


def test_a_long_first_sentence_without_clauses_is_cut_at_a_blank():
    """Without punctuation the first piece must still be short, and end with a whole word."""
    text = "word " * 60 + "end."
    first = cut(text, Limits())[0]
    assert 80 < len(first.text) <= 120
    assert first.text.endswith("word")


def test_an_over_long_sentence_is_split_evenly():
    """A last piece of two words sounds like a stumble."""
    text = "Yes. " + "and so it went on and on " * 40 + "until the end."
    sizes = [len(c.text) for c in cut(text, Limits())[1:]]
    assert len(sizes) == 2
    assert max(sizes) < 1.2 * min(sizes)


def test_short_pieces_join_their_neighbour_in_the_block_only():
    """Choppy chunks sound choppy; chunks across blocks lose the pause between them."""
    found = cut(
        "A first sentence to begin.\n\nNo. Never. Not at all, he said to them.\n\nOh. Well.", Limits()
    )
    assert [(c.text, c.block) for c in found] == [
        ("A first sentence to begin.", 0),
        ("No. Never. Not at all, he said to them.", 1),
        ("Oh. Well.", 2),
    ]
    assert len(found[1].sentences) == 3


def test_a_short_end_joins_the_one_before():
    """A last "Yes." alone in its chunk would be spoken with the wrong melody."""
    found = cut("First one. This sentence is certainly long enough to stand by itself. Yes.", Limits())
    assert found[-1].text == "This sentence is certainly long enough to stand by itself. Yes."
    assert all(len(c.text) >= SHORTEST for c in found[1:])


@pytest.mark.parametrize("at", range(len(PARAGRAPHS) + 1))
def test_an_edit_changes_only_its_neighbourhood(at: int):
    """Who edits one paragraph must not pay again for the others."""
    before = {c.text for c in cut("\n\n".join(PARAGRAPHS), Limits())}
    edited = [*PARAGRAPHS[:at], "A new paragraph stands here, of one sentence only.", *PARAGRAPHS[at:]]
    found = cut("\n\n".join(edited), Limits())
    again = [c for c in found if c.text in before]
    # Only the new one and, where the beginning moved, the packing around the old first sentence are made anew.
    assert len(found) - len(again) <= (2 if at == 0 else 1)


def test_shuffled_paragraphs_are_the_same_chunks():
    """Where in a document a paragraph stands is not heard, so it must not be paid for."""
    head = "An opening line that stays where it is."
    there = cut("\n\n".join([head, *PARAGRAPHS]), Limits())
    back = cut("\n\n".join([head, *reversed(PARAGRAPHS)]), Limits())
    assert {c.text for c in there} == {c.text for c in back}


def test_signs_alone_are_not_spoken():
    """A chunk of asterisks costs money and is answered with silence, which is refused as bad audio."""
    assert [c.text for c in cut("One line of text.\n\n* * *\n\nAnother one.", Limits())] == [
        "One line of text.",
        "Another one.",
    ]


@pytest.mark.parametrize("wrong", [{"max_chars": 0}, {"first_chars": 0}])
def test_limits_that_fit_nothing_are_refused(wrong: dict[str, int]):
    """A limit of nothing would cut for ever."""
    with pytest.raises(ValueError, match="A chunk must be allowed"):
        Limits(**wrong)


@pytest.mark.parametrize("unit", ["a", "a,", "a b ", "🇩🇪", "你", "a\n", "- a\n", "— "])
@pytest.mark.parametrize(
    "limits",
    [Limits(), Limits(fits=in_bytes(200)), Limits(max_chars=40_000), Limits(profile="group")],
    ids=["default", "bytes", "long", "group"],
)
def test_time_is_linear(unit: str, limits: Limits):
    """One request of odd text must not hold up everybody else's."""

    def cost(length: int) -> float:
        text = "A" + unit * (length // len(unit))
        begin = process_time()
        found: list[Chunk] = cut(text, limits)
        assert found
        return process_time() - begin

    assert is_linear(cost, 4_000, 32_000, slack=0.0125)


def test_groups_are_several_sentences_of_one_block():
    """A generative voice that hears one sentence at a time says each as if it were the first."""
    found = cut("\n\n".join(PARAGRAPHS * 3), Limits(profile="group"))
    assert max(len(c.sentences) for c in found) > 2
    assert all(len(c.text) <= 600 for c in found)
    assert [c.block for c in found] == sorted(c.block for c in found)
    assert found[0].text == "The tide was out when they reached the harbour."


def test_an_edit_changes_only_the_groups_around_it():
    """Groups that are counted off from the beginning all change when one sentence comes in there."""
    long = " ".join(PARAGRAPHS * 8)
    limits = Limits(profile="group")
    before = {c.text for c in cut(f"An opening line that stays where it is.\n\n{long}", limits)}
    edited = cut(
        f"An opening line that stays where it is.\n\nA sentence that is new has come in here. {long}", limits
    )
    changed = sum(len(c.text) for c in edited if c.text not in before)
    assert len(long) > 4000
    assert changed < 600


@pytest.mark.parametrize(
    "text",
    [
        "การท่องเที่ยวเป็นกิจกรรมที่สำคัญสำหรับเศรษฐกิจของประเทศไทยและประชาชนจำนวนมาก",
        "ປະເທດລາວເປັນປະເທດທີ່ບໍ່ມີທາງອອກສູ່ທະເລ",
        "ប្រទេសកម្ពុជាជាប្រទេសមួយនៅអាស៊ីអាគ្នេយ៍",
        "မြန်မာနိုင်ငံသည်အရှေ့တောင်အာရှတွင်တည်ရှိသည်",
    ],
    ids=["Thai", "Lao", "Khmer", "Burmese"],
)
def test_words_that_no_blank_parts_are_not_torn(text: str):
    """Half a word is no word: a voice spells it, or says another one."""
    whole = list(WordBreaker(text, "th"))
    ends = {sum(map(len, whole[:count])) for count in range(len(whole) + 1)}
    found = cut(text, Limits(first_chars=30, max_chars=30))
    assert len(found) > 1
    assert {c.end for c in found} <= ends


def test_what_is_said_as_one_is_not_cut_where_it_can_be_helped():
    """Half of a date, or of a name that has a pronunciation of its own, is read without it."""
    text = "We met near the old harbour of New York City, as the evening fell."
    start = text.index("New")
    mark = Mark(start, start + len("New York City"), "sub", alias="Gotham")
    marked = Document(text, tuple(blocks(text)), lambda: Origin([]), (mark,))
    found = chunks(marked, Limits(first_chars=38, max_chars=38))
    assert [c.text for c in found] == [
        "We met near the old harbour of",
        "New York City, as the evening fell.",
    ]


def test_a_sentence_does_not_end_within_what_is_said_as_one():
    """An alias is only said where its whole text is in one chunk."""
    text = "They play in St. Louis. The game begins at eight o'clock this evening."
    marked = Document(
        text,
        tuple(blocks(text)),
        lambda: Origin([]),
        (Mark(0, text.index("The game") + 3, "sub", alias="x"),),
    )
    assert [c.text for c in chunks(marked, Limits())] == [text]


def test_what_only_its_alias_says_is_a_chunk():
    """Signs that have no name are the likeliest to be given one, and would be passed over."""
    text = "Hi there.\n\n***\n\nThe end of it."
    at = text.index("***")
    mark = Mark(at, at + 3, "sub", alias="star star")
    marked = Document(text, tuple(blocks(text)), lambda: Origin([]), (mark,))
    assert [c.text for c in chunks(marked, Limits())] == ["Hi there.", "***", "The end of it."]
    assert [c.text for c in cut(text, Limits())] == ["Hi there.", "The end of it."]


def test_an_emoji_on_a_line_of_its_own_stays_in_its_block():
    """A chunk that reaches into the next item of a list changes when that item does."""
    found = cut("- Milk is out!\n🎉 Party at five.\n- Eggs.", Limits())
    assert [c.text for c in found] == ["- Milk is out!", "🎉 Party at five.", "- Eggs."]
