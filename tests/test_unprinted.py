"""Texts and secrets are not printed by what carries them: a line of log or of a trace that names one tells nothing."""

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.test_architecture import modules

CANARY = "Canary-Text-4711"
PRIVATE = {
    "text", "ssml", "input", "instructions", "before", "after", "sentence", "sentences", "owner", "credential",
    "api_key", "key", "secret", "password", "token", "tag", "tags", "body", "words", "given", "presented", "spoken",
    "said", "title",
}  # fmt: skip
"""Fields by whose names something of a user's is carried, or of the operator's."""
HARMLESS = {
    # these are of the configuration, or say only which or how many
    ("app.users.user", "User", "credential"): "the name of a key, which is made to be written down",
    ("app.text.chunks", "Chunk", "sentences"): "places",
    ("app.users.settling", "Settlement", "token"): "the name of a hold",
    ("app.speech.standing", "SpokenVoice", "ssml"): "names of elements",
    ("cache.checkup", "Remark", "text"): "ours",
    ("cache.drafts", "_Reader", "token"): "the name of a following",
    ("cache.drafts", "_Found", "token"): "the name of a making",
    ("providers.interface", "Capabilities", "ssml"): "names of elements",
    ("providers.interface", "Capabilities", "instructions"): "whether it takes some",
    ("app.speech.standing", "SpokenVoice", "instructions"): "whether it takes some",
    ("app.http.documentation", "_Raw", "title"): "of the document",
    ("providers.scripted", "Script", "ssml"): "names of elements",
}


def carriers() -> Iterator[tuple[str, type]]:
    """Every dataclass and struct of ours."""
    for name, _ in modules():
        if name.startswith(("app.cli", "app.__main__")):
            continue
        module = importlib.import_module(name)
        for thing in vars(module).values():
            if not (isinstance(thing, type) and thing.__module__ == name):
                continue
            if dataclasses.is_dataclass(thing) or issubclass(thing, msgspec.Struct):
                yield name, thing


def private_fields(name: str, kind: type) -> list[str]:
    """Those that must not be printed."""
    fields = (
        kind.__struct_fields__
        if issubclass(kind, msgspec.Struct)
        else [f.name for f in dataclasses.fields(kind)]
    )
    return [field for field in fields if field in PRIVATE and (name, kind.__name__, field) not in HARMLESS]


FOUND = [(name, kind) for name, kind in carriers() if private_fields(name, kind)]


def filled(kind: type, private: list[str]) -> Any:
    """One that carries the canary wherever it may."""
    if issubclass(kind, msgspec.Struct):
        fields = {field: CANARY if field in private else None for field in kind.__struct_fields__}
        return kind(**fields)
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, CANARY if field.name in private else None)
    return made


@pytest.mark.parametrize(("name", "kind"), FOUND, ids=[f"{name}.{kind.__name__}" for name, kind in FOUND])
def test_what_carries_something_private_does_not_print_it(name: str, kind: type):
    """One careless line of log, or a tool that shows variables of a trace, would tell what users have said."""
    made = filled(kind, private_fields(name, kind))
    assert CANARY not in repr(made)
    assert CANARY not in f"{made}"
    assert CANARY not in str([made])


def test_the_carriers_are_found():
    """A test of nothing would pass."""
    names = {kind.__name__ for _, kind in FOUND}
    assert {"SpeechRequest", "Utterance", "ProviderSettings", "SpeechBody", "User", "Document"} <= names
