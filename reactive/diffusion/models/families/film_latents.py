"""Latents of Qwen-Image's autoencoder, which is one of films: each channel has a mean and a deviation, two by two are one."""

from __future__ import annotations

from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.families.family import pack, unpack


def packed_whitened(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return an autoencoder's latents [n, c, h, w] for the network, [n, 4 c, h / 2, w / 2]."""
    mean, deviation = _statistics(vae, latents)
    return pack((latents - mean) / deviation)


def packed_plain(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return the network's latents as the autoencoder takes them."""
    mean, deviation = _statistics(vae, latents)
    return unpack(latents) * deviation + mean


def film_factor(config: Config) -> int:
    """Return how many pixels one of the network's latents has on a side."""
    return int(2 ** (len(config["temperal_downsample"]) + 1))


def _statistics(vae: Any, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean, deviation = (
        torch.tensor(part).view(1, -1, 1, 1).to(latents) for part in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, deviation
