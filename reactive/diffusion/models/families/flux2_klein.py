"""FLUX.2 klein: four steps, texts by Qwen3, latents of 128 channels whitened by the autoencoder's batch statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config, Cost
from reactive.diffusion.backend.footprint_rows import packed_decoder_cost, packed_encoder_cost, rows_cost
from reactive.diffusion.models.families.family import (
    Conditioning,
    Family,
    FamilyModel,
    TextModel,
    fixed_native,
    halvings,
    pack,
    pipeline_of,
    unpack,
)

# two straight lines through (patches, exponent): for 10 steps and for 200, as the scheduler's authors fitted them
_TEN, _TWO_HUNDRED, _MANY = (8.73809524e-05, 1.89833333), (0.00016927, 0.45666666), 4300


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    return Conditioning(pipeline_of("Flux2KleinPipeline", model).encode_prompt(texts, model.text_encoder.device)[0])


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    del model
    count, _, height, width = z.shape
    zero = torch.zeros(1, dtype=torch.long)
    places = torch.cartesian_prod(zero, torch.arange(height), torch.arange(width), zero)
    words = torch.cartesian_prod(zero, zero, zero, torch.arange(conditioning.tokens.shape[1]))
    return {
        "z": z,
        "timestep": time / 1000,
        "encoder_hidden_states": conditioning.tokens,
        "img_ids": places.to(z.device).expand(count, -1, -1),
        "txt_ids": words.to(z.device).expand(count, -1, -1),
    }


def _answer(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    asked = dict(inputs)
    z = asked.pop("z")
    output = network(hidden_states=z.flatten(2).transpose(1, 2), guidance=None, return_dict=False, **asked)[0]
    answer: torch.Tensor = output.transpose(1, 2).reshape(z.shape)
    return answer


def _latents(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    mean, deviation = _statistics(vae, latents)
    return (pack(latents) - mean) / deviation


def _plain(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    mean, deviation = _statistics(vae, latents)
    return unpack(latents * deviation + mean)


def _statistics(vae: Any, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = (part.view(1, -1, 1, 1).to(latents) for part in (vae.bn.running_mean, vae.bn.running_var))
    return mean, (variance + vae.config.batch_norm_eps).sqrt()


def _shift(config: Mapping[str, Any], patches: int, steps: int) -> float:
    low, high = (slope * patches + base for slope, base in (_TEN, _TWO_HUNDRED))
    exponent = high if patches > _MANY else high + (low - high) * (200 - steps) / 190
    dynamic = config.get("use_dynamic_shifting", False)
    return math.exp(exponent) if dynamic else float(config.get("shift", 1.0))


def _defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del config, name
    # of the pipeline with cached keys and values there is only the distilled model, and its index does not say so
    distilled = index.get("is_distilled") or index.get("_class_name") == "Flux2KleinKVPipeline"
    return {"steps": 4, "guidance": 1.0} if distilled else {"steps": 50, "guidance": 4.0}


def _cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    layers = int(config["num_layers"]) + int(config["num_single_layers"])
    return rows_cost(config, latents, layers=layers, text=512, forward=4.5, written=written)


FLUX2_KLEIN = Family(
    name="flux2-klein",
    pipelines=("Flux2Klein",),
    parts={
        "transformer": "diffusers.Flux2Transformer2DModel",
        "vae": "",
        "text_encoder": "transformers.Qwen3ForCausalLM",
        "tokenizer": "transformers.AutoTokenizer",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    answer=_answer,
    latents=_latents,
    plain=_plain,
    factor=lambda config: 2 * halvings(config),
    native=fixed_native,
    vae_channels=lambda config: int(config["in_channels"]) // 4,
    defaults=_defaults,
    shift=_shift,
    cost=_cost,
    decoding=packed_decoder_cost,
    encoding=packed_encoder_cost,
    text_batch=1,
    text_tokens=512,
    large_texts=True,
    bfloat16=True,
)
