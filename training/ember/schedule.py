"""Ember's noise schedule: variance preserving, continuous in time, pure noise at the end.

``z = alpha x0 + sigma n`` with ``alpha^2 + sigma^2 = 1``. The betas are Stable Diffusion's (scaled linear), rescaled to
zero terminal SNR (Lin et al., arXiv 2305.08891), so that one step from pure noise is well defined. Network times are
the scheduler's indices 0..999 as floats; alpha is interpolated between them.
"""

from __future__ import annotations

import torch
from diffusers import LCMScheduler

STEPS = 1000


def scheduler() -> LCMScheduler:
    """Return the scheduler of ember's folder."""
    return LCMScheduler(
        num_train_timesteps=STEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


# diffusers sets this attribute dynamically
_ALPHAS_CUMPROD: torch.Tensor = vars(scheduler())["alphas_cumprod"]
ALPHAS = _ALPHAS_CUMPROD.clamp(0, 1).sqrt()


def alpha_sigma(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return alpha and sigma, each shaped [n, 1, 1, 1], at float `times` [n] in 0..999."""
    low = times.floor().long().clamp(0, STEPS - 2)
    alpha = torch.lerp(ALPHAS[low], ALPHAS[low + 1], (times - low).clamp(0, 1))
    sigma = (1 - alpha.square()).clamp_min(0).sqrt()
    return alpha.view(-1, 1, 1, 1), sigma.view(-1, 1, 1, 1)


def time_of(ratio: torch.Tensor) -> torch.Tensor:
    """Return the float time whose sigma / (alpha + sigma) is `ratio` in [0, 1] (rectified flow's time)."""
    alpha = (1 - ratio) / ((1 - ratio).square() + ratio.square()).sqrt()
    # ALPHAS decreases; searchsorted needs an increasing table
    rising = ALPHAS.flip(0)
    above = torch.searchsorted(rising, alpha.clamp(0, float(ALPHAS[0]))).clamp(1, STEPS - 1)
    share = (alpha - rising[above - 1]) / (rising[above] - rising[above - 1])
    return (STEPS - 1 - (above - 1 + share)).clamp(0, STEPS - 1)


def sample_times(count: int, generator: torch.Generator, *, terminal: float = 0.1) -> torch.Tensor:
    """Draw training times: logit-normal in rectified flow's time (Esser et al., arXiv 2403.03206).

    A share `terminal` is pure noise, the input of the first and often only evaluation in a clip.
    """
    times = time_of(torch.sigmoid(torch.randn(count, generator=generator) + 0.3))
    last = torch.rand(count, generator=generator) < terminal
    return torch.where(last, torch.full_like(times, STEPS - 1), times)


def predict_x0(z: torch.Tensor, velocity: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return the picture that a velocity prediction implies: x0 = alpha z - sigma v (Salimans and Ho, 2202.00512)."""
    alpha, sigma = alpha_sigma(times)
    return alpha * z - sigma * velocity


def renoise(x0: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return alpha x0 + sigma noise at `times`."""
    alpha, sigma = alpha_sigma(times)
    return alpha * x0 + sigma * noise
