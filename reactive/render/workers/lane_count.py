"""How many feedback shots (lanes) a batch holds: the one of a few fixed shapes that a timeline's shots fill best.

A batch costs its whole shape, full or not, and a timeline has only so many feedback shots, of different lengths. So lanes
have a shape of their own, chosen once for the whole timeline: an excerpt, a resumed run and another machine's worker have
the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from reactive.diffusion.lanes import shot_ticks
from reactive.render.plan import make_plan
from reactive.timeline.timeline import Timeline

LANE_COUNTS = (1, 2, 4, 8, 16)
# the fixed cost of a batch, in pictures: a graphics card is not busy with few, a processor is
_FIXED = {"cpu": 0.5}
_FIXED_CARD = 4.0


def lane_lengths(timeline: Timeline) -> list[int]:
    """Return how many ticks each feedback shot of a timeline has."""
    shots = make_plan(timeline, first=0, last=timeline.frames).shots
    return [len(shot_ticks(timeline, start, stop)) for start, stop in shots]


def rounds(lengths: Sequence[int], lanes: int) -> int:
    """Return how many batches lanes of these lengths take, `lanes` side by side, the longest first."""
    ends = [0] * lanes
    for length in sorted(lengths, reverse=True):
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def filled(lengths: Sequence[int], lanes: int) -> float:
    """Return the share of all batches' places that lanes fill, 0 to 1."""
    total = rounds(lengths, lanes) * lanes
    return sum(lengths) / total if total else 0.0


def lanes_for(lengths: Sequence[int], *, batch: int, device: str) -> int:
    """Return the shape, at most `batch`, in which lanes of these lengths cost least; the smallest if several do.

    A fixed rule of the timeline and the kind of device: it decides bits.
    """
    if not lengths:
        return batch
    fixed = _FIXED.get(device, _FIXED_CARD)
    shapes = [lanes for lanes in LANE_COUNTS if lanes <= batch]
    return min(shapes, key=lambda lanes: (rounds(lengths, lanes) * (lanes + fixed), lanes))
