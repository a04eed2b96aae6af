"""Text encoders are on the card only while prompts are embedded; a preview that needs new prompts moves them there again.

If they do not fit beside the network they stay on the host and compute there in float32.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reactive.diffusion.backend.shapes import budget, needs_of
from reactive.diffusion.models.model import Model

# cards with memory of their own; an Apple chip shares the host's, so moving would gain nothing
OWN_MEMORY = ("cuda", "xpu")
_moving = threading.Lock()


@contextmanager
def on_device(model: Model) -> Iterator[None]:
    """Hold a model's text encoders on the embedding device within a block."""
    if model.device.type not in OWN_MEMORY:
        yield
        return
    fits = embedding_device(model) == model.device
    # one thread at a time moves them
    with _moving:
        if fits:
            _move(model, model.device, model.dtype)
        else:
            _move(model, torch.device("cpu"), torch.float32)
        try:
            yield
        finally:
            _move(model, torch.device("cpu"), model.dtype)


def embedding_device(model: Model) -> torch.device:
    """Return the device for embedding prompts: the host if the encoders do not fit beside the network."""
    if model.device.type not in OWN_MEMORY or not model.memory:
        return model.device
    return model.device if needs_of(model).embedding() <= budget(model.memory) else torch.device("cpu")


def _move(model: Model, device: torch.device, dtype: torch.dtype) -> None:
    # weights that are made in inference mode could not be moved again outside of it
    with torch.inference_mode(False), torch.no_grad():
        for encoder in model.text_encoders:
            encoder.to(device=device, dtype=dtype)
