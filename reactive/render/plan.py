"""The plan of a render: which frames, in which pieces, imagined independently or as feedback shots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.timeline.clock import frames_in
from reactive.timeline.edges import shot_edges, soft_shots
from reactive.timeline.timeline import FEEDBACK, Timeline

SEGMENT_SECONDS = 4.0
SHORTEST = 12


@dataclass(frozen=True)
class Segment:
    """A run of frames [start, stop) of one shot, encoded to one file, a piece.

    `full_start` is the frame at which this segment begins when the whole shot is rendered: at or before `start`, since an
    excerpt may begin in the middle of a segment.
    `shot` holds the whole feedback shot's frames (start, stop); None where frames are independent.
    """

    start: int
    stop: int
    full_start: int
    shot: tuple[int, int] | None = None


@dataclass(frozen=True)
class Plan:
    """What is rendered.

    Attributes
    ----------
    first, last
        The frames [first, last) of the clip.
    longest
        Frames of the longest segment.
    segments
        Runs of frames that cover them, in order.
    independent
        Frames that need no other, int64, rising.
    shots
        Feedback shots (start, stop) as whole shots, even where the clip shows only a part of one.
    """

    first: int
    last: int
    longest: int
    segments: tuple[Segment, ...]
    independent: np.ndarray
    shots: tuple[tuple[int, int], ...]


def make_plan(timeline: Timeline, *, first: int, last: int, longest: int = 0) -> Plan:
    """Divide frames [first, last) of a timeline into shots and segments of at most `longest` frames (0: 4 s)."""
    source, edges = timeline.columns["source"], shot_edges(timeline.columns)
    longest = longest or max(1, int(frames_in(SEGMENT_SECONDS, timeline.fps)))
    # a soft shot and its blend are pieces of their own, so that another one leaves the encoded frames around it as they are
    soft = sorted(
        {edge for one in soft_shots(timeline.columns, frames_in(1, timeline.fps)) for edge in (one.start, one.settle)}
    )
    segments: list[Segment] = []
    shots: list[tuple[int, int]] = []
    independent: list[np.ndarray] = []
    for start, stop in zip(edges, edges[1:], strict=False):
        shown, end = max(start, first), min(stop, last)
        if shown >= end:
            continue
        fed_back = (start, stop) if source[start] == FEEDBACK else None
        # segments are counted from the shot's own start, so an excerpt has the segments of the whole clip
        inner = [] if fed_back else [edge for edge in soft if start < edge < stop]
        for part, until in zip([start, *inner], [*inner, stop], strict=True):
            for full_start in range(part, until, longest):
                begin, finish = max(full_start, shown), min(full_start + longest, until, end)
                if begin < finish:
                    segments.append(Segment(begin, finish, full_start, fed_back))
        if fed_back:
            shots.append(fed_back)
        else:
            independent.append(np.arange(shown, end))
    frames = np.concatenate(independent) if independent else np.zeros(0, np.int64)
    return Plan(first, last, longest, tuple(segments), frames, tuple(shots))


def segment_frames(timeline: Timeline, pictures_per_second: float) -> int:
    """Return how many frames a segment holds: 4 s of the clip, or 4 s of work where that is fewer, but 12 at least.

    Parameters
    ----------
    pictures_per_second
        How fast the model is: an estimate by its kind, not a measurement, so that every run divides the clip alike.
    """
    return max(SHORTEST, min(int(frames_in(SEGMENT_SECONDS, timeline.fps)), int(SEGMENT_SECONDS * pictures_per_second)))
