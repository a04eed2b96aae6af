"""LoRAs whose strength changes from frame to frame: added beside a layer, y = W x + strength x up(down(x)), not fused.

Every item of a batch has its own strength. Their strengths are inputs of the network like times and texts, so a recorded graph
replays with others; layers read them from the context of the call, since threads compute parts of a batch side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reactive.diffusion.models.lora import Lora, changed_layers, matrices_of, other_width
from reactive.errors import ModelError

# the name of the strengths among a network's inputs
STRENGTHS = "strengths of loras"
# networks look at the number formats and widths of their layers
_OF_LAYER = (
    "weight",
    "bias",
    "in_features",
    "out_features",
    "in_channels",
    "out_channels",
    "stride",
    "padding",
    "dilation",
    "groups",
)
_now: ContextVar[torch.Tensor | None] = ContextVar("strengths of loras", default=None)


@dataclass(frozen=True)
class VaryingLora:
    """A LoRA of a loaded model whose strength changes: the base name of its file, and whether it changes text encoders too."""

    name: str
    texts: bool = False


@contextmanager
def at_strengths(strengths: torch.Tensor) -> Iterator[None]:
    """Compute with these strengths [n, loras] within a block; outside of any, all of them are 0."""
    token = _now.set(strengths)
    try:
        yield
    finally:
        _now.reset(token)


class BesideLayer(nn.Module):
    """A linear layer or convolution with a LoRA beside it.

    Attributes
    ----------
    layer
        The layer, which may be such a one itself.
    number
        The LoRA's place among the strengths.
    down, up
        Its matrices, scaled by alpha / rank: [rank, in] and [out, rank], with the window of a convolution; of a convolution by
        groups the product of both, and none.
    """

    def __init__(self, layer: Any, number: int, down: torch.Tensor, up: torch.Tensor | None) -> None:
        super().__init__()
        self.layer, self.number = layer, number
        self.down = nn.Parameter(down, requires_grad=False)
        self.up = None if up is None else nn.Parameter(up, requires_grad=False)

    def __getattr__(self, name: str) -> Any:
        layer = super().__getattr__("layer") if name in _OF_LAYER else None
        return super().__getattr__(name) if layer is None else getattr(layer, name)

    def forward(self, x: torch.Tensor, *more: Any) -> torch.Tensor:
        output: torch.Tensor = self.layer(x, *more)
        strengths = _now.get()
        if strengths is None:
            return output
        share = strengths[:, self.number].to(output.dtype)
        if x.dim() == 3 and len(x) % len(share) == 0:
            # some layers take each token of an item as an item of its own: [n x tokens, layers, width]
            share = share.repeat_interleave(len(x) // len(share))
        if len(share) not in (1, len(x)):
            raise ModelError(
                "one of the layers that it changes computes the pictures of a batch together, so they can't differ in strength",
                where="--lora",
                remedy="give it a constant strength",
            )
        return output + share.view(-1, *(1,) * (output.dim() - 1)) * self._change(x)

    def _change(self, x: torch.Tensor) -> torch.Tensor:
        if self.down.dim() == 2 and self.up is not None:
            return nn.functional.linear(nn.functional.linear(x, self.down), self.up)
        window: Any = self
        groups = 1 if self.up is not None else window.groups
        low = nn.functional.conv2d(x, self.down, None, window.stride, window.padding, window.dilation, groups)
        return low if self.up is None else nn.functional.conv2d(low, self.up)


def add_beside(loras: Sequence[Lora], modules: dict[str, Any]) -> tuple[VaryingLora, ...]:
    """Put LoRAs beside the layers that they change; their strengths are then in the order of the LoRAs.

    Raises
    ------
    ModelError
        If a file can't be read, is of another kind, belongs to another model, or is a DoRA.
    """
    # all of them before the first layer is replaced
    changes = [(lora, changed_layers(lora, modules)) for lora in loras]
    made: dict[int, BesideLayer] = {}
    for number, (lora, layers) in enumerate(changes):
        for layer in layers:
            if not layer.matrices.keys().isdisjoint(("row lengths", "lengths")):
                raise ModelError(
                    "is a DoRA, whose strength can't change from frame to frame",
                    where=f"--lora {lora.name}",
                    remedy="give a number as its strength",
                )
            made[id(layer.module)] = _beside(made.get(id(layer.module), layer.module), number, lora, layer)
    for part in {layer.part for _, layers in changes for layer in layers}:
        _replace(modules[part], made)
    return tuple(
        VaryingLora(Path(lora.name).name, any(layer.part != "network" for layer in layers)) for lora, layers in changes
    )


def _beside(holder: Any, number: int, lora: Lora, layer: Any) -> BesideLayer:
    weight = layer.module.weight
    fitting = matrices_of(layer.matrices, weight.shape)
    if fitting is None:
        raise other_width(lora, layer)
    up, down = fitting
    rank = len(down)
    alpha = float(layer.matrices["alpha"]) if "alpha" in layer.matrices else float(rank)
    down = alpha / rank * down
    if getattr(layer.module, "groups", 1) != 1:
        return BesideLayer(holder, number, (up @ down).reshape(weight.shape).to(weight), None)
    down = down.reshape(rank, *weight.shape[1:])
    up = up.reshape(*up.shape, *(1,) * (weight.dim() - 2))
    return BesideLayer(holder, number, down.to(weight), up.to(weight))


def _replace(module: nn.Module, made: dict[int, BesideLayer]) -> None:
    for parent in list(module.modules()):
        if isinstance(parent, BesideLayer):
            continue
        for name, child in parent.named_children():
            if id(child) in made:
                setattr(parent, name, made[id(child)])
