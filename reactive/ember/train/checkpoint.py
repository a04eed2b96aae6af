"""Checkpoints that training resumes from: weights, moving average, optimiser, step and random state."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


class Average:
    """An exponential moving average of a module's parameters (the weights that are shipped)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.updates = 0

    def update(self, module: nn.Module) -> None:
        """Move the average towards the module; young averages follow faster, so that the start is forgotten."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.shadow[name].lerp_(value.detach(), 1 - decay)
            else:
                self.shadow[name].copy_(value)


def save(path: Path, **state: Any) -> None:
    """Write a checkpoint atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint written by `save`, or None where there is none yet."""
    if not path.exists():
        return None
    # our own file: it holds the optimiser and the random generators beside tensors
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)
    return state


def random_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of the two generators that training draws from."""
    return {"numpy": rng.bit_generator.state, "torch": torch.get_rng_state()}


def restore_random_state(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Set both generators to a state that `random_state` returned."""
    rng.bit_generator.state = state["numpy"]
    torch.set_rng_state(state["torch"])


def cosine(step: int, steps: int, *, peak: float, warm_up: int = 200, floor: float = 0.02) -> float:
    """Return the learning rate at `step`: linear warm-up, then half a cosine from `peak` to `floor * peak`."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return peak * (floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress)))))
