"""`refrain.toml` and environment, checked whole and frozen.

Every mistake is reported at once, with the path of its key and its line. What the file leaves out has the
defaults of `tables`; with no file at all everything runs on them.
"""

from app.settings.loading import OPENAI_VOICES, check_openness, load, parse
from app.settings.mistakes import BadConfiguration, Problem
from app.settings.pronunciation import Entry
from app.settings.table import Table
from app.settings.tables import Chunking, Link, ProviderTable, Settings, Sound, VoiceTable

__all__ = [
    "OPENAI_VOICES",
    "BadConfiguration",
    "Chunking",
    "Entry",
    "Link",
    "Problem",
    "ProviderTable",
    "Settings",
    "Sound",
    "Table",
    "VoiceTable",
    "check_openness",
    "load",
    "parse",
]
