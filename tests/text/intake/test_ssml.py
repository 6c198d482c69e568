from contextlib import suppress
from itertools import pairwise
from time import process_time

import pytest
from defusedxml import ElementTree
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.text.chunks import Limits, chunks
from app.text.document import Document, Mark
from app.text.intake.reading import Reading
from app.text.intake.ssml import InvalidSsml, ssml
from app.text.normalize import InvalidText
from app.text.render import spoken
from app.text.render import ssml as rendered
from app.text.sentences import sentences
from app.text.span import Span
from tests.examples import tries
from tests.growth import is_linear

ALL = frozenset({"prosody", "emphasis", "lang", "say-as", "phoneme", "sub", "break"})
LONG = 100_000


def read(body: str, attributes: str = "") -> Document:
    """The document of what stands in <speak>."""
    return ssml(f"<speak{attributes}>{body}</speak>", Reading())


def paragraphs(document: Document) -> list[tuple[str, float | None]]:
    """Each block's text, and the silence that was asked for behind it."""
    return [(document.text[block.start : block.end], block.pause) for block in document.blocks]


def marked(document: Document) -> list[tuple[str, str]]:
    """Each mark's element and text."""
    return [(mark.element, document.text[mark.start : mark.end]) for mark in document.marks]


def refused(source: str) -> InvalidSsml:
    """The error that a source is answered with."""
    with pytest.raises(InvalidSsml) as caught:
        ssml(source, Reading())
    assert str(caught.value).endswith(".")
    return caught.value


def test_text_without_elements_is_one_paragraph():
    """Line ends and indentation of XML are no pauses."""
    document = read("\n  Hello there,\n\n  AT&amp;T &#8217; &lt;3.  ")
    assert paragraphs(document) == [("Hello there, AT&T \u2019 <3.", None)]
    assert document.marks == ()
    assert document.language is None


@pytest.mark.parametrize(
    "source",
    [
        '<?xml version="1.0"?><speak>Hi.</speak>',
        '<?xml version="1.0" encoding="utf-16"?>\n<speak>Hi.</speak>\n',
        '\ufeff<speak version="1.1">Hi.</speak>',
        '<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis">Hi.</speak>',
        '<v:speak xmlns:v="http://www.w3.org/2001/10/synthesis"><v:s>Hi.</v:s></v:speak>',
        '<speak xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b.xsd">Hi.</speak>',
        "<speak><!-- a remark -->Hi<!-- another -->.</speak>",
        "<speak><![CDATA[Hi.]]></speak>",
        "<speak><w role='x'>H<mark name='here'/>i</w><token>.</token></speak>",
    ],
)
def test_heads_and_wrappings_that_tools_write(source: str):
    """Authoring tools write declarations, namespaces and remarks; none of it is spoken or refused."""
    assert ssml(source, Reading()).text == "Hi."


def test_paragraphs_and_sentences_are_blocks():
    """The author knows where sentences end: "Dr." at an end of <s> is one, and the paragraph's pause is its last's."""
    document = read(
        "Loose <p>Intro <s>Ask the Dr.</s>\n<s>He knows.</s></p> between <p>Second.</p><s>Last.</s>"
    )
    assert paragraphs(document) == [
        ("Loose", None),
        ("Intro", 0.0),
        ("Ask the Dr.", 0.0),
        ("He knows.", None),
        ("between", None),
        ("Second.", None),
        ("Last.", None),
    ]


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        ('a<break time="1s"/>b', [("a", 1.0), ("b", None)]),
        ('a <break time="250ms"/> b', [("a", 0.25), ("b", None)]),
        ("a<break/>b", [("a", 0.4), ("b", None)]),
        ('a<break strength="strong"/>b', [("a", 0.7), ("b", None)]),
        ('a<break strength="x-strong"/>b', [("a", 1.0), ("b", None)]),
        ('a<break strength="strong" time=".5s"/>b', [("a", 0.5), ("b", None)]),
        ('a<break time="1s"/> <break time="2s"/>b', [("a", 3.0), ("b", None)]),
        ('a<break time="200ms"/><break time="50ms"/>b', [("a", 0.25), ("b", None)]),
        ('a<break time="9s"/><break time="9s"/>b', [("a", 10.0), ("b", None)]),
        ('<break time="1s"/>a', [("a", None)]),
        ('a<break time="1s"/>', [("a", 1.0)]),
        ('<p>a</p><break time="1s"/><p>b</p>', [("a", 1.0), ("b", None)]),
        ('<p>a<break time="1s"/></p>b', [("a", 1.0), ("b", None)]),
        ('<p>a<break time="100ms"/></p>b', [("a", None), ("b", None)]),
        ('<s>a</s><break time="100ms"/><s>b</s>', [("a", 0.1), ("b", None)]),
        ('<s>a</s><break time="100ms"/><break time="200ms"/><s>b</s>', [("a", 0.3), ("b", None)]),
        ('a<break time="249ms"/>b', [("a b", None)]),
        ('a<break strength="none"/>b', [("a b", None)]),
        ('a<break time="0s"/>b', [("a b", None)]),
    ],
)
def test_breaks(body: str, blocks: list[tuple[str, float | None]]):
    """A pause that was asked for is heard with every voice, in its length, once."""
    assert paragraphs(read(body)) == blocks


