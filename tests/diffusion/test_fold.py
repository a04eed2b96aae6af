"""A folded autoencoder computes the same as the original."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderTiny
from torch import nn

from reactive.diffusion.backend.fold import DownsampleOnce, UpsampleOnce, UpsampleTwice, fold_decoder, fold_encoder


def up() -> nn.Upsample:
    return nn.Upsample(scale_factor=2)


def convolution(inside: int, outside: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (8, 4)])
def test_one_convolution_is_the_same(bias: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    plain = nn.Sequential(up(), convolution(5, 7, bias=bias)).requires_grad_(False)
    folded = fold_decoder(plain)
    assert [type(layer) for layer in folded] == [UpsampleOnce]
    x = torch.randn(3, 5, *size)
    assert torch.allclose(folded(x), plain(x), atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (8, 4)])
def test_two_convolutions_are_the_same_up_to_the_border(bias: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    plain = nn.Sequential(up(), convolution(6, 8, bias=bias), convolution(8, 3)).requires_grad_(False)
    folded = fold_decoder(plain)
    assert [type(layer) for layer in folded] == [UpsampleTwice]
    x = torch.randn(2, 6, *size)
    assert torch.allclose(folded(x), plain(x), atol=1e-5)


def test_a_complete_decoder_is_the_same() -> None:
    torch.manual_seed(3)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(0, 0, 0, 1),
        num_decoder_blocks=(1, 1, 1, 0),
    ).requires_grad_(False)
    folded = fold_decoder(vae.decoder.layers)
    assert sum(isinstance(layer, UpsampleOnce) for layer in folded) == 2
    assert sum(isinstance(layer, UpsampleTwice) for layer in folded) == 1
    x = torch.randn(2, 4, 5, 6)
    plain = vae.decoder.layers(x)
    assert plain.std() > 1e-3
    assert torch.allclose(folded(x), plain, atol=1e-5)


def test_layers_that_can_not_be_folded_stay() -> None:
    layers = nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"),
        convolution(4, 4),
        up(),
        nn.ReLU(),
        up(),
        nn.Conv2d(4, 4, 1),
        nn.Upsample(scale_factor=4),
        convolution(4, 4),
    )
    assert list(fold_decoder(layers)) == list(layers)


def halving(channels: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, stride=2, bias=bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(4, 4), (8, 12), (16, 32), (9, 14)])
def test_halving_twice_is_the_same_up_to_the_border(bias: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(4)
    plain = nn.Sequential(
        convolution(3, 8), halving(8, bias=bias), halving(8, bias=bias), nn.ReLU(), halving(8, bias=True)
    ).requires_grad_(False)
    folded = fold_encoder(plain)
    assert [type(layer) for layer in folded] == [DownsampleOnce, nn.ReLU, nn.Conv2d]
    x = torch.randn(2, 3, *size)
    assert torch.allclose(folded(x), plain(x), atol=1e-5)


def test_a_complete_encoder_is_the_same() -> None:
    torch.manual_seed(5)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(0, 0, 1, 1),
        num_decoder_blocks=(1, 1, 1, 0),
    ).requires_grad_(False)
    folded = fold_encoder(vae.encoder.layers)
    assert sum(isinstance(layer, DownsampleOnce) for layer in folded) == 1
    x = torch.rand(2, 3, 24, 40)
    plain = vae.encoder.layers(x)
    assert plain.std() > 1e-3
    assert torch.allclose(folded(x), plain, atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        nn.Sequential(convolution(3, 8), nn.ReLU(), halving(8, bias=False)),
        # many channels at both ends: one large kernel would cost more than two small ones
        nn.Sequential(halving(32, bias=False), halving(32, bias=False)),
    ],
)
def test_an_encoder_without_a_gain_stays(layers: nn.Sequential) -> None:
    assert fold_encoder(layers) is layers
