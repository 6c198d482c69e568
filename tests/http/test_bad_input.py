"""What strangers send: refused with a status, a code and a sentence; nobody called, nothing stored, nothing told."""

import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import tries
from tests.http.servers import Server

CANARY = "Marmalade Sk-Canary-7731"
SPEECH, PLAN = "/v1/audio/speech", "/v1/speech/plan"
JSON = {"Content-Type": "application/json"}


def encoded(**fields: object) -> bytes:
    """A body with these fields."""
    return json.dumps({"input": "Hello.", **fields}).encode()


BODIES: dict[str, tuple[bytes, int, str, str | None]] = {
    # what is sent, then: status, code, param
    "nothing": (b"", 400, "invalid_json", None),
    "not json": (b"{input: hello}", 400, "invalid_json", None),
    "cut json": (b'{"input": "hel', 400, "invalid_json", None),
    "two objects": (b'{"input": "a"}{"input": "b"}', 400, "invalid_json", None),
    "an array": (b'["input"]', 400, "invalid_json", None),
    "a number": (b"42", 400, "invalid_json", None),
    "a string": (b'"input"', 400, "invalid_json", None),
    "null": (b"null", 400, "invalid_json", None),
    "nan": (b'{"input": "a", "speed": NaN}', 400, "invalid_json", None),
    "invalid utf-8": (b'{"input": "\xff\xfe"}', 400, "invalid_json", None),
    "overlong utf-8": (b'{"input": "\xc0\xaf"}', 400, "invalid_json", None),
    "utf-8 surrogate": (b'{"input": "\xed\xa0\x80"}', 400, "invalid_json", None),
    "utf-16": ('{"input": "a"}'.encode("utf-16"), 400, "invalid_json", None),
    "lone surrogate": (rb'{"input": "a \ud800 b"}', 400, "invalid_json", None),
    "deep array": (b"[" * 100_000, 400, "invalid_json", None),
    "deep in a field": (b'{"input": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "invalid_input", "input"),
    "deep in an unknown field": (b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "invalid_json", None),
    "no input": (b"{}", 400, "invalid_input", "input"),
    "input null": (encoded(input=None), 400, "invalid_input", "input"),
    "input number": (encoded(input=7), 400, "invalid_input", "input"),
    "input true": (encoded(input=True), 400, "invalid_input", "input"),
    "input list": (encoded(input=["Hello."]), 400, "invalid_input", "input"),
    "input object": (encoded(input={"text": "Hello."}), 400, "invalid_input", "input"),
    "empty": (encoded(input=""), 400, "invalid_input", "input"),
    "white space": (encoded(input=" \t\r\n\u00a0\u2003\u3000"), 400, "invalid_input", "input"),
    "punctuation": (encoded(input="... !? -- ;"), 400, "invalid_input", "input"),
    "control characters": (encoded(input="\x01\x02\x1b\x7f"), 400, "invalid_input", "input"),
    "invisible": (encoded(input="\u200b\u200d\ufeff\u2060"), 400, "invalid_input", "input"),
    "combining only": (encoded(input="\u0301" * 500), 400, "invalid_input", "input"),
    "nul": (encoded(input="Hello \x00 there."), 400, "invalid_input", "input"),
    "too long": (encoded(input="word " * 40_001), 413, "input_too_long", "input"),
    "voice unknown": (encoded(voice="nobody"), 400, "unknown_voice", "voice"),
    "voice empty": (encoded(voice=""), 400, "unknown_voice", "voice"),
    "voice number": (encoded(voice=5), 400, "invalid_input", "voice"),
    "voice id number": (encoded(voice={"id": 5}), 400, "invalid_input", "voice.id"),
    "voice without id": (encoded(voice={}), 400, "invalid_input", "voice.id"),
    "voice path": (encoded(voice="../../etc/passwd"), 400, "unknown_voice", "voice"),
    "format unknown": (encoded(response_format="midi"), 400, "unsupported_format", "response_format"),
    "format case": (encoded(response_format="MP3"), 400, "unsupported_format", "response_format"),
    "format number": (encoded(response_format=3), 400, "invalid_input", "response_format"),
    "rate with mp3": (encoded(sample_rate=8_000), 400, "unsupported_format", "sample_rate"),
    "rate unknown": (
        encoded(sample_rate=12_345, response_format="wav"), 400, "unsupported_format", "sample_rate"),
    "rate zero": (encoded(sample_rate=0, response_format="pcm"), 400, "unsupported_format", "sample_rate"),
    "rate text": (
        encoded(sample_rate="8000", response_format="pcm"), 400, "invalid_input", "sample_rate"),
    "speed slow": (encoded(speed=0.24), 400, "invalid_input", "speed"),
    "speed fast": (encoded(speed=4.01), 400, "invalid_input", "speed"),
    "speed negative": (encoded(speed=-1), 400, "invalid_input", "speed"),
    "speed text": (encoded(speed="1.0"), 400, "invalid_input", "speed"),
    "speed infinite": (b'{"input": "a", "speed": 1e999}', 400, "invalid_input", "speed"),
    "stream format": (encoded(stream_format="wave"), 400, "invalid_input", "stream_format"),
    "cache mode": (encoded(cache="never"), 400, "invalid_input", "cache"),
    "input type": (encoded(input_type="latex"), 400, "invalid_input", "input_type"),
    "language": (encoded(language="../en"), 400, "invalid_input", "language"),
    "language number": (encoded(language=1), 400, "invalid_input", "language"),
    "instructions list": (encoded(instructions=["x"]), 400, "invalid_input", "instructions"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_happened(server: Server) -> Iterator[None]:
    """Whatever a test here sends: no provider is asked, nothing is spent or stored, no defect is met."""

    def figures() -> tuple[float, ...]:
        return (
            server.samples("refrain_provider_requests_total"),
            server.samples("refrain_cache_bytes"),
            server.samples("refrain_requests_total", status="500"),
        )

    before = figures()
    yield
    assert figures() == before


def assert_openai(answer: httpx.Response, status: int, code: str, param: str | None) -> None:
    """OpenAI's form, with a sentence in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) > 20
    assert error["message"].endswith(".")


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    """RFC 9457's form, with a sentence in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"].endswith(".")


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_with_a_reason(server: Server, name: str):
    """A stranger would get a defect, or an answer that does not say what to change."""
    body, status, code, param = BODIES[name]
    assert_openai(server.client.post(SPEECH, content=body, headers=JSON), status, code, param)
    assert_problem(server.client.post(PLAN, content=body, headers=JSON), status, code)


def test_a_body_over_the_limit_is_refused_as_announced(server: Server):
    """Anybody could fill the memory."""
    body = encoded(input="a" * 2**20)
    assert_openai(server.client.post(SPEECH, content=body, headers=JSON), 413, "body_too_large", None)
    assert_problem(server.client.post(PLAN, content=body, headers=JSON), 413, "body_too_large")


def test_a_body_over_the_limit_is_refused_unannounced(server: Server):
    """Anybody could fill the memory, by not saying how much is to come."""

    def chunks() -> Iterator[bytes]:
        yield b'{"input": "'
        for _ in range(64):
            yield b"a" * 2**16

    answer = server.client.post(SPEECH, content=chunks(), headers=JSON)
    assert_openai(answer, 413, "body_too_large", None)


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "audio/mpeg", "json"]
)
def test_another_media_type_is_refused(server: Server, media: str):
    """A form on a foreign page could make a visitor's browser speak at somebody's cost."""
    answer = server.client.post(SPEECH, content=encoded(), headers={"Content-Type": media})
    assert_openai(answer, 415, "unsupported_media_type", None)
    assert_problem(
        server.client.post(PLAN, content=encoded(), headers={"Content-Type": media}),
        415,
        "unsupported_media_type",
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_refused(server: Server, method: str):
    """A client would not know what to use instead."""
    for path in (SPEECH, PLAN):
        answer = server.client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/speech", "/.env", "/v1/speech/a/b", "/%00", "/%ff"])
def test_an_unknown_address_is_a_problem(server: Server, path: str):
    """A stranger's typing mistake would look like a defect."""
    assert_problem(server.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/audio/nothing", "/v1/audio/speech/more", "/v1/audio/"])
def test_an_unknown_address_under_audio_is_openais_error(server: Server, path: str):
    """OpenAI's clients read their own form only."""
    assert_openai(server.get(path), 404, "not_found", None)


def test_what_was_sent_is_told_to_nobody(server: Server):
    """Texts are private and keys are secret; logs and errors are read by others."""
    key = {"Authorization": f"Bearer {CANARY}", "xi-api-key": CANARY, "Cookie": CANARY}
    bodies = [
        encoded(input=f"{CANARY} \x00"),
        encoded(input=CANARY, voice=CANARY),
        encoded(input=CANARY, response_format=CANARY),
        encoded(input=CANARY, stream_format=CANARY),
        encoded(input=CANARY, cache=CANARY),
        encoded(input=CANARY, language=CANARY),
        encoded(input=[CANARY]),
        encoded(**{CANARY: 1}, speed=CANARY),
        f'{{"input": "{CANARY}'.encode(),
        f'{{"input": "{CANARY}", "{CANARY}": [[}}'.encode(),
    ]
    for body in bodies:
        for path in (SPEECH, PLAN):
            answer = server.client.post(path, content=body, headers={**JSON, **key})
            assert 400 <= answer.status_code < 500
            assert CANARY not in answer.text + str(answer.headers)
    answer = server.client.get(f"/{CANARY}", params={"key": CANARY}, headers=key)
    assert CANARY not in answer.text
    assert CANARY not in server.log.read_text() + server.get("/metrics").text
    assert "defect" not in server.log.read_text()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
FIELDS = st.sampled_from(
    ("input", "voice", "model", "response_format", "speed", "instructions", "stream_format", "input_type",
     "language", "tags", "cache", "sample_rate")
)  # fmt: skip


@settings(
    max_examples=tries(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(fields=st.dictionaries(FIELDS, VALUES, max_size=6), path=st.sampled_from((SPEECH, PLAN)))
def test_any_json_is_answered(server: Server, fields: dict[str, object], path: str):
    """Some value that nobody thought of would be a defect; `only`, so that what is right calls nobody either."""
    body = json.dumps(fields | {"cache": fields.get("cache") or "only"})
    answer = server.client.post(path, content=body.encode("utf-8", "surrogatepass"), headers=JSON)
    assert answer.status_code in {200, 400, 404, 413}
    assert answer.status_code != 200 or path == PLAN


@settings(
    max_examples=tries(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(text=st.text(st.characters(exclude_categories=()), max_size=200), path=st.sampled_from((SPEECH, PLAN)))
def test_any_text_is_answered(server: Server, text: str, path: str):
    """Some character that nobody thought of would be a defect, surrogates and controls among them."""
    answer = server.client.post(path, content=encoded(input=text, cache="only"), headers=JSON)
    assert answer.status_code in {200, 400, 404}


@settings(
    max_examples=tries(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(body=st.binary(max_size=200), path=st.sampled_from((SPEECH, PLAN)))
def test_any_bytes_are_answered(server: Server, body: bytes, path: str):
    """Bytes at random would be a defect."""
    assert server.client.post(path, content=body, headers=JSON).status_code == 400
