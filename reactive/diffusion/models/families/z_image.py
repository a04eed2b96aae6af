"""Z-Image and Z-Image-Turbo: eight evaluations, texts by Qwen3 of their own lengths."""

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
    fixed_native,
    pipeline_of,
    shift_by_size,
)


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    pipeline = pipeline_of("ZImagePipeline", model)
    found, _ = pipeline.encode_prompt(list(texts), model.text_encoder.device, do_classifier_free_guidance=False)
    lengths = torch.tensor([len(tokens) for tokens in found])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
    return Conditioning(tokens, mask=mask.to(tokens.device))


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    del model
    return {"z": z, "time": (1000 - time) / 1000, "tokens": conditioning.tokens, "mask": conditioning.mask}


def _answer(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Items are a list, each with its own number of tokens; the network predicts the direction from noise to picture."""
    pictures = list(inputs["z"].unsqueeze(2).unbind())
    texts = [tokens[mask] for tokens, mask in zip(inputs["tokens"], inputs["mask"], strict=True)]
    found = network(pictures, inputs["time"], texts, return_dict=False)[0]
    return -torch.stack(list(found)).squeeze(2)


def _defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del index, config
    # pipelines count guidance from 0 here
    slow = "z-image" in name.lower() and "turbo" not in name.lower()
    return {"steps": 50, "guidance": 5.0} if slow else {"steps": 8, "guidance": 1.0}


def _cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    shape = {"num_attention_heads": 1, "attention_head_dim": config["dim"]}
    layers = int(config["n_layers"]) + 2 * int(config["n_refiner_layers"])
    return rows_cost(shape, latents, layers=layers, text=128, patch=2, written=written)


Z_IMAGE = Family(
    name="z-image",
    pipelines=("ZImagePipeline", "ZImageImg2Img"),
    parts={
        "transformer": "diffusers.ZImageTransformer2DModel",
        "vae": "",
        "text_encoder": "transformers.Qwen3Model",
        "tokenizer": "transformers.AutoTokenizer",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    answer=_answer,
    step=2,
    native=fixed_native,
    defaults=_defaults,
    shift=shift_by_size,
    cost=_cost,
    text_batch=1,
    text_tokens=512,
    large_texts=True,
    bfloat16=True,
    # each item's text has a length of its own
    graphs=False,
    no_control="those that are published are single files that need layers of the network",
)
