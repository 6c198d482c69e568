"""What providers of SSML are sent is well-formed, and says what the caller said and nothing else."""

from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from providers.interface import ProviderVoice, Utterance
from providers.scripted import Script, Scripted
from providers.ssml import document

SPACE = "{http://www.w3.org/2001/10/synthesis}"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
# Every character that XML can carry; carriage returns and the like are white space of another kind to its readers.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=60
)


def utterance(text: str, markup: str | None = None, voice: str = "low") -> Utterance:
    """In English."""
    return Utterance(text, ProviderVoice("one", voice), ssml=markup, language="en")


@given(TEXTS, TEXTS, TEXTS)
def test_text_voice_and_language_stay_values(text: str, voice: str, language: str):
    """A caller's `"/><audio src=...` would spend the operator's money on what he did not allow."""
    found = ElementTree.fromstring(document(utterance(text), language=language, voice=voice))
    assert [node.tag for node in found.iter()] == [f"{SPACE}speak", f"{SPACE}voice"]
    assert found.get(LANGUAGE) == language
    assert (found[0].get("name"), found[0].text or "") == (voice, text)


def test_what_xml_cannot_carry_is_left_out():
    """One such character makes the vendor refuse the whole sentence."""
    found = ElementTree.fromstring(document(utterance("a\x01b\ufffec"), language="e\x00n", voice="v\x0b"))
    assert (found[0].text, found.get(LANGUAGE), found[0].get("name")) == ("abc", "en", "v")


def test_markup_that_is_meant_is_kept():
    """An author's emphasis would be read out as its tag."""
    found = ElementTree.fromstring(document(utterance("now", "<emphasis>now</emphasis>"), language="en"))
    assert [node.tag for node in found.iter()] == [f"{SPACE}speak", f"{SPACE}emphasis"]


async def test_the_double_shows_what_a_vendor_would_be_sent():
    """Tests of one's own voices would not see what markup becomes of a text."""
    provider = Scripted(script=Script(ssml=frozenset({"emphasis"})))
    async with provider.speak(utterance("AT&T", voice='"x"')) as sound:
        await sound.pieces.aclose()
    found = ElementTree.fromstring(provider.calls[0].document or "")
    assert (found[0].get("name"), found[0].text) == ('"x"', "AT&T")