@pytest.mark.parametrize(
    ("given", "time"),
    [
        ('time="0.2s"/><break time="20ms"', ("time", "220ms")),
        ('time="0.2s"', ("time", "200ms")),
        ('strength="x-weak"', ("time", "100ms")),
        ('strength="weak"', ("time", "200ms")),
        ('strength="none"', ("strength", "none")),
    ],
)
def test_short_breaks_are_marks(given: str, time: tuple[str, str]):
    """A breath within a sentence is left to the voice, in one spelling, in front of the word that follows."""
    document = read(f"Wait<break {given}/> for it")
    assert document.text == "Wait for it"
    assert document.marks == (Mark(5, 5, "break", (time,)),)


def test_elements_become_marks():
    """What the author marked is what the voice is given, with values as they were."""
    document = read(
        '<prosody rate="80%" pitch="+2st">Slow <emphasis>and low</emphasis></prosody> '
        '<lang xml:lang="fr">mon ami</lang> <sub alias=" World \n Wide &lt;Web>">WWW</sub> '
        '<phoneme ph="t\u0259m">tom</phoneme> <say-as interpret-as="date" format="mdy">1/2</say-as>'
    )
    assert document.text == "Slow and low mon ami WWW tom 1/2"
    assert document.marks == (
        Mark(0, 12, "prosody", (("rate", "80%"), ("pitch", "+2st"))),
        Mark(5, 12, "emphasis"),
        Mark(13, 20, "lang", (("xml:lang", "fr"),)),
        Mark(21, 24, "sub", (("alias", "World Wide <Web>"),), "World Wide <Web>"),
        Mark(25, 28, "phoneme", (("alphabet", "ipa"), ("ph", "t\u0259m"))),
        Mark(29, 32, "say-as", (("interpret-as", "date"), ("format", "mdy"))),
    )


def test_a_mark_begins_with_a_word_and_ends_with_one():
    """Chunks are cut at blanks: a mark that began with one would be cut, and its alias not said."""
    document = read(
        "See<sub alias='b'> W3C </sub>now<emphasis> </emphasis><emphasis/>. <emphasis> a</emphasis>"
    )
    assert marked(document) == [("sub", "W3C"), ("emphasis", "a")]
    assert spoken(document, 4, 7) == "b"


@pytest.mark.parametrize("kind", ["characters", "spell-out", "verbatim", "digits"])
def test_letters_are_said_one_by_one_by_any_voice(kind: str):
    """An order number must not be read as a million, whoever speaks."""
    document = read(f'Order <say-as interpret-as="{kind}">W3 e\u0301</say-as>.')
    assert spoken(document, 0, len(document.text)) == "Order W 3 \u00e9."


def test_marks_do_not_reach_across_blocks():
    """A break within slow speech: what follows it is slow as well, and each block can be sent by itself."""
    document = read('<prosody rate="slow">a <emphasis>b<break/>c</emphasis><p>d</p></prosody>')
    assert marked(document) == [
        ("prosody", "a b"), ("emphasis", "b"), ("prosody", "c"), ("emphasis", "c"), ("prosody", "d"),
    ]  # fmt: skip
    assert [rendered(document, block.start, block.end, ALL) for block in document.blocks] == [
        '<prosody rate="slow">a <emphasis>b</emphasis></prosody>',
        '<prosody rate="slow"><emphasis>c</emphasis></prosody>',
        '<prosody rate="slow">d</prosody>',
    ]


