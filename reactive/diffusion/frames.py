"""Independent frames: from the timeline's columns to requests, batch after batch, in any order.

A frame without a source, or with a photograph, depends on nothing but its own columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from reactive.diffusion.core import Core, Request
from reactive.diffusion.lens import through_lens
from reactive.diffusion.noise import NoisePath
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class Scenery:
    """What requests are made from: the timeline, its noise, and the photographs at imagine-size.

    `photos` maps the numbers of the timeline's column `source` to float32 [3, height, width] in [-1, 1].
    """

    timeline: Timeline
    noise: NoisePath
    photos: Mapping[int, torch.Tensor]


def scenery(timeline: Timeline, core: Core, photos: Mapping[int, torch.Tensor]) -> Scenery:
    """Return the scenery of a timeline for a core's imagine-size."""
    factor = core.model.factor
    noise = NoisePath(core.model.channels, core.height // factor, core.width // factor, timeline.harmonics)
    return Scenery(timeline, noise, photos)


def walk_noises(scene: Scenery, frame: int, count: int) -> tuple[torch.Tensor, ...]:
    """Return the noise of a frame's walk, and for further steps that of sister seeds on the same walk."""
    seed, walk = int(scene.timeline.columns["seed"][frame]), float(scene.timeline.columns["walk"][frame])
    # sisters move as smoothly as the first, so a clip of several steps does not flicker
    return tuple(scene.noise.at(seed + (step << 48), walk) for step in range(count))


def frame_request(scene: Scenery, frame: int, noises: int) -> Request:
    """Return the request for an independent frame."""
    columns = scene.timeline.columns
    source = int(columns["source"][frame])
    return Request(
        prompt_from=int(columns["prompt_from"][frame]),
        prompt_to=int(columns["prompt_to"][frame]),
        weight=float(columns["weight"][frame]),
        strength=float(columns["strength"][frame]) if source >= 0 else 1.0,
        noises=walk_noises(scene, frame, noises),
        source=scene.photos[source] if source >= 0 else None,
        slerp=bool(columns["slerp"][frame]),
    )


def independent_frames(core: Core, scene: Scenery, frames: np.ndarray) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Imagine independent frames in full batches.

    Yields
    ------
    Frame numbers [n] and their finished pictures, uint8 [n, 3, height, width].
    """
    for first in range(0, len(frames), core.batch):
        chosen = frames[first : first + core.batch]
        pictures = core.imagine([frame_request(scene, frame, core.noises_per_picture) for frame in chosen.tolist()])
        yield chosen, through_lens(pictures, scene.timeline.columns, chosen)
