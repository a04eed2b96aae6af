"""Colour coherence of feedback: a picture fed back again and again keeps to the palette of its prompts.

A prompt's palette is the mean and deviation, in CIE L*a*b*, of the picture that it gives from pure noise. Fed-back pictures
are moved towards it a little each time, so colours neither drift nor burn in, nor stay those of the first picture: where
prompts blend, their palettes do too. Statistics are transferred as by Reinhard et al. (Color Transfer between Images,
2001), never whole histograms, which would paint one picture's patches into another.
"""

from __future__ import annotations

import torch

from reactive.diffusion.backend.products import times_columns

# limits of one tick: steps of L*a*b*, of which 2 are just visible, and a factor of contrast
MAX_SHIFT = 4.0
MAX_STRETCH = 1.06
# of linear sRGB, IEC 61966-2-1, white D65
_TO_XYZ = torch.tensor(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(dim=1, keepdim=True)
_TO_LAB = torch.tensor([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_FROM_LAB = torch.linalg.inv(_TO_LAB)
# below this the cube root of CIE Lab is replaced by a straight line
_KNEE = 6 / 29


def to_lab(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures float32 [n, 3, height, width] in [-1, 1] sRGB as L*a*b*: 0..100, about -100..100 twice."""
    signal = ((pictures.float() + 1) / 2).clamp(0, 1)
    linear = torch.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055).pow(2.4))
    stimulus = _mixed(_TO_XYZ / _WHITE, linear)
    root = torch.where(stimulus > _KNEE**3, stimulus.clamp_min(1e-9).pow(1 / 3), stimulus / (3 * _KNEE**2) + 4 / 29)
    lab = _mixed(_TO_LAB, root)
    lab[:, 0] -= 16
    return lab


def from_lab(lab: torch.Tensor) -> torch.Tensor:
    """Return L*a*b* pictures as sRGB in [-1, 1]; values outside of it are clipped."""
    shifted = torch.cat([lab[:, :1] + 16, lab[:, 1:]], dim=1)
    root = _mixed(_FROM_LAB, shifted)
    stimulus = torch.where(root > _KNEE, root.pow(3), 3 * _KNEE**2 * (root - 4 / 29))
    linear = _mixed(torch.linalg.inv(_TO_XYZ) * _WHITE.T, stimulus).clamp(0, 1)
    signal = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-9).pow(1 / 2.4) - 0.055)
    return signal * 2 - 1


def palette(pictures: torch.Tensor) -> torch.Tensor:
    """Return the palettes of pictures in [-1, 1], float32 [n, 2, 3]: mean and deviation of L*, a* and b*."""
    return _statistics(to_lab(pictures))


def _statistics(lab: torch.Tensor) -> torch.Tensor:
    flat = lab.flatten(2)
    return torch.stack([flat.mean(dim=2), flat.std(dim=2, correction=0)], dim=1)


def led_to(pictures: torch.Tensor, palettes: torch.Tensor, firmness: float) -> torch.Tensor:
    """Return pictures in [-1, 1] moved towards palettes by one tick's step.

    Parameters
    ----------
    pictures
        float32 [n, 3, height, width].
    palettes
        float32 [n, 2, 3].
    firmness
        Share of the distance, 0 to 1, within the limits of a tick.
    """
    lab = to_lab(pictures)
    # one by one: sums of a picture must not depend on the batch size
    found = torch.cat([_statistics(lab[i : i + 1]) for i in range(len(lab))])
    mean, deviation = (part[:, :, None, None] for part in found.unbind(dim=1))
    wanted, spread = (part[:, :, None, None].to(lab.device) for part in palettes.unbind(dim=1))
    shift = (firmness * (wanted - mean)).clamp(-MAX_SHIFT, MAX_SHIFT)
    # a picture of one colour has no contrast to stretch
    stretch = (spread.clamp_min(0.5) / deviation.clamp_min(0.5)).pow(firmness).clamp(1 / MAX_STRETCH, MAX_STRETCH)
    return from_lab((lab - mean) * stretch + mean + shift)


def _mixed(matrix: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    return times_columns(matrix, pictures.flatten(2)).view_as(pictures)
