import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.text.blocks import blocks
from app.text.document import BlockKind
from app.text.sentences import sentences
from tests.examples import tries

LINES = st.sampled_from(
    [
        "- ",
        "1. ",
        "(a) ",
        "Title",
        "a short line",
        "Closed. ",
        "Meet Dr.",
        "and so on",
        "\n",
        "\n",
        "\n\n",
        "X" * 60,
        "你好",
        ",",
    ]
)
TEXTS = st.lists(LINES | st.characters(), max_size=30).map("".join)


def kinds(text: str) -> list[tuple[str, str]]:
    """The blocks as their text and kind."""
    return [(text[b.start : b.end], str(b.kind)) for b in blocks(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Introduction\n\nIt began.", [("Introduction", "heading"), ("It began.", "paragraph")]),
        ("Introduction\nIt began.", [("Introduction", "heading"), ("It began.", "paragraph")]),
        ("Soup:\n- leeks\n- salt", [("Soup:", "paragraph"), ("- leeks", "item"), ("- salt", "item")]),
        (
            "1. Open it.\n2. Pour water\n3. Close it.",
            [("1. Open it.", "item"), ("2. Pour water", "item"), ("3. Close it.", "item")],
        ),
        ("- An item that\ngoes on.\nThen text.", [("- An item that\ngoes on.\nThen text.", "item")]),
        (
            "This line is\nhard wrapped at forty\ncharacters.",
            [("This line is\nhard wrapped at forty\ncharacters.", "paragraph")],
        ),
        (
            "He lived in the\nNetherlands for years.",
            [("He lived in the\nNetherlands for years.", "paragraph")],
        ),
        ("Milk\nEggs\nBread", [("Milk", "heading"), ("Eggs", "heading"), ("Bread", "heading")]),
    ],
)
def test_plain_text_falls_apart_where_a_reader_would_pause(text: str, expected: list[tuple[str, str]]):
    """A heading that runs into its paragraph, or a wrapped line that is torn apart, is heard at once."""
    assert kinds(text) == expected


@settings(max_examples=tries(200), deadline=None)
@given(TEXTS)
def test_no_character_is_lost(text: str):
    """A character outside all blocks would never be spoken."""
    assert "".join("".join(text[b.start : b.end].split()) for b in blocks(text)) == "".join(text.split())


@settings(max_examples=tries(200), deadline=None)
@given(TEXTS)
def test_sentences_end_where_blocks_do(text: str):
    """Chunks rely on it: a sentence across two blocks would belong to none."""
    found = blocks(text)
    assert all(any(b.start <= s.start and s.end <= b.end for b in found) for s in sentences(text))


def test_kinds_are_the_words_of_the_design():
    """Part 2 adds kinds; those of plain text keep their names, because pauses are configured by them."""
    assert {str(kind) for kind in BlockKind} >= {"paragraph", "heading", "item"}
