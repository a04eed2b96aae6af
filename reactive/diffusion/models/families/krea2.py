"""Krea 2 and its Turbo of eight steps: texts by many layers of Qwen3-VL, latents of Qwen-Image's autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config, Cost
from reactive.diffusion.backend.footprint_rows import film_autoencoder_cost, rows_cost
from reactive.diffusion.models.families.family import (
    Conditioning,
    Family,
    FamilyModel,
    TextModel,
    fixed_native,
    pipeline_of,
    shift_by_size,
)
from reactive.diffusion.models.families.film_latents import film_factor, packed_plain, packed_whitened

# the distilled one was trained with this exponent of the shift at every size
_DISTILLED = 1.15


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    pipeline = pipeline_of("Krea2Pipeline", model)
    tokens, mask = pipeline.encode_prompt(texts, model.text_encoder.device)
    return Conditioning(tokens, mask=mask)


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    del model
    zero = torch.zeros(1, dtype=torch.long)
    places = torch.cartesian_prod(zero, torch.arange(z.shape[-2]), torch.arange(z.shape[-1]))
    words = torch.zeros(conditioning.tokens.shape[1], 3, dtype=torch.long)
    return {
        "z": z,
        "timestep": time / 1000,
        "encoder_hidden_states": conditioning.tokens,
        "encoder_attention_mask": conditioning.mask,
        "position_ids": torch.cat([words, places]).float().to(z.device),
    }


def _answer(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    asked = dict(inputs)
    z = asked.pop("z")
    output = network(hidden_states=z.flatten(2).transpose(1, 2), return_dict=False, **asked)[0]
    answer: torch.Tensor = output.transpose(1, 2).reshape(z.shape)
    return answer


def _defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del config, name
    # pipelines count guidance from 0 here
    if not index.get("is_distilled"):
        return {"steps": 28, "guidance": 5.5}
    return {"steps": 8, "guidance": 1.0, "scheduler": {"use_dynamic_shifting": False, "shift": math.exp(_DISTILLED)}}


def _shift(config: Mapping[str, Any], patches: int, steps: int) -> float:
    return shift_by_size({"max_image_seq_len": 6400, **config}, patches, steps)


def _cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    return rows_cost(config, latents, layers=int(config["num_layers"]), text=512, written=written)


KREA2 = Family(
    name="krea2",
    pipelines=("Krea2Pipeline",),
    parts={
        "transformer": "diffusers.Krea2Transformer2DModel",
        "vae": "",
        "text_encoder": "transformers.Qwen3VLModel",
        "tokenizer": "transformers.AutoTokenizer",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    answer=_answer,
    latents=packed_whitened,
    plain=packed_plain,
    factor=film_factor,
    native=fixed_native,
    vae_channels=lambda config: int(config["in_channels"]) // 4,
    defaults=_defaults,
    shift=_shift,
    cost=_cost,
    decoding=film_autoencoder_cost,
    encoding=film_autoencoder_cost,
    film_autoencoder=True,
    text_batch=1,
    text_tokens=512,
    large_texts=True,
    bfloat16=True,
)
