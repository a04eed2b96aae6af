"""The moment of a song that tells most about a preset."""

from __future__ import annotations

from reactive.audio.analysis import Analysis
from reactive.timeline.signals import drops

# so much of the excerpt lies before the drop, so that one hears and sees what it breaks
BEFORE_DROP = 0.3


def telling_start(analysis: Analysis, length: float) -> float:
    """Return where in seconds an excerpt of `length` seconds begins: just before the drop into the loudest section.

    Without a drop it begins with the loudest section; it never reaches beyond the song's end.
    """
    falling = set(drops(analysis))
    opened = [section for section in analysis.sections if section.start in falling]
    loudest = max(opened or analysis.sections, key=lambda section: section.energy)
    start = loudest.start - (BEFORE_DROP * length if opened else 0.0)
    return max(0.0, min(start, analysis.duration - length))
