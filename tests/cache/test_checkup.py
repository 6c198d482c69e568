"""What `refrain doctor` says of Redis: the operator's only look at what speech silently does without."""

import signal
import tempfile
from pathlib import Path

import pytest

from cache.checkup import Remark, check_up
from tests.cache.conftest import Server
from tests.cache.fleet import Cluster, Guarded
from tests.cache.proxy import AUTHORITY, proxied, tls


async def remarks(url: str, verdict: str) -> list[str]:
    """The remarks with this verdict."""
    return [one.text for one in await check_up(url, patience=5.0) if one.verdict == verdict]


@pytest.mark.parametrize(
    ("bound", "policy", "advice"),
    [
        ("0", "noeviction", "has no bound in memory"),
        ("100mb", "noeviction", "stores nothing new once it is full"),
        ("100mb", "allkeys-lru", "throws out anything"),
        ("100mb", "volatile-lfu", ""),
    ],
)
async def test_an_eviction_policy_that_will_hurt_is_told_before_it_does(
    victim: Server, bound: str, policy: str, advice: str
):
    """Months later the server is full, and nothing new is ever kept again, or users' limits are gone."""
    victim.command("CONFIG", "SET", "maxmemory", bound)
    victim.command("CONFIG", "SET", "maxmemory-policy", policy)
    found = await check_up(victim.url, patience=5.0)
    assert found[0] == Remark("ok", "answers")
    told = [remark.text for remark in found[1:] if remark.verdict == "but"]
    assert [text[: len(advice)] for text in told] == ([advice] if advice else [])
    assert len(found) == 1 + len(told)


async def test_what_a_crash_would_take_away_is_told_before_it_does(victim: Server):
    """All users' keys would be gone after a power cut, and their budgets whole again."""
    victim.command("CONFIG", "SET", "maxmemory", "100mb")
    victim.command("CONFIG", "SET", "maxmemory-policy", "volatile-lfu")
    also = [("keys", "others:1")]
    (_, told) = await check_up(victim.url, also=also, lasting=True, patience=5.0)
    assert told == Remark(
        "but", "loses what came after its last save (keys) when it crashes; set appendonly to yes"
    )
    assert await check_up(victim.url, also=also, patience=5.0) == [Remark("ok", "answers")]
    victim.command("CONFIG", "SET", "appendonly", "yes")
    assert await check_up(victim.url, also=also, lasting=True, patience=5.0) == [Remark("ok", "answers")]


async def test_what_the_server_refuses_is_told_with_what_to_do(victim: Server):
    """Speech goes on over all of these: nobody would ever know why nothing is shared."""
    victim.command("CONFIG", "SET", "maxmemory", "1")
    assert "full" in (await remarks(victim.url, "no"))[0]
    victim.command("CONFIG", "SET", "maxmemory", "0")
    victim.command("REPLICAOF", "127.0.0.1", "1")
    assert "replica" in (await remarks(victim.url, "no"))[0]
    victim.command("REPLICAOF", "NO", "ONE")
    victim.command("ACL", "SETUSER", "poor", "on", "nopass", "~refrain:*", "+@read", "+@write", "+ping")
    told = await remarks(f"unix://poor:x@{victim.socket}", "no")
    assert [text.split(":")[0] for text in told] == [
        "does not let us run scripts",
        "does not let us listen",
    ]
    victim.command("ACL", "SETUSER", "poor", "+@all", "&*")
    found = await check_up(f"unix://poor:x@{victim.socket}", also=[("others", "others:1")], patience=5.0)
    assert [one.text.split(": ")[0] for one in found if one.verdict == "no"] == [
        "does not let us store others"
    ]
    victim.command("CONFIG", "SET", "requirepass", "right")
    (told,) = await remarks(f"unix://:canary@{victim.socket}", "no")
    assert "password" in told
    assert "canary" not in told


async def test_a_server_that_is_not_there_or_not_trusted(valkey: Server):
    """The advice must fit: whoever looks for a firewall has a certificate to mend."""
    (told,) = await remarks("redis://127.0.0.1:1", "no")
    assert "does not answer" in told
    async with proxied(valkey.socket, tls=tls()) as proxy:
        (told,) = await remarks(proxy.url, "no")
        assert "ssl_ca_certs" in told
        assert await remarks(f"{proxy.url}?ssl_ca_certs={AUTHORITY}", "no") == []


async def test_of_sentinels_the_master_is_told(steady: Guarded):
    """A service with another name looks just like sentinels that are down."""
    assert f"127.0.0.1:{steady.master.port}" in (await remarks(steady.url, "ok"))[0]
    (told,) = await remarks(steady.url.replace("/refrain", "/other"), "no")
    assert "knows the service" in told


async def test_of_a_cluster_its_nodes_are_told(nodes: Cluster):
    """Half a cluster answers, too: what lies on the other half is paid for again and again."""
    assert "3 masters" in (await remarks(nodes.url, "ok"))[0]
    nodes.masters[2].send(signal.SIGSTOP)
    try:
        found = await check_up(nodes.url, patience=0.5)
        assert f"127.0.0.1:{nodes.masters[2].port} does not answer any more" in " ".join(
            one.text for one in found
        )
    finally:
        nodes.masters[2].send(signal.SIGCONT)
    with tempfile.TemporaryDirectory() as home:
        alone = Server(Path(home), "--port", "0")
        async with proxied(alone.socket) as proxy:
            (told,) = await remarks(proxy.url.replace("redis://", "redis+cluster://"), "no")
        assert "no node that answers as one of a cluster" in told
        alone.stop()
