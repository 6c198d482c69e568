"""What administrators do, a line of JSON for each deed, on the logger `refrain.audit`.

Who did it stands there by a hash and by the name of the credential, which is none itself; what it was done to, without
anybody's own words.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from app.users.user import User
from cache.digest import digest

log = logging.getLogger("refrain.audit")

_LENGTH: Final = 16
"""Characters of a hash: enough to find the same again."""


def note(
    action: str,
    by: User | None,
    *,
    outcome: str,
    request: str = "",
    what: Mapping[str, str | int] | None = None,
) -> None:
    """Write down one deed, also one that failed. `by` nobody: the command line.

    `what` has names of the configuration and numbers; of what users wrote themselves use `marked`.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "action": action,
        "by": "command line" if by is None else by.credential or "anybody",
        "user": "" if by is None else marked(by.id),
        "request": request,
        "what": dict(what or {}),
        "outcome": outcome,
    }
    log.info(json.dumps(line))


def marked(words: str) -> str:
    """A hash in the place of somebody's own words, or name: the same for the same."""
    return digest("audit", [words])[:_LENGTH]


def heard() -> None:
    """Have the lines written to standard error, unless logging was set up otherwise, or somebody sits there.

    Who types a command at a terminal has just read what he does.
    """
    log.setLevel(logging.INFO)
    if not log.hasHandlers() and not sys.stderr.isatty():
        log.addHandler(logging.StreamHandler())
