"""How much noise stands for which strength: one continuous table for every family of models.

``z = alpha x0 + sigma n``. Train time tau runs from 0 (no noise at all) to T (the model's noisiest level); strength s is
tau = s T. Between the model's own discrete levels the angle atan2(sigma, alpha) is interpolated, which stays finite even
where the last level is pure noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class NoiseSchedule:
    """The noise levels of a model.

    Attributes
    ----------
    angles
        float64 [T + 1], atan2(sigma, alpha) at tau = 0..T, rising from 0.
    flow
        Whether alpha + sigma = 1 (flow matching) rather than alpha^2 + sigma^2 = 1.
    """

    angles: torch.Tensor
    flow: bool = False

    @property
    def steps(self) -> int:
        """T, the number of the model's noise levels."""
        return len(self.angles) - 1

    def alpha_sigma(self, tau: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return alpha and sigma, float32 [n], at train times tau [n] in 0..T."""
        exact = tau.double().clamp(0, self.steps)
        low = exact.floor().long().clamp(max=self.steps - 1)
        angle = torch.lerp(self.angles[low], self.angles[low + 1], exact - low)
        alpha, sigma = angle.cos(), angle.sin()
        # the cosine of a right angle is not exactly 0 in floating point
        alpha = torch.where(angle > math.pi / 2 - 1e-9, torch.zeros_like(alpha), alpha)
        total = alpha + sigma if self.flow else torch.ones_like(alpha)
        return (alpha / total).float(), (sigma / total).float()

    def network_time(self, tau: torch.Tensor) -> torch.Tensor:
        """Return what the network is told for train times tau: the level's index, for flow models sigma times T."""
        if self.flow:
            return self.alpha_sigma(tau)[1] * self.steps
        return (tau - 1).clamp_min(0).float()


def from_alphas_cumprod(alphas_cumprod: torch.Tensor) -> NoiseSchedule:
    """Return the schedule of a variance-preserving model from its cumulative alphas [T]."""
    kept = alphas_cumprod.double().clamp(0, 1)
    angles = torch.atan2((1 - kept).sqrt(), kept.sqrt())
    return NoiseSchedule(torch.cat([torch.zeros(1, dtype=torch.float64), angles]))


def from_flow(steps: int, shift: float) -> NoiseSchedule:
    """Return the schedule of a flow-matching model with `steps` levels, its times shifted towards noise."""
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    sigma = shift * time / (1 + (shift - 1) * time)
    return NoiseSchedule(torch.atan2(sigma, 1 - sigma), flow=True)
