"""`[server]`: where it listens, what it takes, and whom it answers."""

from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from app.settings.table import Table, written_as
from app.units import Bytes, Seconds


def is_loopback(host: str) -> bool:
    """Whether only this machine is meant."""
    with suppress(ValueError):
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    return host.lower().removesuffix(".") == "localhost"


_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
HostName = Annotated[
    str,
    written_as(
        r"\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]",
        'write a name without scheme and port, such as "voice.example.com", or "*" for any',
    ),
    AfterValidator(str.lower),
]
"""Without a port."""


def _as_sent(origin: str) -> str:
    origin = origin.lower()
    return next(
        (origin.removesuffix(port) for scheme, port in _OWN_PORTS if origin.startswith(scheme)), origin
    )


_OWN_PORTS = (("https://", ":443"), ("http://", ":80"))
PageOrigin = Annotated[
    str,
    written_as(
        r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._:\[\]-]+",
        'write scheme and host, such as "https://app.example.com", and no path; there is no "*", and no "null"',
    ),
    AfterValidator(_as_sent),
]
"""As browsers send it: scheme, host and, where it is not the scheme's own, port."""


def _network(value: Any) -> Any:
    try:
        network = ip_network(value) if isinstance(value, str) else None
    except ValueError:
        network = None
    if network is None:
        raise ValueError('use an address, or a network such as "10.0.0.0/8" without bits of a host')
    # Who comes by IPv4 to a socket of IPv6 is compared by IPv4.
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return network if mapped is None else ip_network((mapped, network.prefixlen - 96))


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


class Server(Table):
    """Where the server listens and what it takes. `deadline`: seconds until the next sound, at most.

    `grace`: seconds from the signal to end until the process is gone, whatever hangs. `public_listings`: voices and
    models are listed for who has no key, too. `allowed_hosts`: names by which it may be called, whatever the port
    (`*`: any); `allowed_origins`: whose pages, besides its own, may have it speak. `trusted_proxies`: addresses and
    networks from which forwarding headers are believed. `websocket_message`: bytes of one, at most; `websocket_idle`:
    seconds without one in either direction, after which it is closed.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    max_body: Annotated[Bytes, Field(ge=1024)] = 2**20
    max_input_chars: Annotated[int, Field(ge=1)] = 200_000
    websocket_message: Annotated[Bytes, Field(ge=1024, le=2**24)] = 2**16
    websocket_idle: Annotated[Seconds, Field(ge=1)] = 180.0
    deadline: Annotated[Seconds, Field(gt=0)] = 60.0
    grace: Annotated[Seconds, Field(ge=1, le=3600)] = 15.0
    public_listings: bool = True
    allowed_hosts: tuple[HostName, ...] = ()
    allowed_origins: tuple[PageOrigin, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names by which it may be called; None: by any.

        One that only this machine can reach always has names: a stranger's page could otherwise give its own name
        this machine's address, and be taken for the server's own page (DNS rebinding).
        """
        own = (*_LOOPBACK_NAMES, self.host.lower()) if self.is_loopback else ()
        names = frozenset((*self.allowed_hosts, *own))
        return None if "*" in names or not names else names

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)
