from app.text.annotate import annotated
from app.text.document import Block, BlockKind, Document, Mark
from app.text.origin import Origin
from app.text.render import ssml

TEXT = "Ask Nginx now, or ask New York."
TAKES = frozenset({"prosody", "sub", "phoneme", "break"})


def document(*marks: Mark) -> Document:
    """The text above, as one paragraph."""
    return Document(TEXT, (Block(0, len(TEXT), BlockKind.PARAGRAPH),), lambda: Origin([]), marks)


def at(words: str, element: str = "sub", alias: str | None = "x") -> Mark:
    """A mark on these words."""
    return Mark(TEXT.index(words), TEXT.index(words) + len(words), element, (), alias)


def test_a_pronunciation_is_heard_within_the_authors_markup():
    """A word that is said faster is still the same word."""
    found = annotated(document(at("Ask Nginx now", "prosody", None)), [at("Nginx")])
    assert ssml(found, 0, 13, frozenset({"prosody"})) == "<prosody>Ask x now</prosody>"


def test_at_one_place_the_authors_tag_is_outside():
    """Tags that cross are not XML, and the vendor refuses all of it."""
    found = annotated(document(at("Nginx", "prosody", None)), [at("Nginx")])
    assert (
        ssml(found, 0, len(TEXT), frozenset({"prosody"})) == "Ask <prosody>x</prosody> now, or ask New York."
    )


def test_what_the_author_says_of_a_word_wins():
    """Who writes down how one word is said means it, whatever the operator's list says."""
    own = at("Nginx", "phoneme", None)
    assert annotated(document(own), [at("Nginx")]).marks == (own,)


def test_an_entry_that_a_tag_cuts_is_left_out():
    """`New <emphasis>York</emphasis>` cannot be both one word and two."""
    own = at("York", "emphasis", None)
    assert annotated(document(own), [at("New York")]).marks == (own,)


def test_an_entry_with_a_break_in_it_is_left_out():
    """Who asks for a pause between two words does not want them said as one."""
    place = TEXT.index(" York")
    own = Mark(place, place, "break")
    assert annotated(document(own), [at("New York")]).marks == (own,)
    assert len(annotated(document(Mark(place - 3, place - 3, "break")), [at("New York")]).marks) == 2
