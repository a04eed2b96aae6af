"""Whether a card computes float16: convolutions of some (GeForce GTX 16xx) give NaN in it, and every picture would be black."""

from __future__ import annotations

import torch
from torch.nn import functional

from reactive.errors import ModelError

# ones times weights of 1 / channels: away from the border each tap of a 3x3 kernel adds 1
_CHANNELS, _SIDE, _TRUTH = 64, 32, 9.0


@torch.inference_mode()
def half_works(device: torch.device) -> bool:
    """Return whether one convolution of a network's usual shape gives the right result in float16."""
    picture = torch.ones((1, _CHANNELS, _SIDE, _SIDE), dtype=torch.float16, device=device)
    weight = torch.full((_CHANNELS, _CHANNELS, 3, 3), 1 / _CHANNELS, dtype=torch.float16, device=device)
    picture, weight = (part.contiguous(memory_format=torch.channels_last) for part in (picture, weight))
    inside = functional.conv2d(picture, weight, padding=1)[:, :, 1:-1, 1:-1]
    # NaN is not near anything
    return bool(((inside - _TRUTH).abs() < 0.05).all())


def usable_dtype(
    device: torch.device, dtype: torch.dtype, requested: str, name: str
) -> tuple[torch.dtype, tuple[str, ...]]:
    """Return the number format to load a model in, and a note for the user.

    Parameters
    ----------
    dtype
        The chosen format.
    requested
        The format that the user requested; ``auto`` for none.
    name
        The model's, for messages.

    Raises
    ------
    ModelError
        If float16 was requested and the card does not compute it.
    """
    if device.type == "cpu" or dtype != torch.float16 or half_works(device):
        return dtype, ()
    if requested != "auto":
        raise ModelError(
            "this card gives NaN in float16", where=f"{name}, --dtype {requested}", remedy="use --dtype float32"
        )
    return torch.float32, ("this card gives NaN in float16, so float32 is used: half the speed, twice the memory.",)
