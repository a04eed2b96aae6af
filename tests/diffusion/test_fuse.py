"""A ReLU fused into the preceding convolution changes no bit in float32, and almost nothing in bfloat16."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock
from torch import nn

from reactive.diffusion.backend.fuse import Block, ConvolutionReLU, can_fuse, finite_weights, fuse_relu

pytestmark = pytest.mark.skipif(
    not can_fuse(torch.float32), reason="this processor, or this torch, has no fused convolutions"
)


def layers(dtype: torch.dtype) -> nn.Sequential:
    """Return the layers of a small decoder: blocks that keep or change the number of channels, and plain layers."""
    torch.manual_seed(5)
    made = nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1),
        nn.ReLU(),
        AutoencoderTinyBlock(16, 16, "relu"),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        AutoencoderTinyBlock(32, 32, "relu"),
        AutoencoderTinyBlock(32, 16, "relu"),
        nn.Conv2d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Tanh(),
        nn.Conv2d(16, 3, 1),
    )
    made.to(dtype=dtype, memory_format=torch.channels_last)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize(("count", "height", "width"), [(2, 5, 7), (2, 16, 24), (5, 28, 48)])
def test_float32_keeps_every_bit(count: int, height: int, width: int) -> None:
    plain = layers(torch.float32)
    fused = fuse_relu(plain)
    x = torch.randn(count, 4, height, width).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(fused(x), plain(x))
    kinds = [type(layer) for layer in fused]
    assert kinds.count(ConvolutionReLU) == 2
    assert kinds.count(Block) == 3
    assert nn.ReLU not in kinds
    # weights are shared and not stored twice
    assert {p.data_ptr() for p in fused.parameters()} == {p.data_ptr() for p in plain.parameters()}


@pytest.mark.parametrize(("height", "width"), [(5, 7), (16, 24), (28, 48)])
def test_one_picture_has_the_bits_that_it_has_in_a_batch(height: int, width: int) -> None:
    plain = layers(torch.float32)
    fused = fuse_relu(plain)
    x = torch.randn(3, 4, height, width).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        alone = fused(x[:1])
        assert torch.equal(alone, fused(x)[:1])
        # torch computes a single small picture by another routine than oneDNN's, with other last bits on some processors
        assert (alone - plain(x[:1])).abs().max() < 1e-6


def test_bfloat16_is_rounded_less_often() -> None:
    """Runs in a process of its own, because the other tests disable newer processor instructions."""
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    command = [sys.executable, "-c", "from tests.diffusion.test_fuse import print_errors; print_errors()"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    if said == ["none"]:
        pytest.skip("this processor does not multiply bfloat16")
    fused, plain, size = map(float, said)
    assert fused <= 1.05 * plain
    assert fused < 0.01 * size


def print_errors() -> None:
    """Print the errors of fused and of plain layers in bfloat16, and the magnitude of the exact values."""
    if not can_fuse(torch.bfloat16):
        print("none")
        return
    plain, exact = layers(torch.bfloat16), layers(torch.bfloat16).float()
    x = torch.randn(2, 4, 16, 24).bfloat16().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        right = exact(x.float())
        errors = [(made(x).float() - right).square().mean().sqrt() for made in (fuse_relu(plain), plain)]
    print(float(errors[0]), float(errors[1]), float(right.std()))


def test_layers_that_can_not_be_fused_stay() -> None:
    block = AutoencoderTinyBlock(8, 8, "silu")
    other = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU(), block, nn.SiLU())
    assert list(fuse_relu(other)) == list(other)


def test_weights_with_nan_stay_in_the_plain_layers() -> None:
    made = layers(torch.float32)
    assert finite_weights(made)
    made[0].weight[0, 0, 0, 0] = torch.nan
    assert not finite_weights(made)


def test_a_model_on_the_cpu_is_fused(toy_model) -> None:
    from reactive.diffusion.models.load import load_model

    model = load_model(str(toy_model), device="cpu", dtype="float32")
    kinds = {type(layer) for half in (model.vae.encoder, model.vae.decoder) for layer in getattr(half, "layers", [])}
    assert {Block, ConvolutionReLU} & kinds or not kinds
