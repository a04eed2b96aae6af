"""The same autoencoder with fewer multiplications: convolutions beside a change of size are folded into the small side of it.

Nearest-neighbour upsampling by 2 repeats every pixel four times, so a 3x3 convolution after it multiplies the same number
several times. For each of the four phases of the result the taps on the same pixel can be added beforehand
(the sub-pixel convolution of Shi et al., arXiv 1609.05158, read backwards):

* upsampling and one 3x3 convolution are four 2x2 convolutions of the small picture: 2.25 times fewer multiplications;
* upsampling and two 3x3 convolutions with nothing between them, as at the end of a TAESD-like decoder, are four 3x3
  convolutions of the small picture that lead straight to the colours: with 24 channels 9 times fewer.

The encoder's first convolutions, which halve the picture with nothing between them, are likewise one convolution with a
longer stride: from three colours straight to the small side, without the large maps of many channels.

The results are equal except for rounding. Kernels are combined in float64 on the host, whatever the device of the weights,
and moved back to it.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

# which taps of a convolution's row meet which pixel of the small picture, for both phases of the result
_TAPS_3 = torch.tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], dtype=torch.float64)
_TAPS_5 = torch.tensor(
    [
        [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]],
        [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]],
    ],
    dtype=torch.float64,
)


def fold_decoder(layers: nn.Sequential) -> nn.Sequential:
    """Return the layers of a decoder with every upsampling folded into the 3x3 convolutions behind it.

    Parameters
    ----------
    layers
        A sequence as of diffusers' ``DecoderTiny``. Layers that can't be folded stay as they are; their
        weights are shared, not copied.
    """
    folded: list[nn.Module] = []
    rest = list(layers)
    while rest:
        if len(rest) >= 3 and _doubles(rest[0]) and _plain(rest[1]) and _plain(rest[2]):
            folded.append(UpsampleTwice(rest[0], rest[1], rest[2]))
            rest = rest[3:]
        elif len(rest) >= 2 and _doubles(rest[0]) and _plain(rest[1]):
            folded.append(UpsampleOnce(rest[1]))
            rest = rest[2:]
        else:
            folded.append(rest.pop(0))
    return nn.Sequential(*folded)


def fold_encoder(layers: nn.Sequential) -> nn.Sequential:
    """Return the layers of an encoder with its first convolutions folded into one, where that saves multiplications.

    Parameters
    ----------
    layers
        A sequence as of diffusers' ``EncoderTiny``. The weights of other layers are shared, not copied.
    """
    run: list[nn.Conv2d] = []
    for layer in layers:
        if not (isinstance(layer, nn.Conv2d) and (_plain(layer) or _plain(layer, stride=2))):
            break
        run.append(layer)
    if len(run) < 2:
        return layers
    folded = DownsampleOnce(run)
    return nn.Sequential(folded, *list(layers)[len(run) :]) if folded.saves else layers


class DownsampleOnce(nn.Module):
    """3x3 convolutions with strides and nothing between them, computed as one."""

    def __init__(self, convolutions: list[nn.Conv2d]) -> None:
        super().__init__()
        # the outermost pixels see the zero padding of later convolutions, so they are computed without folding
        self.plain = nn.Sequential(*convolutions)
        first = convolutions[0]
        kernel, bias = _exact(first.weight), _bias(first)
        self.stride = first.stride[0]
        whole = math.prod(layer.stride[0] for layer in convolutions)
        # multiplications for each pixel of the result
        self.multiplied = first.weight.numel() * (whole // self.stride) ** 2
        for layer in convolutions[1:]:
            weight = _exact(layer.weight)
            bias = weight.sum((2, 3)) @ bias + _bias(layer)
            # each tap of the later kernel stands for one shifted copy of those before it
            kernel = functional.conv_transpose2d(weight, kernel, stride=self.stride)
            self.stride *= layer.stride[0]
            self.multiplied += layer.weight.numel() * (whole // self.stride) ** 2
        self.padding = kernel.shape[-1] // 2
        self.weight = _kept(kernel, first.weight)
        self.bias = _kept(bias, first.weight)

    @property
    def saves(self) -> bool:
        """Whether it needs fewer multiplications than the separate convolutions."""
        return self.weight.numel() < self.multiplied

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, c, height / stride, width / stride] for [n, colours, height, width]."""
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            return self.plain(x)
        result = functional.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)
        # with a stride nothing beyond the right and lower edge is read
        reach = self.weight.shape[-1]
        result[:, :, 0] = self.plain(x[:, :, :reach])[:, :, 0]
        result[:, :, :, 0] = self.plain(x[:, :, :, :reach])[:, :, :, 0]
        return result


