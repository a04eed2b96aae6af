"""The words of a song with their times: LRC and SRT files, read with limits, as plain lines.

LRC: ``[01:02.50]a line``, several stamps before a line, ``[offset:+250]`` in milliseconds (positive: earlier), stamps of
single words ``<01:02.80>`` left out; an empty line ends the one before. SRT: numbered blocks with ``00:01:02,500 --> 00:01:05,000``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from reactive.errors import PresetError
from reactive.preset.schema import decode_text, read_small

MAX_BYTES = 1_000_000
MAX_LINES = 5000
MAX_LETTERS = 300
_LRC = re.compile(r"\[(\d{1,3}):(\d{1,2})(?:[.:](\d{1,3}))?\]", re.ASCII)
_LRC_WORD = re.compile(r"<\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?>", re.ASCII)
_OFFSET = re.compile(r"\[offset:\s*([+-]?\d{1,7})\s*\]", re.ASCII | re.IGNORECASE)
_SRT = re.compile(r"(\d{1,3}):(\d{2}):(\d{2})[,.](\d{1,3})\s*-->\s*(\d{1,3}):(\d{2}):(\d{2})[,.](\d{1,3})", re.ASCII)
_MARKUP = re.compile(r"<[^<>]{0,100}>|\{\\[^{}]{0,100}\}")


@dataclass(frozen=True)
class Line:
    """A line of a song: start and end in seconds, and its text."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class LyricsFile:
    """A file of words as it was read, once: the sha256 of its bytes, and its lines.

    The lines stand in the order of their starts; the last line of an LRC file ends at infinity.
    """

    path: Path
    sha256: str
    lines: tuple[Line, ...]


def open_lyrics(path: Path) -> LyricsFile:
    """Read an LRC or SRT file.

    Raises
    ------
    PresetError
        If it can't be read, is too large, or has no line with a time.
    """
    remedy = "write lines like [01:02.50]words (LRC), or numbered blocks with --> (SRT)"
    data = read_small(path, limit=MAX_BYTES, remedy="the words of a song are a small text file")
    lines = parse_lyrics(decode_text(data, where=str(path)))
    if not lines:
        raise PresetError("holds no line with a time", where=str(path), remedy=remedy)
    if len(lines) > MAX_LINES:
        raise PresetError(f"holds more than {MAX_LINES} lines", where=str(path), remedy="cut it into songs")
    return LyricsFile(path, hashlib.sha256(data).hexdigest(), lines)


def load_lyrics(path: Path) -> tuple[Line, ...]:
    """Return the lines of an LRC or SRT file; as `open_lyrics` otherwise."""
    return open_lyrics(path).lines


def parse_lyrics(text: str) -> tuple[Line, ...]:
    """Return the lines of an LRC or SRT text in the order of their starts; none if it is neither."""
    found = _srt_lines(text) if _SRT.search(text) else _lrc_lines(text)
    return tuple(line for line in sorted(found, key=lambda line: line.start) if line.text and line.end > line.start)


def _lrc_lines(text: str) -> list[Line]:
    offset = _OFFSET.search(text)
    earlier = int(offset.group(1)) / 1000 if offset else 0.0
    marks: list[tuple[float, str]] = []
    for row in text.splitlines()[: 4 * MAX_LINES]:
        stamps, position = [], 0
        while stamp := _LRC.match(row, position):
            share = float(f"0.{stamp.group(3) or 0}")
            stamps.append(max(0.0, 60 * int(stamp.group(1)) + int(stamp.group(2)) + share - earlier))
            position = stamp.end()
        marks += [(stamp, _plain(_LRC_WORD.sub(" ", row[position:]))) for stamp in stamps]
    marks.sort(key=lambda mark: mark[0])
    lines = [Line(start, float("inf"), words) for start, words in marks]
    ends = [line.start for line in lines[1:]]
    return [replace(line, end=end) for line, end in zip(lines, ends, strict=False)] + lines[-1:]


def _srt_lines(text: str) -> list[Line]:
    lines: list[Line] = []
    rows = text.splitlines()[: 8 * MAX_LINES]
    for number, row in enumerate(rows):
        if not (stamp := _SRT.search(row)):
            continue
        words = []
        for follower in rows[number + 1 : number + 12]:
            if not follower.strip() or _SRT.search(follower):
                break
            words.append(follower)
        start, end = (_seconds(stamp.groups()[side : side + 4]) for side in (0, 4))
        lines.append(Line(start, end, _plain(" ".join(words))))
    return lines


def _seconds(parts: tuple[str, ...]) -> float:
    return 3600 * int(parts[0]) + 60 * int(parts[1]) + int(parts[2]) + float(f"0.{parts[3]}")


def _plain(text: str) -> str:
    """Return text without markup and control characters, at most 300 letters."""
    text = _MARKUP.sub(" ", text)
    kept = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs", "Co") else letter for letter in text)
    return " ".join(kept.split())[:MAX_LETTERS]
