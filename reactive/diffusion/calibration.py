"""The pace of a walk on each model, so that presets feel alike on all of them.

The timeline's walk is measured in units in which noise is replaced completely. The visible change depends on
the model, so the noise path is walked at one pace per (weights, imagine-size, steps): the pace at which the median of a few
prompts changes as fast as the reference. Change is the distance in L*a*b* of pictures scaled down to a few pixels, which
is what an eye follows; grain is not.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from platformdirs import user_cache_path
from torch.nn import functional

from reactive.diffusion.backend.out_of_memory import in_batches_that_fit
from reactive.diffusion.colour import to_lab
from reactive.diffusion.core import Core, FrameRequest, from_bytes
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.model import Model
from reactive.diffusion.sampling.noise import NoisePath, walk_noises
from reactive.files import write_text
from reactive.jsonfile import parse_json

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
# a slow model is measured with fewer prompts and seeds
SECONDS = 25.0
# one comparison a batch, so that even a slow model soon has a result
PAIR = 2
# prompts that differ from the median by more than this share are reported
MAX_DEVIATION = 0.25


@dataclass(frozen=True)
class PaceMeasurement:
    """A measurement of a model's walk.

    Attributes
    ----------
    pace
        By how much the walk is made faster, rounded to two digits, within 0.25 and 4.
    outliers
        Prompts whose change differs from the median by more than 25 %, each with its ratio to it.
    pictures
        The number of pictures that were compared.
    """

    pace: float
    outliers: tuple[tuple[str, float], ...] = ()
    pictures: int = 0


def change_of(
    core: Core,
    prompts: int,
    *,
    seeds: tuple[int, ...] = SEEDS,
    step: float = STEP,
    seconds: float = math.inf,
) -> np.ndarray:
    """Return the change a unit of walk of each of the core's first `prompts` prompts, float64 [prompts], in L*a*b*.

    Parameters
    ----------
    step
        Walk between the two compared pictures.
    seconds
        No batch after the first begins that would take longer; prompts without a result are NaN.
    """
    model = core.model
    path = NoisePath(model.channels, core.height // model.vae_scale_factor, core.width // model.vae_scale_factor, 16)
    # seed by seed, so that every prompt gets a first seed before the time is over
    pairs = [(prompt, seed) for seed in seeds for prompt in range(prompts)]
    requests = [
        FrameRequest(p, p, 0.0, 1.0, walk_noises(path, seed, walk, core.noises_per_picture))
        for p, seed in pairs
        for walk in (0.0, step)
    ]
    small: list[torch.Tensor] = []
    began, longest = time.perf_counter(), 0.0
    for first in range(0, len(requests), core.batch):
        now = time.perf_counter()
        if len(small) >= 2 and now - began + longest > seconds:
            break
        lab = to_lab(from_bytes(core.imagine(requests[first : first + core.batch])))
        small += functional.interpolate(lab, size=SMALL, mode="area").cpu().unbind()
        longest = max(longest, time.perf_counter() - now)
    found: list[list[float]] = [[] for _ in range(prompts)]
    for (prompt, _), before, after in zip(pairs, small[::2], small[1::2], strict=False):
        found[prompt].append(float((after - before).square().sum(0).sqrt().mean()) / step)
    return np.array([np.mean(values) if values else np.nan for values in found])


def measure_pace(model: Model, *, width: int, height: int, seconds: float = SECONDS) -> PaceMeasurement:
    """Measure the pace for a model at an imagine-size, in about `seconds` seconds at most.

    Raises
    ------
    OutputError
        If memory does not hold a single picture.
    """
    bank = PromptBank(model, PROMPTS)

    def measure(batch: int) -> tuple[np.ndarray, int]:
        core = Core(model, bank, batch=batch, width=width, height=height)
        return change_of(core, len(PROMPTS), seconds=seconds), core.pictures

    change, pictures = in_batches_that_fit(measure, PAIR, model)
    middle = float(np.nanmedian(change))
    if middle <= 0:
        return PaceMeasurement(1.0, pictures=pictures)
    pace = float(f"{min(max(REFERENCE / middle, SLOWEST), FASTEST):.2g}")
    return PaceMeasurement(pace, outliers(change, PROMPTS), pictures)


def outliers(change: np.ndarray, prompts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return the prompts whose change differs from the median by more than 25 %, each with its ratio to it."""
    middle = float(np.nanmedian(change))
    # a prompt that was not measured is not an outlier
    beyond = np.flatnonzero(np.abs(change / middle - 1) > MAX_DEVIATION)
    return tuple((prompts[index], float(change[index] / middle)) for index in beyond.tolist())


def known_pace(model: Model, *, width: int, height: int) -> float | None:
    """Return a model's pace if its folder has it, or it was measured on this machine before; else None.

    A folder has it in ``reactive.json``: ``"walk": {"384x224/1": 1.0}``, from size and steps to pace, or one number for all.
    """
    if isinstance(model.walk_pace, float):
        return model.walk_pace
    if (said := model.walk_pace.get(f"{width}x{height}/{model.steps}")) is not None:
        return said
    with contextlib.suppress(OSError, ValueError, TypeError):
        return float(parse_json(_kept(model, width, height).read_bytes()))
    return None


def pace_of(model: Model, *, width: int, height: int) -> float:
    """Return a model's pace: the known one, or a new measurement."""
    known = known_pace(model, width=width, height=height)
    if known is not None:
        return known
    measured = measure_pace(model, width=width, height=height)
    return save_pace(model, measured.pace, width=width, height=height)


def save_pace(model: Model, pace: float, *, width: int, height: int) -> float:
    """Keep a measured pace on this machine, and return it."""
    kept = _kept(model, width, height)
    # without a writable cache it is measured each time
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(pace))
    return pace


def _kept(model: Model, width: int, height: int) -> Path:
    root = os.environ.get("REACTIVE_CACHE")
    cache = Path(root) if root else user_cache_path("reactive", appauthor=False)
    return cache / "walk" / f"{model.sha256[:32]}-{width}x{height}-{model.steps}.json"
