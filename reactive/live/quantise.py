"""When a quantised action happens, and how long a loop is: on the beats and bars of the song's grid, in exact song time."""

from __future__ import annotations

import numpy as np

from reactive.audio.grid import Grid
from reactive.errors import TimelineError
from reactive.live.transport import Transport

QUANTISE = ("off", "beat", "bar")
# kinds of change that wait for the next beat or bar; a slider or a prompt follows the hand
QUANTISED = ("phase", "preset", "freeze", "hold", "black", "knobs", "reset")
# beats over which a snapshot may be recalled
GLIDES = (0, 1, 2, 4, 8, 16)
LOOP_BARS = (1, 2, 4, 8)
SHORTEST_LOOP = 0.25
# a position this many seconds after a mark is still on it: times of browsers are rounded
ON_MARK = 1e-3


def checked_unit(unit: object) -> str:
    """Return a unit of quantisation after checking it.

    Raises
    ------
    TimelineError
        If there is none of that name.
    """
    if not isinstance(unit, str) or unit not in QUANTISE:
        raise TimelineError("there is no such quantisation", remedy=f"there are {', '.join(QUANTISE)}")
    return unit


def next_mark(grid: Grid, position: float, unit: str, duration: float) -> float:
    """Return the song time, in seconds, of the next beat or bar; the position itself if `unit` is ``off`` or there is none left."""
    if unit == "off":
        return position
    marks = grid.beats if unit == "beat" else grid.bars
    number = int(np.searchsorted(marks, position - ON_MARK))
    return float(marks[number]) if number < len(marks) and 0 <= marks[number] < duration else position


def next_played(grid: Grid, transport: Transport, position: float, unit: str) -> tuple[float, bool]:
    """Return the next beat or bar as it will be heard, and whether the playhead jumps there.

    The end of a loop is heard as its start, so what would happen at or after the end happens at the start, after the jump. A page
    jumps a little late: until then the playhead is past the end, and goes back too.
    """
    mark = next_mark(grid, position, unit, transport.duration)
    if transport.jump is not None and transport.jump[0] <= mark + ON_MARK:
        return transport.jump[1], True
    if transport.loop is None or position < transport.loop[0] - ON_MARK:
        return mark, False
    return (transport.loop[0], True) if mark >= transport.loop[1] - ON_MARK else (mark, False)


def nearest_mark(grid: Grid, position: float, unit: str, duration: float) -> float:
    """Return the song time, in seconds, of the nearest beat or bar; the position itself if `unit` is ``off``."""
    marks = (grid.beats if unit == "beat" else grid.bars) if unit != "off" else np.array([position])
    inside = marks[(marks >= 0) & (marks < duration)]
    return float(inside[np.abs(inside - position).argmin()]) if len(inside) else position


def beats_after(grid: Grid, start: float, beats: float) -> float:
    """Return the song time of so many beats after `start`."""
    return float(_times(grid.beats, grid.beat_position(np.array([start])) + beats)[0])


def bars_after(grid: Grid, start: float, bars: int, duration: float) -> float:
    """Return the song time `bars` bars after `start`, at most the song's end.

    It is as many beats later as the bars have from the one that contains `start`, so a loop may begin on any beat.
    """
    first = int(np.floor(grid.bar_position(np.array([start + ON_MARK]))[0]))
    edges = _times(grid.bars, np.array([first, first + bars], float))
    begin, end = grid.beat_position(edges)
    here = grid.beat_position(np.array([start]))
    return min(float(_times(grid.beats, here + (end - begin))[0]), duration)


def loop_of_bars(grid: Grid, transport: Transport, position: float, bars: int, unit: str) -> tuple[float, float]:
    """Return the loop of some bars from the next mark on; within a loop, that of other length that holds the playhead.

    Raises
    ------
    TimelineError
        If the song ends before.
    """
    inside = transport.loop is not None and transport.loop[0] <= position < transport.loop[1]
    if transport.loop is not None and inside:
        start = transport.loop[0]
        # a shorter loop goes on where it plays, in step with the longer one
        while (following := bars_after(grid, start, bars, transport.duration)) <= position and following > start:
            start = following
    else:
        start = next_mark(grid, position, unit, transport.duration)
    return checked_loop(start, bars_after(grid, start, bars, transport.duration))


def checked_loop(start: float, end: float) -> tuple[float, float]:
    """Return a loop after checking its length.

    Raises
    ------
    TimelineError
        If it is too short.
    """
    if end - start < SHORTEST_LOOP:
        raise TimelineError("the loop would be too short", remedy="set its end later, or begin it earlier")
    return start, end


def _times(marks: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the times of positions among marks, continued at the nearest pace; the inverse of `Grid.beat_position`."""
    inside = np.interp(positions, np.arange(len(marks)), marks)
    early = marks[0] + positions * (marks[1] - marks[0])
    last = len(marks) - 1
    late = marks[-1] + (positions - last) * (marks[-1] - marks[-2])
    times: np.ndarray = np.where(positions < 0, early, np.where(positions > last, late, inside))
    return times
