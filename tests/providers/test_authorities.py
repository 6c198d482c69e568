"""Whom TLS to a vendor trusts."""

import os
import ssl
from pathlib import Path

import pytest

from providers.authorities import authorities

AUTHORITY = Path(__file__).parent.parent / "cache" / "tls" / "authority.pem"


def test_is_read_once(monkeypatch: pytest.MonkeyPatch):
    """Each vendor in a configuration would cost the start as much again."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert authorities() is authorities()
    assert authorities().verify_mode is ssl.CERT_REQUIRED
    assert authorities().check_hostname


def test_a_file_of_ones_own_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever renews his company's authority reloads; the old one would be trusted until a restart, and not the new."""
    file = tmp_path / "own.pem"
    file.write_bytes(AUTHORITY.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    own = authorities()
    assert len(own.get_ca_certs()) == 1
    assert authorities() is own
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000))
    assert authorities() is not own
