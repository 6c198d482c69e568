"""Words that the operator wants to be said otherwise: which are found, and which are not."""

# ruff: noqa: RUF001 - typographic apostrophes and the letters of the IPA are meant

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text.document import Mark
from app.text.normalize import spelled
from app.text.pronunciation import Pronunciations, Saying
from tests.growth import is_linear

LISTS = {
    "any": {
        "nginx": "engine x",
        "GIF": "jif",
        "SQL": "sequel",
        "C++": "see plus plus",
        ".net": "dot net",
        "new york": "Gotham",
        "york": "Yawk",
        "New York City": "the city",
        "%": "percent",
        "No.": "number",
        "U.S.": "the states",
        "can": "tin",
        "m": "metres",
        "t": "tons",
        "won't": "refuses to",
        "重庆": "Chongqing",
        "ภูเก็ต": "Phuket",
        "서울": "Seoul",
        "コーヒー": "kōhī",
        "القاهرة": "Cairo",
        "café": "coffee house",
        "straße": "street",
        "o'Hara": "Scarlett",
    },
    "de": {"gif": "giff", "jahr": "Jaar"},
    "de-AT": {"Jahr": "Joar"},
}


def listed(lists: dict[str, dict[str, str]]) -> Pronunciations:
    """Entries that are said by other words."""
    return Pronunciations(
        {tag: {word: Saying(say) for word, say in words.items()} for tag, words in lists.items()}
    )


SAID = listed(LISTS)


def said(text: str, language: str | None = None, by: Pronunciations = SAID) -> str:
    """The text with what is said in place of what is written, in angle brackets."""
    for mark in reversed(by.marks(text, language)):
        text = f"{text[: mark.start]}<{mark.alias}>{text[mark.end :]}"
    return text


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        # Whole words only.
        ("nginx, nginx. (nginx)", "<engine x>, <engine x>. (<engine x>)"),
        ("SQL SQLite MySQL SQL2 my_SQL", "<sequel> SQLite MySQL SQL2 my_SQL"),
        ("an nginx-based SQL/GIF", "an <engine x>-based <sequel>/<jif>"),
        # Small letters: in any case. A capital: only as written.
        ("NGINX Nginx nGiNx", "<engine x> <engine x> <engine x>"),
        ("GIF Gif gif", "<jif> Gif gif"),
        ("STRASSE Straße", "<street> <street>"),
        # Apostrophes, of both kinds.
        ("nginx's nginx’s l'nginx nginx'll", "<engine x>'s <engine x>’s l'<engine x> <engine x>'ll"),
        ("I can. I can't, I can’t. I'm 5 m off", "I <tin>. I can't, I can’t. I'm 5 <metres> off"),
        ("I won't. I won’t.", "I <refuses to>. I <refuses to>."),
        ("o'Hara o’Hara O'Hara", "<Scarlett> <Scarlett> O'Hara"),
        # Signs at the ends.
        ("C++, C++17 and C++.", "<see plus plus>, <see plus plus>17 and <see plus plus>."),
        ("C C+ C++Builder VC++", "C C+ C++Builder VC++"),
        (".NET (.NET) ASP.NET", "<dot net> (<dot net>) ASP.NET"),
        ("100% 100 %", "100<percent> 100 <percent>"),
        ("No. 5, No.5, no. No.w", "<number> 5, <number>5, no. No.w"),
        ("the U.S. and the U.S.A.", "the <the states> and the U.S.A."),
        # Several words, and the longest of several.
        ("new york, New  York, NEW\nYORK", "<Gotham>, <Gotham>, <Gotham>"),
        ("New York City, New york city", "<the city>, <Gotham> city"),
        ("York new new york", "<Yawk> new <Gotham>"),
        ("new\n\nyork", "new\n\n<Yawk>"),
        ("newyork new-york", "newyork new-<Yawk>"),
        # Scripts without spaces, and what stands among them.
        ("我在重庆用nginx服务", "我在<Chongqing>用<engine x>服务"),
        ("ไปภูเก็ตกัน", "ไป<Phuket>กัน"),
        ("서울은 서울", "<Seoul>은 <Seoul>"),
        ("アイスコーヒー、nginxコーヒーx", "アイス<kōhī>、<engine x><kōhī>x"),
        # Others without capitals have spaces.
        ("القاهرة، والقاهرة", "<Cairo>، والقاهرة"),
        # One spelling for one word.
        ("CAFÉ", "<coffee house>"),
        ("cafe", "cafe"),
        ("m\u0303m m\u0303", "m\u0303m m\u0303"),
        ("", ""),
    ],
)
def test_what_is_found(text: str, heard: str):
    """A listener would hear half of a word replaced, or an operator's entry not at all."""
    assert said(text) == heard


