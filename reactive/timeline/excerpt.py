"""Excerpts: their frames, and the moment of a song that shows most of a preset."""

from __future__ import annotations

import math

from reactive.audio.analysis import Analysis
from reactive.errors import TimelineError
from reactive.timeline.clock import nearest_frame
from reactive.timeline.signals import drops
from reactive.timeline.timeline import Timeline

# share of the excerpt before the drop, so that it comes as a change
BEFORE_DROP = 0.3


def excerpt_frames(timeline: Timeline, start: float, duration: float | None, *, lasts: float) -> tuple[int, int]:
    """Return the frames [first, last) of an excerpt, at least one.

    Parameters
    ----------
    start, duration
        Seconds of the song; None: to its end.
    lasts
        The song's length in seconds.

    Raises
    ------
    TimelineError
        If the excerpt does not begin within the song, or has no length.
    """
    if not 0 <= start < lasts:
        raise TimelineError(f"{start:g} s is not within the song", where="--start", remedy=f"it lasts {lasts:.2f} s")
    first = min(nearest_frame(start, timeline.fps), timeline.frames - 1)
    if duration is None:
        return first, timeline.frames
    if not 0 < duration < math.inf:
        raise TimelineError(f"{duration:g} s is no length", where="--duration", remedy="give seconds above 0")
    last = nearest_frame(start + duration, timeline.fps)
    return first, min(max(last, first + 1), timeline.frames)


def telling_start(analysis: Analysis, length: float) -> float:
    """Return where in seconds an excerpt of `length` seconds begins: just before the drop into the loudest section.

    Without a drop it begins with the loudest section; it never reaches beyond the song's end.
    """
    falling = set(drops(analysis))
    opened = [section for section in analysis.sections if section.start in falling]
    loudest = max(opened or analysis.sections, key=lambda section: section.energy)
    start = loudest.start - (BEFORE_DROP * length if opened else 0.0)
    return max(0.0, min(start, analysis.duration - length))
