"""Captions read as strictly as their forms are written down; knows nothing of Refrain."""

import json
import re
from dataclasses import dataclass, field

_VTT_TIME = r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})"
_VTT_TIMES = re.compile(f"{_VTT_TIME} --> {_VTT_TIME}")
_SRT_TIME = r"(\d{2,}):([0-5]\d):([0-5]\d),(\d{3})"
_SRT_TIMES = re.compile(f"{_SRT_TIME} --> {_SRT_TIME}")
_VTT_TOKEN = re.compile(f"<{_VTT_TIME}>|&(amp|lt|gt);|([^<&>])")
_REFERENCES = {"amp": "&", "lt": "<", "gt": ">"}


@dataclass(frozen=True)
class Shown:
    """One cue; times in ms, `words` with the time at which each begins."""

    start: int
    end: int
    lines: list[str]
    words: list[tuple[int, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Without what divides lines."""
        return " ".join(self.lines)


def vtt(body: str) -> list[Shown]:
    """WebVTT (W3C): a head, blocks apart by one empty line, references and times within the text, nothing else."""
    head, *blocks = _blocks(body)
    assert head == ["WEBVTT"]
    return [_vtt_cue(block) for block in blocks]


def _vtt_cue(block: list[str]) -> Shown:
    start, end = _times(_VTT_TIMES, block[0])
    lines, words, latest = [], [], start
    for line in block[1:]:
        text, at, begun = "", 0, None
        while at < len(line):
            token = _VTT_TOKEN.match(line, at)
            assert token, f"not the text of a cue: {line[at : at + 20]!r}"
            at = token.end()
            if token[1]:
                stamp = _ms(token.groups()[:4])
                assert latest < stamp < end
                latest, begun = stamp, len(text)
                words.append((stamp, ""))
            else:
                text += _REFERENCES.get(token[5], token[6]) if token[5] else token[6]
                if begun is not None:
                    words[-1] = (words[-1][0], text[begun:])
        lines.append(text)
    return Shown(start, end, lines, words)


def srt(body: str) -> list[Shown]:
    """SubRip: numbers from 1, times, lines of text, an empty line between."""
    shown = []
    for number, block in enumerate(_blocks(body), 1):
        assert block[0] == str(number)
        start, end = _times(_SRT_TIMES, block[1])
        assert not any("-->" in line for line in block[2:])
        shown.append(Shown(start, end, block[2:]))
    return shown


def document(body: str) -> tuple[float, list[Shown]]:
    """Ours in JSON: the sound's length in seconds, and the cues, each with its words' times as well."""
    whole = json.loads(body)
    assert whole.keys() == {"duration", "cues"}
    shown = []
    for cue in whole["cues"]:
        assert {"start", "end", "text"} <= cue.keys() <= {"start", "end", "text", "words"}
        words = cue.get("words", [])
        assert all(word.keys() == {"text", "start", "end"} for word in words)
        latest = cue["start"]
        for word in words:
            assert latest <= word["start"] <= word["end"] <= cue["end"]
            latest = word["end"]
        told = [(round(word["start"] * 1_000), word["text"]) for word in words]
        shown.append(Shown(round(cue["start"] * 1_000), round(cue["end"] * 1_000), [cue["text"]], told))
    return whole["duration"], shown


def assert_in_order(shown: list[Shown], duration: int) -> None:
    """No cue goes back, overlaps or is empty, and the last one ends with the sound (of `duration` ms)."""
    latest = 0
    for cue in shown:
        assert latest <= cue.start < cue.end
        assert cue.lines
        assert all(line.strip() == line != "" for line in cue.lines)
        latest = cue.end
    assert latest == duration


def _blocks(body: str) -> list[list[str]]:
    assert "\r" not in body
    assert body.endswith("\n")
    blocks = [block.split("\n") for block in body.removesuffix("\n").split("\n\n")]
    assert all(all(block) for block in blocks)
    return blocks


def _times(pattern: re.Pattern[str], line: str) -> tuple[int, int]:
    match = pattern.fullmatch(line)
    assert match, f"not a line of times: {line!r}"
    return _ms(match.groups()[:4]), _ms(match.groups()[4:])


def _ms(parts: tuple[str, ...]) -> int:
    hours, minutes, seconds, rest = map(int, parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000 + rest
