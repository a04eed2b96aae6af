"""Fewer pictures than frames: some frames are imagined, the rest are interpolated by optical flow.

Only the model's pictures are fewer; the lens moves every frame, so a kick is as sharp as ever. Every hit, and the
first and last frame of every shot, are imagined.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch

from reactive.diffusion.core import Core
from reactive.diffusion.frames import independent_pictures
from reactive.diffusion.motion.flow import Between
from reactive.diffusion.motion.lens import through_lens
from reactive.diffusion.scene import SceneInputs
from reactive.timeline.clock import tick_positions
from reactive.timeline.edges import shot_around
from reactive.timeline.timeline import Timeline


def imagined_frames(timeline: Timeline, start: int, stop: int, rate: Fraction) -> np.ndarray:
    """Return which frames of the shot [start, stop) are imagined, int64, rising: `rate` a second, hits and both ends."""
    if rate >= timeline.fps:
        return np.arange(start, stop)
    hits = np.flatnonzero(timeline.columns["hit"][start:stop] > 0) + start
    places = [math.floor(tick + Fraction(1, 2)) for tick in tick_positions(start, stop, timeline.fps, rate, hits)]
    return np.unique(
        np.array([start, stop - 1, *hits.tolist(), *(place for place in places if place < stop)], np.int64)
    )


def sparse_frames(
    core: Core, scene: SceneInputs, frames: np.ndarray, rate: Fraction
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine independent frames, `rate` a second, and interpolate the rest.

    The imagined frames follow from the whole timeline, so an excerpt has the same frames as the whole clip.

    Parameters
    ----------
    frames
        The frames that are wanted, rising.

    Yields
    ------
    Frame numbers [n], rising, and their finished pictures, uint8 [n, 3, height, width].
    """
    columns = scene.timeline.columns
    keys = _keys(scene.timeline, frames, rate)
    wanted = set(frames.tolist())
    before: tuple[int, torch.Tensor] | None = None
    for chosen, pictures in independent_pictures(core, scene, keys):
        for key, picture in zip(chosen.tolist(), pictures, strict=True):
            shown = [frame for frame in range(before[0] + 1, key) if frame in wanted] if before else []
            if before and shown and columns["shot"][before[0]] == columns["shot"][key]:
                way, first = Between(before[1], picture), before[0]
                drawn = torch.stack([way.at((frame - first) / (key - first)) for frame in shown]).to(picture.device)
                yield np.array(shown), through_lens(drawn, columns, np.array(shown))
            if key in wanted:
                yield np.array([key]), through_lens(picture[None], columns, np.array([key]))
            before = key, picture.clone()


def _keys(timeline: Timeline, frames: np.ndarray, rate: Fraction) -> np.ndarray:
    """Return all frames to imagine: those of each shot around its wanted frames."""
    shot = timeline.columns["shot"]
    parts = []
    for number in np.unique(shot[frames]):
        ours = frames[shot[frames] == number]
        start, stop = shot_around(timeline.columns, int(ours[0]))
        keys = imagined_frames(timeline, start, stop, rate)
        first = int(np.searchsorted(keys, ours[0], side="right")) - 1
        last = int(np.searchsorted(keys, ours[-1], side="left"))
        parts.append(keys[first : last + 1])
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
