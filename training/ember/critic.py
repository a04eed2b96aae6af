"""A critic of pictures: small heads on what a net trained on photographs sees in them.

Few pictures are enough for a critic that need not learn to see (Sauer et al., "Projected GANs Converge Faster", arXiv
2111.01007; of one step of diffusion: Sauer et al., arXiv 2311.17042). Only the heads learn.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.ember import efficientnet

HIDDEN = 64
# side of the squares that the critic sees, in pixels
SEEN = 160
# the smallest square taken, as a share of the short side of what is at hand
SMALLEST = 0.8
# how often the critic sees a part of each picture, whose side is so many latents, and not the whole
NEAR = 0.5
PART = 20
# how far light, contrast and saturation of what is seen vary (Zhao et al., arXiv 2006.10738)
VARIED = 0.1


def parts(latents: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return a random square of each latent [n, c, h, w], `PART` wide or what there is: seen from close by, and cheaper."""
    height, width = latents.shape[-2:]
    side = min(PART, height, width)
    places = [(int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))) for _ in latents]
    taken = [one[:, top : top + side, left : left + side] for one, (top, left) in zip(latents, places, strict=True)]
    return torch.stack(taken).contiguous(memory_format=torch.channels_last)


def windows(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return a random square of each picture [n, 3, h, w], varied in colour, half of them flipped, [n, 3, SEEN, SEEN].

    The same is done to real and to painted pictures, so that the critic can't learn the real ones by heart.
    """
    height, width = pictures.shape[-2:]
    seen = []
    for picture in pictures.float():
        side = round(min(height, width) * rng.uniform(SMALLEST, 1.0))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        square = picture[None, :, top : top + side, left : left + side]
        square = functional.interpolate(square, size=(SEEN, SEEN), mode="bilinear", antialias=True, align_corners=False)
        light, contrast, saturation = rng.uniform(-VARIED, VARIED, 3).tolist()
        grey = square.mean(1, keepdim=True)
        square = grey + (square - grey) * (1 + 2 * saturation)
        middle = square.mean()
        square = middle + (square - middle) * (1 + contrast) + light
        seen.append(square.flip(3) if rng.random() < 0.5 else square)
    return torch.cat(seen).contiguous(memory_format=torch.channels_last)


class Head(nn.Module):
    """Scores each place of one feature map, given the text."""

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
        # what a place says of the text, beside what it says of itself (Miyato and Koyama, arXiv 1802.05637)
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
        """Follow mean and deviation of each channel in the maps of real pictures."""
        for head, x in zip(self.scoring, maps, strict=True):
            head.norm.train()(x.float())
            head.norm.eval()

    def forward(self, maps: list[torch.Tensor], texts: torch.Tensor) -> torch.Tensor:
        """Return float32 scores [n, maps]: the mean over the places of each map."""
        text = texts.mean(1)
        scores = [head(head.norm(x.float()), text) for head, x in zip(self.scoring, maps, strict=True)]
        return torch.stack([score.mean(1) for score in scores], 1)
