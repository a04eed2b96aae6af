"""Samplers as plain functions: each item of a batch has a noise level of its own.

A denoiser is a callable ``(z, tau) -> x0`` that returns the predicted clean latent; noise is an argument. All items of
a batch take the same number of evaluations, so strengths can differ within it. If two times of an item are equal, it
waits: its latents stay unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from reactive.diffusion.sampling.schedule import NoiseSchedule

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def levels(start: torch.Tensor, steps: int) -> torch.Tensor:
    """Return train times float64 [steps + 1, n] that fall evenly from `start` [n] to 0."""
    share = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
    return share[:, None] * start.double()[None]


def sample_ddim(denoise: Denoiser, z: torch.Tensor, taus: torch.Tensor, schedule: NoiseSchedule) -> torch.Tensor:
    """Follow the deterministic path (DDIM, Song et al. 2020, arXiv 2010.02502).

    Euler's method on the probability flow, in sigma as in flow matching, is this same step: the predicted noise
    is kept and mixed with the predicted clean latent again.

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
        z = _unless_waiting(now, later, z, alpha * x0 + sigma * noise)
    return z


def sample_dpmpp_2m(denoise: Denoiser, z: torch.Tensor, taus: torch.Tensor, schedule: NoiseSchedule) -> torch.Tensor:
    """Two-step multistep solver in the logarithm of signal over noise (DPM-Solver++ 2M, Lu et al. 2022, arXiv 2211.01095).

    The first step, and each that begins or ends where that logarithm is infinite, is of first order: DDIM's.
    Parameters as in `sample_ddim`.
    """
    before: torch.Tensor | None = None
    reached = torch.full_like(taus[0], torch.inf)
    for now, later in zip(taus, taus[1:], strict=False):
        x0 = denoise(z, now)
        here, there = _log_ratio(schedule, now), _log_ratio(schedule, later)
        aim = x0
        if before is not None:
            # x0 extended by its slope over half of this step
            ratio = (there - here) / (here - reached)
            usable = torch.isfinite(ratio) & torch.isfinite(there) & (here > reached)
            aim = x0 + _wide(torch.where(usable, ratio / 2, 0.0), z) * (x0 - before)
        (alpha, sigma), (alpha_later, sigma_later) = schedule.alpha_sigma(now), schedule.alpha_sigma(later)
        shrink = _wide(sigma_later / sigma.clamp_min(1e-12), z)
        moved = shrink * (z - _wide(alpha, z) * aim) + _wide(alpha_later, z) * aim
        z = _unless_waiting(now, later, z, moved)
        # an item that waited has no history, so its next step is its first
        waited = now == later
        before, reached = x0, torch.where(waited, torch.inf, here)
    return z


def sample_consistency(
    denoise: Denoiser,
    z: torch.Tensor,
    taus: torch.Tensor,
    schedule: NoiseSchedule,
    noises: list[torch.Tensor],
    scaling: float = 0.0,
) -> torch.Tensor:
    """Jump to the clean latent and add new noise, step by step (LCM, Luo et al. 2023, arXiv 2310.04378).

    Parameters
    ----------
    noises
        New noise for each step after the first, each shaped like z.
    scaling
        Factor of the times in the boundary condition, by which the network's output is replaced by z itself as
        the time goes to 0; 0 for none. It only affects the lowest of a thousand levels.
    """
    for step, (now, later) in enumerate(zip(taus, taus[1:], strict=False)):
        x0 = denoise(z, now)
        keep, answer = boundary(schedule.network_time(now), scaling)
        if scaling and bool(keep.any()):
            x0 = _wide(answer, z) * x0 + _wide(keep, z) * z
        if step < len(taus) - 2:
            alpha, sigma = (_wide(value, z) for value in schedule.alpha_sigma(later))
            x0 = alpha * x0 + sigma * noises[step]
        z = _unless_waiting(now, later, z, x0)
    return z


def boundary(time: torch.Tensor, scaling: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much of z and of the network's answer count at times [n] (Song et al. 2023, arXiv 2303.01469)."""
    spread, stretched = 0.5, time.double() * scaling
    keep = spread**2 / (stretched**2 + spread**2)
    answer = stretched / (stretched**2 + spread**2).sqrt()
    # far from 0 only the output counts, to the last bit
    far = keep < 1e-6
    return torch.where(far, 0.0, keep).float(), torch.where(far, 1.0, answer).float()


def _log_ratio(schedule: NoiseSchedule, tau: torch.Tensor) -> torch.Tensor:
    alpha, sigma = (value.double() for value in schedule.alpha_sigma(tau))
    return alpha.log() - sigma.log()


def _unless_waiting(now: torch.Tensor, later: torch.Tensor, z: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    waiting = now == later
    # times are on the host, so the common case needs no work of the device
    return torch.where(waiting.to(z.device).view(-1, 1, 1, 1), z, moved) if bool(waiting.any()) else moved


def _wide(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.to(device=like.device, dtype=like.dtype).view(-1, 1, 1, 1)
