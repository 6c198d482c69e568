"""An address of Redis: one server, the master that sentinels name, or a cluster. Connects to nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio.connection import Connection, RedisSSLContext, SSLConnection, parse_url
from redis.exceptions import RedisError

Kind = Literal["server", "sentinel", "cluster"]
Host = tuple[str, int]
Options = dict[str, Any]
"""What redis-py makes a connection of, beside host and port: `connection_class`, `username`, `ssl_ca_certs`..."""

_SCHEMES: dict[str, tuple[str, Kind, int]] = {
    "redis": ("redis", "server", 6379),
    "rediss": ("rediss", "server", 6379),
    "unix": ("unix", "server", 0),
    "redis+sentinel": ("redis", "sentinel", 26379),
    "rediss+sentinel": ("rediss", "sentinel", 26379),
    "redis+cluster": ("redis", "cluster", 6379),
    "rediss+cluster": ("rediss", "cluster", 6379),
}
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]@/]+))(?::(?P<port>\d{1,5}))?")
# Of redis-py's options those that are the operator's; time-outs, pools and encodings are ours.
_OPTIONS = re.compile(r"db|client_name|ssl_\w+")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OF_SERVERS = ("username", "password", "db")
_SENTINEL_LOGIN = {"sentinel_username": "username", "sentinel_password": "password"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is. `hosts`: the server, the sentinels, or the nodes to begin with; none for a Unix socket."""

    kind: Kind
    hosts: tuple[Host, ...]
    options: Options = field(repr=False)
    service: str = ""
    sentinel_options: Options = field(default_factory=dict, repr=False)


class Secure(SSLConnection):
    """TLS whose context is made once for all connections: to load the machine's certificates takes 28 ms each."""

    def __init__(self, *, shared_context: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = shared_context


def parse(url: str) -> Address:
    """The address in a URL.

    Raises:
        ValueError: nothing can be connected to under it; says what to do, and quotes nothing of it but option names.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("has brackets that hold no IPv6 address; write redis://[::1]:6379/0") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"has to begin with one of {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
    _, kind, port = _SCHEMES[parts.scheme]
    login, at, netloc = parts.netloc.rpartition("@")
    hosts = tuple(_hosts(netloc, port)) if port else ()
    if kind == "server" and len(hosts) > 1:
        raise ValueError("names several hosts: use redis+sentinel:// or redis+cluster://, or name one")
    service, db = _path(parts, kind)
    options, sentinel_options = _options(parts, login + at, db)
    if kind == "cluster" and options.get("db"):
        raise ValueError("names a database, and a cluster has only 0; leave it out")
    return Address(kind, hosts, options, service, sentinel_options)


def checked(url: str) -> str:
    """The URL itself, if `parse` takes it.

    Raises:
        ValueError: as `parse`.
    """
    parse(url)
    return url


def _hosts(netloc: str, port: int) -> Iterator[Host]:
    for host in netloc.split(","):
        match = _HOST.fullmatch(host)
        number = int(match["port"] or port) if match else 0
        if match is None or not 0 < number < 65536:  # noqa: PLR2004 - ports have 16 bits
            raise ValueError(
                "names no host and port; write HOST:PORT, and in a password %40 for @, %2F for /, %3A for :"
            )
        yield unquote(match["six"] or match["name"]), number


def _path(parts: SplitResult, kind: Kind) -> tuple[str, str]:
    """The service, where sentinels are asked for one, and the number of the database as it is written."""
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("names no socket; write unix:///path/to/redis.sock")
        return "", ""
    service, db = "", parts.path.strip("/")
    if kind == "sentinel":
        service, _, db = db.partition("/")
        if not service:
            raise ValueError("names no service; write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE")
    if not re.fullmatch("[0-9]*", db):
        raise ValueError("has a database that is no number; write redis://HOST:PORT/0")
    return unquote(service), db


def _options(parts: SplitResult, login: str, db: str) -> tuple[Options, Options]:
    """Those of connections to servers, and to sentinels. What redis-py takes is found out by making one."""
    query = parse_qsl(parts.query, keep_blank_values=True)
    for name, setting in query:
        if not _OPTIONS.fullmatch(name) and name not in _SENTINEL_LOGIN:
            raise ValueError(
                f"has the option {name}, which is not known; it may have db, client_name, ssl_..."
            )
        if name in _FILES and not Path(setting).is_file():
            raise ValueError(f"has {name}, which names no file; give the path of one")
    scheme = _SCHEMES[parts.scheme][0]
    place = parts.path if scheme == "unix" else f"host/{db}"
    kept = urlencode([(name, setting) for name, setting in query if name not in _SENTINEL_LOGIN])
    try:
        options: Options = {"connection_class": Connection, **parse_url(f"{scheme}://{login}{place}?{kept}")}
        options.pop("host", None)
        if options["connection_class"] is SSLConnection:
            options |= {
                "connection_class": Secure,
                "shared_context": SSLConnection(**_tls(options)).ssl_context,
            }
        make = options["connection_class"]
        make(**{name: setting for name, setting in options.items() if name != "connection_class"})
    except (ValueError, TypeError, RedisError):
        raise ValueError("has an option behind the ? that is not taken; check its name and value") from None
    common = {name: setting for name, setting in options.items() if name not in _OF_SERVERS}
    return options, common | {_SENTINEL_LOGIN[n]: setting for n, setting in query if n in _SENTINEL_LOGIN}


def _tls(options: Options) -> Options:
    return {name: setting for name, setting in options.items() if name.startswith("ssl_")}
