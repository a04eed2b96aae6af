"""FLUX.1 schnell (four steps) and dev (told its guidance): texts by T5, and by CLIP as one vector."""

from __future__ import annotations

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
    plain_latents,
    scaled_latents,
    shift_by_size,
    unpack,
)
from reactive.diffusion.models.families.flux_control import FLUX_CONTROL


def _longest_text(config: Config) -> int:
    # schnell was trained with shorter texts
    return 512 if _tells_guidance(config) else 256


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    length = _longest_text(model.network.config)
    pipeline = pipeline_of("FluxPipeline", model)
    tokens, pooled, _ = pipeline.encode_prompt(texts, device=model.text_encoder.device, max_sequence_length=length)
    return Conditioning(tokens, pooled)


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    height, width = z.shape[-2:]
    places = torch.cartesian_prod(torch.zeros(1, dtype=torch.long), torch.arange(height), torch.arange(width))
    asked: dict[str, Any] = {
        "z": z,
        "timestep": time / 1000,
        "encoder_hidden_states": conditioning.tokens,
        "pooled_projections": conditioning.pooled,
        "img_ids": places.to(z.device, z.dtype),
        "txt_ids": torch.zeros(conditioning.tokens.shape[1], 3, device=z.device, dtype=z.dtype),
    }
    if _tells_guidance(model.network.config):
        asked["guidance"] = torch.full((len(z),), model.guidance, device=z.device)
    return asked


def _answer(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    asked = dict(inputs)
    z = asked.pop("z")
    output = network(hidden_states=z.flatten(2).transpose(1, 2), return_dict=False, **asked)[0]
    answer: torch.Tensor = output.transpose(1, 2).reshape(z.shape)
    return answer


def _tells_guidance(config: Config) -> bool:
    return bool(config.get("guidance_embeds"))


def _defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del index, name
    return {"steps": 28, "guidance": 3.5} if _tells_guidance(config) else {"steps": 4, "guidance": 1.0}


def _cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    layers = int(config["num_layers"]) + int(config["num_single_layers"])
    return rows_cost(config, latents, layers=layers, text=512, written=written)


FLUX = Family(
    name="flux",
    pipelines=("FluxPipeline", "FluxImg2Img"),
    parts={
        "transformer": "diffusers.FluxTransformer2DModel",
        "vae": "",
        "text_encoder": "transformers.CLIPTextModel",
        "tokenizer": "transformers.CLIPTokenizer",
        "text_encoder_2": "transformers.T5EncoderModel",
        "tokenizer_2": "transformers.T5TokenizerFast",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    answer=_answer,
    latents=lambda vae, latents: pack(scaled_latents(vae, latents)),
    plain=lambda vae, latents: plain_latents(vae, unpack(latents)),
    factor=lambda config: 2 * halvings(config),
    native=fixed_native,
    vae_channels=lambda config: int(config["in_channels"]) // 4,
    tells_guidance=_tells_guidance,
    defaults=_defaults,
    shift=shift_by_size,
    cost=_cost,
    decoding=packed_decoder_cost,
    encoding=packed_encoder_cost,
    text_batch=1,
    text_tokens=512,
    longest_text=_longest_text,
    large_texts=True,
    bfloat16=True,
    no_adapter="diffusers gives their IP-Adapters one weight for a whole batch, not one for each frame",
    control=FLUX_CONTROL,
)
