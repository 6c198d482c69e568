# ruff: noqa: RUF001 - sample texts in many scripts, each on its line

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.text import boundary
from app.text.ahead import AHEAD
from app.text.boundary import Boundary, Undecided
from app.text.normalize import normalize, speakable
from app.text.sentences import LiveSentences, decide, sentences
from tests.examples import tries

CASES = json.loads((Path(__file__).parent / "sentences.json").read_text(encoding="utf-8"))
OWN = json.loads((Path(__file__).parent / "own.json").read_text(encoding="utf-8"))
HARD = [*CASES, *OWN]


def hard(case: dict[str, Any]) -> Any:
    """A case as pytest runs it; one with `xfail` says why no rule decides it well."""
    marks = [pytest.mark.xfail(reason=case["xfail"], strict=True)] if "xfail" in case else []
    return pytest.param(case, marks=marks, id=f"{case['lang']}: {case['text'][:40]}")


# Characters and words on which decisions hang, so that random texts meet the rules and not only their defaults.
ATOMS = st.sampled_from(
    [
        *".!?…。।;,:\"'”“»«()[]*-—1aA",
        " ",
        "  ",
        "\n",
        "\n\n",
        ". ",
        "...",
        "U.S.",
        "Dr.",
        "p.m.",
        "etc.",
        "said",
        "The",
        "I",
        "Mr",
        "[1]",
        "- ",
        "1. ",
        "\u0301",
        "\u200d",
        "\u200b",
        "\ufe0f",
        "🎉",
        "🇩🇪",
        "👨‍👩‍👧",
        "と",
        "你",
        "كيف",
        "नि",
        "г.",
    ]
)
TEXTS = st.lists(ATOMS | st.characters(), max_size=60).map("".join)


def spoken(text: str, language: str | None = None) -> list[str]:
    """The sentences, with line ends read as spaces."""
    return [text[s.start : s.end].replace("\n", " ") for s in sentences(text, language=language)]


def live(pieces: Iterable[str], language: str | None = None) -> list[str]:
    """The sentences of a text that arrives in these pieces."""
    finder = LiveSentences(language)
    return [sentence for piece in pieces for sentence in finder.feed(piece)] + finder.finish()


@pytest.mark.parametrize("case", [hard(case) for case in HARD])
def test_hard_cases(case: dict[str, Any]):
    """A false split is a pause in the middle of a sentence for whoever listens."""
    assert spoken(case["text"], case["lang"]) in [case["sentences"], *case.get("alt", [])]


@pytest.mark.parametrize("case", HARD, ids=lambda case: case["text"][:40])
def test_hard_cases_arrive_alike_by_the_character(case: dict[str, Any]):
    """Live text that is cut otherwise than the whole would miss the cache for everybody who streams tokens."""
    assert [s.replace("\n", " ") for s in live(case["text"], case["lang"])] == spoken(
        case["text"], case["lang"]
    )


@settings(max_examples=tries(250), deadline=None)
@given(st.lists(TEXTS, max_size=6), st.sampled_from([None, "en", "de", "ru", "xx"]))
def test_live_is_whole_however_it_is_cut(pieces: Iterable[str], language: str | None):
    """A sentence that depended on where a network cut it would be synthesized, and paid for, twice."""
    text = "".join(pieces)
    whole = [text[s.start : s.end] for s in sentences(text, language=language)]
    assert live(pieces, language) == whole
    assert live(text, language) == whole


@settings(max_examples=tries(200), deadline=None)
@given(TEXTS)
def test_no_character_is_lost_or_said_twice(text: str):
    """A gap between sentences is a word that nobody hears."""
    found = sentences(text)
    said = "".join(text[s.start : s.end] for s in found)
    assert "".join(said.split()) == "".join(text.split())
    assert all(a.end <= b.start for a, b in pairwise(found))


# Words that the quick look at a plain end meets, and those on which it must stand back.
WORDS = """ended River him ok Inc etc Mr no x IV XIII Vol naïve o'clock re-do Goethestr fr Civ A a I word's x1
The He II said It's É 5"""
JOINTS = st.sampled_from(
    [". ", "! ", "? ", ".\n", ".\n\n", ". \n", ".", "?! ", '." ', ") ", " (", ' "', ", ", " ", ". \u0301"]
)
ENGLISH = st.lists(st.tuples(st.sampled_from(WORDS.split()), JOINTS).map("".join), max_size=16).map("".join)


@settings(max_examples=tries(1000), deadline=None)
@example(text="See Vol. IV for more.", language="en", final=True)
@example(text="I met Mr. Hill.", language="en", final=False)
@given(ENGLISH, st.sampled_from(["en", "de", "fr", "cs", "xx"]), st.booleans())
def test_the_quick_look_says_what_the_rules_say(text: str, language: str, final: bool):
    """A shortcut of its own mind would split otherwise than the rules that the cases test."""
    for position, character in enumerate(text):
        if character not in ".!?":
            continue
        for start in {0, max(0, position - 9), position}:
            quick = decide(text, start, position, final=final, language=language)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(boundary, "_ends_plainly", lambda *_: False)
                slow = decide(text, start, position, final=final, language=language)
            assert quick == slow


