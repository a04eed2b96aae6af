"""Pictures that are no numbers: half formats overflow in some models, and float32 does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import nn

from reactive.diffusion.models.model import Model
from reactive.errors import ModelError


def is_finite(pictures: torch.Tensor) -> torch.Tensor:
    """Return which pictures [n, ...] consist of finite numbers, bool [n]."""
    # what is no number reaches the least or the greatest; a fifth of the time of looking at each, and no memory
    within = tuple(range(1, pictures.dim()))
    return torch.isfinite(pictures.amin(within)) & torch.isfinite(pictures.amax(within))


@contextmanager
def in_float32(model: Model) -> Iterator[Model]:
    """Hold a copy of a model in float32 for a while.

    The model's own weights stay where they are: recorded graphs read them at their addresses. The copy is not recorded.

    Raises
    ------
    ModelError
        If it is in float32 already, so that nothing is left to try.
    """
    if model.dtype == model.vae_dtype == torch.float32:
        raise _not_finite(model)
    yield replace(
        model,
        network=_in_float32(model.network),
        vae=_in_float32(model.vae),
        dtype=torch.float32,
        vae_dtype=torch.float32,
        graphs=None,
    )


def require_finite(pictures: torch.Tensor, model: Model) -> None:
    """Check that pictures consist of finite numbers.

    Raises
    ------
    ModelError
        If they don't.
    """
    if not bool(is_finite(pictures).all()):
        raise _not_finite(model)


def _in_float32(part: nn.Module) -> nn.Module:
    """Return a copy of a part whose weights are float32; no copy in its own format is made on the way."""
    held: dict[int, Any] = {}
    for weight in chain(part.parameters(), part.buffers()):
        exact = weight.detach().float() if weight.is_floating_point() else weight.detach().clone()
        # what is in float32 already would be the same memory
        exact = exact.clone() if exact.data_ptr() == weight.data_ptr() else exact
        held[id(weight)] = nn.Parameter(exact, requires_grad=False) if isinstance(weight, nn.Parameter) else exact
    for module in part.modules():
        # compiling again for a few pictures would take minutes
        if hasattr(module, "_orig_mod"):
            held[id(module)] = deepcopy(module._orig_mod, held)
    return deepcopy(part, held)


def _not_finite(model: Model) -> ModelError:
    return ModelError(
        "makes pictures that are no numbers, even in float32",
        where=model.name,
        remedy="use another model, --vae or --lora; its weights are damaged or do not fit together",
    )
