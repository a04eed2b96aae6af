"""Pictures that are no numbers: half formats overflow in some models, and float32 does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from reactive.diffusion.models.model import Model
from reactive.errors import ModelError


def whole(pictures: torch.Tensor) -> torch.Tensor:
    """Return which pictures [n, ...] consist of finite numbers, bool [n]."""
    # what is no number reaches the least or the greatest; a fifth of the time of looking at each, and no memory
    within = tuple(range(1, pictures.dim()))
    return torch.isfinite(pictures.amin(within)) & torch.isfinite(pictures.amax(within))


@contextmanager
def in_float32(model: Model) -> Iterator[Model]:
    """Hold a model in float32 for a while; afterwards it has its very weights again, since each of them is a float32 number.

    Raises
    ------
    ModelError
        If it is in float32 already, so that nothing is left to try.
    """
    if model.dtype == model.vae_dtype == torch.float32:
        raise _no_numbers(model)
    told = None if model.told_guidance is None else model.told_guidance.float()
    try:
        model.unet.to(torch.float32)
        model.vae.to(torch.float32)
        yield replace(model, dtype=torch.float32, vae_dtype=torch.float32, told_guidance=told)
    finally:
        model.unet.to(model.dtype)
        model.vae.to(model.vae_dtype)


def require_whole(pictures: torch.Tensor, model: Model) -> None:
    """Check that pictures consist of finite numbers.

    Raises
    ------
    ModelError
        If they don't.
    """
    if not bool(whole(pictures).all()):
        raise _no_numbers(model)


def _no_numbers(model: Model) -> ModelError:
    return ModelError(
        "makes pictures that are no numbers, even in float32", where=model.name,
        remedy="use another model, --vae or --lora; its weights are damaged or do not fit together",
    )  # fmt: skip
