"""The OpenAPI document tells the truth: of every route, what it takes, what it gives, and what it refuses."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.examples import tries
from tests.http.servers import VOICES, Server, Valkey

DOCUMENT = "/docs/openapi.json"
ROUTES = {
    "/v1/audio/speech": {"post"},
    "/v1/speech/plan": {"post"},
    "/v1/speech/{address}": {"get", "head", "delete"},
    "/v1/speech/{address}/captions.vtt": {"get"},
    "/v1/speech/{address}/captions.srt": {"get"},
    "/v1/speech/{address}/captions.json": {"get"},
    "/v1/speech/{address}/alignment.json": {"get"},
    "/v1/audio/voices": {"get"},
    "/v1/audio/models": {"get"},
    "/v1/models": {"get"},
    "/v1/models/{model}": {"get"},
    "/v1/providers": {"get"},
    "/v1/cache/purge": {"post"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
METHODS = {"get", "head", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(server: Server) -> dict:
    """As it is served."""
    answer = server.get(DOCUMENT)
    assert answer.status_code == 200
    return answer.json()


def operations(document: dict) -> Iterator[tuple[str, str, dict]]:
    """Every operation, by its path and method."""
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def test_every_route_is_told(document: dict):
    """Who makes a client from the document would miss some, and nobody would fuzz them."""
    told = {path: METHODS & item.keys() for path, item in document["paths"].items()}
    assert {path: told.get(path) for path in ROUTES} == ROUTES


def test_every_refusal_is_told(document: dict):
    """A client would not be ready for it."""
    for path, method, operation in operations(document):
        statuses = {int(status) for status in operation["responses"]}
        assert {400, 401, 403, 431, 500, 503} <= statuses, (path, method)
        if "requestBody" in operation:
            assert {413, 415} <= statuses, path
    speech = document["paths"]["/v1/audio/speech"]["post"]["responses"]
    assert {"404", "422", "429", "502", "503", "504"} <= speech.keys()
    assert "budget_exceeded" in speech["429"]["description"]
    assert {"206", "304", "404", "416"} <= document["paths"]["/v1/speech/{address}"]["get"][
        "responses"
    ].keys()


def test_every_way_of_presenting_a_key_is_told(document: dict):
    """A client made from the document could not be given a key."""
    schemes = document["components"]["securitySchemes"]
    assert (schemes["bearer"]["scheme"], schemes["key"]["name"]) == ("bearer", "xi-api-key")
    for path, _, operation in operations(document):
        assert operation["security"][:2] == [{"bearer": []}, {"key": []}], path


def fuzzed(
    server: Server, mode: GenerationMode, examples: int, checks: Sequence[CheckFunction] = CHECKS
) -> None:
    """Every operation, by so many requests each."""
    schema = schemathesis.openapi.from_url(server.url + DOCUMENT)
    rules = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    def one(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=server.url, checks=list(checks), timeout=20)

    for found in schema.get_all_operations():
        cases = found.ok().as_strategy(generation_mode=mode)
        # Of what has neither a body nor parameters the document forbids nothing.
        with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():
            rules(given(case=cases)(one))()


def asked(server: Server, path: str, status: str) -> float:
    """How many requests have been answered so."""
    return server.samples("refrain_requests_total", route=path, status=status)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_whatever_the_document_allows_or_forbids_is_answered_as_it_says(server: Server, mode: GenerationMode):
    """A 500, or an answer that no client is ready for."""
    before = asked(server, "/v1/audio/speech", "400"), asked(server, "/v1/speech/plan", "200")
    fuzzed(server, mode, tries(20))
    wrong = asked(server, "/v1/audio/speech", "400") - before[0]
    right = asked(server, "/v1/speech/plan", "200") - before[1]
    assert (right if mode is GenerationMode.POSITIVE else wrong) >= 1, "nothing was asked"
    assert server.samples("refrain_requests_total", status="500") == 0


def test_an_outage_is_answered_as_the_document_says(tmp_path: Path):
    """While Redis is away a client would get what it is not ready for, or a 500."""
    valkey = Valkey(tmp_path)
    server = Server(tmp_path / "server", f'[redis]\nurl = "{valkey.url}"\n{VOICES}')
    try:
        valkey.stop()
        fuzzed(server, GenerationMode.POSITIVE, tries(20), CHECKS[1:])
        assert asked(server, "/v1/usage", "503") >= 1, "it was away"
        assert server.samples("refrain_requests_total", status="500") == 0
    finally:
        server.stop()
        valkey.stop()


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_the_same_for_long(server: Server, mode: GenerationMode):
    """What is met once in a thousand requests."""
    fuzzed(server, mode, 1000)
    assert server.samples("refrain_requests_total", status="500") == 0
