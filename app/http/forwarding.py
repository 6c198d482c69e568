"""What proxies tell of whom they speak for, believed from those alone that the operator has named.

`X-Forwarded-For`, `-Proto` and `-Host` can be written by anybody. Of all others they are let be, as is `Forwarded`.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from litestar.types import HTTPScope, WebSocketScope

Network = IPv4Network | IPv6Network

MOST_PROXIES: Final = 32
"""In a row. A head has room for thousands, which take a tenth of a second to be looked at."""

_SCHEMES: Final = {
    b"http": {"http": "http", "websocket": "ws"},
    b"https": {"http": "https", "websocket": "wss"},
}
_HOST: Final = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_PORT: Final = re.compile(r"(?:\[(?P<six>[^\]]*)\](?::\d+)?|(?P<four>[\d.]+):\d+)")


class Proxies:
    """Those in front of this server."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)

    def heed(self, scope: HTTPScope | WebSocketScope) -> None:
        """Put what the proxy tells in the place of what is seen of itself: the client, the scheme, the host.

        In the scope itself, which is what the server's own log is written from.
        """
        if not self._trusted or scope["client"] is None:
            return
        peer = _address(scope["client"][0])
        if peer is None or not self._is_trusted(peer):
            return
        told = _told(scope)
        client = self._farthest(told[b"x-forwarded-for"])
        if client is not None:
            scope["client"] = (str(client), 0)
        scheme = _only(told[b"x-forwarded-proto"]).lower()
        if scheme in _SCHEMES:
            scope["scheme"] = _SCHEMES[scheme][scope["type"]]
        host = _only(told[b"x-forwarded-host"])
        if _HOST.fullmatch(host):
            scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] != b"host"), (b"host", host)]

    def _farthest(self, values: list[bytes]) -> IPv4Address | IPv6Address | None:
        """The first, from the nearest on, that is no proxy of ours: what stands before it, it may have made up."""
        found = None
        entries = b",".join(values).decode("latin-1").rsplit(",", MOST_PROXIES)
        for entry in reversed(entries[-MOST_PROXIES:]):
            address = _address(entry.strip())
            # A zone means something on the machine that has it, and may be any words: they would get into the log.
            if address is None or "%" in str(address):
                break
            found = address
            if not self._is_trusted(address):
                break
        return found

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _told(scope: HTTPScope | WebSocketScope) -> dict[bytes, list[bytes]]:
    told: dict[bytes, list[bytes]] = {
        b"x-forwarded-for": [],
        b"x-forwarded-proto": [],
        b"x-forwarded-host": [],
    }
    for name, value in scope["headers"]:
        if name in told:
            told[name].append(value)
    return told


def _only(values: list[bytes]) -> bytes:
    """The one value; of several nobody knows which is whose."""
    return values[0].strip() if len(values) == 1 and b"," not in values[0] else b""


def _address(written: str) -> IPv4Address | IPv6Address | None:
    if match := _PORT.fullmatch(written):
        written = match["six"] or match["four"]
    with suppress(ValueError):
        address = ip_address(written)
        return getattr(address, "ipv4_mapped", None) or address
    return None
