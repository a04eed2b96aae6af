"""Stable Diffusion 3 and 3.5: texts by two CLIP encoders and T5 side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config, Cost
from reactive.diffusion.backend.footprint_rows import rows_cost
from reactive.diffusion.models.families.family import (
    Conditioning,
    Family,
    FamilyModel,
    TextModel,
    pipeline_of,
    scheduler_times,
    shift_by_size,
)
from reactive.diffusion.models.families.sd3_control import SD3_CONTROL


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    pipeline = pipeline_of("StableDiffusion3Pipeline", model)
    tokens, _, pooled, _ = pipeline.encode_prompt(
        texts, None, None, device=model.text_encoder.device, do_classifier_free_guidance=False
    )
    return Conditioning(tokens, pooled)


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    del model
    return {
        "hidden_states": z,
        "timestep": time,
        "encoder_hidden_states": conditioning.tokens,
        "pooled_projections": conditioning.pooled,
    }


def _defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del index, config
    if "turbo" in name.lower():
        return {"steps": 4, "guidance": 1.0}
    return {"steps": 40, "guidance": 4.5} if "medium" in name.lower() else {"steps": 28, "guidance": 3.5}


def _cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    layers = int(config["num_layers"])
    return rows_cost(config, latents, layers=layers, text=333, patch=2, written=written)


SD3 = Family(
    name="sd3",
    pipelines=("StableDiffusion3Pipeline", "StableDiffusion3Img2Img"),
    parts={
        "transformer": "diffusers.SD3Transformer2DModel",
        "vae": "",
        "text_encoder": "transformers.CLIPTextModelWithProjection",
        "tokenizer": "transformers.CLIPTokenizer",
        "text_encoder_2": "transformers.CLIPTextModelWithProjection",
        "tokenizer_2": "transformers.CLIPTokenizer",
        "text_encoder_3": "transformers.T5EncoderModel",
        "tokenizer_3": "transformers.T5TokenizerFast",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    step=2,
    defaults=_defaults,
    times=scheduler_times,
    shift=shift_by_size,
    cost=_cost,
    text_batch=1,
    text_tokens=333,
    longest_text=lambda _: 256,
    large_texts=True,
    no_adapter="diffusers gives their IP-Adapters one weight for a whole batch, not one for each frame",
    control=SD3_CONTROL,
)