class UpsampleOnce(nn.Module):
    """Upsampling by 2 and a 3x3 convolution, computed on the small picture."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        assert isinstance(convolution, nn.Conv2d)
        self.channels = convolution.out_channels
        self.weight = _kept(_phases(_exact(convolution.weight), _TAPS_3), convolution.weight)
        bias = convolution.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().repeat(4), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, c, 2 height, 2 width] for [n, c, height, width]."""
        count, _, height, width = x.shape
        # one row and column more than x: the early phase is read from before each pixel, the late one from behind it
        corners = functional.conv2d(x, self.weight, self.bias, padding=1)
        result = torch.empty((count, self.channels, 2 * height, 2 * width), dtype=x.dtype, device=x.device).contiguous(
            memory_format=torch.channels_last
        )
        for phase, part in enumerate(torch.split(corners, self.channels, dim=1)):
            down, right = divmod(phase, 2)
            result[:, :, down::2, right::2] = part[:, :, down : down + height, right : right + width]
        return result


class UpsampleTwice(nn.Module):
    """Upsampling by 2 and two 3x3 convolutions with nothing between them, computed on the small picture."""

    def __init__(self, upsample: nn.Module, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        # the outermost pixels see the zero padding of the second convolution, so they are computed without folding
        self.plain = nn.Sequential(upsample, first, second)
        # the two kernels one after the other are one of 5x5
        swapped = _exact(first.weight).transpose(0, 1)
        kernel = functional.conv2d(swapped, _exact(second.weight).flip(2, 3), padding=2).transpose(0, 1)
        self.weight = _kept(_phases(kernel, _TAPS_5, order="pixels"), first.weight)
        bias = _exact(second.weight).sum((2, 3)) @ _bias(first) + _bias(second)
        self.bias = _kept(bias.repeat_interleave(4), first.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, colours, 2 height, 2 width] for [n, c, height, width]."""
        result = functional.pixel_shuffle(functional.conv2d(x, self.weight, self.bias, padding=1), 2)
        result[:, :, 0] = self.plain(x[:, :, :2])[:, :, 0]
        result[:, :, -1] = self.plain(x[:, :, -2:])[:, :, -1]
        result[:, :, :, 0] = self.plain(x[:, :, :, :2])[:, :, :, 0]
        result[:, :, :, -1] = self.plain(x[:, :, :, -2:])[:, :, :, -1]
        return result


def _phases(kernel: torch.Tensor, taps: torch.Tensor, *, order: str = "phases") -> torch.Tensor:
    """Return the kernels of the four phases, float64 [4 out, in, k, k], of a kernel float64 [out, in, t, t] behind an upsampling.

    They are ordered by phase, or with `order` "pixels" as for ``pixel_shuffle``.
    """
    folded = torch.einsum("oiyx,pay,qbx->pqoiab", kernel, taps, taps)
    if order == "pixels":
        folded = folded.permute(2, 0, 1, 3, 4, 5)
    return folded.reshape(-1, *folded.shape[3:])


def _exact(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight in float64 on the host: not every device has float64, and the taps above are on the host too."""
    return weight.detach().cpu().double()


def _kept(folded: torch.Tensor, like: torch.Tensor) -> nn.Parameter:
    """Return a folded kernel as a weight with the device and number format of another."""
    made = folded.to(like.device, like.dtype)
    made = made.contiguous(memory_format=torch.channels_last) if made.dim() == 4 else made
    return nn.Parameter(made, requires_grad=False)


def _doubles(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Upsample) and layer.mode == "nearest" and layer.scale_factor in (2, 2.0, (2.0, 2.0))


def _bias(layer: nn.Conv2d) -> torch.Tensor:
    return torch.zeros(layer.out_channels, dtype=torch.float64) if layer.bias is None else _exact(layer.bias)


def _plain(layer: nn.Module, *, stride: int = 1) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (3, 3)
        and layer.padding == (1, 1)
        and layer.stride == (stride, stride)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )
