"""The import arrows of the house."""

import ast
from functools import cache
from pathlib import Path

import pytest

from providers.kinds import KINDS

ROOT = Path(__file__).parent.parent
OURS = ("app", "cache", "providers")

# Folder (or file) -> what of ours it may import, besides itself. The longest prefix counts.
ARROWS: dict[str, set[str]] = {
    "providers": {"providers"},
    "cache": {"cache"},
    "app.text": {"app.text"},
    "app.audio": {"app.audio"},
    "app.errors": set(),
    "app.metrics": set(),
    "app.units": set(),
    "app.toml_lines": set(),
    "app.unprinted": set(),
    "app.settings": {
        "app.units", "app.toml_lines", "app.text.normalize", "app.text.language", "app.text.pronunciation",
        "app.audio.offers", "cache.address", "providers.interface", "providers.kinds",
    },
    "app.users": {"app.errors", "app.settings", "cache"},
    "app.speech": {
        "app.unprinted", "app.users", "app.audio", "app.text", "app.errors", "app.metrics", "app.settings",
        "cache", "providers.deadline", "providers.interface", "providers.errors",
    },
    "app.stores": {"app.settings", "cache"},
    "app.purging": {"app.errors", "app.speech", "app.stores", "app.users", "cache"},
    "app.http": {
        "app.unprinted", "app.users", "app.purging", "cache.asker", "cache.errors",
        "app.speech", "app.audio.formats", "app.errors", "app.metrics", "providers.errors",
        "app.text.intake.kinds", "app.text.language",
    },
    "app.company": {
        "app.errors", "app.speech.standing",
        "providers.gate", "providers.interface", "providers.kinds", "providers.retry", "providers.wrapped",
    },
    "app.warmth": {
        "app.errors", "app.speech.cast", "app.speech.voices", "providers.errors", "providers.interface",
    },
    "app.warming": {"app.speech.voices", "cache.cache", "providers.errors", "providers.interface"},
    "app.reload": {"app.errors", "app.settings"},
    "app.server": {"app", "cache", "providers"},
    "app.cli": {"app", "cache", "providers"},
    "app.__main__": {"app.cli"},
}  # fmt: skip


@cache
def modules() -> list[tuple[str, Path]]:
    """Every module of ours, by dotted name."""
    found = []
    for top in OURS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


@cache
def statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """The import statements of a file, anywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, anywhere in it."""
    found: set[str] = set()
    known = {name for name, _ in modules()}
    for node in statements(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (submodules & known) or {node.module}
    return {name for name in found if name.split(".")[0] in OURS}


def under(name: str, prefix: str) -> bool:
    """Whether a module is the prefix or below it."""
    return name == prefix or name.startswith(f"{prefix}.")


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_one_way(name: str, path: Path):
    """A vendor's file that reaches into the service, or a cache that knows of sound, could not be taken out again."""
    if name == "app":
        assert not imports(path)
        return
    rule = max((prefix for prefix in ARROWS if under(name, prefix)), key=len)
    allowed = ARROWS[rule] | {rule}
    strangers = {module for module in imports(path) if not any(under(module, prefix) for prefix in allowed)}
    assert not strangers, f"{name} must not import {', '.join(sorted(strangers))}"


def test_vendors_do_not_know_each_other():
    """A newcomer who adds a vendor reads one file: no vendor's file imports another's."""
    files = {path.stem: path for path in (ROOT / "providers").glob("*.py")}
    for name, path in files.items():
        vendor = name.split("_")[0]
        if vendor not in KINDS:
            continue
        others = {other for other in files if other.split("_")[0] in KINDS.keys() - {vendor}}
        found = imports(path)
        assert not found & {f"providers.{other}" for other in others}
        assert "providers.kinds" not in found


def test_redis_is_known_to_the_cache_only():
    """Law 7: whoever swaps Redis changes one folder."""
    for name, path in modules():
        if name.split(".")[0] == "cache":
            continue
        for node in statements(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not any(under(imported, "redis") for imported in names), name


def test_files_can_be_held_in_the_head():
    """A file past 400 lines holds more than one thing."""
    assert not [name for name, path in modules() if len(path.read_text(encoding="utf-8").splitlines()) > 400]
