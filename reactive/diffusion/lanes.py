"""Feedback: each picture grows out of the one before it, many shots side by side.

A shot's pictures lie on ticks of its own rate. Within a shot they follow one another, but shots do not wait for each
other: each is a lane, and the lanes of one batch move forward together. Frames between two ticks are the blend of both,
each moved by the camera to the frame's moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from reactive.diffusion.camera import move_between, warp
from reactive.diffusion.core import Core, Request, from_bytes
from reactive.diffusion.frames import Scenery, walk_noises
from reactive.diffusion.lens import through_lens
from reactive.timeline.clock import tick_positions


@dataclass
class Lane:
    """A feedback shot being rendered: its ticks, how many are done, and the last two pictures (uint8 [3, h, w])."""

    start: int
    stop: int
    ticks: list[Fraction]
    done: int = 0
    before: torch.Tensor | None = None
    last: torch.Tensor | None = None


def feedback_frames(
    core: Core, scene: Scenery, shots: Sequence[tuple[int, int]], *, until: int | None = None
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine feedback shots as lanes of one batch.

    Parameters
    ----------
    shots
        Frame ranges (start, stop).
    until
        Frames from this one on are not wanted; ticks lie as in the whole shot all the same.

    Yields
    ------
    Frame numbers [n] of one shot, rising within it, and their finished pictures, uint8 [n, 3, height, width].
    """
    timeline = scene.timeline
    hits = np.flatnonzero(timeline.columns["hit"] > 0)
    waiting = [
        Lane(start, stop, tick_positions(start, stop, timeline.fps, timeline.feedback_rate, hits))
        for start, stop in shots
    ]
    # long shots first: the batch then stays full until near the end
    waiting.sort(key=lambda lane: (lane.start - lane.stop, lane.start))
    active: list[Lane] = []
    while waiting or active:
        while waiting and len(active) < core.batch:
            active.append(waiting.pop(0))
        pictures = core.imagine([_tick_request(core, scene, lane) for lane in active])
        for lane, picture in zip(active, pictures, strict=True):
            lane.before, lane.last = lane.last, picture.clone()
            lane.done += 1
            frames = _frames_behind(lane)
            if len(frames):
                between = _between(scene, lane, frames)
                yield frames, through_lens(between, timeline.columns, frames)
        end = timeline.frames if until is None else until
        active = [lane for lane in active if lane.done < len(lane.ticks) and lane.ticks[lane.done - 1] < end - 1]


def _tick_request(core: Core, scene: Scenery, lane: Lane) -> Request:
    timeline = scene.timeline
    tick = lane.ticks[lane.done]
    frame = min(math.floor(tick + Fraction(1, 2)), lane.stop - 1)
    columns = timeline.columns
    noises = walk_noises(scene, frame, core.noises_per_picture)
    source = None
    if lane.last is not None:
        move = move_between(columns, float(lane.ticks[lane.done - 1]), float(tick))
        source = warp(from_bytes(lane.last)[None], move[None])[0].clamp(-1, 1)
        # one slowly moving noise, added again and again, would burn in
        fresh = scene.noise.fresh(int(columns["seed"][frame]), lane.start, lane.done)
        share = timeline.feedback_fresh
        noises = (math.sqrt(1 - share) * noises[0] + math.sqrt(share) * fresh, *noises[1:])
    return Request(
        prompt_from=int(columns["prompt_from"][frame]),
        prompt_to=int(columns["prompt_to"][frame]),
        weight=float(columns["weight"][frame]),
        strength=1.0 if source is None else float(columns["strength"][frame]),
        noises=noises,
        source=source,
        slerp=bool(columns["slerp"][frame]),
    )


def _frames_behind(lane: Lane) -> np.ndarray:
    """Return the frames that lie after the tick before last, up to the last one."""
    last = lane.ticks[lane.done - 1]
    if lane.done == 1:
        return np.array([lane.start]) if last == lane.start else np.zeros(0, np.int64)
    first = math.floor(lane.ticks[lane.done - 2]) + 1
    return np.arange(first, min(math.floor(last), lane.stop - 1) + 1)


def _between(scene: Scenery, lane: Lane, frames: np.ndarray) -> torch.Tensor:
    """Return the pictures of frames between the lane's last two ticks, uint8 [n, 3, height, width]."""
    last = lane.ticks[lane.done - 1]
    assert lane.last is not None
    parts = []
    for frame in frames.tolist():
        if frame == last or lane.before is None:
            parts.append(lane.last)
            continue
        early = lane.ticks[lane.done - 2]
        share = float((frame - early) / (last - early))
        columns = scene.timeline.columns
        forward = move_between(columns, float(early), float(frame))
        backward = move_between(columns, float(last), float(frame))
        pair = warp(torch.stack([lane.before, lane.last]).float(), np.stack([forward, backward]))
        mixed = torch.lerp(pair[0], pair[1], share)
        parts.append(mixed.clamp(0, 255).round().to(torch.uint8))
    return torch.stack(parts)
