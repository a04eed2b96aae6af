"""Names for the parts of a song: intro, verse, chorus, bridge, drop, outro. Times in seconds.

Names are estimated from repetition, loudness and drops, and from the song's words if they are given. Names by a person or a
marker come first.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.audio.structure import Section
from reactive.errors import GridError

PARTS = ("intro", "verse", "chorus", "bridge", "drop", "outro")
# a drop this strong opens a part called "drop": the bass rises by 12 dB, or everything by 8
STRONG_DROP = 0.66
# seconds between a drop and the start of its section, at most, on the grid that was heard
NEAR = 0.05
# least share of a part's lines that are repeated elsewhere in a chorus
REPEATED_LINES = 0.5
_MARKER = re.compile(
    r"\s*(intro|verse|strophe|chorus|refrain|hook|bridge|middle ?8|drop|outro|coda|ending)\b", re.IGNORECASE | re.ASCII
)
_SYNONYMS = {"strophe": "verse", "refrain": "chorus", "hook": "chorus", "coda": "outro", "ending": "outro"}


class SungLine(Protocol):
    """A line of the song's words, as `reactive.preset.lyrics.Line` is one: when it begins, in seconds, and its text."""

    @property
    def start(self) -> float:
        """When it begins."""

    @property
    def text(self) -> str:
        """What is sung."""


@dataclass(frozen=True)
class Part:
    """A part of the song: its name, its section's letter, start and end in seconds, first and last bar counted from 1."""

    name: str
    label: str
    start: float
    end: float
    first_bar: int
    last_bar: int


def song_parts(analysis: Analysis, lines: Sequence[SungLine] = ()) -> tuple[Part, ...]:
    """Return the song's parts in order, one for each section.

    Parameters
    ----------
    analysis
        The analysis; sections that a person has named keep that name.
    lines
        The song's words, which tell a chorus from a verse.
    """
    names = part_names(analysis, lines)
    bars = grid_of(analysis).bars
    found = []
    for section, name in zip(analysis.sections, names, strict=True):
        # edges are on bar lines, except for rounding
        first, stop = (np.searchsorted(bars, [section.start + NEAR, section.end - NEAR], side="right")).tolist()
        found.append(
            Part(name, section.label, section.start, section.end, max(int(first), 1), max(int(stop), int(first), 1))
        )
    return tuple(found)


def part_names(analysis: Analysis, lines: Sequence[SungLine] = ()) -> tuple[str, ...]:
    """Return a name for each section, see `song_parts`."""
    sections, near = analysis.sections, _reach(analysis)
    dropped = {
        number
        for number, section in enumerate(sections)
        for moment in analysis.moments
        if moment.kind == "drop" and moment.strength >= STRONG_DROP and abs(moment.start - section.start) < near
    }
    sung = _sung(sections, lines)
    chorus = _chorus(sections, dropped, sung)
    verse = _verse(sections, chorus, dropped)
    typical = float(np.median([section.energy for section in sections]))
    names = []
    for number, section in enumerate(sections):
        alone = sum(other.label == section.label for other in sections) == 1
        silent = bool(lines) and not sung[number]
        edge = alone or silent or (section.energy <= typical and section.label != verse)
        if said := section.part or _from_marker(section.label):
            names.append(said)
        elif section.label == chorus and not silent:
            names.append("chorus")
        elif number in dropped and chorus != section.label:
            names.append("drop")
        elif number == 0 and len(sections) > 1 and edge:
            names.append("intro")
        elif number == len(sections) - 1 and len(sections) > 2 and edge:
            names.append("outro")
        elif section.label != verse and number > len(sections) / 3:
            names.append("bridge")
        else:
            names.append("verse")
    return tuple(names)


def boundaries(analysis: Analysis) -> list[float]:
    """Return the times, rising, of the song's big changes: drops and the ends of build-ups."""
    times = {moment.start for moment in analysis.moments if moment.kind == "drop"}
    times |= {moment.end for moment in analysis.moments if moment.kind == "build"}
    return sorted(time for time in times if 0 < time < analysis.duration)


