"""Qwen-Image: texts by Qwen2.5-VL, two streams of layers, guidance that keeps the length of the prompt's own prediction."""

from __future__ import annotations

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
    pipeline_of,
    shift_by_size,
)
from reactive.diffusion.models.families.film_latents import film_factor, packed_plain, packed_whitened
from reactive.diffusion.models.families.qwen_control import QWEN_CONTROL


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    pipeline = pipeline_of("QwenImagePipeline", model)
    tokens, mask = pipeline.encode_prompt(texts, model.text_encoder.device)
    return Conditioning(tokens, mask=None if mask is None else mask.bool())


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    del model
    asked = {"z": z, "timestep": time / 1000, "encoder_hidden_states": conditioning.tokens}
    return asked if conditioning.mask is None else {**asked, "encoder_hidden_states_mask": conditioning.mask}


def _answer(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    asked = dict(inputs)
    z = asked.pop("z")
    shapes = [[(1, *z.shape[-2:])]] * len(z)
    output = network(hidden_states=z.flatten(2).transpose(1, 2), img_shapes=shapes, return_dict=False, **asked)[0]
    answer: torch.Tensor = output.transpose(1, 2).reshape(z.shape)
    return answer


def _guide(led: torch.Tensor, free: torch.Tensor, guidance: float) -> torch.Tensor:
    further = free + guidance * (led - free)
    lengths = (torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (led, further))
    return further * (next(lengths) / next(lengths))


def _defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del index, config, name
    return {"steps": 50, "guidance": 4.0}


def _cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    return rows_cost(config, latents, layers=int(config["num_layers"]), text=512, written=written)


QWEN_IMAGE = Family(
    name="qwen-image",
    pipelines=("QwenImagePipeline", "QwenImageImg2Img"),
    parts={
        "transformer": "diffusers.QwenImageTransformer2DModel",
        "vae": "",
        "text_encoder": "transformers.Qwen2_5_VLForConditionalGeneration",
        "tokenizer": "transformers.AutoTokenizer",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    answer=_answer,
    guide=_guide,
    latents=packed_whitened,
    plain=packed_plain,
    factor=film_factor,
    native=lambda config, factor: (1328, 1328),
    vae_channels=lambda config: int(config["in_channels"]) // 4,
    defaults=_defaults,
    shift=shift_by_size,
    cost=_cost,
    decoding=film_autoencoder_cost,
    encoding=film_autoencoder_cost,
    film_autoencoder=True,
    text_batch=1,
    text_tokens=1024,
    large_texts=True,
    bfloat16=True,
    # the length of its texts is computed on the host
    graphs=False,
    control=QWEN_CONTROL,
)
