"""The explained configuration in `samples/` and the excerpt in the README."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings import Entry, Link, ProviderTable, Settings, Table, VoiceTable, parse
from providers.kinds import KINDS

ROOT = Path(__file__).parent.parent.parent
SAMPLE = (ROOT / "samples" / "refrain.toml").read_text(encoding="utf-8")
DOCUMENT = tomllib.loads(SAMPLE)


def keys(table: type[Table], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys of the plain tables."""
    for name, field in table.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            yield from keys(field.annotation, (*path, name))
        elif name not in {"providers", "voices", "pronunciation", "plans"}:
            yield (*path, name)


def at(path: tuple[str, ...]) -> Any:
    """What the sample has there."""
    found: Any = DOCUMENT
    for name in path:
        found = found[name]
    return found


def named_in(tables: Any) -> set[str]:
    """All keys of some tables."""
    return {key for table in tables for key in table}


def test_the_sample_has_no_mistakes():
    """Whoever copies it would start with an error."""
    parse(SAMPLE, {})


@pytest.mark.parametrize("path", list(keys(Settings)), ids=".".join)
def test_the_sample_names_every_key(path: tuple[str, ...]):
    """An operator would never learn of the key."""
    at(path)


def test_the_sample_names_every_key_of_providers_and_voices():
    """Likewise for the tables that are named by the operator."""
    voices = DOCUMENT["voices"].values()
    written = named_in(DOCUMENT["providers"].values()) | set(re.findall(r"^# (\w+) = ", SAMPLE, re.MULTILINE))
    assert set(ProviderTable.model_fields) <= written
    assert set(VoiceTable.model_fields) <= named_in(voices)
    assert set(Link.model_fields) <= named_in(link for voice in voices for link in voice["chain"])


def test_the_sample_shows_every_way_of_writing_a_pronunciation():
    """Who needs sounds, or a list for one language, would not learn how they are written."""
    lists = DOCUMENT["pronunciation"]
    assert {"any", "de"} <= set(lists)
    entries = [entry for words in lists.values() for entry in words.values()]
    assert any(isinstance(entry, str) for entry in entries)
    assert set(Entry.model_fields) <= named_in(entry for entry in entries if isinstance(entry, dict))


def test_the_sample_has_every_kind():
    """A kind that no sample shows is found by nobody."""
    assert {provider["kind"] for provider in DOCUMENT["providers"].values()} == set(KINDS)


def test_what_is_not_an_example_is_the_default():
    """The sample promises the default for every value that is not marked as an example."""
    ours, defaults = parse(SAMPLE, {}), parse("", {})
    for path in keys(Settings):
        mine: Any = ours
        usual: Any = defaults
        for name in path:
            mine, usual = getattr(mine, name), getattr(usual, name)
        assert mine == usual, ".".join(path)
    assert ours.providers["local"] == defaults.providers["local"]


def test_the_readme_configuration_has_no_mistakes(monkeypatch: pytest.MonkeyPatch):
    """The first thing that a reader copies would be refused."""
    monkeypatch.setenv("OPENAI_API_KEY", "some-key")
    (block,) = re.findall(
        r"^```toml\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    settings = parse(block, {})
    assert [link.provider for link in settings.voices["default"].chain] == ["openai", "local"]
