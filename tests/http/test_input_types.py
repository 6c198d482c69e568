"""What the text of a request is: plain, Markdown, HTML or SSML."""

import pytest

from tests.http.servers import Server

WORDS = "Nothing but these words is spoken."
WRITTEN = {
    None: WORDS,
    "text": WORDS,
    "markdown": "**Nothing** but [these words](https://example.org/x) is *spoken*.",
    "html": f"<p>Nothing but <b>these</b> words is spoken.</p><script>{WORDS}</script>",
    "ssml": "<speak>Nothing but <emphasis>these words</emphasis> is spoken.</speak>",
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_the_same_words_are_spoken(server: Server, kind: str | None):
    """A client that sends a page would hear its tags, and pay for the same words in each way of writing them."""
    body = {"input": WRITTEN[kind], "input_type": kind}
    plan = server.client.post("/v1/speech/plan", json=body).raise_for_status().json()
    assert [chunk["text"] for chunk in plan["chunks"]] == [WORDS]
    made = server.post(**body).raise_for_status()
    assert made.content == server.post(input=WORDS).content
    assert server.client.post("/v1/speech/plan", json=body).json()["billable_characters"] == 0


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        ("ssml", "<speak>Half", "invalid_ssml"),
        ("ssml", "<speak>One.<audio src='x'/></speak>", "invalid_ssml"),
        ("ssml", "No markup at all.", "invalid_ssml"),
        ("ssml", "<speak/>", "invalid_input"),
        ("html", "<p> </p>", "invalid_input"),
        ("markdown", "---", "invalid_input"),
        ("text", "---", "invalid_input"),
    ],
)
def test_what_cannot_be_read_is_refused(server: Server, kind: str, text: str, code: str):
    """A client would not learn which of its fields is wrong, nor how."""
    for path in ("/v1/audio/speech", "/v1/speech/plan"):
        refused = server.client.post(path, json={"input": text, "input_type": kind})
        assert refused.status_code == 400
        problem = refused.json().get("error") or refused.json()
        assert (problem["code"], problem.get("param")) == (code, "input")


def test_an_unknown_kind_names_those_that_are_known(server: Server):
    """A client would have to guess."""
    refused = server.post(input=WORDS, input_type="latex").json()["error"]
    assert "text or markdown or html or ssml" in refused["message"]
