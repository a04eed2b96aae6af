"""The words of a song with their times: reads LRC, SRT and WebVTT files of all kinds, with limits, as plain lines.

LRC: ``[01:02.50]a line``, also ``[01:02]``, ``[01:02,50]``, ``[01:02:50]`` and with hours ``[0:01:02.50]``; several stamps before
a line; ``[offset:+250]`` in milliseconds (positive: earlier); stamps of single words, ``<01:02.80>`` or ``[01:02.80]``, are left
out; an empty line ends the one before. SRT and WebVTT: blocks with ``00:01:02,500 --> 00:01:05,000``, hours or not. The encoding
is UTF-8, UTF-16, or the most likely old code page.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from reactive.errors import PresetError
from reactive.media.letters import decoded
from reactive.preset.schema import read_bytes

MAX_BYTES = 1_000_000
MAX_LINES = 5000
MAX_LETTERS = 300
_LRC = re.compile(r"\s*\[\s*(\d{1,3}):(\d{1,2})(?::(\d{1,3}))?(?:[.,](\d{1,9}))?\s*\]", re.ASCII)
_WORD = re.compile(r"[<\[]\s*\d{1,3}(?::\d{1,3}){1,2}(?:[.,]\d{1,9})?\s*[>\]]", re.ASCII)
# in these scripts no space stands between words
_EAST = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_BETWEEN_IDEOGRAPHS = re.compile(rf"(?<=[{_EAST}]){_WORD.pattern}(?=[{_EAST}])", re.ASCII)
_OFFSET = re.compile(r"\[offset:\s*([+-]?\d{1,7})\s*\]", re.ASCII | re.IGNORECASE)
# tags such as the artist: ``[ar:A band]``
_TAG = re.compile(r"\s*\[\s*[A-Za-z#][\w#]{0,20}\s*:[^\]]*\]?\s*$")
# by hand and by machine: one digit for two, spaces between, a shorter arrow
_CUE = r"(?:(\d{1,3})\s*:\s*)?(\d{1,2})\s*:\s*(\d{1,2})(?:\s*[,.]\s*(\d{1,9}))?"
_SRT = re.compile(rf"{_CUE}\s*-{{1,3}}>\s*{_CUE}", re.ASCII)
# YouTube's own, where hours always stand
_SBV = re.compile(rf"^\s*{_CUE},{_CUE}\s*$", re.ASCII | re.MULTILINE)
# words that appear one after the other in automatic captions: ``<00:00:01.500><c> there</c>``
_ROLLING = re.compile(r"<\d{2}:\d{2}:\d{2}\.\d{3}><c>", re.ASCII)
# between lines that are sung at the same time
_BETWEEN = " / "
_MARKUP = re.compile(r"<[^<>]{0,100}>|\{\\[^{}]{0,100}\}")


@dataclass(frozen=True)
class Line:
    """A line of a song: start and end in seconds, and its text."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class LyricsFile:
    """A file of words that was read once: the sha256 of its bytes, its lines, and how many lines with words were dropped.

    The lines stand in the order of their starts; the last line of an LRC file ends at infinity.
    """

    path: Path
    sha256: str
    lines: tuple[Line, ...]
    dropped: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user."""
        if not self.dropped:
            return ()
        lost = "1 line is" if self.dropped == 1 else f"{self.dropped} lines are"
        return (f"{self.path.name}: {lost} left out, without a time in which to be sung.",)


def open_lyrics(path: Path) -> LyricsFile:
    """Read an LRC, SRT or WebVTT file.

    Raises
    ------
    PresetError
        If it can't be read, is too large, or has no line with a time.
    """
    remedy = "write lines like [01:02.50]words (LRC), or blocks with --> (SRT, WebVTT)"
    data = read_bytes(path, limit=MAX_BYTES, remedy="the words of a song are a small text file")
    lines, dropped = read_lyrics(decoded(data))
    if not lines:
        raise PresetError("holds no line with a time", where=str(path), remedy=remedy)
    if len(lines) > MAX_LINES:
        raise PresetError(f"holds more than {MAX_LINES} lines", where=str(path), remedy="cut it into songs")
    return LyricsFile(path, hashlib.sha256(data).hexdigest(), lines, dropped)


def load_lyrics(path: Path) -> tuple[Line, ...]:
    """Return the lines of an LRC, SRT or WebVTT file; as `open_lyrics` otherwise."""
    return open_lyrics(path).lines


def parse_lyrics(text: str) -> tuple[Line, ...]:
    """Return the lines of an LRC, SRT or WebVTT text in the order of their starts; none if it is neither."""
    return read_lyrics(text)[0]


def read_lyrics(text: str) -> tuple[tuple[Line, ...], int]:
    """Return the lines of an LRC, SRT or WebVTT text in the order of their starts, and how many lines with words are dropped.

    Lines that have no time or end before they begin are dropped. Lines of the same time become one, joined by " / ".
    """
    cues = next((pattern for pattern in (_SRT, _SBV) if pattern.search(text)), None)
    found, untimed = _srt_lines(text, cues) if cues else _lrc_lines(text)
    kept = [line for line in found if line.text and line.end > line.start]
    lost = sum(bool(line.text) for line in found) - len(kept)
    return tuple(sorted(kept, key=lambda line: line.start)), untimed + lost


def _lrc_lines(text: str) -> tuple[list[Line], int]:
    offset = _OFFSET.search(text)
    earlier = int(offset.group(1)) / 1000 if offset else 0.0
    marks: list[tuple[float, str]] = []
    rows = text.splitlines()
    untimed = sum(bool(row.strip()) for row in rows[4 * MAX_LINES :])
    for row in rows[: 4 * MAX_LINES]:
        stamps, position = [], 0
        while stamp := _LRC.match(row, position):
            stamps.append(max(0.0, _stamped(*stamp.groups()) - earlier))
            position = stamp.end()
        words = _without_stamps(row[position:])
        untimed += not stamps and bool(_plain(row)) and not _TAG.match(row)
        # if each word has a stamp, the second stamp is the first word's, not a repeat of the line
        marks += [
            (stamp, _plain(words))
            for stamp in (stamps[:1] if "[" in row[position:] and words != row[position:] else stamps)
        ]
    marks.sort(key=lambda mark: mark[0])
    lines = [Line(start, float("inf"), words) for start, words in _together(marks)]
    ends = [line.start for line in lines[1:]]
    return [replace(line, end=end) for line, end in zip(lines, ends, strict=False)] + lines[-1:], untimed


def _without_stamps(row: str) -> str:
    """Return a line without the stamps of its words: of syllables where the line has its own spaces, else of words."""
    spaced = re.search(rf"\s{_WORD.pattern}|{_WORD.pattern}\s", row, re.ASCII)
    return _WORD.sub("" if spaced else " ", _BETWEEN_IDEOGRAPHS.sub("", row))


def _together(marks: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Yield marks; those of the same time are merged: a line and its translation."""
    for start, group in groupby(marks, key=lambda mark: mark[0]):
        yield start, _BETWEEN.join(dict.fromkeys(words for _, words in group if words))


