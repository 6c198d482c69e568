"""A user of Redis who may do no more than the page says, with keys, limits, usage and tokens in the same Redis."""

import re
from pathlib import Path

import pytest

from app.users.keys import Keys
from app.users.revocations import Revocations
from app.users.store import Secret
from cache.link import RedisLink
from tests.http.servers import VOICES, Valkey, inside

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"
CONFIG = '[auth]\nmode = "keys"\n[limits.default]\nspend_per_month = 5.0\n' + VOICES


async def test_the_rights_that_the_page_gives_are_enough_for_users(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    """Operators copy that line: nobody could be let in, made a key, or counted, and Redis would seem to be away."""
    line = re.search(r"^ACL SETUSER refrain .+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    for command in ("FLUSHALL", "ACL LOG RESET", line[0].replace("SECRET", "poor")):
        assert valkey.command(*command.split()) == b"+OK\r\n"
    url = f"unix://refrain:poor@{valkey.socket}"
    link = RedisLink(url)
    keys = Keys(link, Secret(link, ""))
    key, presented = await keys.create("alice")
    mine = {"xi-api-key": presented}
    async with inside(monkeypatch, url, CONFIG) as house:
        for _ in range(2):
            answer = await house.client.post(
                "/v1/audio/speech", json={"input": "Hello."}, headers={**mine, "Idempotency-Key": "once"}
            )
            assert answer.status_code == 200, answer.text
        assert (await house.client.post("/v1/tokens", json={}, headers=mine)).status_code == 200
        used = (await house.client.get("/v1/usage", headers=mine)).json()
        assert used["requests"] == 2
        assert await house.metric("refrain_redis_errors_total") == 0
    await keys.revoke(key.id)
    await Revocations(link, kept=60.0).revoke_user("alice")
    assert await keys.forget("alice") == 1
    assert link.errors == 0
    await link.aclose()
    assert valkey.command("ACL", "LOG") == b"*0\r\n"
