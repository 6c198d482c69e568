"""Refrain in the test's own loop, as for the tests of speech."""

from tests.speech.conftest import house, valkey

__all__ = ["house", "valkey"]