def check_names(told: Sequence[str]) -> tuple[str, ...]:
    """Return ``C=chorus`` or ``3=drop`` in normal form; of two for one section only the later.

    Raises
    ------
    GridError
        If a text does not have that form.
    """
    kept: dict[str, str] = {}
    for text in told:
        key, _, name = (part.strip() for part in text.partition("="))
        if not key or not name or len(text) > 120 or not text.isprintable():
            raise GridError(f'"{text[:60]}" names no section', where="--section", remedy="write C=chorus or 3=drop")
        kept[key] = name.lower()
    return tuple(f"{key}={name}" for key, name in kept.items())


def name_sections(analysis: Analysis, told: Sequence[str]) -> tuple[Analysis, tuple[str, ...]]:
    """Return the analysis with sections named by letter or number, and the letters and numbers that it does not have.

    A number takes precedence over a letter, so one chorus of several can have another name.
    """
    names = {key.upper(): name for key, _, name in (text.partition("=") for text in told)}
    sections = []
    for number, section in enumerate(analysis.sections, 1):
        name = names.get(str(number)) or names.get(section.label.upper())
        sections.append(replace(section, part=name) if name else section)
    known = {str(number) for number in range(1, len(sections) + 1)} | {section.label.upper() for section in sections}
    return replace(analysis, sections=tuple(sections)), tuple(sorted(set(names) - known))


def _from_marker(label: str) -> str:
    """Return the name that a marker's text begins with, in our terms; empty if there is none."""
    match = _MARKER.match(label)
    word = match.group(1).lower() if match else ""
    return "bridge" if word.startswith("middle") else _SYNONYMS.get(word, word)


def _reach(analysis: Analysis) -> float:
    """Return how far from its section's start a drop may be, in seconds: half a bar on a corrected grid, which moves sections."""
    bars = np.diff(grid_of(analysis).bars)
    return max(NEAR, float(np.median(bars)) / 2) if analysis.corrected and len(bars) else NEAR


def _sung(sections: Sequence[Section], lines: Sequence[SungLine]) -> list[list[str]]:
    """Return the lines that begin in each section, without case and punctuation."""
    starts = np.array([section.start for section in sections])
    sung: list[list[str]] = [[] for _ in sections]
    for line in lines:
        if words := " ".join(re.findall(r"\w+", line.text.lower())):
            sung[max(int(np.searchsorted(starts, line.start + NEAR, side="right")) - 1, 0)].append(words)
    return sung


def _chorus(sections: Sequence[Section], dropped: set[int], sung: Sequence[Sequence[str]]) -> str:
    """Return the letter of the chorus: its words come again, or it comes again and is the loudest; empty if there is none."""
    count = Counter(section.label for section in sections)
    energy: dict[str, float] = defaultdict(float)
    for section in sections:
        energy[section.label] += section.energy / count[section.label]
    places = Counter(words for part in sung for words in set(part))
    shares = {}
    for label in count:
        words = [line for section, part in zip(sections, sung, strict=True) if section.label == label for line in part]
        if words and count[label] > 1:
            shares[label] = sum(places[line] > 1 for line in words) / len(words)
    if shares and max(shares.values()) >= REPEATED_LINES:
        return max(shares, key=lambda label: (shares[label], energy[label]))
    falling = {sections[number].label for number in dropped}
    again = [label for label in count if count[label] > 1 and label not in falling]
    # the loudest and most frequent repeated section, if it is louder than the whole song
    best = max(again, key=lambda label: energy[label] + 0.05 * min(count[label], 4), default="")
    return best if best and energy[best] > float(np.mean([section.energy for section in sections])) else ""


def _verse(sections: Sequence[Section], chorus: str, dropped: set[int]) -> str:
    """Return the letter of the verse: of the other repeated sections the longest one, else any."""
    falling = {sections[number].label for number in dropped}
    lasts: dict[str, float] = defaultdict(float)
    for section in sections:
        if section.label != chorus and section.label not in falling:
            lasts[section.label] += section.end - section.start
    count = Counter(section.label for section in sections)
    return max(lasts, key=lambda label: (count[label] > 1, lasts[label]), default="")
