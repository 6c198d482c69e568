"""Promise 28: a text, a key and a token go through every fault, and are found nowhere but where they belong."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from app.users.keys import Keys
from app.users.store import Secret
from cache.link import RedisLink
from providers.poison import ANSWERS
from providers.scripted import FAULTS
from tests.http.servers import Server, Valkey
from tests.providers.vendor_server import Answer, Reply, Request, VendorServer, vendor_server
from tests.providers.wires import WIRES

WORD = "Quixotrope"
"""In every text, tag and instruction."""
VENDOR_KEY = "sk-canary-vendor-8131"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnktOTE3MiJ9.c2lnbmF0dXJlLWNhbmFyeQ"
SECRET = "canary-secret-of-the-operator-5523-5523"
DEBUGGING = (
    "-c",
    "import logging; logging.basicConfig(level=logging.DEBUG); from app.cli import main; main()",
)
"""`refrain`, where every library that it uses writes down all it can."""

ECHO = json.dumps({
    "error": {"message": f"{WORD} {VENDOR_KEY}", "status": WORD, "code": WORD},
    "detail": {"message": f"{WORD} {VENDOR_KEY}", "status": WORD},
    "message": f"{WORD} {VENDOR_KEY}",
    "__type": WORD,
}).encode()  # fmt: skip
"""Vendors do repeat what they were sent."""
JSON = (("content-type", "application/json"),)
REPLIES = {
    **{
        str(status): Reply(status, JSON, ECHO)
        for status in (400, 401, 402, 403, 404, 413, 422, 429, 500, 503)
    },
    "json": Reply(200, JSON, ECHO),
    "bytes": Reply(200, None, ECHO),
    "page": Reply(500, (("content-type", "text/html"),), f"<h1>{WORD} {VENDOR_KEY}</h1>".encode()),
    "cut": Reply(short=1),
    "broken off": Reply(chunked=True, cut=True),
}
SCRIPTS = {
    **{f"fault-{code}": f'fault = "{code}"' for code in FAULTS},
    **{f"answer-{answer}": f'answer = "{answer}"' for answer in ANSWERS},
    "dying": "die_after = 4800",
    "late": "delay = 5.0\nfirst_byte_timeout = 0.1",
    "slow": "pace = 5.0\ntimeout = 0.2",
}


@dataclass
class Told:
    """All that a stranger, or a reader of the log, may have seen."""

    answers: list[str] = field(default_factory=list)

    def hear(self, answer: httpx.Response, body: bytes) -> None:
        """Status, headers and, unless it is sound, the body."""
        self.answers.append(f"{answer.status_code} {answer.headers}")
        if not answer.headers.get("content-type", "").startswith("audio/"):
            self.answers.append(body.decode("utf-8", "replace"))


def table(name: str, *lines: str) -> str:
    """A provider, and the voice of that name which it alone speaks."""
    told = "\n".join(lines)
    return f'[providers."{name}"]\nattempts = 1\n{told}\n[voices."{name}"]\nlanguage = "en"\n'


def configuration(doubles: dict[str, VendorServer], redis: str) -> str:
    """A provider and a voice for each fault: a circuit that has opened would spare the others theirs."""
    parts = [f'[redis]\nurl = "{redis}"\n[auth]\nmode = "keys"\nsecret = "{SECRET}"\n']
    parts.append(
        '[limits.default]\nrequests_per_minute = "off"\n[server]\nmax_input_chars = 300\ndeadline = "3s"\n'
    )
    for script, lines in SCRIPTS.items():
        chain = f'chain = [{{ provider = "{script}", voice = "low" }}]\n'
        parts.append(table(script, 'kind = "scripted"', lines) + chain)
    for name, double in doubles.items():
        wire = WIRES[name]
        key = (wire.api_key or VENDOR_KEY).replace("sk-canary-0123456789", VENDOR_KEY)
        lines = [
            f'kind = "{wire.kind}"', f'base_url = "{double.url}{wire.path}"', f'api_key = "{key}"',
            *(f'{option} = "{value}"' for option, value in wire.options),
        ]  # fmt: skip
        settings = "".join(f', {option} = "{value}"' for option, value in wire.voice.settings)
        for fault in (*REPLIES, "well", "late"):
            place = f"{name} {fault}".replace(" ", "-")
            slow = ['first_byte_timeout = "100ms"'] if fault == "late" else []
            voice = f'{{ provider = "{place}", voice = "{wire.voice.voice}"{settings} }}'
            parts.append(table(place, *lines, *slow) + f"chain = [{voice}]\n")
    return "".join(parts)


@pytest.fixture(
    params=[("openai", "polly"), pytest.param(tuple(WIRES), marks=pytest.mark.soak)], ids=["two", "every"]
)
async def doubles(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, VendorServer]]:
    """Vendors: one who takes the key as it is, one who signs with it; or all."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(vendor_server(wire.answer))
            for name, wire in WIRES.items()
            if name in request.param
        }


def failing(usual: Answer, instead: Reply | None) -> Answer:
    """A vendor who answers speech so; a probe of a circuit, which comes when it likes, as usual."""

    def answer(request: Request) -> Reply:
        well = usual(request)
        if instead is None or WORD.encode() not in request.raw:
            return well
        body = well.body if instead.body is None else instead.body
        return replace(instead, headers=instead.headers or well.headers, body=body)

    return answer


