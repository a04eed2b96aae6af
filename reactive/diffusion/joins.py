"""Joins: dissolves and morphs between two shots.

A join ends on its cut. In a dissolve the next shot begins early, without feedback: its first picture's
prompts, seed and source with the current walk, which on the cut is exactly that first picture. In a morph
there is one picture, whose noise, prompts, source and strength move from one shot's to the other's. Both are
functions of the frame and of the next shot's first frame.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

from reactive.diffusion.controls import between
from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.sampling.noise import turned
from reactive.diffusion.scene import SceneInputs
from reactive.timeline.edges import shot_around


def next_shot(columns: dict[str, np.ndarray], frame: int) -> int:
    """Return the frame at which the shot after a frame's own begins; in the last shot the last frame."""
    return min(shot_around(columns, frame)[1], len(columns["shot"]) - 1)


def prompts_at(columns: dict[str, np.ndarray], frames: np.ndarray) -> set[int]:
    """Return the prompts that frames [n] are made of, including those of the next shot during a join."""
    joining = frames[(columns["dissolve"][frames] > 0) | (columns["morph"][frames] > 0)]
    # there are few shots, and joins are long
    coming = [
        next_shot(columns, int(frame)) for frame in joining[np.unique(columns["shot"][joining], return_index=True)[1]]
    ]
    seen = np.concatenate([frames, np.array(coming, np.int64)])
    return {*columns["prompt_from"][seen].tolist(), *columns["prompt_to"][seen].tolist()}


def next_shot_request(
    scene: SceneInputs, frame: int, noises: int, position: int | Fraction | None = None
) -> FrameRequest:
    """Return the request for the next shot's picture at a frame before it begins.

    Parameters
    ----------
    position
        The moment in frames at which a video is read, if it is not `frame`.
    """
    columns = scene.timeline.columns
    begin = next_shot(columns, frame)
    source = int(columns["source"][begin])
    return FrameRequest(
        prompt_from=int(columns["prompt_from"][begin]),
        prompt_to=int(columns["prompt_to"][begin]),
        weight=float(columns["weight"][begin]),
        strength=float(columns["strength"][begin]) if source >= 0 else 1.0,
        noises=scene.noises(frame, noises, seed=int(columns["seed"][begin])),
        source=scene.picture(source, frame if position is None else position),
        slerp=bool(columns["slerp"][begin]),
        style=scene.style(begin),
        controls=scene.controls(begin, frame if position is None else position),
        loras=scene.loras(begin),
    )


def next_shot_pictures(core: Core, scene: SceneInputs, frames: list[int]) -> torch.Tensor:
    """Return the next shot's pictures at frames of a dissolve, uint8 [n, 3, height, width], without the lens."""
    requests = [next_shot_request(scene, frame, core.noises_per_picture) for frame in frames]
    parts = [core.imagine(requests[i : i + core.batch]) for i in range(0, len(requests), core.batch)]
    return torch.cat([part.clone() for part in parts])


def dissolved(ours: torch.Tensor, theirs: torch.Tensor, weights: np.ndarray) -> torch.Tensor:
    """Return pictures uint8 [n, 3, height, width] mixed with those of the next shot by its weights [n]."""
    share = torch.from_numpy(weights.astype(np.float32)).to(ours.device).view(-1, 1, 1, 1)
    return torch.lerp(ours.float(), theirs.float(), share).round().to(torch.uint8)


def morphed(scene: SceneInputs, own: FrameRequest, frame: int, position: int | Fraction | None = None) -> FrameRequest:
    """Return a frame's request moved towards the next shot by the timeline's column `morph`; 0 leaves it unchanged."""
    weight = float(scene.timeline.columns["morph"][frame])
    if weight <= 0:
        return own
    other = next_shot_request(scene, frame, len(own.noises), position)
    sources = [request.source for request in (own, other) if request.source is not None]
    if len(sources) == 2:
        # a fed-back picture is on the device, a photograph on the host
        sources[1] = sources[1].to(sources[0].device)
    return replace(
        own,
        # a morph begins after the last blend of its shot
        prompt_from=own.prompt_to,
        prompt_to=other.prompt_from,
        weight=weight,
        slerp=False,
        strength=own.strength + (other.strength - own.strength) * weight,
        style=tuple(a + (b - a) * weight for a, b in zip(own.style, other.style, strict=True)),
        controls=tuple(between(own.controls, other.controls, weight)),
        loras=tuple(a + (b - a) * weight for a, b in zip(own.loras, other.loras, strict=True)),
        noises=tuple(turned(a, b, weight) for a, b in zip(own.noises, other.noises, strict=True)),
        # if only one has a source, the other's strength 1 hides it
        source=torch.lerp(sources[0], sources[-1], weight) if sources else None,
    )
