# ruff: noqa: RUF001 - sounds are written in the IPA

"""What a request comes to, without anybody being asked."""

import pytest

from app.audio.formats import FORMATS, output
from app.errors import InputTooLong, InvalidInput, InvalidSsml
from app.settings import parse
from app.speech.plan import Plan, Planner, SpeechRequest
from app.speech.voices import Voices
from providers.kinds import build

SENTENCES = "The first sentence is here. " + "Then another one follows it, and it goes on for a while. " * 12

HOUSE = """
[providers.plain]
kind = "scripted"
[providers.marked]
kind = "scripted"
ssml = "prosody emphasis phoneme break"
[providers.grouped]
kind = "scripted"
chunking = "group"
[providers.tight]
kind = "scripted"
max_bytes = 60
[voices.plain]
chain = [{ provider = "plain", voice = "low" }]
[voices.marked]
chain = [{ provider = "marked", voice = "low" }, { provider = "plain", voice = "low" }]
[voices.grouped]
chain = [{ provider = "grouped", voice = "low" }, { provider = "plain", voice = "low" }]
[voices.tight]
chain = [{ provider = "plain", voice = "low" }, { provider = "tight", voice = "low" }]
"""


def plan(text: str, voice: str = "plain", house: str = "", **fields: str) -> Plan:
    """The plan of a text, in a house of scripted providers."""
    settings = parse(HOUSE + house, {})
    providers = {name: build(table.named(name)) for name, table in settings.providers.items()}
    planner = Planner(providers, settings.chunking, settings.pronunciation, settings.server.max_input_chars)
    chosen = Voices(settings.voices).find(voice)
    return planner.plan(SpeechRequest(text, chosen, output(FORMATS["mp3"]), **fields))  # type: ignore[arg-type]


def said(planned: Plan, link: int = 0) -> list[tuple[str, str | None]]:
    """What one link of the chain is asked for."""
    utterances = [chunk.candidates[link].utterance for chunk in planned.chunks]
    return [(utterance.text, utterance.ssml) for utterance in utterances]


def test_the_first_choice_decides_how_many_sentences_make_a_chunk():
    """A generative voice at its best, or the local one at its soonest: not one rule for both."""
    assert len(plan(SENTENCES).chunks) == 13
    assert len(plan(SENTENCES, "grouped").chunks) < 13


def test_a_chunk_fits_every_link_as_it_is_sent():
    """A chunk that the stand-in refuses as too long has no stand-in."""
    found = said(
        plan("Ein Öl für Jürgens Ärger über die Gänse, schöne große Bäume und Häuser. " * 4, "tight")
    )
    assert max(len(text.encode()) for text, _ in found) <= 60
    assert max(len(text.encode()) for text, _ in found) > 30


def test_what_markup_adds_counts_where_it_is_sent():
    """Tags that are closed and opened again in each chunk make it longer than its words."""
    house = '[providers.both]\nkind = "scripted"\nmax_characters = 90\nssml = "prosody"\n'
    house += '[voices.both]\nchain = [{ provider = "both", voice = "low" }]\n'
    text = f'<speak><prosody rate="slow">{SENTENCES}</prosody></speak>'
    found = said(plan(text, "both", house, input_type="ssml"))
    assert all(markup is not None and len(markup) <= 90 for _, markup in found)
    assert "".join(text for text, _ in found).replace(" ", "") == SENTENCES.replace(" ", "")


def test_markup_reaches_who_takes_it_and_the_others_get_plain_text():
    """A stand-in would read out the tags, or the author's emphasis would be lost on who understands it."""
    text = "<speak>Take <emphasis level='strong'>this &amp; that</emphasis> now.</speak>"
    planned = plan(text, "marked", input_type="ssml")
    assert said(planned) == [
        (
            "Take this & that now.",
            'Take <emphasis level="strong">this &amp; that</emphasis> now.',
        )
    ]
    assert said(planned, 1) == [("Take this & that now.", None)]


def test_what_looks_like_markup_in_plain_text_is_text():
    """A reader's `<speak>` would otherwise change how the operator's account is used."""
    text = 'He wrote "<emphasis>now</emphasis>" and "AT&T" there.'
    assert said(plan(text, "marked")) == [(text, None)]


