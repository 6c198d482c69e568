"""Whom TLS to a vendor trusts: the authorities that httpx reads by itself, read once for all lines."""

import functools
import os
import ssl
from pathlib import Path

import httpx


def authorities() -> ssl.SSLContext:
    """What `httpx.create_ssl_context` makes, one for all: to read the world's authorities takes 15 ms of a core each.

    It is made anew once the environment names another file, or that file has been changed, so that what is built by a
    reload trusts whom the file names then. Of a folder OpenSSL reads at each connection what it needs.
    """
    file = os.environ.get("SSL_CERT_FILE")
    changed = Path(file).stat().st_mtime_ns if file else 0
    return _read(file, os.environ.get("SSL_CERT_DIR"), changed)


@functools.lru_cache(maxsize=1)
def _read(_file: str | None, _folder: str | None, _changed: int) -> ssl.SSLContext:
    return httpx.create_ssl_context()
