"""What people really paste, spoken by the default configuration."""

import pytest

from tests.http.hearing import heard
from tests.http.servers import Server

HARD = {
    "one letter": "a",
    "interjection": "Shh.",
    "roman numeral": "XIV",
    "price": "$1,234.56",
    "formula": "x² + y² = z²",
    "symbols": "& % $ #",
    "address": "See https://example.com/a/b?c=d&e=f#g now.",
    "emoji": "🙂🙂🙂",
    "flag": "🇩🇪",
    "chinese": "今天天气很好。我们去散步。",
    "arabic": "مرحبا بالعالم",
    "thai": "ก็" * 100,
    "direction marks": "abc \u202e def",
    "soft hyphens": "\u00ad" * 300 + "soft",
    "joiners": "Hi " + "\u200d" * 300,
    "html": "<b>Hello</b> & goodbye",
    "one long word": "a" * 3_000,
    "brackets": "(" * 200 + "x" + ")" * 200,
    "many short lines": "\n".join(f"Line {number}" for number in range(20)),
}
UNSPOKEN = {
    "form line": "Name: " + "_" * 300,
    "dot leader": "Introduction " + ". " * 150 + "5",
    "shouting": "Hello" + "!" * 300,
    "separator": "Hello " + "*" * 300,
    "table border": "Hello " + "│" * 200,
    "stacked accents": "h" + "\u0301" * 300 + "ello",
}


@pytest.mark.parametrize("name", HARD)
def test_a_hard_text_is_spoken(server: Server, name: str):
    """Somebody who pastes what is on his screen would get an error, or a cut."""
    answer = server.post(input=HARD[name], response_format="pcm")
    assert answer.status_code == 200
    assert heard("pcm", answer.content).audible > 0.05
    assert "defect" not in server.log.read_text()


@pytest.mark.parametrize("name", UNSPOKEN)
def test_long_runs_of_what_nobody_speaks_are_no_failure(server: Server, name: str):
    """One separator line in an article would cut it off there."""
    answer = server.post(input=UNSPOKEN[name], response_format="pcm")
    assert heard("pcm", answer.content).audible > 0.05
