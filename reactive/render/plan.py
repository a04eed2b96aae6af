"""The plan of a render: which frames, in which pieces, imagined independently or as feedback shots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.timeline.clock import frames_in
from reactive.timeline.timeline import FEEDBACK, Timeline

SEGMENT_SECONDS = 4.0


@dataclass(frozen=True)
class Segment:
    """A run of frames [start, stop) of one shot, encoded to one piece."""

    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """What is rendered.

    Attributes
    ----------
    first, last
        The frames [first, last) of the clip.
    segments
        Runs of frames that cover them, in order.
    independent
        Frames that need no other, int64, rising.
    shots
        Feedback shots (start, stop) as whole shots, even where the clip shows only a part of one.
    """

    first: int
    last: int
    segments: tuple[Segment, ...]
    independent: np.ndarray
    shots: tuple[tuple[int, int], ...]


def make_plan(timeline: Timeline, *, first: int, last: int) -> Plan:
    """Divide frames [first, last) of a timeline into shots and segments."""
    shot, source = timeline.columns["shot"], timeline.columns["source"]
    edges = np.concatenate([[0], np.flatnonzero((np.diff(shot) != 0) | (np.diff(source) != 0)) + 1, [timeline.frames]])
    longest = max(1, int(frames_in(SEGMENT_SECONDS, timeline.fps)))
    segments: list[Segment] = []
    shots: list[tuple[int, int]] = []
    independent: list[np.ndarray] = []
    for start, stop in zip(edges.tolist(), edges[1:].tolist(), strict=False):
        shown, end = max(start, first), min(stop, last)
        if shown >= end:
            continue
        # pieces are counted from the shot's own start, so an excerpt has the pieces of the whole clip
        for piece in range(start, stop, longest):
            begin, finish = max(piece, shown), min(piece + longest, end)
            if begin < finish:
                segments.append(Segment(begin, finish))
        if source[start] == FEEDBACK:
            shots.append((start, stop))
        else:
            independent.append(np.arange(shown, end))
    frames = np.concatenate(independent) if independent else np.zeros(0, np.int64)
    return Plan(first, last, tuple(segments), frames, tuple(shots))
