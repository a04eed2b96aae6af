"""Control networks of Stable Diffusion 3 and 3.5: those of InstantX and others beside a text, and Stability's for 3.5 large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.families.block_control import differs, picture_latents, summed, width_of
from reactive.diffusion.models.families.family import Control, FamilyModel

_SAME = ("in_channels", "patch_size", "attention_head_dim", "num_attention_heads", "pooled_projection_dim")
# blocks of Stability's networks for 3.5 large, which have the most
_BLOCKS = 19


def _misfit(config: Any, control: Config, kind: str) -> str:
    del kind
    if control.get("extra_conditioning_channels"):
        return "wants a mask beside the picture"
    if what := differs(config, control, _SAME):
        return what
    # Stability's read no text
    return "" if control.get("joint_attention_dim") is None else differs(config, control, ("joint_attention_dim",))


def _prepare(control: Any, network: Any) -> None:
    control.steered = len(network.transformer_blocks)
    # Stability's have the network's places instead of own ones, and were shown edges in another range than other pictures
    control.of_stability = control.pos_embed is None
    if control.of_stability:
        control.pos_embed = control._get_pos_embed_from_transformer(network).to(control.dtype)


def _hint(model: FamilyModel, control: Any, kind: str, pictures: torch.Tensor) -> torch.Tensor:
    if control.of_stability and kind == "canny":
        # (x 255 + 1) / 2, as is said in an issue of the sd3.5 repository, where others have 2 x - 1
        pictures = (pictures * 255 + 3) / 4
    latents = picture_latents(model, pictures)
    if not control.config.force_zeros_for_pooled_projection:
        return latents
    # InstantX's were trained with latents that are not shifted
    shift = getattr(model.vae.config, "shift_factor", None) or 0.0
    return latents + shift * model.vae.config.scaling_factor


def _steer(controls: Sequence[tuple[Any, str, torch.Tensor, torch.Tensor]], asked: dict[str, Any]) -> dict[str, Any]:
    sums: list[torch.Tensor] = []
    pooled = asked["pooled_projections"]
    for control, _, read, share in controls:
        (added,) = control(
            hidden_states=asked["hidden_states"],
            timestep=asked["timestep"],
            encoder_hidden_states=None if control.context_embedder is None else asked["encoder_hidden_states"],
            pooled_projections=torch.zeros_like(pooled) if control.config.force_zeros_for_pooled_projection else pooled,
            controlnet_cond=read,
            conditioning_scale=share.view(-1, 1, 1),
            return_dict=False,
        )
        run = control.steered / len(added)
        sums = summed(sums, [added[int(block / run)] for block in range(control.steered)])
    return {**asked, "block_controlnet_hidden_states": sums}


def _numbers(network: Any) -> int:
    from diffusers import SD3ControlNetModel

    # Stability's for 3.5 large
    alone = {"num_layers": _BLOCKS, "joint_attention_dim": None, "use_pos_embed": False, "dual_attention_layers": ()}
    with torch.device("meta"):
        made = SD3ControlNetModel.from_config({**network.config, **alone})
    return sum(weight.numel() for weight in made.parameters())


SD3_CONTROL = Control(
    classes=("SD3ControlNetModel",),
    misfit=_misfit,
    hint=_hint,
    steer=_steer,
    # two by two latents are one place
    kept=lambda config, latents: float(_BLOCKS * width_of(config) * latents / 4),
    numbers=_numbers,
    prepare=_prepare,
)
