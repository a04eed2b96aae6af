"""Families of models: what differs between Stable Diffusion 1 and 2 and Stable Diffusion XL, in this one place.

A family knows which parts a folder has, how texts become what the network attends to, and what else the network is told.
Everything else (schedules, samplers, the core) is the same for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class FamilyModel(Protocol):
    """What a family reads of a loaded model: its text encoders, and how many pixels a latent has on a side."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def text_encoder(self) -> Any: ...

    @property
    def tokenizer_2(self) -> Any: ...

    @property
    def text_encoder_2(self) -> Any: ...

    @property
    def vae_scale_factor(self) -> int: ...


@dataclass(frozen=True)
class Conditioning:
    """What the network attends to.

    Attributes
    ----------
    tokens
        One vector a token, [n, tokens, width].
    pooled
        One vector a text, [n, width]; None in families that have none.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor | None = None

    def __getitem__(self, rows: torch.Tensor | slice) -> Conditioning:
        """Return some of the texts, in the order asked for."""
        return Conditioning(self.tokens[rows], None if self.pooled is None else self.pooled[rows])

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Conditioning:
        """Return it in a number format, on a device if one is named."""
        tokens, pooled = (
            None if part is None else part.to(device=device or part.device, dtype=dtype)
            for part in (self.tokens, self.pooled)
        )
        assert tokens is not None
        return Conditioning(tokens, pooled)

    def expand(self, count: int) -> Conditioning:
        """Return one text's conditioning for `count` items."""
        pooled = None if self.pooled is None else self.pooled.expand(count, -1)
        return Conditioning(self.tokens.expand(count, -1, -1), pooled)


@dataclass(frozen=True)
class Family:
    """How one kind of model is spoken to.

    Attributes
    ----------
    name
        Short name.
    pipelines
        Beginnings of the class names that a ``model_index.json`` of this family may have.
    parts
        Folders that hold weights, vocabulary or configuration; all of them are needed.
    embed
        Texts to conditioning, as the family's own pipelines compute it.
    added
        What the network is told beside time and text, for latents of a size.
    """

    name: str
    pipelines: tuple[str, ...]
    parts: tuple[str, ...]
    embed: Callable[[FamilyModel, list[str]], Conditioning]
    added: Callable[[FamilyModel, torch.Tensor, Conditioning], dict[str, Any]]


def join(*parts: Conditioning) -> Conditioning:
    """Return conditionings one after another."""
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return Conditioning(torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None)


def blend(before: Conditioning, after: Conditioning, share: torch.Tensor) -> Conditioning:
    """Return the blend of two conditionings; `share` [n] runs from 0 (`before`) to 1 (`after`)."""
    tokens = torch.lerp(before.tokens, after.tokens, share.view(-1, 1, 1))
    if before.pooled is None or after.pooled is None:
        return Conditioning(tokens)
    return Conditioning(tokens, torch.lerp(before.pooled, after.pooled, share.view(-1, 1)))


def turn(before: Conditioning, after: Conditioning, share: torch.Tensor) -> Conditioning:
    """Return the conditionings between two along the arc; `share` [n] runs from 0 (`before`) to 1 (`after`)."""
    tokens = along_arc(before.tokens, after.tokens, share.view(-1, 1, 1))
    if before.pooled is None or after.pooled is None:
        return Conditioning(tokens)
    return Conditioning(tokens, along_arc(before.pooled, after.pooled, share.view(-1, 1)))


def choose(first: torch.Tensor, one: Conditioning, other: Conditioning) -> Conditioning:
    """Return `one` where `first` (bool [n]) holds, and `other` elsewhere."""
    tokens = torch.where(first.view(-1, 1, 1), one.tokens, other.tokens)
    if one.pooled is None or other.pooled is None:
        return Conditioning(tokens)
    return Conditioning(tokens, torch.where(first.view(-1, 1), one.pooled, other.pooled))


def along_arc(start: torch.Tensor, stop: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return each token's vector turned from `start` to `stop` at an even pace, its length changing straight (slerp).

    Parameters
    ----------
    start, stop
        [..., width].
    share
        In [0, 1], shaped to go with them.
    """
    first, last = start.float(), stop.float()
    lengths = first.norm(dim=-1, keepdim=True), last.norm(dim=-1, keepdim=True)
    one, two = first / lengths[0].clamp_min(1e-9), last / lengths[1].clamp_min(1e-9)
    angle = (one * two).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    turned = (((1 - share) * angle).sin() * one + (share * angle).sin() * two) / sine.clamp_min(1e-6)
    # nearly the same direction: the chord is the arc
    turned = torch.where(sine < 1e-3, torch.lerp(one, two, share.float()), turned)
    return (turned * torch.lerp(lengths[0], lengths[1], share.float())).to(start.dtype)


def _tokens(tokenizer: Any, texts: list[str], device: torch.device) -> torch.Tensor:
    length = tokenizer.model_max_length
    found = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    ids: torch.Tensor = found["input_ids"].to(device)
    return ids


def _embed_sd(model: FamilyModel, texts: list[str]) -> Conditioning:
    ids = _tokens(model.tokenizer, texts, model.text_encoder.device)
    return Conditioning(model.text_encoder(ids).last_hidden_state)


def _embed_sdxl(model: FamilyModel, texts: list[str]) -> Conditioning:
    """Both encoders' last hidden states but one, side by side; the second one's projection is the pooled vector."""
    first = model.text_encoder(_tokens(model.tokenizer, texts, model.text_encoder.device), output_hidden_states=True)
    second = model.text_encoder_2(
        _tokens(model.tokenizer_2, texts, model.text_encoder_2.device), output_hidden_states=True
    )
    tokens = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    return Conditioning(tokens, second.text_embeds)


def _nothing(model: FamilyModel, z: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    del model, z, conditioning
    return {}


def _size_and_pooled(model: FamilyModel, z: torch.Tensor, conditioning: Conditioning) -> dict[str, Any]:
    """Original size, crop and aim: the picture is told to be whole, and of just the size that it has."""
    height, width = z.shape[-2] * model.vae_scale_factor, z.shape[-1] * model.vae_scale_factor
    ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32).to(z.device)
    return {"added_cond_kwargs": {"text_embeds": conditioning.pooled, "time_ids": ids.expand(len(z), -1)}}


SD = Family(
    name="sd",
    pipelines=("StableDiffusionPipeline", "StableDiffusionImg2Img", "LatentConsistency"),
    parts=("unet", "vae", "text_encoder", "tokenizer", "scheduler"),
    embed=_embed_sd,
    added=_nothing,
)
SDXL = Family(
    name="sdxl",
    pipelines=("StableDiffusionXLPipeline", "StableDiffusionXLImg2Img"),
    parts=("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"),
    embed=_embed_sdxl,
    added=_size_and_pooled,
)
FAMILIES = (SD, SDXL)


def family_of(pipeline: str) -> Family | None:
    """Return the family of a pipeline's class name, or None if it is not known here."""
    return next((family for family in FAMILIES if pipeline.startswith(family.pipelines)), None)


def guidance_embedding(guidance: float, width: int) -> torch.Tensor:
    """Return the sines and cosines [1, width] that tell a guidance-distilled network its guidance.

    Such networks (LCM, Luo et al. 2023) were taught what classifier-free guidance would have done.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10_000.0) / (half - 1)))
    angles = (guidance - 1) * 1000.0 * rates
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()]), (0, width % 2))[None]
