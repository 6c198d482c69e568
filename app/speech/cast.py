"""Who speaks, and how texts are read: what one reading of the configuration comes to."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.settings import Settings
from app.speech.outputs import Outputs
from app.speech.plans import Plans
from app.speech.voices import Voices
from providers.interface import Provider


@dataclass(frozen=True, slots=True)
class Cast:
    """The voices, and everything that a request with one of them is planned with; and the settings it comes from."""

    voices: Voices
    outputs: Outputs
    plans: Plans
    providers: Mapping[str, Provider]
    settings: Settings


class Casting:
    """The cast in force. Each request looks once, at its beginning, and its plan keeps to what was there then.

    Between a look at `now` and the plan's being asked for there is no await: a voice is never planned by another cast.
    """

    def __init__(self, cast: Cast) -> None:
        self.now = cast