def test_other_markup_is_another_clip():
    """The emphasised word would be answered with the flat one from the cache."""
    flat = plan("<speak>Take this now.</speak>", "marked", input_type="ssml")
    strong = plan("<speak>Take <emphasis>this</emphasis> now.</speak>", "marked", input_type="ssml")
    assert flat.chunks[0].candidates[0].digest != strong.chunks[0].candidates[0].digest
    # Whoever gets plain text is asked for the same.
    assert flat.chunks[0].candidates[1].digest == strong.chunks[0].candidates[1].digest
    assert flat.digest != strong.digest


def test_the_same_words_are_the_same_clips_whatever_they_were_written_in():
    """An article that is read from its page, then from its text, would be paid for twice."""
    texts = {
        "text": "A heading\n\nIts first paragraph.\n\nIts second one.",
        "markdown": "# A heading\n\nIts *first* paragraph.\n\nIts second [one](https://example.com).",
        "html": "<h1>A heading</h1><p>Its <b>first</b> paragraph.<p>Its second one.",
        "ssml": "<speak><p>A heading</p><p>Its first paragraph.</p><p>Its second one.</p></speak>",
    }
    plans = {kind: plan(text, input_type=kind) for kind, text in texts.items()}
    digests = {kind: [chunk.digest for chunk in found.chunks] for kind, found in plans.items()}
    assert len(digests["text"]) == 3
    assert all(each == digests["text"] for each in digests.values())
    rests = {kind: [chunk.rest for chunk in found.chunks] for kind, found in plans.items()}
    assert rests["text"] == rests["markdown"] == rests["html"] == [0.6, 0.35, 0.0]


def test_between_blocks_is_the_longer_pause_of_the_two():
    """A heading would run into its text, or a list be torn apart."""
    text = "# Head\n\nA paragraph.\n\n- one thing\n- another thing\n\nA paragraph."
    assert [chunk.rest for chunk in plan(text, input_type="markdown").chunks] == [0.6, 0.35, 0.2, 0.35, 0.0]
    house = '[chunking]\nheading_pause = "1s"\nparagraph_pause = "0s"\nitem_pause = "0s"\n'
    assert [chunk.rest for chunk in plan(text, house=house, input_type="markdown").chunks] == [
        1.0,
        0,
        0,
        0,
        0,
    ]


def test_a_pause_that_is_asked_for_is_kept_to_the_end():
    """An author's pause at the end of a prompt gives the caller the time to answer."""
    text = '<speak>One.<break time="1500ms"/>Two.<break time="2s"/></speak>'
    assert [chunk.rest for chunk in plan(text, input_type="ssml").chunks] == [1.5, 2.0]


def test_pauses_are_part_of_the_speech_and_not_of_its_clips():
    """The same prompt with and without a pause are two files with the same words in them."""
    with_pause = plan('<speak>One.<break time="1s"/>Two.</speak>', input_type="ssml")
    without = plan('<speak>One.<break time="2s"/>Two.</speak>', input_type="ssml")
    assert [c.digest for c in with_pause.chunks] == [c.digest for c in without.chunks]
    assert with_pause.digest != without.digest


def test_the_operators_pronunciations_are_said_and_paid_for():
    """A name that is always misread is what operators are called about."""
    house = '[pronunciation.any]\nnginx = "engine x"\n[pronunciation.de]\nnginx = "Endschin ex"\n'
    english = plan("Ask Nginx, not nginxen.", house=house)
    assert said(english) == [("Ask engine x, not nginxen.", None)]
    assert english.characters == len("Ask engine x, not nginxen.")
    assert [english.document.text[s.start : s.end] for s in english.chunks[0].chunk.sentences] == [
        "Ask Nginx, not nginxen."
    ]
    assert said(plan("Frag nginx.", house=house, language="de-AT")) == [("Frag Endschin ex.", None)]
    assert plan("Ask Nginx.", house=house).chunks[0].digest != plan("Ask Nginx.").chunks[0].digest