def test_a_break_in_front_of_an_element_stays_outside():
    """A break inside <sub> is no SSML, and the vendor would refuse the chunk."""
    document = read('a <break time="10ms"/><sub alias="b">c</sub>')
    assert rendered(document, 0, 3, ALL) == 'a <break time="10ms"/><sub alias="b">c</sub>'


def test_languages():
    """The document's language chooses its abbreviations; another one within it is the voice's business."""
    document = read('<p xml:lang="en">One.</p><p xml:lang="de">Zwei.</p> <s>Three.</s>', ' xml:lang="en"')
    assert document.language == "en"
    assert document.marks == (Mark(6, 11, "lang", (("xml:lang", "de"),)),)


@pytest.mark.parametrize(
    ("source", "element", "line", "column", "words"),
    [
        ("hello", None, 1, 1, "wrap the text in <speak>"),
        ("<p>hello</p>", "p", 1, 1, "wrap everything in <speak>"),
        ("<html>hello</html>", "html", 1, 1, "wrap everything in <speak>"),
        ("<speak>a <speak>b</speak></speak>", "speak", 1, 10, "must not be inside <speak>"),
        ("<speak>a\n \U0001d11e\u00e9 <voice name='x'>b</voice></speak>", "voice", 2, 5, "the request's `voice`"),
        ("<speak>a\r\n<p>\u4f60<audio src='x'/></p></speak>", "audio", 2, 5, "leave it out"),
        ("<speak>\r\r<lexicon uri='x'/></speak>", "lexicon", 3, 1, "<phoneme>"),
        ("<speak><desc>a</desc></speak>", "desc", 1, 8, "leave it out"),
        ("<speak><amazon:effect name='x'>a</amazon:effect></speak>", "amazon:effect", 1, 8, "vendors"),
        ("<speak xmlns:mstts='u'><mstts:express-as>a</mstts:express-as></speak>", "mstts:express-as", 1, 24, "vendors"),
        ("<speak xmlns:x='u'><x:p>a</x:p></speak>", "x:p", 1, 20, "vendors"),
        ("<speak xmlns:x='u'><prosody x:rate='slow'>a</prosody></speak>", "prosody", 1, 20, "attribute"),
        ("<speak xmlns='http://www.w3.org/1999/xhtml'>a</speak>", "speak", 1, 1, "SSML's own"),
        (f"<speak><{'x' * 41}>a</{'x' * 41}></speak>", None, 1, 8, "not taken"),
        (f"<speak><{'x' * 40}>a</{'x' * 40}></speak>", "x" * 40, 1, 8, "not taken"),
        ("<speak>a<p>b</speak>", "speak", 1, 13, "check the tags before it"),
        ("<speak>a<p>b", None, 1, 13, "closed"),
        ("<speak>fish & chips</speak>", None, 1, 14, "ampersands"),
        ("<speak>a</speak>b", None, 1, 17, "well-formed"),
        ("<speak>&nbsp;a</speak>", None, 1, 8, "the character itself"),
        ("<speak>&#0;a</speak>", None, 1, 8, "well-formed"),
        ("<!DOCTYPE speak><speak>a</speak>", None, 1, 1, "document type"),
        (" <?xml version='1.0'?><speak>a</speak>", None, 1, 2, "XML declaration"),
        ("<speak>a<?php secret?></speak>", None, 1, 9, "processing instruction"),
        ("<speak a='1' a='2'>b</speak>", None, 1, 14, "twice"),
        ("<speak>a<break>secret</break></speak>", "break", 1, 9, "close it"),
        ("<speak>a<break><p/></break></speak>", "p", 1, 16, "must not be inside <break>"),
        ("<speak><p>a<p>b</p></p></speak>", "p", 1, 12, "must not be inside <p>"),
        ("<speak><s><emphasis><p>b</p></emphasis></s></speak>", "p", 1, 21, "must not be inside <s>"),
        ("<speak><s>a<s>b</s></s></speak>", "s", 1, 12, "must not be inside <s>"),
        ("<speak><sub alias='a'><emphasis>b</emphasis></sub></speak>", "emphasis", 1, 23, "inside <sub>"),
        ("<speak>a <sub alias='secret'> </sub></speak>", "sub", 1, 10, "no text"),
        ("<speak>a <phoneme ph='secret'/></speak>", "phoneme", 1, 10, "no text"),
        (f"<speak>{'<emphasis>' * 16}a</speak>", "emphasis", 1, 158, "at most 16"),
        (f"<speak><say-as interpret-as='digits'>{'1' * 501}</say-as></speak>", "say-as", 1, 8, "at most 500 letters"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_with_its_place(
    source: str, element: str | None, line: int, column: int, words: str
):
    """An author with a thousand lines of SSML needs the place, and what to do; nobody needs the text in a log."""
    error = refused(source)
    assert (error.element, error.line, error.column) == (element, line, column)
    assert words in str(error)
    assert "secret" not in str(error)
    assert f"line {line}, column {column}" in str(error)
    assert element is None or f"<{element}>" in str(error)


@pytest.mark.parametrize(
    "entities",
    [
        '<!ENTITY secret "text">',
        '<!ENTITY secret SYSTEM "file:///etc/passwd">',
        '<!ENTITY % more SYSTEM "http://localhost/x"> %more;',
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY secret "&b;&b;&b;&b;&b;&b;">',
    ],
)
def test_entities_are_refused_before_they_are_read(entities: str):
    """Whoever sends SSML must not read the server's files, or fill its memory."""
    error = refused(f"<!DOCTYPE speak [{entities}]><speak>&secret;</speak>")
    assert "document type" in str(error)
    assert (error.line, error.column) == (1, 1)


TAKEN = [
    ("break", "time", ["0s", "10s", "10000ms", ".5s"], ["", "10.1s", "10001ms", "-1s", "1", "1 s", "1m", "1e1s"]),
    ("break", "strength", ["none", "x-strong"], ["loud", "Strong"]),
    ("prosody", "rate", ["x-slow", "default", "80%", "+10%", "1.5"], ["", "quick", "10%%", "99999%"]),
    ("prosody", "pitch", ["x-low", "+5%", "-2st", "120Hz"], ["5", "high!", "+Hz"]),
    ("prosody", "range", ["low", "+5%"], ["wide"]),
    ("prosody", "volume", ["silent", "+6dB", "50", "-10%"], ["loudest", "6db"]),
    ("prosody", "contour", [], ["(0%,+20Hz)"]),
    ("prosody", "onclick", [], ["x"]),
    ("emphasis", "level", ["strong", "moderate", "none", "reduced"], ["weak", "", "strong|none"]),
    ("say-as", "interpret-as", ["date", "vnd:thing"], ["", "a b", "<", "x" * 41]),
    ("sub", "alias", ["x" * 1000, "a > b", "5", "&"], ["", " ", "x" * 1001, "***", "\u2013", "..."]),
    ("phoneme", "ph", ["t\u0259", "?"], ["", "x" * 1001]),
    ("lang", "xml:lang", ["en", "zh-Hant-TW"], ["", "e", "en_US", "en-"]),
    ("lang", "lang", [], ["en"]),
    ("p", "xml:lang", ["en"], ["?"]),
    ("p", "class", [], ["x"]),
    ("speak", "version", ["1.0", "1.1"], ["2.0", "1"]),
]  # fmt: skip
NEEDED = {"say-as": 'interpret-as="date"', "sub": 'alias="a"', "phoneme": 'ph="a"', "lang": 'xml:lang="en"'}


def with_attribute(element: str, name: str, value: str) -> str:
    """A text with one attribute."""
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    needed = NEEDED.get(element, "")
    others = "" if needed.startswith(f"{name}=") else needed
    inner = "" if element == "break" else "a"
    body = f'<{element} {others} {name}="{value}">{inner}</{element}>'
    return body if element == "speak" else f"<speak>b {body}</speak>"


@pytest.mark.parametrize(
    ("element", "name", "value"), [(e, n, value) for e, n, good, _ in TAKEN for value in good]
)
def test_values_that_are_taken(element: str, name: str, value: str):
    """What the specification allows, authors use."""
    assert ssml(with_attribute(element, name, value), Reading()).text in {"b a", "b\n\na", "b", "a"}


@pytest.mark.parametrize(
    ("element", "name", "value"), [(e, n, value) for e, n, _, bad in TAKEN for value in bad]
)
def test_values_that_are_refused(element: str, name: str, value: str):
    """A mistake that a vendor would refuse, or hear otherwise, is refused here, before anything is paid."""
    error = refused(with_attribute(element, name, value))
    assert error.element == element
    assert f"`{name}`" in str(error) or "attribute" in str(error)


@pytest.mark.parametrize("element", [*NEEDED, "prosody"])
def test_attributes_that_are_needed(element: str):
    """<sub> without an alias means nothing."""
    assert refused(f"<speak>b <{element}>a</{element}></speak>").element == element


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("<speak/>", "empty"),
        ("<speak><p> </p><break time='1s'/></speak>", "empty"),
        ("<speak>...</speak>", "unspeakable"),
        ("<speak>a\0</speak>", "nul"),
        ("<speak>a\ud800</speak>", "surrogate"),
    ],
)
def test_nothing_to_speak(source: str, reason: str):
    """The same answer as for plain text with nothing in it."""
    with pytest.raises(InvalidText) as caught:
        ssml(source, Reading())
    assert caught.value.reason == reason


def test_an_alias_is_something_to_speak():
    """A text of one sign that its author has put into words would be refused as empty of them."""
    document = ssml("<speak><sub alias='star star'>***</sub></speak>", Reading())
    assert spoken(document, 0, len(document.text)) == "star star"
    (chunk,) = chunks(document, Limits())
    assert (chunk.start, chunk.end) == (0, 3)
    with pytest.raises(InvalidText):
        ssml("<speak><emphasis>***</emphasis></speak>", Reading())


def test_each_sentence_is_found_in_its_source():
    """A caption over the source must show the words that are heard, tags, references and all."""
    body = (
        "Hello <emphasis>d\u00e9a\u0301r</emphasis> AT&amp;T.  "
        "<p>\U0001d11e &#39;Quoted&#39;\r\nline\rend. <s>W<!-- ; -->ord&#x301; <![CDATA[&lt;&;> x]]>.</s>"
        '<s>Be<break time="1s"/>hind</s></p><sub alias="b">&#67;at</sub>, &quot;end.&quot;'
    )
    source = f"<speak>{body}</speak>"
    document = ssml(source, Reading())
    origin = document.origin()
    found = []
    for span in sentences(document.text):
        of = origin.span(span)
        found.append(source[of.start : of.end])
    assert found == [
        "Hello <emphasis>d\u00e9a\u0301r</emphasis> AT&amp;T.",
        "\U0001d11e &#39;Quoted&#39;\r\nline\rend.",
        "W<!-- ; -->ord&#x301; <![CDATA[&lt;&;> x]]>.",
        "Be",
        "hind",
        "&#67;at</sub>, &quot;end.&quot;",
    ]
    for word in ("&", "T", "'Quoted", "&lt;&;>", "Cat", "line"):
        start = document.text.index(word)
        of = origin.span(Span(start, start + len(word)))
        assert (
            source[of.start : of.end].replace("&amp;", "&").replace("&#39;", "'").replace("&#67;", "C")
            == word
        )


TEXTS = st.sampled_from(
    [
        "one ",
        "Two. ",
        "&amp;",
        "&#65;",
        "\n",
        "\r\n",
        "\U0001d11e",
        "e\u0301",
        "\u4f60",
        "<!-- x -->",
        "<![CDATA[<]]>",
    ]
)
BREAKS = st.sampled_from(['<break time="10ms"/>', "<break/>", '<break time="1s"/>', '<mark name="m"/>'])
WRAPS = st.sampled_from(["emphasis", 'prosody rate="slow"', 'lang xml:lang="de"', "p", "s", "w"])
ATOMS = st.sampled_from(['sub alias="b"', 'say-as interpret-as="digits"', 'phoneme ph="x"'])


def wrapped(tag: str, inner: str) -> str:
    """An element around something."""
    return f"<{tag}>{inner}</{tag.split(maxsplit=1)[0]}>"


@st.composite
def trees(draw: st.DrawFn) -> str:
    """SSML that is well-formed, though not always taken."""
    atom = st.builds(wrapped, ATOMS, st.just("x1"))
    inner = st.recursive(
        TEXTS | BREAKS | atom,
        lambda deeper: st.builds(wrapped, WRAPS, st.lists(deeper, max_size=4).map("".join)),
    )
    return wrapped("speak", "".join(draw(st.lists(inner, max_size=6))))


@given(trees())
@settings(max_examples=tries(100))
def test_what_is_taken_makes_a_sound_document(source: str):
    """Whatever is taken: marks nest within their blocks, no text is lost, and every fragment is well-formed."""
    if failure(source):
        return
    document = ssml(source, Reading())
    plain = "".join("".join(ElementTree.fromstring(source).itertext()).split())
    assert "".join(document.text.split()) == plain.replace("e\u0301", "\u00e9")
    blocks = document.blocks
    for mark in document.marks:
        assert sum(block.start <= mark.start <= mark.end <= block.end for block in blocks) == 1
        text = document.text[mark.start : mark.end]
        assert text == text.strip()
        assert bool(text) == (mark.element != "break")
    for mark, following in pairwise(document.marks):
        assert mark.start <= following.start
        assert following.end <= mark.end or mark.end <= following.start
    for block in blocks:
        fragment = rendered(document, block.start, block.end, ALL)
        tree = ElementTree.fromstring(f"<speak>{fragment}</speak>") if fragment else None
        text = "".join(tree.itertext()) if tree is not None else spoken(document, block.start, block.end)
        assert text == document.text[block.start : block.end]
    origin = document.origin()
    spans = [origin.span(span) for span in sentences(document.text)]
    assert all(0 <= span.start < span.end <= len(source) for span in spans)
    assert all(before.end <= after.start for before, after in pairwise(spans))


def failure(source: str) -> InvalidSsml | InvalidText | None:
    """What a source is refused with, if it is."""
    try:
        ssml(source, Reading())
    except (InvalidSsml, InvalidText) as error:
        return error
    return None


SHREDS = st.sampled_from(
    ["<speak>", "</speak>", "<p>", "</p>", "<", ">", "&", ";", "&amp;", "&#x", "<!--", "-->", "<![CDATA[", "]]>", "<?",
     "?>", "<!DOCTYPE speak [", "<!ENTITY a 'b'>", "]>", "&a;", "a", " ", "\n", '"', "'", "=", "/", "<break/>", "\0",
     "<sub alias='", "</sub>", "xmlns:a='u' ", "<a:b", "\ufeff", "\U0001d11e", "\u0301", "\ud800", "\ufffe", "\x85",
     '<?xml version="1.0" encoding="x"?>', "xml:lang='en' ", "<x"]
)  # fmt: skip


@given(st.lists(SHREDS, max_size=30).map("".join) | st.text(max_size=30))
@example("<speak>a</")
@example("<")
@example("</")
@settings(max_examples=tries(300))
def test_no_input_raises_anything_else(source: str):
    """An error that is not foreseen is a 500 to its sender, and a page to the operator at night."""
    for text in (source, f"<speak>{source}</speak>"):
        error = failure(text)
        if isinstance(error, InvalidSsml):
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            assert 1 <= error.line <= len(lines)
            assert 1 <= error.column <= len(lines[error.line - 1]) + 1


@pytest.mark.parametrize(
    "piece",
    [
        "<s>a</s>",
        "<p>a</p>",
        "<emphasis>a</emphasis>",
        '<break time="1s"/>a',
        '<break time="1ms"/>a',
        '<break time="1s"/>',
        '<sub alias="b">a</sub>',
        "<emphasis>",
        "&amp;a",
        "<![CDATA[a]]>",
        "a<!---->",
        "a\n",
        "e\u0301",
        "<",
        "<a b='",
        "]]",
    ],
)
def test_hostile_ssml_takes_linear_time(piece: str):
    """One request must not hold a worker for minutes."""

    def seconds(length: int) -> float:
        source = f"<speak>{piece * (length // len(piece))}a</speak>"
        begun = process_time()
        with suppress(InvalidSsml, InvalidText):
            ssml(source, Reading()).origin()
        return process_time() - begun

    assert is_linear(seconds, LONG // 20, LONG // 2, slack=0.0125)


@pytest.mark.parametrize(
    "attributes", [f"alias='{'a' * LONG}'", " ".join(f"a{number}='1'" for number in range(LONG // 10))]
)
def test_hostile_attributes_are_refused_at_once(attributes: str):
    """As above, in a single tag."""
    begun = process_time()
    assert refused(f"<speak><sub {attributes}>b</sub></speak>").element == "sub"
    assert process_time() - begun < 2
