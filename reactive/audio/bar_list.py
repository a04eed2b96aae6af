"""The bars of a song as people count them: numbers from 1, times in seconds, and the numbers of their beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of

# a beat belongs to the bar that begins at most this many seconds after it
_NEAR = 0.05


@dataclass(frozen=True)
class Bar:
    """A bar: its number, start and end, and the first and last of its beats as `--downbeat` counts them, 0 without any."""

    number: int
    start: float
    end: float
    first_beat: int
    last_beat: int


def song_bars(analysis: Analysis) -> tuple[Bar, ...]:
    """Return the bars of a song in order; beats are numbered from 1 as they were heard, so a bar outside them has none."""
    edges = np.append(grid_of(analysis).bars, analysis.duration)
    edges = edges[(edges >= 0) & (edges <= analysis.duration)]
    at = np.searchsorted(analysis.beats, edges - _NEAR)
    return tuple(
        Bar(number, float(start), float(end), int(a) + 1 if b > a else 0, int(b) if b > a else 0)
        for number, (start, end, a, b) in enumerate(zip(edges, edges[1:], at, at[1:], strict=False), 1)
        if end > start
    )
