"""Users through a Redis that lets its own user do no more than the documentation says."""

import re
from pathlib import Path

import pytest

from app.settings import parse
from app.users.desk import open_desk
from app.users.keys import Keys
from app.users.revocations import open_revocations
from app.users.store import Secret
from cache.errands import Errands
from cache.link import RedisLink
from tests.http.servers import VOICES, Valkey, inside

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"
CONFIG = f"""
[auth]
mode = "keys+jwt"
[auth.jwt]
algorithms = ["HS256"]
public_key = "{"s" * 32}"
[limits.default]
spend_per_month = 5.0
{VOICES}"""


async def test_the_least_rights_that_the_page_gives_are_enough(
    monkeypatch: pytest.MonkeyPatch, valkey: Valkey
):
    """Who copies that line, and then asks for keys, would lock everybody out, himself among them."""
    line = re.search(r"^ACL SETUSER refrain .+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    valkey.command("FLUSHALL")  # other tests' users are known in it
    valkey.command("ACL", "LOG", "RESET")
    assert valkey.command(*line[0].replace("SECRET", "p@ss").split()) == b"+OK\r\n"
    url = f"unix://refrain:p%40ss@{valkey.socket}"
    link = RedisLink(url, timeout=5)
    keys = Keys(link, Secret(link))
    key, presented = await keys.create("ann")
    async with inside(monkeypatch, url, CONFIG) as house:
        mine = {"Authorization": f"Bearer {presented}", "Idempotency-Key": "once"}
        said = await house.client.post("/v1/audio/speech", json={"input": "Once."}, headers=mine)
        assert said.status_code == 200
        issued = await house.client.post("/v1/tokens", headers=mine)
        params = {"token": issued.json()["token"]}
        assert (await house.client.get(said.headers["content-location"], params=params)).status_code == 200
        assert (await house.client.get("/v1/usage", headers=mine)).json()["requests"] == 1
    errands = Errands(link)
    settings = parse(f'[redis]\nurl = "{url}"\n{CONFIG}', {})
    async with open_desk(settings, errands, lambda: settings) as desk:
        assert [known.user for known in await desk.accounts.known()] == ["ann"]
        await open_revocations(link, settings).revoke_user("ann")
        await desk.keys.revoke(key.id)
        await desk.keys.forget("ann")
        await desk.accounts.forget("ann")
    await errands.aclose()
    await link.aclose()
    assert valkey.command("ACL", "LOG") == b"*0\r\n"
    valkey.command("ACL", "DELUSER", "refrain")
