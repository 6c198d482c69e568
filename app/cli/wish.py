"""How texts are to be spoken: the options that `say`, `plan` and `warm` have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import click

from app.audio.formats import FORMATS
from app.speech.outputs import Outputs
from app.speech.plan import SpeechRequest
from app.speech.voices import Voices
from app.text.intake.kinds import InputType
from app.text.language import is_tag

F = TypeVar("F", bound=Callable[..., object])

ENDINGS: dict[str, InputType] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".ssml": "ssml",
    ".xml": "ssml",
}
"""What is in a file, by the ending of its name; others have plain text in them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say; None where they are left out."""

    voice: str
    fmt: str | None
    input_type: InputType | None
    language: str | None

    def type_of(self, source: str) -> InputType:
        """As the option says, else by the ending of the name of the file that a text is from."""
        return self.input_type or ENDINGS.get(Path(source).suffix.lower(), "text")

    def request(self, text: str, source: str, voices: Voices, outputs: Outputs) -> SpeechRequest:
        """What to speak. `source` is the name of the file that the text is from, or `-`.

        Raises:
            UnknownVoice, UnsupportedFormat: with those that exist.
        """
        return SpeechRequest(
            text=text,
            voice=voices.find(self.voice),
            output=outputs.find(self.fmt),
            language=self.language,
            input_type=self.type_of(source),
        )


def speech_options(command: F) -> F:
    """The options of a `Wish`: `voice`, `fmt`, `input_type`, `language`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _language(_context: click.Context, _option: click.Parameter, tag: str | None) -> str | None:
    if tag is not None and not is_tag(tag):
        raise click.BadParameter('write a tag such as "en" or "pt-BR".')
    return tag


_OPTIONS = (
    click.option("--voice", default="default", show_default=True, help="Name or alias of a voice."),
    click.option(
        "--format", "fmt", help=f"{', '.join(FORMATS)}; left out: as the output is named, else mp3."
    ),
    click.option(
        "--input-type",
        type=click.Choice(get_args(InputType)),
        help="What the text is; left out: as the file's name ends (.md, .html, .ssml, ...), else text.",
    ),
    click.option(
        "--language",
        metavar="TAG",
        callback=_language,
        help='Of the text, such as "en" or "pt-BR"; left out: its own, else the voice\'s.',
    ),
)
