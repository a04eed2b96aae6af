"""SANA-Sprint: one or two jumps along a trigonometric flow, texts by Gemma 2, an autoencoder of 32 pixels a latent."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config, Cost
from reactive.diffusion.backend.footprint_rows import deep_autoencoder_cost, rows_cost
from reactive.diffusion.models.families.family import Conditioning, Family, FamilyModel, TextModel, pipeline_of

# the angle in between that was published for two steps
_MIDDLE = 1.3 / (math.pi / 2)


def _embed(model: TextModel, texts: list[str]) -> Conditioning:
    pipeline = pipeline_of("SanaSprintPipeline", model)
    # the instruction before each text was part of training
    instruction = inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default
    tokens, mask = pipeline.encode_prompt(
        texts, device=model.text_encoder.device, complex_human_instruction=instruction
    )
    return Conditioning(tokens, mask=mask.bool())


def _ask(model: FamilyModel, z: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    # `time` counts a thousand levels of the angle from 0; a quarter of a circle is pure noise
    angle = (time + 1) / 1000 * (math.pi / 2)
    scale = float(model.network.config.guidance_embeds_scale)
    guidance = torch.full((len(z),), model.guidance * scale, device=z.device, dtype=model.dtype)
    return {
        "z": z,
        "angle": angle,
        "encoder_hidden_states": conditioning.tokens,
        "encoder_attention_mask": conditioning.mask,
        "guidance": guidance,
    }


def _answer(network: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The network was trained for a straight flow: its input and output are converted to the trigonometric one."""
    asked = dict(inputs)
    z, angle = asked.pop("z").float(), asked.pop("angle").view(-1, 1, 1, 1)
    time = angle.sin() / (angle.cos() + angle.sin())
    length = (time**2 + (1 - time) ** 2).sqrt()
    flat = z * length
    output = network(flat.to(inputs["z"].dtype), timestep=time.flatten(), return_dict=False, **asked)[0].float()
    return ((1 - 2 * time) * flat + (1 - 2 * time + 2 * time**2) * output) / length


def _times(config: Mapping[str, Any], steps: int) -> Sequence[float]:
    del config
    return (1.0, _MIDDLE) if steps == 2 else [1 - step / steps for step in range(steps)]


def _defaults(index: Mapping[str, Any], config: Config, name: str) -> dict[str, Any]:
    del index, config, name
    return {"steps": 2, "guidance": 4.5}


def _cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    layers = int(config["num_layers"])
    return rows_cost(config, latents, layers=layers, text=0, forward=5.0, linear=True, written=written)


SANA_SPRINT = Family(
    name="sana-sprint",
    pipelines=("SanaSprint",),
    parts={
        "transformer": "diffusers.SanaTransformer2DModel",
        "vae": "",
        "text_encoder": "transformers.Gemma2Model",
        "tokenizer": "transformers.AutoTokenizer",
        "scheduler": "",
    },
    embed=_embed,
    ask=_ask,
    answer=_answer,
    factor=lambda config: int(2 ** (len(config["encoder_block_out_channels"]) - 1)),
    tells_guidance=lambda config: True,
    defaults=_defaults,
    times=_times,
    cost=_cost,
    decoding=deep_autoencoder_cost,
    encoding=deep_autoencoder_cost,
    text_batch=1,
    text_tokens=300,
    large_texts=True,
    bfloat16=True,
    no_control="diffusers has them for SANA only",
)
