"""Samplers as plain functions: each item of a batch has a noise level of its own.

A denoiser is a callable ``(z, tau) -> x0`` that returns the clean latent it believes in; noise is handed in. All items of
a batch take the same number of evaluations, so strengths can differ within it. Times fall evenly from each item's own
start to 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from reactive.diffusion.schedule import NoiseSchedule

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def levels(start: torch.Tensor, steps: int) -> torch.Tensor:
    """Return train times float64 [steps + 1, n] that fall evenly from `start` [n] to 0."""
    share = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
    return share[:, None] * start.double()[None]


def sample_ddim(denoise: Denoiser, z: torch.Tensor, taus: torch.Tensor, schedule: NoiseSchedule) -> torch.Tensor:
    """Follow the deterministic path (DDIM, Song et al. 2020; for flow models this is Euler).

    Parameters
    ----------
    denoise
        Returns x0 [n, c, h, w] for z [n, c, h, w] and tau [n].
    z
        The noisy latents at ``taus[0]``.
    taus
        Train times [steps + 1, n], falling.
    schedule
        The model's noise levels.
    """
    for now, later in zip(taus, taus[1:], strict=False):
        x0 = denoise(z, now)
        alpha, sigma = (_wide(value, z) for value in schedule.alpha_sigma(now))
        noise = torch.where(sigma > 0, (z - alpha * x0) / sigma.clamp_min(1e-12), torch.zeros_like(z))
        alpha, sigma = (_wide(value, z) for value in schedule.alpha_sigma(later))
        z = alpha * x0 + sigma * noise
    return z


def sample_consistency(
    denoise: Denoiser, z: torch.Tensor, taus: torch.Tensor, schedule: NoiseSchedule, noises: list[torch.Tensor]
) -> torch.Tensor:
    """Jump to the clean latent and add new noise, step by step (LCM, Luo et al. 2023, arXiv 2310.04378).

    Parameters
    ----------
    noises
        New noise for each step after the first, each shaped like z.
    """
    for step, now in enumerate(taus[:-1]):
        x0 = denoise(z, now)
        if step == len(taus) - 2:
            return x0
        alpha, sigma = (_wide(value, z) for value in schedule.alpha_sigma(taus[step + 1]))
        z = alpha * x0 + sigma * noises[step]
    return z


def _wide(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.to(device=like.device, dtype=like.dtype).view(-1, 1, 1, 1)
