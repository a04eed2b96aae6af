"""Find a preset's places in a song: drops, sections, rounds of the loop, phases."""

from __future__ import annotations

from collections.abc import Sequence

from reactive.audio.analysis import Analysis
from reactive.preset.place import START, Place
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.signals import drops


def find_place(
    place: Place, analysis: Analysis, spans: Sequence[PhaseSpan], phases: Sequence[str]
) -> tuple[float, float] | None:
    """Return start and end in seconds of a place, or None if the song does not have it.

    A drop lasts as long as the section that it opens.

    Parameters
    ----------
    spans
        The phases as laid over the song.
    phases
        The phases' names.
    """
    found = _stretches(place.kind, analysis, spans, phases)
    number = place.number - 1 if place.number > 0 else len(found) + place.number
    return found[number] if 0 <= number < len(found) else None


def _stretches(
    kind: str, analysis: Analysis, spans: Sequence[PhaseSpan], phases: Sequence[str]
) -> list[tuple[float, float]]:
    sections = [(section.start, section.end) for section in analysis.sections]
    if kind == START:
        return [(0.0, sections[0][1])]
    if kind == "section":
        return sections
    if kind == "drop":
        falling = set(drops(analysis))
        return [section for section in sections if section[0] in falling]
    if kind == "loop":
        rounds = sorted({span.loop for span in spans})
        return [
            (min(s.start for s in spans if s.loop == number), max(s.end for s in spans if s.loop == number))
            for number in rounds
        ]
    return [(span.start, span.end) for span in spans if phases[span.phase] == kind]
