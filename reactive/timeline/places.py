"""Find a preset's places in a song: drops, sections, its parts, rounds of the loop, phases."""

from __future__ import annotations

from collections.abc import Sequence

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.audio.parts import NEAR
from reactive.preset.place import PART, START, Place
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.signals import drops


def find_place(
    place: Place, analysis: Analysis, spans: Sequence[PhaseSpan], phases: Sequence[str], parts: Sequence[str]
) -> tuple[float, float] | None:
    """Return start and end in seconds of a place, or None if the song does not have it.

    A drop lasts as long as the section that it opens.

    Parameters
    ----------
    spans
        The phases as laid over the song.
    phases
        The phases' names.
    parts
        The name of each section.
    """
    found = _stretches(place.kind, analysis, spans, phases, parts)
    number = place.number - 1 if place.number > 0 else len(found) + place.number
    return found[number] if 0 <= number < len(found) else None


def _stretches(
    kind: str, analysis: Analysis, spans: Sequence[PhaseSpan], phases: Sequence[str], parts: Sequence[str]
) -> list[tuple[float, float]]:
    sections = [(section.start, section.end) for section in analysis.sections]
    if kind == START:
        return [(0.0, sections[0][1])]
    if kind == "section":
        return sections
    if kind == "drop":
        falling = set(drops(analysis))
        return [section for section in sections if section[0] in falling]
    if kind == "bar":
        bars = [bar for bar in grid_of(analysis).bars.tolist() if bar < analysis.duration]
        # what comes before the first "one" belongs to the first bar
        starts = [0.0, *bars[1:]]
        return list(zip(starts, [*starts[1:], analysis.duration], strict=True))
    if kind == "loop":
        rounds = sorted({span.loop for span in spans})
        return [
            (min(s.start for s in spans if s.loop == number), max(s.end for s in spans if s.loop == number))
            for number in rounds
        ]
    if kind.startswith(PART) and kind not in phases:
        return _joined(
            [section for section, name in zip(sections, parts, strict=True) if name == kind.removeprefix(PART)]
        )
    return [(span.start, span.end) for span in spans if phases[span.phase] == kind]


def _joined(stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return stretches with those that follow each other made one: two sections may be one chorus."""
    found: list[tuple[float, float]] = []
    for start, end in stretches:
        if found and start - found[-1][1] < NEAR:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found
