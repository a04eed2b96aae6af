"""Toy control networks: random weights in diffusers' own classes, for the network of a saved toy model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch


def shapes(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    """A picture of a light rectangle on a dark ground, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    top, left = rng.integers(8, 24, 2)
    shown = np.full((height, width, 3), rng.integers(0, 60, 3), np.uint8)
    shown[top : top + 24, left : left + 28] = rng.integers(170, 256, 3)
    return shown


def textured(seed: int, size: int) -> np.ndarray:
    """The same with a rough surface: autoencoders of toy width magnify what rounding does to even areas."""
    rough = np.random.default_rng(seed).integers(-40, 41, (size, size, 3))
    return (shapes(seed, size, size) + rough).clip(0, 255).astype(np.uint8)


def save_control(
    folder: Path, model: Path, *, union: bool = False, seed: int = 5, strength: float = 1.0, **more: Any
) -> Path:
    """Save a control network for a saved toy U-Net; its layers that begin as zeros are drawn too."""
    import diffusers

    torch.manual_seed(seed)
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet", local_files_only=True)
    kind = diffusers.ControlNetUnionModel if union else diffusers.ControlNetModel
    made: Any = kind.from_unet(
        unet, load_weights_from_unet=False, conditioning_embedding_out_channels=(4, 8, 8, 16), **more
    )
    if union:
        width = unet.config.block_out_channels[0]
        heads = {"num_trans_channel": width, "num_proj_channel": width, "num_trans_head": 2}
        made = kind.from_config({**made.config, **heads, "_use_default_values": []})
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "controlnet_" in name or "spatial_ch_projs" in name or name == "task_embedding":
                weight.copy_(torch.randn_like(weight) * strength / max(weight[0].numel(), 1) ** 0.5)
    made.save_pretrained(folder)
    return folder


# control networks of transformers: class, and what their configuration has otherwise than the network's
OF_BLOCKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "instantx": ("flux", "FluxControlNetModel", {"num_layers": 2, "num_single_layers": 1}),
    "several kinds": ("flux", "FluxControlNetModel", {"num_layers": 1, "num_single_layers": 2, "num_mode": 5}),
    "shakker": ("flux", "FluxControlNetModel", {"num_layers": 2, "num_single_layers": 0}),
    "xlabs": (
        "flux",
        "FluxControlNetModel",
        {"num_layers": 2, "num_single_layers": 0, "patch_size": 2, "conditioning_embedding_channels": 4},
    ),
    "of schnell": ("schnell", "FluxControlNetModel", {"num_layers": 2, "num_single_layers": 0}),
    "sd3": ("sd3", "SD3ControlNetModel", {"num_layers": 2}),
    "sd3 with pooled": ("sd3", "SD3ControlNetModel", {"num_layers": 1, "force_zeros_for_pooled_projection": False}),
    "stability": (
        "sd3",
        "SD3ControlNetModel",
        {
            "num_layers": 2,
            "joint_attention_dim": None,
            "use_pos_embed": False,
            "force_zeros_for_pooled_projection": False,
        },
    ),
    "qwen": ("qwen-image", "QwenImageControlNetModel", {"num_layers": 2}),
}


def save_block_control(folder: Path, model: Path, name: str, *, seed: int = 5, **more: Any) -> Path:
    """Save a control network of `OF_BLOCKS` for a saved toy of its family; its layers that begin as zeros are drawn too."""
    import json

    import diffusers

    _, kind, told = OF_BLOCKS[name]
    config = json.loads((model / "transformer" / "config.json").read_text())
    torch.manual_seed(seed)
    made: Any = getattr(diffusers, kind).from_config(
        {**{key: value for key, value in config.items() if not key.startswith("_")}, **told, **more}
    )
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn_like(weight) / weight[0].numel() ** 0.5 / 2)
    made.save_pretrained(folder)
    return folder