@settings(max_examples=tries(200), deadline=None)
@given(TEXTS, st.data())
def test_a_decision_never_changes_when_more_arrives(text: str, data: st.DataObject):
    """A boundary that is taken back after the sound has left cannot be mended."""
    position = data.draw(st.integers(0, max(0, len(text) - 1)))
    if not text:
        return
    early = decide(text[: position + 1 + data.draw(st.integers(0, AHEAD))], 0, position, final=False)
    if early is not Undecided.MORE:
        assert decide(text, 0, position, final=True) == early
    assert decide(text + "x" * AHEAD, 0, position, final=False) is not Undecided.MORE


def test_boundary_names_the_offset_behind_the_closing_quote():
    """A quote that is left behind would open the next sentence's sound."""
    text = 'He said "Stop." Then left.'
    assert decide(text, 0, text.index("."), final=False) == Boundary(text.index(" Then"))


def test_a_sentence_is_given_out_soon():
    """Each character of delay is a token of an LLM that the listener waits for."""
    delays = []
    for case in HARD:
        finder, at = LiveSentences(case["lang"]), 0
        for index, character in enumerate(case["text"]):
            for sentence in finder.feed(character):
                at = case["text"].index(sentence, at) + len(sentence)
                delays.append(index + 1 - at)
    assert len(delays) > 300
    assert sorted(delays)[len(delays) // 2] <= 2
    assert max(delays) <= AHEAD


def test_pending_is_what_has_not_been_given_out():
    """After a quiet moment the live route speaks what is pending; a wrong one would repeat or drop words."""
    finder = LiveSentences()
    assert finder.feed("One is done. Two is") == ["One is done."]
    assert finder.pending == "Two is"
    assert finder.finish() == ["Two is"]
    assert finder.pending == ""


def test_a_very_long_live_sentence_comes_out_whole():
    """The part that is put aside while a sentence grows must come back in its place."""
    text = "First. " + " ".join(f"word{n}," for n in range(3000)) + " end. Then more of it. " * 400
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    assert live(pieces) == [text[s.start : s.end] for s in sentences(text)]


HOSTILE = {
    "dots": ".",
    "spaced dots": ". ",
    "unclosed quotes": '"So? “Ann said. ',
    "stop and quotes": '."',
    "brackets": "([",
    "one address": "c.d?e=f&g/",
    "combining marks": "\u0301\u0323",
    "initials": "A. ",
    "numbers": "1. ",
    "lines": "a\n",
    "flags": "🇩",
    "one word": "a",
    "blanks": " ",
    "dashes": "! — ",
    "footnotes": ".[1, 2",
}


def in_pieces(text: str) -> list[str]:
    """The sentences as they arrive in live pieces."""
    return live(text[at : at + 64] for at in range(0, len(text), 64))


def grows_linearly(find: Callable[[str], list[Any]], unit: str, length: int, *, slack: float = 0.02) -> bool:
    """Whether four times the text takes about four times as long; quadratic time would be sixteen times as much.

    `slack`, in seconds, is allowed besides.
    """

    def cost(size: int) -> float:
        text = "A" + unit * (size // len(unit))
        begin = process_time()
        find(text)
        return process_time() - begin

    small = min(cost(length // 4) for _ in range(2))
    return any(cost(length) < 4 * 2.5 * small + slack for _ in range(3))


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("find", [sentences, in_pieces])
def test_time_is_linear_on_hostile_text(unit: str, find: Callable[[str], list[Any]]):
    """One request with a hundred thousand dots must not hold up everybody else's."""
    assert grows_linearly(find, unit, 40_000, slack=0.005)


@pytest.mark.parametrize(
    "name",
    [
        "dots",
        "one address",
        "combining marks",
        *(pytest.param(name, marks=pytest.mark.soak) for name in ("unclosed quotes", "initials", "lines")),
    ],
)
def test_time_is_linear_in_a_megabyte(name: str):
    """A job may be long: a million dots are as many glances and no more."""
    assert grows_linearly(sentences, HOSTILE[name], 1_000_000)


def test_ten_thousand_combining_marks_are_read_in_linear_time():
    """They are sorted where they are normalized: before sentences are looked for, in the same request."""

    def find(text: str) -> list[Any]:
        return sentences(normalize(text))

    assert grows_linearly(find, "\u0301\u0323", 10_000)
    assert grows_linearly(find, "\u0301\u0323", 1_000_000)


@pytest.mark.parametrize("text", ["", " ", "\n\n", ".", "...", "\ud800", "a\0b", "\u0301", "(" * 100])
def test_odd_texts_raise_nothing(text: str):
    """The finder stands behind every request; an exception here is a 500."""
    assert isinstance(sentences(text, language="zz-??"), list)
    assert sum(speakable(s) for s in live(text)) == speakable(text)
