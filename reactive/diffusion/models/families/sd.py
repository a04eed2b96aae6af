"""Stable Diffusion 1 and 2, their few-step children, and ember."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.families.family import Conditioning, Family, FamilyModel, TextModel
from reactive.diffusion.models.families.unet_control import UNET_CONTROL
from reactive.diffusion.models.weighting import embed_weighted, is_plain

CLIP = {"text_encoder": "transformers.CLIPTextModel", "tokenizer": "transformers.CLIPTokenizer"}


def clip_tokens(tokenizer: Any, texts: list[str], device: torch.device) -> torch.Tensor:
    """Return the texts' token ids [n, 77], padded or cut."""
    length = tokenizer.model_max_length
    found = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    ids: torch.Tensor = found["input_ids"].to(device)
    return ids


def ask_unet(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    """Return a U-Net's inputs, with guidance if it was distilled with it."""
    asked: dict[str, Any] = {"sample": z, "timestep": time, "encoder_hidden_states": conditioning.tokens}
    if conditioning.mask is not None:
        asked["encoder_attention_mask"] = conditioning.mask
    if conditioning.pictures is not None:
        asked |= {"pictures": conditioning.pictures, "shares": conditioning.shares}
    if width := model.network.config.time_cond_proj_dim:
        embedded = guidance_embedding(model.guidance, int(width)).to(z.device, model.dtype)
        asked["timestep_cond"] = embedded.expand(len(z), -1)
    return asked


def answer_unet(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Return a U-Net's prediction; its attention takes the tokens of pictures together with those of texts."""
    asked = dict(inputs)
    if "pictures" in asked:
        asked["encoder_hidden_states"] = asked["encoder_hidden_states"], asked.pop("pictures"), asked.pop("shares")
    output: torch.Tensor = network(**asked, return_dict=False)[0]
    return output


def add_unet_adapter(network: Any, weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Put an IP-Adapter into a U-Net; see `Family.add_adapter`."""
    from reactive.diffusion.models.families.unet_adapter import add_adapter

    return add_adapter(network, weights)


def unet_adapter_numbers(network: Any) -> int:
    """Return how many weights an IP-Adapter adds to a U-Net: keys and values of pictures in each layer that attends to texts."""
    layers = [module for name, module in network.named_modules() if name.endswith("attn2")]
    return sum(layer.to_k.weight.numel() + layer.to_v.weight.numel() for layer in layers)


def told_by_time(config: Config) -> bool:
    """Return whether guidance is an input of a U-Net, beside the time."""
    return bool(config.get("time_cond_proj_dim"))


@lru_cache(maxsize=32)
def guidance_embedding(guidance: float, width: int) -> torch.Tensor:
    """Return the sines and cosines [1, width] that encode guidance for a guidance-distilled network.

    Such networks (LCM, Luo et al. 2023) were trained on the result of classifier-free guidance.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10_000.0) / (half - 1)))
    angles = (guidance - 1) * 1000.0 * rates
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()]), (0, width % 2))[None]


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    device = model.text_encoder.device
    if not is_plain(model.tokenizer, texts):
        tokens, _, mask = embed_weighted(
            model.tokenizer, lambda ids: (model.text_encoder(ids).last_hidden_state, None), texts, device
        )
        return Conditioning(tokens, mask=None if bool(mask.all()) else mask)
    return Conditioning(model.text_encoder(clip_tokens(model.tokenizer, texts, device)).last_hidden_state)


SD = Family(
    name="sd",
    pipelines=("StableDiffusionPipeline", "StableDiffusionImg2Img", "LatentConsistency"),
    network="unet",
    parts={"unet": "diffusers.UNet2DConditionModel", "vae": "", **CLIP, "scheduler": ""},
    embed=_embed,
    ask=ask_unet,
    answer=answer_unet,
    add_adapter=add_unet_adapter,
    adapter_numbers=unet_adapter_numbers,
    control=UNET_CONTROL,
    tells_guidance=told_by_time,
    few_step="",
    single_files=("sd1", "sd2"),
)