async def bad_requests(client: httpx.AsyncClient, told: Told) -> None:
    """What clients get wrong, with something private in each."""
    speech = "/v1/audio/speech"
    bodies: list[object] = [
        {"input": f"{WORD} " * 60},
        {"input": f"<speak><audio src='{WORD}'>{WORD}</audio></speak>", "input_type": "ssml"},
        {"input": f"<!DOCTYPE speak [<!ENTITY x '{WORD}'>]><speak>&x;</speak>", "input_type": "ssml"},
        {"input": f"<speak>{WORD} & {WORD}", "input_type": "ssml"},
        {"input": f"<speak><break time='{WORD}'/>{WORD}</speak>", "input_type": "ssml"},
        {"input": f"{WORD} \x00"},
        {"input": WORD, "voice": WORD},
        {"input": WORD, "language": WORD},
        {"input": WORD, "response_format": WORD},
        {"input": WORD, "speed": WORD},
        {"input": WORD, "tags": [WORD * 20]},
        {"input": [WORD]},
        {WORD: WORD},
        WORD,
    ]
    for path in (speech, "/v1/speech/plan", "/v1/cache/purge"):
        for body in bodies:
            answer = await client.post(path, json=body)
            assert 400 <= answer.status_code < 500, answer.text
            told.hear(answer, answer.content)
        answer = await client.post(
            path, content=f'{{"input": "{WORD}'.encode(), headers={"Content-Type": "application/json"}
        )
        told.hear(answer, answer.content)
    strangers = [
        {"Authorization": f"Bearer {TOKEN}"},
        {"xi-api-key": VENDOR_KEY},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": TOKEN, "Authorization": "", "xi-api-key": ""},
        {"Idempotency-Key": WORD, "X-Request-Id": f"{TOKEN}\t{WORD}", "Origin": f"https://{WORD}.example"},
        {"Host": f"{WORD}.example", "X-Forwarded-For": TOKEN},
    ]
    for headers in strangers:
        answer = await client.post(speech, json={"input": WORD}, headers=headers)
        told.hear(answer, answer.content)
    for query in ({"xi-api-key": TOKEN}, {"text": WORD}, {"token": TOKEN}):
        answer = await client.get("/v1/speech/" + "0" * 40, params=query)
        assert answer.status_code == 404
        told.hear(answer, answer.content)


async def speak(client: httpx.AsyncClient, told: Told, voice: str, number: int) -> int:
    """One speech, to its end or its being cut; the status."""
    body = {
        "input": f"{WORD} was said for the {number}th time",
        "voice": voice,
        "response_format": "pcm",
        "tags": [WORD],
        "instructions": f"As {WORD} would say it.",
        "stream_format": "sse" if number % 3 == 0 else "audio",
    }
    async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
        got = b""
        try:
            async for piece in answer.aiter_raw():
                got += piece
        except httpx.RemoteProtocolError:
            got += b" (cut)"
        told.hear(answer, got)
        return answer.status_code


@pytest.mark.timeout(180)
async def test_what_is_private_is_found_nowhere(tmp_path: Path, doubles: dict[str, VendorServer]):
    """Texts are people's letters and keys are their money; logs, metrics and key names are read by many."""
    valkey = Valkey(tmp_path)
    link = RedisLink(valkey.url)
    _, key = await Keys(link, Secret(link, SECRET)).create("canary-user", role="admin")
    (tmp_path / "home").mkdir()
    server = await asyncio.to_thread(
        Server,
        tmp_path / "home",
        configuration(doubles, valkey.url),
        program=DEBUGGING,
        options=["--access-log"],
    )
    told = Told()
    statuses = set()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=30, headers={"xi-api-key": key}) as client:
            for number, script in enumerate(SCRIPTS):
                statuses.add(await speak(client, told, script, number))
            for number, (name, fault) in enumerate(
                ((name, fault) for name in doubles for fault in (*REPLIES, "well", "late")), start=1000
            ):
                double = doubles[name]
                double.vendor = failing(WIRES[name].answer, REPLIES.get(fault))
                if fault == "late":
                    double.silent.clear()
                status = await speak(client, told, f"{name} {fault}".replace(" ", "-"), number)
                double.silent.set()
                if fault not in {
                    "bytes",
                    "cut",
                    "broken off",
                }:  # some of those are heard before they are known
                    assert (status == 200) == (fault == "well"), (name, fault, status)
                statuses.add(status)
            assert statuses >= {200, 502, 503}
            await bad_requests(client, told)
            metrics = (await client.get("/metrics")).text
        title = (Path("/proc") / str(server.process.pid) / "cmdline").read_text()
        log = server.log.read_text(encoding="utf-8", errors="replace")
        async with Redis(unix_socket_path=valkey.socket) as redis:
            names = [name.decode("latin-1") async for name in redis.scan_iter()]
    finally:
        await asyncio.to_thread(server.stop)
        await link.aclose()
        valkey.stop()
    log += server.log.read_text(encoding="utf-8", errors="replace")[len(log) :]
    assert "POST /v1/audio/speech" in log, "the access log was on"
    assert "DEBUG" in log, "the debug level was on"
    assert len(names) > 10
    places = {
        "log": log,
        "metrics": metrics,
        "title": title,
        "keys": "\n".join(names),
        "answers": "\n".join(told.answers),
    }
    needles = {
        "text": WORD, "vendor's key": VENDOR_KEY, "token": TOKEN, "key": key.split("_")[2], "secret": SECRET,
        "user": "canary-user", "signature": TOKEN.split(".")[2],
    }  # fmt: skip
    found = {
        (place, what): [line[:300] for line in text.splitlines() if needle.lower() in line.lower()][:3]
        for place, text in places.items()
        for what, needle in needles.items()
        if needle.lower() in text.lower()
    }
    assert not found
    assert "Traceback" not in log
