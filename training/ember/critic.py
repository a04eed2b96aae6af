"""A critic of pictures: small trained heads on the features of a fixed network for photographs.

It needs few pictures because the features are already trained (Sauer et al., "Projected GANs Converge Faster", arXiv
2111.01007; for one diffusion step: Sauer et al., arXiv 2311.17042).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.ember import efficientnet

HIDDEN = 64
# side of the critic's input squares in pixels
INPUT_SIDE = 160
# the smallest crop, as a share of the short side
MIN_CROP = 0.8
# how often the critic gets a part of each picture instead of all of it, and the side of that part in latents
PART_RATE = 0.5
PART = 20
# random variation of lightness, contrast and saturation (Zhao et al., arXiv 2006.10738)
COLOUR_VARIATION = 0.1


def parts(latents: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return a random square of each latent [n, c, h, w], at most `PART` wide: details, at less cost."""
    height, width = latents.shape[-2:]
    side = min(PART, height, width)
    places = [(int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))) for _ in latents]
    taken = [one[:, top : top + side, left : left + side] for one, (top, left) in zip(latents, places, strict=True)]
    return torch.stack(taken).contiguous(memory_format=torch.channels_last)


def windows(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return a random square of each picture [n, 3, h, w], with random colours, half of them flipped, [n, 3, INPUT_SIDE, INPUT_SIDE].

    Real and painted pictures are treated alike, which keeps the critic from memorising the real ones.
    """
    height, width = pictures.shape[-2:]
    seen = []
    for picture in pictures.float():
        side = round(min(height, width) * rng.uniform(MIN_CROP, 1.0))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        square = picture[None, :, top : top + side, left : left + side]
        square = functional.interpolate(
            square, size=(INPUT_SIDE, INPUT_SIDE), mode="bilinear", antialias=True, align_corners=False
        )
        light, contrast, saturation = rng.uniform(-COLOUR_VARIATION, COLOUR_VARIATION, 3).tolist()
        grey = square.mean(1, keepdim=True)
        square = grey + (square - grey) * (1 + 2 * saturation)
        middle = square.mean()
        square = middle + (square - middle) * (1 + contrast) + light
        seen.append(square.flip(3) if rng.random() < 0.5 else square)
    return torch.cat(seen).contiguous(memory_format=torch.channels_last)


class Head(nn.Module):
    """Scores each position of one feature map, given the text."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False, momentum=None)
        self.first = nn.Conv2d(channels, HIDDEN, 1)
        self.second = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.text = nn.Linear(text_width, HIDDEN)
        self.last = nn.Conv2d(HIDDEN, 1, 1)

    def forward(self, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.first(x), 0.2)
        x = x + functional.leaky_relu(self.second(x), 0.2)
        # the projection of features on the text, added to the score of the features alone (Miyato and Koyama, arXiv 1802.05637)
        agreement = (x * self.text(text)[:, :, None, None]).sum(1, keepdim=True) / HIDDEN**0.5
        return (self.last(x) + agreement).flatten(1)


class Critic(nn.Module):
    """One head for each of `efficientnet.TAPS`."""

    def __init__(self, text_width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(width, text_width) for width in efficientnet.WIDTHS)

    @property
    def scoring(self) -> list[Head]:
        """The heads, finest map first."""
        return [head for head in self.heads if isinstance(head, Head)]

    def learn_scale(self, maps: list[torch.Tensor]) -> None:
        """Update the running mean and deviation of each channel from maps of real pictures."""
        for head, x in zip(self.scoring, maps, strict=True):
            head.norm.train()(x.float())
            head.norm.eval()

    def forward(self, maps: list[torch.Tensor], texts: torch.Tensor) -> torch.Tensor:
        """Return float32 scores [n, maps]: the mean over the places of each map."""
        text = texts.mean(1)
        scores = [head(head.norm(x.float()), text) for head, x in zip(self.scoring, maps, strict=True)]
        return torch.stack([score.mean(1) for score in scores], 1)
