"""Health, readiness, metrics, documents, listings and the page."""

import html.parser
import re

import pytest

from tests.http.servers import Server


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/v1/models", "/docs/openapi.json"])
def test_head_is_taken_wherever_get_is(server: Server, path: str):
    """Load balancers and uptime monitors, which ask by HEAD, would call a healthy server broken."""
    head = server.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == server.get(path).headers["content-type"]


def test_metrics_are_announced_as_prometheus_reads_them(server: Server):
    """Prometheus refuses a page whose content type it cannot parse."""
    page = server.get("/metrics")
    assert re.fullmatch(r"text/plain; version=[0-9.]+; charset=utf-8", page.headers["content-type"])


@pytest.mark.parametrize(
    "name",
    [
        "refrain_requests_total",
        "refrain_time_to_first_audio_seconds",
        "refrain_chunks_total",
        "refrain_cache_bytes",
        "refrain_flights",
        "refrain_provider_requests_total",
        "refrain_provider_seconds",
        "refrain_provider_waiting",
        "refrain_provider_under_way",
        "refrain_characters_total",
        "refrain_spend_total",
        "refrain_redis_errors_total",
        "refrain_cache_lookups_total",
        "refrain_cache_faults_total",
    ],
)
def test_metrics_have_their_names(server: Server, name: str):
    """Dashboards and alarms go by these names."""
    server.post(input="Counted.").raise_for_status()
    page = server.get("/metrics").text
    assert re.search(rf"^{name}(_bucket)?(\{{| )", page, re.MULTILINE)


def test_a_request_moves_the_metrics(server: Server):
    """An operator would see figures that do not follow what happens."""
    names = {
        "refrain_requests_total": {"route": "/v1/audio/speech", "status": "200"},
        "refrain_time_to_first_audio_seconds_count": {},
        "refrain_provider_requests_total": {"provider": "first", "outcome": "ok"},
        "refrain_characters_total": {"kind": "charged"},
        "refrain_chunks_total": {"outcome": "made"},
    }
    text = "This sentence moves the needle."
    before = {name: server.samples(name, **labels) for name, labels in names.items()}
    server.post(input=text).raise_for_status()
    moved = {name: server.samples(name, **labels) - before[name] for name, labels in names.items()}
    assert moved == dict.fromkeys(names, 1.0) | {"refrain_characters_total": len(text)}
    saved = server.samples("refrain_characters_total", kind="saved")
    server.post(input=text).raise_for_status()
    assert server.samples("refrain_characters_total", kind="saved") == saved + len(text)
    assert server.samples("refrain_provider_requests_total", provider="first", outcome="ok") == (
        before["refrain_provider_requests_total"] + 1
    )


def test_health_and_readiness(server: Server):
    """An orchestrator would end the process, or send it no requests."""
    assert server.get("/healthz").json() == {"status": "ok"}
    assert server.get("/readyz").json() == {"status": "ready"}


def test_listings_name_every_voice(server: Server):
    """Clients that offer a choice of voices would offer ones that do not exist, or not all."""
    voices = server.get("/v1/audio/voices").json()["voices"]
    assert {voice["id"]: voice["alias_of"] for voice in voices} == {
        "default": None,
        "backed": None,
        "alloy": "default",
        "nova": "default",
    }
    for voice in voices:
        assert server.post(input="Who am I?", voice=voice["id"]).status_code == 200


def test_models_in_both_ecosystems_forms(server: Server):
    """A stock client of either ecosystem could not list models, and many list them first."""
    theirs = server.get("/v1/models", xi_api_key="x").json()
    ours = server.get("/v1/models").json()
    assert ours["object"] == "list"
    assert {model["model_id"] for model in theirs} == {model["id"] for model in ours["data"]}
    assert {model["id"] for model in server.get("/v1/audio/models").json()["models"]} == {
        model["id"] for model in ours["data"]
    }
    assert server.get("/v1/models/tts-1").json()["id"] == "tts-1"
    assert server.get("/v1/models/nobody").status_code == 404


def test_the_document_has_every_route(server: Server):
    """Whoever generates a client would not find the one thing that the service does."""
    document = server.get("/docs/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = {
        (method, path)
        for path, item in document["paths"].items()
        for method in item
        if method in {"get", "head", "post", "delete"}
    }
    assert operations >= {
        ("post", "/v1/audio/speech"),
        ("post", "/v1/speech/plan"),
        ("get", "/v1/speech/{address}"),
        ("head", "/v1/speech/{address}"),
        ("get", "/v1/audio/voices"),
        ("get", "/v1/audio/models"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{model}"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
        ("get", "/v1/providers"),
    }
    names = [
        operation["operationId"] for item in document["paths"].values() for operation in _operations(item)
    ]
    assert len(names) == len(set(names))


def test_the_documents_references_lead_somewhere(server: Server):
    """Generators stop at the first reference that leads nowhere."""
    page = server.get("/docs/openapi.json")
    schemas = page.json()["components"]["schemas"]
    found = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', page.text))
    assert found >= {"SpeechBody", "VoiceId", "Estimate", "Standing"}
    assert found <= set(schemas)
    assert "input" in schemas["SpeechBody"]["required"]


def test_the_documentation_is_a_page(server: Server):
    """Every error says "See /docs": a person who goes there wants to read, not to parse JSON."""
    page = server.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.text == server.get("/page/docs.html").text


def _operations(item: dict[str, object]) -> list[dict[str, str]]:
    return [one for one in item.values() if isinstance(one, dict) and "operationId" in one]


class _Links(html.parser.HTMLParser):
    """What a browser would load, and what it would find within the page."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "script":
            (self.loaded if given.get("src") else self.inline).append(given.get("src") or "script")
        if tag == "link" and not (given.get("href") or "").startswith("data:"):
            self.loaded.append(given.get("href") or "")
        self.inline += [name for name in given if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("path", ["/", "/page/docs.html"])
def test_a_page_loads_what_its_policy_allows(server: Server, path: str):
    """The page would stand there dead: a browser obeys the policy, not the author."""
    page = server.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    links = _Links()
    links.feed(page.text)
    assert links.inline == []
    assert len(links.loaded) == 2
    for asset in links.loaded:
        assert asset.startswith("/page/")
        assert server.get(asset).status_code == 200
    script = server.get(next(asset for asset in links.loaded if asset.endswith(".js"))).text
    assert set(re.findall(r'\$\("(\w+)"\)', script)) <= links.ids
    assert not re.search(r"https?://", script + page.text)


def test_the_page_has_no_other_files(server: Server):
    """A stranger could read the source, or whatever lies beside it."""
    for path in ("/page/..%2fserver.py", "/page/%2e%2e/server.py", "/page/nothing.js", "/page/"):
        assert server.get(path).status_code == 404
