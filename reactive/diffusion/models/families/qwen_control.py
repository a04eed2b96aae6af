"""Control networks of Qwen-Image: InstantX's, one of which knows several kinds of pictures without being told which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.families.block_control import (
    as_places,
    differs,
    for_all,
    of_prompts,
    picture_latents,
    spread,
    summed,
    width_of,
)
from reactive.diffusion.models.families.family import Control, FamilyModel

_TOLD = ("timestep", "encoder_hidden_states", "encoder_hidden_states_mask")
_SAME = ("in_channels", "attention_head_dim", "num_attention_heads", "joint_attention_dim")
# blocks of the published networks
_BLOCKS = 5


def _misfit(config: Any, control: Config, kind: str) -> str:
    del kind
    if control.get("extra_condition_channels"):
        return "wants a mask beside the picture"
    return differs(config, control, _SAME)


def _prepare(control: Any, network: Any) -> None:
    control.steered = len(network.transformer_blocks)


def _hint(model: FamilyModel, control: Any, kind: str, pictures: torch.Tensor) -> torch.Tensor:
    del control, kind
    return as_places(picture_latents(model, pictures))


def _steer(controls: Sequence[tuple[Any, str, torch.Tensor, torch.Tensor]], asked: dict[str, Any]) -> dict[str, Any]:
    z = asked["z"]
    sums: list[torch.Tensor] = []
    for control, _, read, share in controls:
        added = control(
            hidden_states=as_places(z[: len(read)]),
            controlnet_cond=read,
            conditioning_scale=share.view(-1, 1, 1),
            img_shapes=[[(1, *z.shape[-2:])]] * len(read),
            return_dict=False,
            **of_prompts(asked, _TOLD, len(read)),
        )
        sums = summed(sums, spread(added, control.steered))
    return {**asked, "controlnet_block_samples": for_all(sums, len(z))}


def _numbers(network: Any) -> int:
    from diffusers import QwenImageControlNetModel

    with torch.device("meta"):
        made = QwenImageControlNetModel.from_config({**network.config, "num_layers": _BLOCKS})
    return sum(weight.numel() for weight in made.parameters())


QWEN_CONTROL = Control(
    classes=("QwenImageControlNetModel",),
    misfit=_misfit,
    hint=_hint,
    steer=_steer,
    kept=lambda config, latents: float(_BLOCKS * width_of(config) * latents),
    numbers=_numbers,
    prepare=_prepare,
    once=True,
)
