# ruff: noqa: RUF001 - typographic apostrophes are meant
import itertools
from dataclasses import replace
from time import process_time

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from app.text.blocks import Block
from app.text.document import BlockKind, Document, Mark
from app.text.origin import Origin
from app.text.pronunciation import ANY, Pronunciations, Saying
from app.text.render import replaced, spoken, ssml
from tests.growth import is_linear

ALL = frozenset({"prosody", "emphasis", "lang", "say-as", "phoneme", "sub", "break"})


def document(text: str, *marks: Mark) -> Document:
    """A document of one paragraph."""
    return Document(text, (Block(0, len(text), BlockKind.PARAGRAPH),), lambda: Origin([]), marks)


def slow(start: int, end: int) -> Mark:
    """An element that may be cut."""
    return Mark(start, end, "prosody", (("rate", "slow"),))


@st.composite
def marked(draw: st.DrawFn) -> Document:
    """Any text with any properly nested marks."""
    text = draw(st.text(st.sampled_from("ab &<>\"'\n\uffffé"), min_size=1, max_size=30))
    found: list[Mark] = []

    def fill(start: int, end: int, depth: int) -> None:
        at = start
        while depth and at < end and draw(st.booleans()):
            begin = draw(st.integers(at, end - 1))
            at = draw(st.integers(begin, end))
            if at == begin:
                found.append(Mark(at, at, "break", (("time", "100ms"),)))
                continue
            name = draw(st.sampled_from(["prosody", "emphasis", "lang", "say-as", "sub"]))
            found.append(Mark(begin, at, name, (("a", "<\"'&>"),)))
            if name not in {"sub", "say-as"}:
                fill(begin, at, depth - 1)

    fill(0, len(text), 3)
    return document(text, *found)


def words(text: str) -> str:
    """As a voice reads it."""
    return text.replace("\n", " ").replace("\uffff", " ")


def test_an_alias_is_said_where_its_whole_text_is():
    """Half of an abbreviation must not be read as the whole of what it stands for, twice."""
    read = document("the W3C met", Mark(4, 7, "sub", (("alias", "web & co"),), "web & co"))
    assert spoken(read, 0, 11) == "the web & co met"
    assert spoken(read, 4, 7) == "web & co"
    assert spoken(read, 0, 6) == "the W3"
    assert spoken(read, 6, 11) == "C met"
    assert ssml(read, 0, 6, ALL) is None
    assert ssml(read, 0, 11, ALL) == 'the <sub alias="web &amp; co">W3C</sub> met'


def test_an_alias_stands_for_all_inside_it():
    """What is marked inside a replaced text would be heard beside its replacement."""
    inner = Mark(2, 4, "sub", (), "inner")
    read = document("abcdef gh", Mark(0, 6, "say-as", (), "outer"), inner, slow(7, 9))
    assert spoken(read, 0, 9) == "outer gh"
    assert ssml(read, 0, 9, frozenset({"prosody", "sub"})) == 'outer <prosody rate="slow">gh</prosody>'
    assert spoken(read, 1, 6) == "b inner ef"


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("a&b AT&T 5&6 a & b & ", "a und b AT und T 5 und 6 a und b und "),
        ("(&) «&», &&x 5.&.", "(und) «und», und und x 5.und."),
        ("C++11 C++, C++-like, nginxC++", "C plus plus 11 C plus plus, C plus plus-like, nginxC++"),
        ("nginx's nginx’s nginx-based l'nginx", "engine x's engine x’s engine x-based l'engine x"),
        ("用nginx的 用&的 서울은 ไปภูเก็ตกัน", "用engine x的 用und的 Seoul은 ไปPhuketกัน"),
    ],
)
def test_an_alias_is_a_word_of_its_own(text: str, heard: str):
    """What was "a&b" would be read as "aundb", and a range of numbers as the name of a model."""
    entries = {"&": "und", "C++": "C plus plus", "nginx": "engine x", "서울": "Seoul", "ภูเก็ต": "Phuket"}
    lists = Pronunciations({ANY: {word: Saying(say) for word, say in entries.items()}})
    read = document(text, *lists.marks(text, None))
    assert spoken(read, 0, len(text)) == heard
    assert ssml(read, 0, len(text), frozenset({"emphasis"})) is None


def test_blanks_around_an_alias_stay_in_its_stretch():
    """A chunk that began or ended with a blank would be another clip than the same words elsewhere."""
    read = document("5–7", Mark(1, 2, "sub", (("alias", "to"),), "to"), slow(2, 3))
    assert spoken(read, 0, 3) == "5 to 7"
    assert [spoken(read, 0, 2), spoken(read, 1, 2), spoken(read, 1, 3)] == ["5 to", "to", "to 7"]
    assert ssml(read, 0, 3, frozenset({"prosody"})) == '5 to <prosody rate="slow">7</prosody>'


