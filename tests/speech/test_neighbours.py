"""What a voice is told of the text beside a chunk."""

import pytest

from app.audio.formats import FORMATS, output
from app.settings import parse
from app.speech.neighbours import bounded
from app.speech.plan import Plan, Planner, SpeechRequest
from app.speech.voices import Voices
from providers.elevenlabs import CONTEXT
from providers.interface import Utterance
from providers.kinds import build

HOUSE = """
[providers.stitching]
kind = "elevenlabs"
api_key = "k"
stitch = {stitch}
chunking = "sentence"
[voices.one]
chain = [
  {{ provider = "stitching", voice = "x" }},
  {{ provider = "stitching", voice = "x", model = "eleven_v3" }},
  {{ provider = "local", voice = "heart" }},
]
"""
TEXT = "# The heading\n\nThe first sentence is here. Then comes the second one.\n\nAt last the third one."


def plan(text: str = TEXT, *, stitch: bool = True, **fields: str) -> Plan:
    """The plan of a text; nobody is asked."""
    settings = parse(HOUSE.format(stitch=str(stitch).lower()), {})
    providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
    planner = Planner(providers, settings.chunking, settings.pronunciation, 200_000)
    request = SpeechRequest(text, Voices(settings.voices).find("one"), output(FORMATS["mp3"]), **fields)  # type: ignore[arg-type]
    return planner.plan(request)


def utterances(planned: Plan, link: int = 0) -> list[Utterance]:
    """What one link is asked for."""
    return [chunk.candidates[link].utterance for chunk in planned.chunks]


def digests(planned: Plan, link: int = 0) -> list[str]:
    """One link's clips."""
    return [chunk.candidates[link].digest for chunk in planned.chunks]


def test_the_voice_is_told_what_stands_before_and_after():
    """Each sentence would begin as if nothing had been said before."""
    found = utterances(plan(input_type="markdown"))
    assert [(one.before, one.text, one.after) for one in found] == [
        (None, "The heading", "The first sentence is here."),
        ("The heading", "The first sentence is here.", "Then comes the second one."),
        ("The first sentence is here.", "Then comes the second one.", "At last the third one."),
        ("Then comes the second one.", "At last the third one.", None),
    ]


def test_it_is_told_as_it_is_said():
    """A voice that reads "SQL" before and hears of "sequel" was told of another text."""
    text = "<speak>Ask <sub alias='Doctor'>Dr.</sub> Jones today.<break time='1s'/> He will know it then.</speak>"
    found = utterances(plan(text, input_type="ssml"))
    assert found[1].before == "Ask Doctor Jones today."


def test_who_does_not_take_it_is_not_told_and_keeps_its_clips():
    """Stitching one voice would cost all others of the chain their cache."""
    stitched, plain = plan(), plan(stitch=False)
    for link in (1, 2):
        assert all(one.before is one.after is None for one in utterances(stitched, link))
        assert digests(stitched, link) == digests(plain, link)
    assert digests(stitched) != digests(plain)
    assert stitched.digest != plain.digest


def test_what_is_told_is_in_the_digest():
    """The melody of one place would be replayed in another."""
    whole = plan("The first sentence is here. Then comes the second one.")
    other = plan("Another first one is here. Then comes the second one.")
    third = plan("The first sentence is here. Then comes the second one. Another one ends it.")
    assert utterances(whole)[1].text == utterances(other)[1].text
    assert digests(whole)[1] != digests(other)[1]
    assert digests(whole)[0] == digests(third)[0]
    assert digests(whole)[1] != digests(third)[1]


def test_before_is_not_after():
    """A text that is said before would be taken for the same text behind."""
    front, back = plan("Say this one now. And that one too."), plan("And that one too. Say this one now.")
    said = {one.text: name for one, name in zip(utterances(front), digests(front), strict=True)}
    for one, name in zip(utterances(back), digests(back), strict=True):
        assert said[one.text] != name


def test_a_chunk_alone_is_the_same_clip():
    """Where nothing is sent beside it, a prompt that is in the cache would be paid for again."""
    assert digests(plan("All by itself it stands.")) == digests(
        plan("All by itself it stands.", stitch=False)
    )


def test_an_owner_and_neighbours_do_not_pose_as_each_other():
    """One user would hear what was made for another."""
    names = {name for owner in (None, "a", "beside") for name in digests(plan(owner=owner))}  # type: ignore[arg-type]
    assert len(names) == 3 * len(plan().chunks)


def test_it_is_bounded():
    """A long neighbour would tie the clip to a text that the ear has forgotten."""
    sentences = " ".join(f"word{number}" for number in range(90)) + ". "
    for one in utterances(plan(sentences * 3)):
        for beside in (one.before, one.after):
            assert beside is None or len(beside) <= CONTEXT


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (100, ("one two three", "four five six")),
        (13, ("one two three", "four five six")),
        (12, ("two three", "four five")),
        (9, ("two three", "four five")),
        (8, ("three", "four")),
        (4, ("hree", "four")),
        (3, ("ree", "fou")),
    ],
)
def test_it_is_cut_at_words(most: int, expected: tuple[str, str]):
    """Half a word beside a chunk is a word that nobody wrote."""
    assert bounded(("one two three", "four five six"), most) == expected
    assert bounded((None, None), most) == (None, None)


def test_where_there_are_no_blanks_it_is_cut_anywhere():
    """Japanese would be told nothing."""
    assert bounded(("一二三四五六", "七八九十"), 3) == ("四五六", "七八九")