def _srt_lines(text: str, cues: re.Pattern[str]) -> tuple[list[Line], int]:
    lines: list[Line] = []
    rows = text.splitlines()
    beyond = sum(bool(cues.search(row)) for row in rows[8 * MAX_LINES :])
    rows = rows[: 8 * MAX_LINES]
    # in WebVTT a line of spaces is part of a cue; captions that roll on show each line again above the next
    webvtt, rolls = text.lstrip("\ufeff").startswith("WEBVTT"), bool(_ROLLING.search(text))
    above: list[str] = []
    for number, row in enumerate(rows):
        if not (stamp := cues.search(row)):
            continue
        followers = rows[number + 1 : number + 12]
        words = []
        for place, follower in enumerate(followers):
            after = followers[place + 1] if place + 1 < len(followers) else ""
            # the number of the next cue, where the empty line before it is missing
            if cues.search(follower) or (follower.strip().isdigit() and cues.search(after)):
                break
            if not (follower if webvtt else follower.strip()):
                if place or webvtt:
                    break
                continue
            words.append(_plain(html.unescape(_MARKUP.sub(" ", follower))))
        start, end = (_seconds(stamp.groups()[side : side + 4]) for side in (0, 4))
        new = [row for row in words if row not in above] if rolls else words
        above = words
        lines.append(Line(start, end, _plain(" ".join(new))))
    return lines, beyond


def _stamped(first: str, second: str, third: str | None, share: str | None) -> float:
    """Return the seconds of an LRC stamp: hours, minutes and seconds if there are three numbers and a fraction."""
    if third is not None and share is not None:
        return _seconds((first, second, third, share))
    return _seconds((None, first, second, third or share))


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, share = parts
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + int(seconds or 0) + float(f"0.{share or 0}")


def _plain(text: str) -> str:
    """Return text without markup and control characters, at most 300 letters."""
    # repeated, since words and markup may be nested
    text = _MARKUP.sub(" ", _WORD.sub(" ", text))
    kept = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs", "Co") else letter for letter in text)
    return " ".join(kept.split())[:MAX_LETTERS]
