"""Place sources and joins: which photograph or video each frame is made from, and how two shots are joined."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from reactive.audio.grid import Grid
from reactive.preset.schema import Phase, Preset, parse_length
from reactive.timeline.clock import frames_in, nearest_frame
from reactive.timeline.evaluate import ease
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.schedule import MIN_HIT_SECONDS, times_every

# values of the column `source` that are not numbers of photographs or videos
NO_SOURCE, FEEDBACK = -1, -2
# value of the column `guide` where no video's motion moves a fed-back picture
NO_GUIDE = -1
# counters of the random generator for the order of sources, after those of prompts
_SHUFFLE = 1 << 20


def place_sources(
    preset: Preset,
    spans: list[PhaseSpan],
    ranges: list[tuple[int, int]],
    *,
    photos: int,
    videos: int,
    grid: Grid,
    sections: list[float],
    fps: Fraction,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each frame's source, and the number of the video whose motion guides feedback, int64 [frames] each.

    Photographs are numbered from 0 on, videos after them. Those of a kind follow one another in the phases of
    that kind; a kind that has no phase is mixed into the phases of the other. Without sources, it is a walk.

    Parameters
    ----------
    ranges
        The frames [first, stop) of each span.
    photos, videos
        How many there are.
    sections
        Times at which sections start.
    """
    frames = ranges[-1][1]
    source, guide = np.full(frames, NO_SOURCE, np.int64), np.full(frames, NO_GUIDE, np.int64)
    pools = _pools(preset, photos, videos)
    shown = dict.fromkeys((*pools, "guide", *range(len(preset.phase))), 0)
    for stretch, (first, stop) in zip(spans, ranges, strict=True):
        phase = preset.phase[stretch.phase]
        if phase.mode == "feedback":
            source[first:stop] = FEEDBACK
            if videos:
                guide[first:stop] = shown["guide"] % videos
                shown["guide"] += 1
            continue
        pool = _chosen(phase, stretch.phase, pools.get(phase.mode, []), seed)
        if not pool:
            continue
        own = phase.source.use or phase.source.order == "shuffle"
        counter: str | int = stretch.phase if own else phase.mode
        starts = [first, *changes_within(phase.source.every, stretch, grid, sections, first, stop, fps), stop]
        for begin, end in zip(starts, starts[1:], strict=False):
            source[begin:end] = pool[shown[counter] % len(pool)]
            shown[counter] += 1
    return source, guide


def _pools(preset: Preset, photos: int, videos: int) -> dict[str, list[int]]:
    still, moving = list(range(photos)), list(range(photos, photos + videos))
    modes = {phase.mode for phase in preset.phase}
    return {
        "photo": still + ([] if "video" in modes else moving),
        "video": moving + ([] if "photo" in modes else still),
    }


def _chosen(phase: Phase, number: int, pool: list[int], seed: int) -> list[int]:
    """Return the sources that a phase shows, in its order; if there are fewer than it names, they repeat."""
    if not pool:
        return []
    chosen = [pool[(use - 1) % len(pool)] for use in phase.source.use] or list(pool)
    if phase.source.order == "shuffle":
        np.random.Generator(np.random.Philox(key=[seed % 2**63, _SHUFFLE + number])).shuffle(chosen)
    return chosen


def changes_within(
    every: str, stretch: PhaseSpan, grid: Grid, sections: list[float], first: int, stop: int, fps: Fraction
) -> list[int]:
    """Return the frames within a span, which has the frames [first, stop), at which the next source comes."""
    if every == "phase":
        return []
    if every == "section":
        times = [time for time in sections if stretch.start < time < stretch.end]
    else:
        length = parse_length(every)
        times = times_every(grid, stretch, length.count, length.unit)
    least = int(np.ceil(frames_in(MIN_HIT_SECONDS, fps)))
    kept: list[int] = []
    for frame in (nearest_frame(time, fps) for time in times):
        if frame - (kept[-1] if kept else first) >= least and frame < stop:
            kept.append(frame)
    return kept


def place_joins(
    preset: Preset, phase: np.ndarray, blending: np.ndarray, cuts: list[int], grid: Grid, fps: Fraction
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the next shot in dissolves and in morphs, float64 [frames] each, 0 where there are none.

    A join `through` is a morph here; `grounds` does the rest of it.

    A join ends on its cut, so that the new shot is alone on the beat; it never begins before its own shot does, and a
    morph not before a blend of prompts has ended. The phase after the cut decides its kind.

    Parameters
    ----------
    phase
        Each frame's phase, int64 [frames].
    blending
        Where two prompts are mixed, bool [frames].
    cuts
        Frames at which shots begin, rising, without frame 0.
    """
    dissolve, morph = np.zeros(len(phase)), np.zeros(len(phase))
    for before, cut in zip([0, *cuts], cuts, strict=False):
        switch = preset.phase[int(phase[cut])].switch
        if switch.join == "cut":
            continue
        length = parse_length(switch.join_over)
        marks = grid.bars if length.unit == "bar" else grid.beats
        pace = float(np.median(np.diff(marks))) if len(marks) > 1 else 0.5
        # not on the shot's first frame: a fed-back shot begins there
        if switch.join in ("morph", "through"):
            mixed = np.flatnonzero(blending[before:cut])
            before += int(mixed[-1]) if len(mixed) else 0
        count = min(round(frames_in(length.count * pace, fps)), cut - before - 1)
        if count > 0:
            column = dissolve if switch.join == "dissolve" else morph
            column[cut - count : cut] = ease((np.arange(count) + 1) / (count + 1))
    return dissolve, morph
