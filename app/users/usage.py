"""What users have had, by day, voice and provider: counted here, written behind."""

from app.users.tally import Line, Tally


class Usage:
    """Of this process, until it is written."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str], Line] = {}
        self._requests: dict[str, int] = {}

    def note(self, user: str, tally: Tally) -> None:
        """One request, and what there was in it."""
        self._requests[user] = self._requests.get(user, 0) + 1
        for (voice, provider), line in tally.lines.items():
            place = (user, voice, provider)
            before = self._lines.get(place)
            self._lines[place] = line if before is None else before.plus(line)
