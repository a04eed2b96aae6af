"""How fast a walk must go on a model so that presets feel alike on all of them.

The timeline's walk is counted in units of noise: one unit, and nothing is left of it. How much of that is seen depends on
the model, so the noise path is walked at one pace per (weights, imagine-size, steps): the pace at which the middle one of a few
prompts changes as fast as the reference says. Change is the distance in L*a*b* of pictures scaled down to a few pixels, which
is what an eye follows; grain is not.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path
from torch.nn import functional

from reactive.diffusion.colour import to_lab
from reactive.diffusion.conditioning import PromptBank
from reactive.diffusion.core import Core, Request, from_bytes
from reactive.diffusion.model import Model
from reactive.diffusion.noise import NoisePath

# L*a*b* a unit of walk, in pictures of 24 x 14 pixels; about what ember does at its native size
REFERENCE = 20.0
STEP = 0.1
SMALL = (14, 24)
SEEDS = (1, 2)
PROMPTS = (
    "a mountain under clouds",
    "a city at night",
    "waves of the sea at sunset",
    "a forest in fog",
    "fire and smoke",
    "stars and a nebula",
    "a desert of red rocks",
    "abstract waves of colour",
)
SLOWEST, FASTEST = 0.25, 4.0


def change_of(core: Core, prompts: int, *, seeds: tuple[int, ...] = SEEDS, step: float = STEP) -> np.ndarray:
    """Return the change a unit of walk of each of the core's first `prompts` prompts, float64 [prompts], in L*a*b*."""
    model = core.model
    path = NoisePath(model.channels, core.height // model.factor, core.width // model.factor, 16)
    requests = [
        Request(p, p, 0.0, 1.0, tuple(path.at(seed + (i << 48), walk) for i in range(core.noises_per_picture)))
        for p in range(prompts)
        for seed in seeds
        for walk in (0.0, step)
    ]
    small = []
    for first in range(0, len(requests), core.batch):
        lab = to_lab(from_bytes(core.imagine(requests[first : first + core.batch])))
        small.append(functional.interpolate(lab, size=SMALL, mode="area").cpu())
    pairs = torch.cat(small).view(prompts, len(seeds), 2, 3, *SMALL)
    distance = (pairs[:, :, 1] - pairs[:, :, 0]).square().sum(2).sqrt().mean((1, 2, 3))
    return distance.double().numpy() / step


def measure_pace(model: Model, *, batch: int, width: int, height: int) -> float:
    """Return the pace for a model at an imagine-size, rounded to two digits, within 0.25 and 4."""
    core = Core(model, PromptBank(model, PROMPTS), batch=batch, width=width, height=height)
    change = float(np.median(change_of(core, len(PROMPTS))))
    if change <= 0:
        return 1.0
    return float(f"{min(max(REFERENCE / change, SLOWEST), FASTEST):.2g}")


def pace_of(model: Model, *, batch: int, width: int, height: int) -> float:
    """Return a model's pace: what its folder says, what was measured before, or what is measured now.

    A folder says it in ``reactive.json``: ``"walk": {"384x224/1": 1.0}``, from size and steps to pace, or one number for all.
    """
    if isinstance(model.walk, float):
        return model.walk
    if (said := model.walk.get(f"{width}x{height}/{model.steps}")) is not None:
        return said
    kept = _cache() / f"{model.sha256[:32]}-{width}x{height}-{model.steps}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return float(json.loads(kept.read_text(encoding="utf-8")))
    pace = measure_pace(model, batch=batch, width=width, height=height)
    # a cache that can't be written costs a measurement each time, nothing else
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(pace), encoding="utf-8")
        os.replace(partial, kept)
    return pace


def _cache() -> Path:
    return user_cache_path("reactive", appauthor=False) / "walk"
