"""The pages say what is there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.errors import ErrorsPage
from benchmarks.__main__ import MEASURES

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
CODE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^(?: {4}\S.*)\n)+", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text(path: str) -> str:
    """A file of the project."""
    return (ROOT / path).read_text(encoding="utf-8")


def links(page: Path) -> Iterator[str]:
    """The relative links of a page, code left out."""
    prose = CODE.sub("", page.read_text(encoding="utf-8"))
    return (link for link in LINK.findall(prose) if not re.match(r"[a-z]+:", link))


def heading_anchors(page: Path) -> set[str]:
    """What `#...` may name on a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def readme_commands() -> list[list[str]]:
    """What the README tells its reader to type: the indented blocks, comments left out."""
    lines = "".join(INDENTED.findall(text("README.md"))).splitlines()
    return [line.split("#")[0].split() for line in lines]


def test_errors_page_is_the_table():
    """A client's author would handle a code that no longer exists, or miss a new one."""
    assert text("docs/errors.md") == ErrorsPage.render()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path):
    """A reader would be sent to a page that is not there."""
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in heading_anchors(target), f"{page.name} links to {link}"


def test_links_are_found():
    """The test above would hold for any page if it found no link on it."""
    assert len(list(links(ROOT / "README.md"))) > 5


def test_readme_commands_exist():
    """A stranger's first command would fail."""
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    commands = readme_commands()
    assert commands
    for tool, subject, *_ in commands:
        if tool == "make":
            assert subject in targets
        else:
            assert tool == ".venv/bin/refrain"


@pytest.mark.parametrize(
    "command", [words[1:] for words in readme_commands() if words[0] != "make"], ids=" ".join
)
def test_readme_subcommands_take_what_they_are_given(
    command: list[str], subcommands: dict[str, click.Command]
):
    """The README would name a command, or an option, that the command line refuses."""
    group: click.Command | None = None
    names = list(command)
    while names and names[0] in subcommands:
        group = subcommands[names.pop(0)]
        subcommands = getattr(group, "commands", {})
    assert group is not None
    known = {option for parameter in group.params for option in parameter.opts}
    assert {word for word in names if word.startswith("-")} <= known


def test_cli_says_its_commands_exist(subcommands: dict[str, click.Command]):
    """The list of commands in the changelog would promise one that is missing, or hide one that is there."""
    promised = re.search(r"^- `refrain (.*)`\.$", text("CHANGELOG.md"), re.MULTILINE)
    assert promised
    assert {name.split()[0] for name in promised[1].split("`, `")} == set(subcommands)


def test_help_names_every_command(subcommands: dict[str, click.Command]):
    """A command without a line of help is found by nobody."""
    group = click.Group(commands=subcommands)
    shown = CliRunner().invoke(group, ["--help"]).output
    assert all(re.search(rf"^  {name}  +\S", shown, re.MULTILINE) for name in subcommands)


@pytest.mark.parametrize("constraints", ["constraints.txt", "constraints-dev.txt"])
def test_constraints_name_no_index(constraints: str):
    """An installation would ask a host that the installing person did not choose."""
    lines = text(constraints).splitlines()
    assert not [
        line for line in lines if "://" in line or line.startswith(("-i", "--index", "--extra", "--find"))
    ]
    assert sum("--hash=sha256:" in line for line in lines) >= sum("==" in line for line in lines) > 20


def test_every_runtime_dependency_is_explained():
    """Nobody would know why a package is there, nor dare to take it out."""
    listed = tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]
    wanted = {re.match(r"[A-Za-z0-9_-]+", dependency)[0] for dependency in listed}
    running = text("docs/dependencies.md").partition("## Running")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z0-9-]+)[^|]*\|(.+)\|$", running, re.MULTILINE)
    assert {name for name, _ in rows if name != "package"} == wanted
    assert all(cells.split("|")[-1].strip() for _, cells in rows), "each with its licence"


def test_every_development_dependency_is_explained():
    """Likewise for what tests and builds need."""
    groups = tomllib.loads(text("pyproject.toml"))["dependency-groups"]
    page = text("docs/dependencies.md").partition("## Building and testing")[2].partition("\n## ")[0]
    for dependency in groups["build"] + groups["dev"]:
        name = re.match(r"[A-Za-z0-9_-]+", dependency)[0]
        assert re.search(rf"\b{re.escape(name)}\b", page), name


def test_performance_page_says_how_to_repeat_each_figure():
    """A figure that cannot be repeated cannot be believed."""
    page = text("docs/performance.md")
    assert set(re.findall(r"`python -m benchmarks ([a-z]+)`", page)) == set(MEASURES)
