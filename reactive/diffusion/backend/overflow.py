"""Pictures with NaN or infinite values: half formats overflow in some models, float32 does not."""

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
    """Return which pictures [n, ...] are finite, bool [n]."""
    # NaN and infinity reach the sum; an eighth of the time of testing each value, and no memory
    return torch.isfinite(pictures.sum(tuple(range(1, pictures.dim())), dtype=torch.float32))


@contextmanager
def in_float32(model: Model) -> Iterator[Model]:
    """Hold a copy of a model in float32 within a block.

    The model's own weights stay where they are: recorded graphs read them at their addresses. The copy is not recorded.

    Raises
    ------
    ModelError
        If it is in float32 already, so that there is nothing left to try.
    """
    if model.dtype == model.vae_dtype == torch.float32:
        raise _not_finite(model)
    yield replace(
        model,
        network=_in_float32(model.network),
        vae=_in_float32(model.vae),
        controls={kind: _in_float32(network) for kind, network in model.controls.items()},
        dtype=torch.float32,
        vae_dtype=torch.float32,
        graphs=None,
    )


def require_all(finite: torch.Tensor, model: Model) -> None:
    """Check that all pictures are finite, by a flag each.

    Raises
    ------
    ModelError
        If they are not.
    """
    if not bool(finite.all()):
        raise _not_finite(model)


def _in_float32(part: nn.Module) -> nn.Module:
    """Return a copy of a part whose weights are float32; without a copy in its own format."""
    held: dict[int, Any] = {}
    for weight in chain(part.parameters(), part.buffers()):
        if not weight.is_floating_point():
            # nobody changes them, and quantised weights are too many for a copy
            held[id(weight)] = weight
            continue
        exact = weight.detach().float()
        # weights that are in float32 already would share memory
        exact = exact.clone() if exact.data_ptr() == weight.data_ptr() else exact
        held[id(weight)] = nn.Parameter(exact, requires_grad=False) if isinstance(weight, nn.Parameter) else exact
    for module in part.modules():
        # compiling again for a few pictures would take minutes
        if hasattr(module, "_orig_mod"):
            held[id(module)] = deepcopy(module._orig_mod, held)
    copied = deepcopy(part, held)
    for module in copied.modules():
        # layers of GGUF files convert their weights to this format
        if isinstance(getattr(module, "compute_dtype", None), torch.dtype):
            setattr(module, "compute_dtype", torch.float32)  # noqa: B010
    return copied


def _not_finite(model: Model) -> ModelError:
    return ModelError(
        "makes pictures with NaN or infinite values, even in float32",
        where=model.name,
        remedy="use another model, --vae or --lora; its weights are damaged or do not fit together",
    )
