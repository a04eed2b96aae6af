"""Toy IP-Adapters: random weights by the names of the published files, and an encoder of pictures of toy width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

# channels of an encoded picture, and of the encoder's layers
ENCODED, HIDDEN = 24, 16


def picture(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """A picture of a few coloured bands, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    bands = rng.integers(0, 256, (5, 3))
    return np.repeat(bands, height // 5, axis=0)[:, None].repeat(width, axis=1).astype(np.uint8)


def image_encoder() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=HIDDEN,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            projection_dim=ENCODED,
        )
    ).eval()


def adapter_weights(network: Any, *, plus: bool = False) -> dict[str, torch.Tensor]:
    """Weights for a U-Net, by the names of the published files: the plain adapter, or the one that sees more detail."""
    width = network.config.cross_attention_dim
    drawn = (lambda *shape: torch.randn(*shape) * 0.3) if not plus else (lambda *shape: torch.randn(*shape) * 0.1)
    found: dict[str, torch.Tensor] = {}
    if plus:
        inner, tokens = 64, 3
        found |= {
            "latents": torch.randn(1, tokens, inner),
            "proj_in.weight": drawn(inner, HIDDEN),
            "proj_in.bias": drawn(inner),
            "proj_out.weight": drawn(width, inner),
            "proj_out.bias": drawn(width),
            "norm_out.weight": torch.ones(width),
            "norm_out.bias": drawn(width),
        }
        for layer in range(4):
            for norm in ("0.norm1", "0.norm2", "1.0"):
                found |= {
                    f"layers.{layer}.{norm}.weight": torch.ones(inner),
                    f"layers.{layer}.{norm}.bias": drawn(inner),
                }
            found |= {
                f"layers.{layer}.0.to_q.weight": drawn(64, inner),
                f"layers.{layer}.0.to_kv.weight": drawn(128, inner),
                f"layers.{layer}.0.to_out.weight": drawn(inner, 64),
                f"layers.{layer}.1.1.weight": drawn(4 * inner, inner),
                f"layers.{layer}.1.3.weight": drawn(inner, 4 * inner),
            }
    else:
        found |= {
            "proj.weight": drawn(4 * width, ENCODED),
            "proj.bias": drawn(4 * width),
            "norm.weight": torch.ones(width),
            "norm.bias": torch.zeros(width),
        }
    weights = {f"image_proj.{name}": value for name, value in found.items()}
    layers = [name for name in network.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(layers):
        hidden = network.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            # strong enough that a picture changes what is seen
            weights[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(hidden, width) * 3 / width**0.5
    return weights


def save_adapter(folder: Path, model: Path, *, plus: bool = False, seed: int = 5) -> Path:
    """Save an adapter for a saved toy model, its encoder beside it; return the file of weights."""
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    network = UNet2DConditionModel.from_pretrained(model / "unet", local_files_only=True)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "adapter.safetensors"
    save_file(adapter_weights(network, plus=plus), file)
    image_encoder().save_pretrained(folder / "image_encoder")
    return file