def test_a_substitute_reaches_who_takes_it_with_its_alias():
    """A vendor refuses a `<sub>` without one, or reads the very word that the operator was called about."""
    house = '[pronunciation.any]\nnginx = "engine <x>"\n'
    house += '[providers.both]\nkind = "scripted"\nssml = "sub"\n'
    house += '[voices.both]\nchain = [{ provider = "both", voice = "low" }]\n'
    listed = 'Ask <sub alias="engine &lt;x&gt;">nginx</sub> now.'
    assert said(plan("Ask nginx now.", "both", house)) == [("Ask engine <x> now.", listed)]
    authors = '<speak>Ask <sub alias="web">WWW</sub>.</speak>'
    assert said(plan(authors, "both", house, input_type="ssml")) == [
        ("Ask web.", 'Ask <sub alias="web">WWW</sub>.')
    ]


def test_phonemes_reach_who_takes_them():
    """The others say the respelling, or the word as it is."""
    house = '[pronunciation.any]\nSQL = { say = "sequel", ipa = "ˈsiːkwəl" }\n'
    planned = plan("Learn SQL & more.", "marked", house)
    assert said(planned) == [
        ("Learn sequel & more.", 'Learn <phoneme alphabet="ipa" ph="ˈsiːkwəl">SQL</phoneme> &amp; more.')
    ]
    assert said(planned, 1) == [("Learn sequel & more.", None)]


def test_the_inputs_own_language_is_believed_before_the_voices():
    """German dates would be cut as English sentences."""
    text = "Am 3. Mai kam der Brief aus Wien an, und alle freuten sich sehr darüber."
    markup = f'<speak xml:lang="de">{text}</speak>'
    planned = plan(markup, input_type="ssml")
    assert len(planned.chunks) == 1
    assert planned.chunks[0].candidates[0].utterance.language == "de"
    assert plan(markup, input_type="ssml", language="en").chunks[0].candidates[0].utterance.language == "en"


@pytest.mark.parametrize(
    ("text", "kind"), [("<p> </p>", "html"), ("![]()", "markdown"), ("<speak/>", "ssml")]
)
def test_markup_without_anything_to_say_is_refused(text: str, kind: str):
    """An empty answer of status 200 tells nobody what went wrong."""
    with pytest.raises(InvalidInput):
        plan(text, input_type=kind)


def test_ssml_that_is_none_names_its_place():
    """Whoever wrote a thousand lines of it must know where to look, and no text of his is told to the log."""
    with pytest.raises(InvalidSsml, match=r"line 2.*column 3.*audio") as caught:
        plan('<speak>Secret.\n  <audio src="x"/></speak>', input_type="ssml")
    assert "Secret" not in caught.value.message
    assert caught.value.param == "input"


def test_what_is_read_keeps_the_limit_as_well():
    """A sentence for each of many small blocks of code would be far more than the text that was counted."""
    house = f'[chunking]\ncode = "{"Here is code. " * 14}"\n'
    with pytest.raises(InputTooLong):
        plan("<p>a<pre>b</pre>" * 8_000, house=house, input_type="html")


def test_pauses_have_a_limit_too():
    """A few kilobytes of breaks would otherwise be answered with gigabytes of silence."""
    with pytest.raises(InputTooLong, match="pauses"):
        plan("<speak>" + '<p>a</p><break time="10s"/>' * 61 + "</speak>", input_type="ssml")


def test_speeches_that_read_differently_have_addresses_of_their_own():
    """One's captions would be shown with the other's words."""
    left = "<speak><p><sub alias='Alpha one two.'>T</sub></p><p>Beta three four.</p></speak>"
    right = "<speak><p>Alpha one two.</p><p><sub alias='Beta three four.'>T</sub></p></speak>"
    plans = [plan(text, input_type="ssml") for text in (left, right)]
    assert [chunk.digest for chunk in plans[0].chunks] == [chunk.digest for chunk in plans[1].chunks]
    assert plans[0].digest != plans[1].digest


def test_a_blank_between_chunks_is_part_of_the_address():
    """An alignment would be of the other text: one character more or less from there on."""
    plans = [
        plan(text)
        for text in (
            "这是一句很长很长很长的话。这是另一句很长很长的话。",
            "这是一句很长很长很长的话。 这是另一句很长很长的话。",
        )
    ]
    assert [chunk.digest for chunk in plans[0].chunks] == [chunk.digest for chunk in plans[1].chunks]
    assert [[chunk.runs_on for chunk in one.chunks] for one in plans] == [[True, False], [False, False]]
    assert plans[0].digest != plans[1].digest
