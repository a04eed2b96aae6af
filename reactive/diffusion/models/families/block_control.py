"""What control networks of transformers have in common: each of the network's blocks gets an addition, scaled for each item.

Their control picture is encoded as a picture is; what a control network has fewer of than the network has blocks is used several times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.families.family import FamilyModel


def differs(config: Any, control: Config, names: Sequence[str]) -> str:
    """Return which of these keys a control network's configuration has otherwise than the network's; empty for none."""
    for name in names:
        own, theirs = config.get(name), control.get(name)
        same = list(own) == list(theirs) if isinstance(own, list | tuple) and theirs is not None else own == theirs
        if not same:
            return f"was made for a network whose {name} is {theirs}, not {own}"
    return ""


def unknown_kind(kind: str, modes: dict[str, int], count: int) -> str:
    """Return that a network for `count` kinds of pictures does not know this one; empty if it does."""
    if modes.get(kind, count) < count:
        return ""
    return f"knows no pictures of the kind {kind}, but {', '.join(name for name in modes if modes[name] < count)}"


def picture_latents(model: FamilyModel, pictures: torch.Tensor) -> torch.Tensor:
    """Return the latents, in the network's number format, of pictures in [0, 1]."""
    return model.encode(pictures * 2 - 1).to(model.dtype)


def as_places(latents: torch.Tensor) -> torch.Tensor:
    """Return latents [n, c, h, w] as a row of places, [n, h w, c]."""
    return latents.flatten(2).transpose(1, 2)


def of_prompts(asked: dict[str, Any], names: Sequence[str], count: int) -> dict[str, Any]:
    """Return some of a network's inputs for the first `count` items, without their negatives."""
    return {name: asked[name][:count] for name in names if name in asked}


def for_all(additions: Sequence[torch.Tensor], items: int) -> list[torch.Tensor]:
    """Return additions for prompts as additions for `items` items: the negatives have those of their prompts."""
    return [each if len(each) == items else each.repeat(items // len(each), 1, 1) for each in additions]


def spread(additions: Sequence[torch.Tensor] | None, blocks: int, *, in_turn: bool = False) -> list[torch.Tensor]:
    """Return an addition for each of a network's blocks: each for a run of blocks, or in turn; none if there are none."""
    if not additions:
        return []
    run = math.ceil(blocks / len(additions))
    return [additions[block % len(additions) if in_turn else block // run] for block in range(blocks)]


def summed(sums: Sequence[torch.Tensor], more: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the sums of additions, block by block; either may have none."""
    if not sums or not more:
        return [*sums, *more]
    return [one + other for one, other in zip(sums, more, strict=True)]


def width_of(config: Config) -> int:
    """Return the width of a transformer's places, by its configuration."""
    return int(config["num_attention_heads"]) * int(config["attention_head_dim"])
