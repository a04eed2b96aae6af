"""From strength to noise: one continuous schedule for every family of models.

``z = alpha x0 + sigma n``. Train time tau runs from 0 (no noise at all) to T (the model's noisiest level); strength s is
tau = s T. Between the model's own discrete levels the angle atan2(sigma, alpha) is interpolated, which stays finite even
if the last level is pure noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
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
    shift
        How much the times of a flow are shifted towards noise; 1 for not at all.
    """

    angles: torch.Tensor
    flow: bool = False
    shift: float = 1.0

    @property
    def steps(self) -> int:
        """T, the number of the model's noise levels."""
        return len(self.angles) - 1

    def start(self, strength: torch.Tensor, first: float, *, full: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the amounts of source and noise, float32 [n], in the first latents of a strength.

        At strength 0 it is the source alone. Many schedules end before pure noise; the rest of the source
        fades out towards strength 1, so that a source can begin without a jump.

        Parameters
        ----------
        strength
            [n] in 0..1.
        first
            Train time of strength 1.
        full
            Whether strength 1 begins with noise of unit variance even if the schedule ends below it.
        """
        alpha, sigma = self.alpha_sigma(strength * first)
        left = float(self.alpha_sigma(torch.tensor([float(first)]))[0])
        if left == 0:
            return alpha, sigma
        # the high power changes only the strongest starts
        alpha = (alpha - left * strength.float() ** 8).clamp_min(0)
        return alpha, (1 - alpha**2).sqrt() if full else sigma

    def alpha_sigma(self, tau: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return alpha and sigma, float32 [n], at train times tau [n] in 0..T."""
        exact = tau.double().clamp(0, self.steps)
        if self.flow:
            sigma = shifted(exact / self.steps, self.shift)
            return (1 - sigma).float(), sigma.float()
        low = exact.floor().long().clamp(max=self.steps - 1)
        angle = torch.lerp(self.angles[low], self.angles[low + 1], exact - low)
        alpha, sigma = angle.cos(), angle.sin()
        # the cosine of a right angle is not exactly 0 in floating point
        alpha = torch.where(angle > math.pi / 2 - 1e-9, torch.zeros_like(alpha), alpha)
        return alpha.float(), sigma.float()

    def network_time(self, tau: torch.Tensor) -> torch.Tensor:
        """Return the network's time input for train times tau: the level's index, for flow models sigma times T."""
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
    sigma = shifted(time, shift)
    return NoiseSchedule(torch.atan2(sigma, 1 - sigma), flow=True, shift=shift)


def from_angle(steps: int) -> NoiseSchedule:
    """Return the schedule of a trigonometric flow, whose angle is its time (sCM, Lu and Song 2024, arXiv 2410.11081)."""
    return NoiseSchedule(torch.arange(steps + 1, dtype=torch.float64) / steps * (math.pi / 2))


def shifted(time: torch.Tensor, shift: float) -> torch.Tensor:
    """Return times in [0, 1] of a flow shifted towards noise (Esser et al. 2024, arXiv 2403.03206, section 5.3.2)."""
    return shift * time / (1 + (shift - 1) * time)


def stretched(times: torch.Tensor, levels: int, shift: float, lowest: float) -> torch.Tensor:
    """Return the train times of a flow at which its levels are stretched so that the last step begins at a given one.

    Parameters
    ----------
    times
        Train times falling to 0, float64 [steps + 1]; the first is pure noise.
    levels
        T.
    shift
        How much the times are shifted towards noise.
    lowest
        The level of the last step, a flow scheduler's ``shift_terminal``.
    """
    level = shifted(times[:-1] / levels, shift)
    clean = (1 - level) * ((1 - lowest) / (1 - level[-1])) if level[-1] < 1 else 1 - level
    # the shift is taken back, since the schedule applies it again
    return torch.cat([shifted(1 - clean, 1 / shift) * levels, times[-1:]])


def grid(
    sampler: str, spacing: str, steps: int, *, levels: int = 1000, offset: int = 0, origin: int = 50
) -> torch.Tensor:
    """Return the train times float64 [steps + 1] that a picture of strength 1 is sampled at, falling to 0.

    Parameters
    ----------
    sampler
        ``lcm`` and ``dpmpp_2m`` have their own divisions of the range.
    spacing
        ``trailing``, ``leading`` or ``linspace``, as in a scheduler's ``timestep_spacing`` (Lin et al. 2023, arXiv 2305.08891,
        table 2).
    steps
        Evaluations.
    levels
        T.
    offset
        Added to the times of ``leading``.
    origin
        The number of times on which a consistency model was distilled.
    """
    if sampler == "lcm" and steps <= origin:
        known = np.arange(origin, 0, -1) * (levels // origin)
        times = known[np.floor(np.linspace(0, origin, steps, endpoint=False)).astype(int)]
    elif sampler == "flow_euler":
        times = np.linspace(levels, levels / steps, steps)
    elif steps == 1 or sampler == "lcm" or spacing == "trailing":
        times = np.round(levels - np.arange(steps) * (levels / steps))
    elif spacing == "leading":
        parts = steps + 1 if sampler == "dpmpp_2m" else steps
        times = (np.arange(parts) * (levels // parts))[::-1][:steps] + offset + 1
    else:
        parts = steps + 1 if sampler == "dpmpp_2m" else steps
        exact = np.linspace(0, levels - 1, parts)[::-1][:steps]
        times = (exact if sampler == "euler" else exact.round()) + 1
    falling = np.minimum(np.append(times, 0), levels)
    return torch.from_numpy(falling.astype(np.float64))
