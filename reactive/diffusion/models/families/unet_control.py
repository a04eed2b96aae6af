"""Control networks of U-Nets (ControlNet; Zhang et al. 2023, arXiv 2302.05543), each item with a weight of its own.

What a network makes of its control picture does not depend on the step, so it is computed once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.families.block_control import differs, unknown_kind
from reactive.diffusion.models.families.family import Control, FamilyModel

# what a control network is asked of all that a U-Net is asked
_TOLD = ("sample", "timestep", "encoder_hidden_states", "added_cond_kwargs")
# the numbers that a network for several kinds of pictures has for them, as its author gave them (xinsir's union for XL)
UNION = {
    "pose": 0,
    "depth": 1,
    "scribble": 2,
    "softedge": 2,
    "canny": 3,
    "lineart": 3,
    "normal": 4,
    "segment": 5,
    "tile": 6,
}
# what of the configurations must be the same
_SAME = ("cross_attention_dim", "in_channels", "block_out_channels")


def misfit(config: Any, control: Config, kind: str) -> str:
    """Return what does not fit of a control network's configuration; see `Control.misfit`."""
    types = control.get("num_control_type")
    if types and (what := unknown_kind(kind, UNION, types)):
        return what
    return differs(config, control, _SAME)


def prepare(network: Any, steered: Any) -> None:
    """Take the part that reads pictures out of a control network's steps, and let its layers mask texts."""
    del steered
    network.reading = network.controlnet_cond_embedding
    network.controlnet_cond_embedding = torch.nn.Identity()
    network.swapped = network.config.controlnet_conditioning_channel_order == "bgr"
    network.register_to_config(controlnet_conditioning_channel_order="rgb")
    # only control networks need it, and with it all of diffusers
    from reactive.diffusion.models.families.masked_texts import MaskedTexts

    masked = MaskedTexts()  # type: ignore[no-untyped-call]
    network.set_attn_processor(
        {
            name: masked if name.endswith("attn2.processor") else processor
            for name, processor in network.attn_processors.items()
        }
    )


def kept(config: Config, latents: int) -> float:
    """Return how many numbers a control network adds to a U-Net's blocks for one picture; see `Control.kept`."""
    widths, layers = [int(width) for width in config["block_out_channels"]], int(config.get("layers_per_block", 2))
    pixels = float(latents)
    total = widths[0] * pixels
    for level, width in enumerate(widths):
        total += layers * width * pixels
        if level < len(widths) - 1:
            pixels /= 4
            total += width * pixels
    # and the middle
    return total + widths[-1] * pixels


def numbers(network: Any) -> int:
    """Return how many weights the usual control network of a U-Net has; see `Control.numbers`."""
    from diffusers import ControlNetModel

    with torch.device("meta"):
        made = ControlNetModel.from_unet(network, load_weights_from_unet=False)
    return sum(weight.numel() for weight in made.parameters())


def hint(model: FamilyModel, network: Any, kind: str, pictures: torch.Tensor) -> torch.Tensor:
    """Return what a control network reads in pictures; see `Control.hint`."""
    del model, kind
    read: torch.Tensor = network.reading(pictures.flip(1) if network.swapped else pictures)
    return read


def steer(controls: Sequence[tuple[Any, str, torch.Tensor, torch.Tensor]], asked: dict[str, Any]) -> dict[str, Any]:
    """Return a U-Net's inputs with the sums of what control networks add to its blocks; see `Control.steer`."""
    told = {name: asked[name] for name in _TOLD if name in asked}
    if "encoder_attention_mask" in asked:
        told["encoder_hidden_states"] = told["encoder_hidden_states"], asked["encoder_attention_mask"]
    downs: list[torch.Tensor] = []
    middle: Any = 0
    for network, kind, read, share in controls:
        scale = share.view(-1, 1, 1, 1)
        if types := getattr(network.config, "num_control_type", None):
            one = torch.zeros(len(read), types, dtype=read.dtype, device=read.device)
            one[:, UNION[kind]] = 1
            shown = {"controlnet_cond": [read], "control_type": one, "control_type_idx": [UNION[kind]]}
            added, inner = network(**told, **shown, conditioning_scale=[scale], return_dict=False)
        else:
            added, inner = network(**told, controlnet_cond=read, conditioning_scale=scale, return_dict=False)
        downs = [a + b for a, b in zip(downs, added, strict=True)] if downs else list(added)
        middle = middle + inner
    return {**asked, "down_block_additional_residuals": tuple(downs), "mid_block_additional_residual": middle}


UNET_CONTROL = Control(
    classes=("ControlNetModel", "ControlNetUnionModel"),
    misfit=misfit,
    hint=hint,
    steer=steer,
    kept=kept,
    numbers=numbers,
    prepare=prepare,
)