@given(marked(), st.data())
def test_what_is_said_instead_is_told(read: Document, data: st.DataObject):
    """Captions would mark other words than those that are spoken."""
    said = [data.draw(st.none() | st.sampled_from(["", "X", "XYZ XYZ"])) for _ in read.marks]
    marks = [replace(mark, alias=alias) for mark, alias in zip(read.marks, said, strict=True)]
    aliased = document(read.text, *marks)
    start = data.draw(st.integers(0, len(read.text) - 1))
    end = data.draw(st.integers(start + 1, len(read.text)))
    text, voiced = read.text[start:end].replace("\n", " "), spoken(aliased, start, end)
    at, heard = 0, 0
    for begin, behind, length in replaced(aliased, start, end):
        assert at <= begin <= behind
        assert voiced[heard : heard + begin - at] == text[at:begin]
        heard += begin - at
        assert voiced[heard : heard + length].strip("XYZ ") == ""
        at, heard = behind, heard + length
    assert voiced[heard:] == text[at:]


def test_line_ends_are_blanks():
    """A voice must not pause where its author's editor wrapped the line."""
    assert spoken(document("one\ntwo"), 0, 7) == "one two"


def test_open_elements_are_closed_and_opened_again():
    """A slow paragraph of many chunks is slow in all of them, and each is well-formed by itself."""
    read = document("one two three", slow(0, 13), Mark(4, 13, "emphasis"))
    assert ssml(read, 0, 3, ALL) == '<prosody rate="slow">one</prosody>'
    assert ssml(read, 6, 13, ALL) == '<prosody rate="slow"><emphasis>o three</emphasis></prosody>'
    assert ssml(read, 6, 13, frozenset({"emphasis"})) == "<emphasis>o three</emphasis>"


def test_plain_text_needs_no_markup():
    """Text without elements that the voice takes is sent as plain text: cheaper, and the same everywhere."""
    read = document("a < b and c", slow(0, 1))
    assert ssml(read, 2, 11, ALL) is None
    assert ssml(read, 0, 11, frozenset({"break"})) is None
    assert spoken(read, 0, 11) == "a < b and c"


def test_text_and_attributes_are_escaped():
    """An ampersand in a name would make the vendor refuse the whole chunk."""
    read = document('AT&T "<x>" it\'s', Mark(0, 4, "sub", (("alias", "A \"&\" 'T'"),)))
    assert ssml(read, 0, 15, ALL) == (
        '<sub alias="A &quot;&amp;&quot; &#x27;T&#x27;">AT&amp;T</sub> "&lt;x&gt;" it\'s'
    )


def test_a_break_is_in_one_of_two_neighbours():
    """A pause between two chunks would be heard twice, or not at all."""
    read = document("one two", Mark(4, 4, "break", (("time", "100ms"),)))
    assert ssml(read, 0, 4, ALL) is None
    assert ssml(read, 4, 7, ALL) == '<break time="100ms"/>two'


@given(marked(), st.data())
def test_fragments_are_well_formed_and_say_everything(read: Document, data: st.DataObject):
    """However a document is cut: no text is lost or said twice, and no vendor gets broken markup."""
    length = len(read.text)
    cuts = sorted({0, length, *data.draw(st.lists(st.integers(0, length), max_size=4))})
    takes = frozenset(data.draw(st.sets(st.sampled_from(sorted(ALL)))))
    heard, breaks = "", 0
    for start, end in itertools.pairwise(cuts):
        fragment = ssml(read, start, end, takes)
        assert spoken(read, start, end) == read.text[start:end].replace("\n", " ")
        if fragment is None:
            heard += spoken(read, start, end)
            continue
        tree = ElementTree.fromstring(f"<speak>{fragment}</speak>")
        heard += "".join(tree.itertext())
        breaks += len(tree.findall(".//break"))
        for element in tree.iter():
            assert element is tree or element.tag in takes
            assert element.tag in {"speak", "break"} or element.attrib == {"a": "<\"'&>"}
    assert words(heard) == words(read.text)
    assert breaks == ("break" in takes) * sum(mark.element == "break" for mark in read.marks)


@given(marked())
def test_the_whole_has_each_element_once(read: Document):
    """What its author marked is marked."""
    fragment = ssml(read, 0, len(read.text), ALL)
    if fragment is None:
        assert not read.marks
        return
    tree = ElementTree.fromstring(f"<speak>{fragment}</speak>")
    found = [(element.tag, "".join(element.itertext())) for element in tree.iter()][1:]
    assert found == [(mark.element, words(read.text[mark.start : mark.end])) for mark in read.marks]


@pytest.mark.parametrize("around", [False, True])
def test_a_stretch_costs_what_is_in_it(around: bool):
    """A book with a hundred thousand marks would take minutes to plan, were all of them read for each chunk."""

    def seconds(count: int) -> float:
        inner = [Mark(at, at + 1, "sub", (), "b") for at in range(0, 10 * count, 10)]
        outer = [slow(0, 10 * count)] if around else []
        read = document("a" * 10 * count, *outer, *inner)
        begun = process_time()
        for start in range(0, 10 * count, 20):
            assert spoken(read, start, start + 20) == "b aaaaaaaaa b aaaaaaaaa"
            assert ssml(read, start, start + 20, ALL)
        return process_time() - begun

    assert is_linear(seconds, 2_000, 20_000)
