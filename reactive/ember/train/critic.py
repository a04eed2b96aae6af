"""A critic of latents: small heads on what the frozen denoiser sees in them.

The denoiser was trained at every noise level, so its features tell layout at high noise and texture at low noise, and
it takes the text too. Only the heads learn (latent adversarial distillation: Sauer et al., arXiv 2403.12015; features of
a frozen net: Sauer et al., arXiv 2111.01007).
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.nn import functional

from reactive.ember.train import schedule

HIDDEN = 64


class Head(nn.Module):
    """Scores each place of one feature map, given the text."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, HIDDEN, 1)
        self.second = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.text = nn.Linear(text_width, HIDDEN)
        self.last = nn.Conv2d(HIDDEN, 1, 1)

    def forward(self, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        # without weights of its own: torch 2.13's backward pass of those crashes where the maps ask for no gradient
        x = functional.silu(self.first(functional.group_norm(x, 8)))
        x = x + functional.silu(self.second(x))
        # what a place says of the text, beside what it says of itself (Miyato and Koyama, arXiv 1802.05637)
        agreement = (x * self.text(text)[:, :, None, None]).sum(1, keepdim=True) / HIDDEN**0.5
        return (self.last(x) + agreement).flatten(1)


class Critic(nn.Module):
    """One head for each level of the denoiser's way down and one for its middle; holds no weights of the denoiser."""

    def __init__(self, net: UNet2DConditionModel) -> None:
        super().__init__()
        widths = [*net.config.block_out_channels, net.config.block_out_channels[-1]]
        self.heads = nn.ModuleList(Head(width, net.config.cross_attention_dim) for width in widths)

    def forward(self, maps: list[torch.Tensor], texts: torch.Tensor) -> torch.Tensor:
        """Return float32 scores [n, places of all maps]; each map counts about the same however many places it has."""
        text = texts.mean(1)
        scores = [head(x.float(), text) for head, x in zip(self.heads, maps, strict=True)]
        most = max(score.shape[1] for score in scores)
        return torch.cat([score.repeat_interleave(most // score.shape[1], 1) for score in scores], 1)


def features(
    net: UNet2DConditionModel, z: torch.Tensor, times: torch.Tensor, texts: torch.Tensor
) -> list[torch.Tensor]:
    """Return the net's maps of noisy latents z [n, 4, h, w] on the way down, one a level, and that of its middle."""
    signal = net.time_embedding(net.time_proj(times))
    hidden = net.conv_in(z)
    maps = []
    for block in net.down_blocks:
        given = {"encoder_hidden_states": texts} if getattr(block, "has_cross_attention", False) else {}
        hidden, passed = block(hidden, signal, **given)
        # what the block made at its own size, before it halved it
        maps.append(passed[0])
    return [*maps, net.mid_block(hidden, signal, encoder_hidden_states=texts)]


def draw_times(count: int) -> torch.Tensor:
    """Draw the noise levels at which the critic looks, middling ones most often."""
    return schedule.time_of(torch.sigmoid(torch.randn(count) - 0.4).clamp(0.05, 0.95))


def look(
    net: UNet2DConditionModel, latents: torch.Tensor, times: torch.Tensor, texts: torch.Tensor
) -> list[torch.Tensor]:
    """Return the features of clean latents, noised to `times` first."""
    return features(net, schedule.renoise(latents, torch.randn_like(latents), times), times, texts)
