"""The network that `reactive.audio.attention` computes, for training, and its loss."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from reactive.audio.attention import BACK, FRONT, HEADS, LAYERS, STRIDE, TAPS, TINY, WINDOW, rotations
from reactive.audio.network import INPUTS, OUTPUTS

CHANNELS, WIDTH, INNER = 80, 128, 256
DROPOUT = 0.1
# weight of each output in the loss: beats and downbeats are the main purpose
WEIGHTS = (1.0, 1.0, 0.3, 0.3, 0.2)
# weight of rows with an event relative to rows without; `export` removes it from the bias
EVENT = 3.0
# weight of the rows beside an event, which learn the shape of the peak
SHAPE = 0.3


class Norm(nn.Module):
    """RMS normalisation of each row, with a learned scale for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x [.., channels], normed."""
        return F.rms_norm(x, (x.shape[-1],), self.scale, TINY)


class Block(nn.Module):
    """A residual block: a dilated convolution over three rows and a linear layer."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = Norm(channels)
        self.wide = nn.Linear(TAPS * channels, channels)
        self.narrow = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [batch, rows, channels] of the same shape."""
        inner = F.dropout(F.relu(self.wide(neighbours(self.norm(x), self.dilation))), DROPOUT, self.training)
        return x + self.narrow(inner)


class Layer(nn.Module):
    """Self-attention with rotary positions, then two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.norm2 = Norm(width), Norm(width)
        self.mix, self.back = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, INNER), nn.Linear(INNER, width)

    def forward(self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return [batch, tokens, width] of the same shape."""
        batch, tokens, width = x.shape
        mixed = self.mix(self.norm(x)).view(batch, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        query, key = _turned(mixed[0], turn), _turned(mixed[1], turn)
        attended = F.scaled_dot_product_attention(query, key, mixed[2], dropout_p=0.0)
        x = x + F.dropout(self.back(attended.transpose(1, 2).reshape(batch, tokens, width)), DROPOUT, self.training)
        inner = F.relu(self.wide(self.norm2(x)))
        return x + F.dropout(self.narrow(inner), DROPOUT, self.training)


class Network(nn.Module):
    """Logits of beats, downbeats and drums from `network.inputs`."""

    cosine: torch.Tensor
    sine: torch.Tensor

    def __init__(self, channels: int = CHANNELS, width: int = WIDTH) -> None:
        super().__init__()
        self.first = nn.Linear(TAPS * INPUTS, channels)
        self.front = nn.ModuleList(Block(channels, dilation) for dilation in FRONT)
        self.down = nn.Linear(STRIDE * channels, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(LAYERS))
        self.up_norm, self.up = Norm(width), nn.Linear(width, STRIDE * channels)
        self.back = nn.ModuleList(Block(channels, dilation) for dilation in BACK)
        self.last_norm, self.last = Norm(channels), nn.Linear(channels, len(OUTPUTS))
        nn.init.constant_(self.last.bias, -2.5)
        for name, table in zip(("cosine", "sine"), rotations(WINDOW // STRIDE, width // HEADS), strict=True):
            self.register_buffer(name, torch.from_numpy(table), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, rows, outputs] for inputs [batch, rows, 152]; rows are a multiple of four, at most WINDOW."""
        batch, rows, _ = features.shape
        x = self.first(neighbours(features, 1))
        for block in self.front:
            x = block(x)
        tokens = self.down(x.reshape(batch, rows // STRIDE, -1))
        turn = (self.cosine[: rows // STRIDE].to(tokens.dtype), self.sine[: rows // STRIDE].to(tokens.dtype))
        for layer in self.layers:
            tokens = layer(tokens, turn)
        x = x + self.up(self.up_norm(tokens)).reshape(batch, rows, -1)
        for block in self.back:
            x = block(x)
        return self.last(self.last_norm(x))


def neighbours(x: torch.Tensor, dilation: int) -> torch.Tensor:
    """Return each row with those `dilation` before and after it, [batch, rows, 3 * channels]."""
    padded = F.pad(x, (0, 0, dilation, dilation))
    rows = x.shape[1]
    return torch.cat([padded[:, tap * dilation : tap * dilation + rows] for tap in range(TAPS)], dim=2)


def _turned(x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    first, second = x.chunk(2, dim=3)
    return torch.cat([first * turn[0] - second * turn[1], first * turn[1] + second * turn[0]], dim=3)


def tolerant_loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the loss by output, [outputs], of logits against triangles around events [batch, rows, outputs]; nan is unknown.

    An event may be met by a peak on its row or a neighbouring one (the shift-tolerant loss of "Beat This!"); rows more than two
    from any event should be 0; those between learn the triangle's shape with a small weight.
    """
    logits = logits.float()
    known = ~torch.isnan(wanted)
    target = torch.nan_to_num(wanted)
    best = F.max_pool1d(logits.transpose(1, 2), 3, stride=1, padding=1).transpose(1, 2)
    event, silent = target >= 0.75, target <= 0
    near = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * SHAPE
    loss = torch.where(event, EVENT * F.softplus(-best) + near, torch.where(silent, F.softplus(logits), near))
    return (loss * known).sum(dim=(0, 1)) / known.sum(dim=(0, 1)).clamp(min=1)


def export(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return weights as `attention.forward` takes them, float16; the weight of events is removed from the last bias."""
    written = {}
    for name, value in state.items():
        array = value.detach().float().numpy()
        key = name.replace("up_norm", "up.norm").replace("last_norm", "last.norm")
        for group, dilations in (("front", FRONT), ("back", BACK)):
            for number, dilation in enumerate(dilations):
                key = key.replace(f"{group}.{number}.", f"{group}{dilation}.") if key.startswith(f"{group}.") else key
        key = key.replace("layers.", "layer", 1)
        if key == "last.bias":
            array = array - np.float32(np.log(EVENT))
        written[key] = np.ascontiguousarray(array.T).astype(np.float16)
    return written
