"""Text to sentences, whole or as it arrives: one scanner, one decision, so both give the same sentences."""

import re
from typing import Final

from app.text import marks
from app.text.blocks import Break, Line, first_line, line_end
from app.text.boundary import BEFORE, Boundary, Undecided, Verdict, decide
from app.text.span import Span

__all__ = ["LiveSentences", "Span", "Verdict", "decide", "sentences"]

_CANDIDATE: Final = re.compile(f"[\n{marks.GREEK_QUESTION}{re.escape(''.join(sorted(marks.TERMINATORS)))}]")
_CONTEXT: Final = BEFORE + 16  # characters that decisions may look back, with room to spare
_LONGEST: Final = 4096  # a live sentence that is longer has its middle put aside: appending stays cheap


class _Scan:
    """How far a text has been read. All offsets count from the beginning of the text given to `run`."""

    __slots__ = ("language", "line", "position", "start")

    def __init__(self, language: str | None) -> None:
        self.language = language
        self.line: Line | None = None
        self.start = 0  # of the sentence that is open; never at a blank, once `run` has returned
        self.position = 0  # everything before has been decided

    def run(self, text: str, *, final: bool) -> list[Span]:
        """The sentences that are now sure. With `final`, all of them."""
        found: list[Span] = []
        if self.line is None:
            self.line = first_line(text, final=final)
        if self.line is not None:
            self._skip_blanks(text)
            while self._step(text, found, final=final):
                pass
        if final:
            self._close(text, len(text), found)
        return found

    def _step(self, text: str, found: list[Span], *, final: bool) -> bool:
        """Read up to the next candidate and decide it; False when that needs more text or there is none."""
        candidate = _CANDIDATE.search(text, self.position)
        if candidate is None:
            self.position = len(text)
            return False
        self.position = at = candidate.start()
        if text[at] == "\n":
            return self._line_end(text, at, found, final=final)
        verdict = decide(text, self.start, at, final=final, language=self.language)
        if verdict is Undecided.MORE:
            return False
        if isinstance(verdict, Boundary):
            self._close(text, verdict.end, found)
        else:
            self.position = at + 1
        return True

    def _line_end(self, text: str, at: int, found: list[Span], *, final: bool) -> bool:
        assert self.line is not None, "a scan begins with its first line"
        what, self.line = line_end(text, at, self.line, final=final)
        if what is Break.MORE:
            return False
        if what is Break.BLOCK:
            self._close(text, at, found)
        self.position = at + 1
        return True

    def _close(self, text: str, end: int, found: list[Span]) -> None:
        stripped = end
        while stripped > self.start and text[stripped - 1].isspace():
            stripped -= 1
        if stripped > self.start:
            found.append(Span(self.start, stripped))
        self.start = self.position = end
        self._skip_blanks(text)

    def _skip_blanks(self, text: str) -> None:
        start, length = self.start, len(text)
        while start < length and text[start].isspace():
            start += 1
        self.start = start

    def shift(self, distance: int) -> None:
        """The text has lost that many characters before `position`; `start` is the caller's."""
        self.position -= distance
        if self.line is not None:
            self.line = Line(self.line.start - distance, opens=self.line.opens, item=self.line.item)


def sentences(text: str, *, language: str | None = None) -> list[Span]:
    """The sentences of a text, in order, without white space at their ends.

    Each character that is not white space is in exactly one. A block's end is a sentence's end. `language` is a
    tag such as "en" or "de-AT" and chooses the abbreviations: English ones where it is left out, the few that most
    languages share where it is not known. Linear in the length of the text; never raises.
    """
    return _Scan(language).run(text, final=True)


class LiveSentences:
    """The same sentences from a text that arrives in pieces, cut anywhere.

    A sentence is given out as soon as nothing that may still come can change it: at most `ahead.AHEAD`
    characters behind its end. Memory and time per piece do not grow with what has been given out.
    """

    def __init__(self, language: str | None = None) -> None:
        self._scan = _Scan(language)
        self._text = ""
        self._aside: list[str] = []  # the middle of an over-long sentence, taken out of `_text` at `_seam`
        self._seam = 0

    @property
    def pending(self) -> str:
        """What has arrived and was not given out, without white space in front."""
        return self._whole(Span(self._scan.start, len(self._text))).lstrip()

    def feed(self, piece: str) -> list[str]:
        """Take the next piece of text; the sentences that are now sure. Never raises."""
        self._text += piece
        return self._run(final=False)

    def finish(self) -> list[str]:
        """Nothing more will come: the remaining sentences. The object is then as new."""
        found = self._run(final=True)
        self.__init__(self._scan.language)  # type: ignore[misc] # starting anew is what is meant
        return found

    def _run(self, *, final: bool) -> list[str]:
        found = []
        for span in self._scan.run(self._text, final=final):
            found.append(self._whole(span))
            self._aside.clear()  # only the first, the one that was open, can have a part put aside
        self._trim()
        return found

    def _whole(self, span: Span) -> str:
        if not self._aside:
            return self._text[span.start : span.end]
        return "".join([self._text[span.start : self._seam], *self._aside, self._text[self._seam : span.end]])

    def _trim(self) -> None:
        """Forget what no decision can ask for any more."""
        scan = self._scan
        if scan.position - scan.start > _LONGEST:
            seam, end = scan.start + _CONTEXT, scan.position - _CONTEXT
            self._aside.append(self._text[seam:end])
            self._text = self._text[:seam] + self._text[end:]
            self._seam = seam
            scan.shift(end - seam)
        if scan.start > _LONGEST:
            surplus = scan.start - _CONTEXT
            self._text = self._text[surplus:]
            self._seam -= surplus
            scan.start -= surplus
            scan.shift(surplus)
