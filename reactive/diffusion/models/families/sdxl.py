"""Stable Diffusion XL and its few-step children."""

from __future__ import annotations

from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.families.family import Conditioning, Family, FamilyModel, TextModel
from reactive.diffusion.models.families.sd import (
    CLIP,
    add_unet_adapter,
    answer_unet,
    ask_unet,
    clip_tokens,
    told_by_time,
    unet_adapter_numbers,
)
from reactive.diffusion.models.families.unet_control import UNET_CONTROL
from reactive.diffusion.models.weighting import embed_weighted, is_plain


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    """Both encoders' last hidden states but one, side by side; the second one's projection is the pooled vector."""
    if not is_plain(model.tokenizer, texts):
        return _embed_weighted(model, texts)
    first = model.text_encoder(
        clip_tokens(model.tokenizer, texts, model.text_encoder.device), output_hidden_states=True
    )
    second = model.text_encoder_2(
        clip_tokens(model.tokenizer_2, texts, model.text_encoder_2.device), output_hidden_states=True
    )
    tokens = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    return Conditioning(tokens, second.text_embeds)


def _embed_weighted(model: TextModel, texts: list[str]) -> Conditioning:
    """As `_embed`, of texts with weights, or longer than the encoders take at once."""
    sides = []
    for tokenizer, encoder in ((model.tokenizer, model.text_encoder), (model.tokenizer_2, model.text_encoder_2)):

        def encode(ids: torch.Tensor, encoder: Any = encoder) -> tuple[torch.Tensor, torch.Tensor | None]:
            found = encoder(ids, output_hidden_states=True)
            return found.hidden_states[-2], getattr(found, "text_embeds", None)

        sides.append(embed_weighted(tokenizer, encode, texts, encoder.device))
    (first, _, mask), (second, pooled, _) = sides
    return Conditioning(torch.cat([first, second], dim=-1), pooled, None if bool(mask.all()) else mask)


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    """Original size, crop and target size: an uncropped picture of its own size."""
    height, width = z.shape[-2] * model.vae_scale_factor, z.shape[-1] * model.vae_scale_factor
    ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32).to(z.device)
    told = {"text_embeds": conditioning.pooled, "time_ids": ids.expand(len(z), -1)}
    return {**ask_unet(model, z, time, conditioning), "added_cond_kwargs": told}


def _overflows(config: Config) -> bool:
    """The full autoencoder's configuration says that it overflows in float16; that of a fixed one says that it does not."""
    return bool(config.get("force_upcast", "decoder_block_out_channels" not in config))


SDXL = Family(
    name="sdxl",
    pipelines=("StableDiffusionXLPipeline", "StableDiffusionXLImg2Img"),
    network="unet",
    parts={
        "unet": "diffusers.UNet2DConditionModel",
        "vae": "",
        **CLIP,
        "text_encoder_2": "transformers.CLIPTextModelWithProjection",
        "tokenizer_2": "transformers.CLIPTokenizer",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    answer=answer_unet,
    add_adapter=add_unet_adapter,
    adapter_numbers=unet_adapter_numbers,
    control=UNET_CONTROL,
    tells_guidance=told_by_time,
    zero_negative=True,
    exact_autoencoder=_overflows,
    few_step="sdxl",
    single_files=("sdxl",),
)
