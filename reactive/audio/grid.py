"""The grid that pictures follow: beats and bars over the whole song, with or without a beat in it.

Positions are counted in beats and bars from the first of them; between two the count rises linearly, and before the
first and after the last it continues at the nearest pace. So every moment of the song has a position in the metre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.rhythm import BEATS_PER_BAR, PULSE_SECONDS, extend_beats


@dataclass(frozen=True)
class Grid:
    """Beats and bars over the whole song, times in seconds, rising; `heard` is False for the pulse of a song without a beat."""

    beats: np.ndarray
    bars: np.ndarray
    heard: bool

    def beat_position(self, seconds: np.ndarray) -> np.ndarray:
        """Return how many beats have passed at each time, as a float."""
        return _position(self.beats, seconds)

    def bar_position(self, seconds: np.ndarray) -> np.ndarray:
        """Return how many bars have passed at each time, as a float."""
        return _position(self.bars, seconds)


def grid_of(analysis: Analysis) -> Grid:
    """Return the grid of an analysis: its beats, continued to both ends of the song, or an even pulse.

    Examples
    --------
    >>> import reactive
    >>> grid = reactive.grid_of(reactive.analyze(reactive.open_track("song.wav")))
    >>> grid.heard
    True
    """
    if len(analysis.beats) < 2:
        beats = np.arange(0.0, analysis.duration + PULSE_SECONDS, PULSE_SECONDS / BEATS_PER_BAR)
        return Grid(beats, beats[::BEATS_PER_BAR], heard=False)
    beats = extend_beats(analysis.beats, analysis.duration)
    downbeats = analysis.downbeats if len(analysis.downbeats) else analysis.beats[:1]
    sizes = analysis.beats_per_bar if len(analysis.beats_per_bar) else np.array([BEATS_PER_BAR])
    first, last = (int(np.argmin(np.abs(beats - bar))) for bar in (downbeats[0], downbeats[-1]))
    # before the first "one" and after the last the count goes on
    early = beats[first % int(sizes[0]) : first : int(sizes[0])]
    late = beats[last + int(sizes[-1]) :: int(sizes[-1])]
    return Grid(beats, np.concatenate([early, downbeats, late]), heard=True)


def _position(marks: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    if len(marks) < 2:
        return np.asarray(seconds, float) / PULSE_SECONDS
    inside = np.interp(seconds, marks, np.arange(len(marks)))
    first, last = marks[1] - marks[0], marks[-1] - marks[-2]
    early = (np.asarray(seconds) - marks[0]) / first
    late = len(marks) - 1 + (np.asarray(seconds) - marks[-1]) / last
    position: np.ndarray = np.where(seconds < marks[0], early, np.where(seconds > marks[-1], late, inside))
    return position