def test_entries_in_another_spelling_are_the_same():
    """An entry typed on a Mac would never match: its accents are characters of their own there."""
    decomposed = "cafe\u0301"
    assert spelled(decomposed) != decomposed
    assert said("ein Café", by=listed({"any": {decomposed: "x"}})) == "ein <x>"


@pytest.mark.parametrize(
    ("language", "heard"),
    [
        (None, "<jif> Jahr"),
        ("en", "<jif> Jahr"),
        ("de", "<giff> <Jaar>"),
        ("DE-ch", "<giff> <Jaar>"),
        ("de-AT", "<giff> <Joar>"),
        ("de-at-1996", "<giff> <Joar>"),
        ("den", "<jif> Jahr"),
    ],
)
def test_the_nearest_language_wins(language: str | None, heard: str):
    """A German text would be read by English ears, or an Austrian entry ignored in Austria."""
    assert said("GIF Jahr", language) == heard


def test_marks_are_as_voices_take_them():
    """Providers that read SSML would be sent something else than the operator wrote, and others nothing."""
    entries = {
        "a": Saying(say="x"),
        "b": Saying(say="y", ipa="ˈsiːkwəl"),
        "c": Saying(ipa="siː"),
    }
    assert Pronunciations({"any": entries}).marks("a b c", None) == [
        Mark(0, 1, "sub", (("alias", "x"),), "x"),
        Mark(2, 3, "phoneme", (("alphabet", "ipa"), ("ph", "ˈsiːkwəl")), "y"),
        Mark(4, 5, "phoneme", (("alphabet", "ipa"), ("ph", "siː")), None),
    ]


def test_nothing_to_look_for_finds_nothing():
    """A service without lists would fail at its first text."""
    assert Pronunciations({}).marks("nginx", "en") == []
    assert Pronunciations({"any": {}}).marks("nginx", None) == []


words = st.text(alphabet="abAB+.' \n重é’", min_size=1, max_size=6).filter(lambda word: word.strip())


@given(entries=st.lists(words, max_size=8), text=st.text(alphabet="abAB+.' \n重é’-_1", max_size=60))
def test_marks_stand_on_what_they_name(entries: list[str], text: str):
    """Whatever is listed and written: marks in order, apart, on the words of an entry, and never an error."""
    marks = listed({"any": dict.fromkeys(entries, "x")}).marks(text, None)
    known = {" ".join(entry.replace("’", "'").split()).casefold() for entry in entries}
    end = 0
    for mark in marks:
        assert end <= mark.start < mark.end <= len(text)
        end = mark.end
        written = text[mark.start : mark.end].replace("’", "'")
        assert " ".join(written.split()).casefold() in known


@given(st.text(max_size=200), st.text(max_size=10))
def test_no_text_and_no_language_is_too_strange(text: str, language: str):
    """Half a surrogate, or a language that is none, must not end a request in a defect."""
    SAID.marks(text, language)


def seconds(work: Callable[[], object]) -> float:
    """The least of three runs."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.mark.parametrize(
    "piece",
    ["nginx and new york. ", "new ", "+", "C+", "can't", "é\u0301", "重", "'", " \n", "No.", "ภู"],
)
def test_hostile_texts_take_linear_time(piece: str):
    """A megabyte of one sign would hold up everybody's planning."""
    small, large = piece * (12_500 // len(piece)), piece * (100_000 // len(piece))
    SAID.marks(small, "de")
    texts = {12_500: small, 100_000: large}

    def cost(size: int) -> float:
        began = time.process_time()
        SAID.marks(texts[size], "de")
        return time.process_time() - began

    assert is_linear(cost, 12_500, 100_000, slack=0.0125)


def test_ten_thousand_entries_take_no_longer_than_ten():
    """A long list would be paid for by every text."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"{a}{b}{c}x" for a in letters for b in letters for c in letters][:10_000]
    text = "The text speaks of other things, and of aaax once in a while. " * 1_600
    few, many = listed({"any": dict.fromkeys(names[:10], "x")}), listed({"any": dict.fromkeys(names, "x")})
    assert len(many.marks(text, None)) == len(few.marks(text, None)) == len(re.findall("aaax", text))
    assert seconds(lambda: many.marks(text, None)) < 3 * seconds(lambda: few.marks(text, None))
