"""Control networks of FLUX.1: those of InstantX and Shakker Labs, for one or several kinds of pictures, and those of XLabs."""

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
    unknown_kind,
    width_of,
)
from reactive.diffusion.models.families.family import Control, FamilyModel, pack

# what a control network is asked of all that the network is asked
_TOLD, _PLACES = ("timestep", "encoder_hidden_states", "pooled_projections", "guidance"), ("img_ids", "txt_ids")
# the numbers that a network for several kinds of pictures has for them, by InstantX's and Shakker Labs' model cards
MODES = {"canny": 0, "tile": 1, "depth": 2, "blur": 3, "pose": 4, "gray": 5}
_SAME = ("in_channels", "attention_head_dim", "num_attention_heads", "joint_attention_dim", "pooled_projection_dim")
# blocks of both sorts in the published networks: five and ten with several kinds in one, six and none without numbers for kinds
_BLOCKS, _USUAL = 15, {"num_layers": 6, "num_single_layers": 0}


def _misfit(config: Any, control: Config, kind: str) -> str:
    if control.get("guidance_embeds") and not config.get("guidance_embeds"):
        return "was made for FLUX.1-dev, whose network is told its guidance"
    if (count := control.get("num_mode")) and (what := unknown_kind(kind, MODES, count)):
        return what
    return differs(config, control, _SAME)


def _prepare(control: Any, network: Any) -> None:
    """Take the part that reads pictures out of the steps; it is there in XLabs' networks only."""
    control.reading, control.input_hint_block = control.input_hint_block, None
    control.steered = len(network.transformer_blocks), len(network.single_transformer_blocks)


def _hint(model: FamilyModel, control: Any, kind: str, pictures: torch.Tensor) -> torch.Tensor:
    del kind
    if control.reading is None:
        return as_places(picture_latents(model, pictures))
    return as_places(pack(control.reading(pictures * 2 - 1)))


def _steer(controls: Sequence[tuple[Any, str, torch.Tensor, torch.Tensor]], asked: dict[str, Any]) -> dict[str, Any]:
    states = as_places(asked["z"])
    doubles: list[torch.Tensor] = []
    singles: list[torch.Tensor] = []
    for control, kind, read, share in controls:
        told = of_prompts(asked, _TOLD, len(read)) | {name: asked[name] for name in _PLACES}
        if not control.config.guidance_embeds:
            told.pop("guidance", None)
        if control.union:
            told["controlnet_mode"] = torch.full((len(read), 1), MODES[kind], dtype=torch.long, device=read.device)
        added = control(
            hidden_states=states[: len(read)],
            controlnet_cond=read,
            conditioning_scale=share.view(-1, 1, 1),
            return_dict=False,
            **told,
        )
        first, then = control.steered
        doubles = summed(doubles, spread(added[0], first, in_turn=control.reading is not None))
        singles = summed(singles, spread(added[1], then))
    return {
        **asked,
        "controlnet_block_samples": for_all(doubles, len(states)) or None,
        "controlnet_single_block_samples": for_all(singles, len(states)) or None,
    }


def _numbers(network: Any) -> int:
    from diffusers import FluxControlNetModel

    with torch.device("meta"):
        made = FluxControlNetModel.from_config({**network.config, **_USUAL})
    return sum(weight.numel() for weight in made.parameters())


FLUX_CONTROL = Control(
    classes=("FluxControlNetModel",),
    misfit=_misfit,
    hint=_hint,
    steer=_steer,
    kept=lambda config, latents: float(_BLOCKS * width_of(config) * latents),
    numbers=_numbers,
    prepare=_prepare,
    once=True,
)
