"""How much memory a model needs, by arithmetic on the shapes of its configuration: without a card or a measurement.

It counts tensors that exist at the same time in diffusers' own blocks: a convolution keeps its input and its result, a
residual block also what it adds at its end, a skip connection waits for the up path. The unit is one number a picture; tests
compare the sums with what the blocks allocate. Attention is counted for kernels that never write its matrix, except on devices
without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]
# kinds of devices whose attention writes out its matrix
WRITES_ATTENTION = ("mps",)
# numbers a token in a feed-forward of width 1: five that wait outside, 8 projected, 4 gated, 4 multiplied
_FEED_FORWARD = 21


@dataclass(frozen=True)
class Cost:
    """The cost of one picture: numbers in memory at the same time, and floating-point operations."""

    peak: float
    flops: float


@dataclass
class _Walk:
    """The highest of the sums so far, and the operations so far."""

    peak: float = 0.0
    flops: float = 0.0

    def at(self, numbers: float, flops: float = 0.0) -> None:
        self.peak = max(self.peak, numbers)
        self.flops += flops

    def resnet(self, given: int, made: int, pixels: float, held: float) -> None:
        """A residual block whose input is not among what is held."""
        ends = 4 * made if given == made else given + 4 * made
        weights = 9 * made * (given + made) + (given * made if given != made else 0)
        self.at(held + pixels * max(3 * given, ends), 2 * weights * pixels)

    def convolution(self, given: int, made: int, before: float, after: float, held: float) -> None:
        self.at(held + given * before + made * after, 2 * 9 * given * made * after)

    def attention(self, width: int, pixels: float, heads: int, held: float, written: bool) -> None:
        """Self-attention over all places: residual, input, norm, query, key, value, result."""
        matrix = 2 * heads * pixels * pixels if written else 0
        self.at(held + 7 * width * pixels + matrix, 8 * width * width * pixels + 4 * width * pixels * pixels)


def decoder_cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    """Return the cost of decoding one picture of `latents` latents."""
    return _tiny_cost(config, latents) if "num_decoder_blocks" in config else _decoder(config, latents, written)


def encoder_cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    """Return the cost of encoding one picture into `latents` latents."""
    if "num_encoder_blocks" in config:
        return _tiny_cost(config, latents, encoder=True)
    widths, layers = config["block_out_channels"], int(config.get("layers_per_block", 1))
    walk, pixels, given = _Walk(), latents * 4.0 ** (len(widths) - 1), int(widths[0])
    walk.convolution(3, given, pixels, pixels, 0)
    for level, width in enumerate(widths):
        # the block's input stays until the block is done
        held = given * pixels
        for layer in range(layers):
            walk.resnet(given if layer == 0 else width, width, pixels, 0 if layer == 0 else held)
        if level < len(widths) - 1:
            # padded by a copy, then halved
            walk.convolution(width, width, 2 * pixels, pixels / 4, held)
            pixels /= 4
        given = width
    walk.resnet(given, given, pixels, 0)
    walk.attention(given, pixels, 1, given * pixels, written)
    walk.resnet(given, given, pixels, given * pixels)
    return Cost(walk.peak, walk.flops)


def _decoder(config: Config, latents: int, written: bool) -> Cost:
    widths, layers = config["block_out_channels"][::-1], int(config.get("layers_per_block", 1)) + 1
    walk, pixels, given = _Walk(), float(latents), int(widths[0])
    walk.convolution(int(config.get("latent_channels", 4)), given, pixels, pixels, 0)
    walk.resnet(given, given, pixels, 0)
    walk.attention(given, pixels, 1, given * pixels, written)
    walk.resnet(given, given, pixels, given * pixels)
    for level, width in enumerate(widths):
        held = given * pixels
        for layer in range(layers):
            walk.resnet(given if layer == 0 else width, width, pixels, 0 if layer == 0 else held)
        if level < len(widths) - 1:
            walk.convolution(width, width, 4 * pixels, 4 * pixels, held + width * pixels)
            pixels *= 4
        given = width
    walk.convolution(given, 3, 2 * pixels, pixels, 0)
    return Cost(walk.peak, walk.flops)


def _tiny_cost(config: Config, latents: int, *, encoder: bool = False) -> Cost:
    side = "encoder" if encoder else "decoder"
    widths, blocks = config[f"{side}_block_out_channels"], config[f"num_{side}_blocks"]
    pixels = latents * (4.0 ** (len(widths) - 1) if encoder else 1.0)
    walk = _Walk()
    walk.convolution(3 if encoder else int(config.get("latent_channels", 4)), int(widths[0]), pixels, pixels, 0)
    for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        if encoder and level:
            walk.convolution(int(widths[level - 1]), width, pixels, pixels / 4, 0)
            pixels /= 4
        # input, and a convolution's input and result; three convolutions a block
        walk.at(3 * width * pixels if count else 0, count * 3 * 18 * width * width * pixels)
        if not encoder and level < len(widths) - 1:
            walk.convolution(width, width, 4 * pixels, 4 * pixels, 0)
            pixels *= 4
    last = int(config.get("latent_channels", 4)) if encoder else 3
    walk.convolution(int(widths[-1]), last, pixels, pixels, 0)
    return Cost(walk.peak, walk.flops)


def network_cost(config: Config, latents: int, *, tokens: int = 77, written: bool = False) -> Cost:
    """Return the cost of one evaluation of a U-Net for one picture of `latents` latents.

    Parameters
    ----------
    tokens
        Length of the text that it attends to.
    """
    widths = [int(width) for width in config["block_out_channels"]]
    levels, layers = len(widths), int(config.get("layers_per_block", 2))
    crossed = int(config.get("cross_attention_dim") or 1280)
    depths = _each(config.get("transformer_layers_per_block", 1), levels)
    heads = _each(config.get("num_attention_heads") or config.get("attention_head_dim", 8), levels)
    walk, pixels = _Walk(), float(latents)

    def attend(level: int, held: float) -> None:
        width = widths[level]
        depth = depths[level]
        walk.attention(width, pixels, heads[level], held, written)
        # per layer: two projections to and from text, the feed-forward of 12 c^2, and the attention's own, counted once above
        once = 8 * width * width * pixels + 4 * width * pixels * pixels
        cross = 4 * width * width * pixels + 4 * width * crossed * tokens + 4 * width * pixels * tokens
        walk.at(
            held + _FEED_FORWARD * width * pixels, depth * (cross + 24 * width * width * pixels) + (depth - 1) * once
        )
        walk.flops += 4 * width * width * pixels

    walk.convolution(int(config.get("in_channels", 4)), widths[0], pixels, pixels, 0)
    skips = [widths[0] * pixels]
    given = widths[0]
    for level, width in enumerate(widths):
        crosses = config["down_block_types"][level].startswith("CrossAttn")
        for _ in range(layers):
            # the input is the last skip itself
            walk.resnet(given, width, pixels, sum(skips) - skips[-1])
            if crosses:
                attend(level, sum(skips))
            skips.append(width * pixels)
            given = width
        if level < levels - 1:
            walk.convolution(width, width, 0, pixels / 4, sum(skips))
            pixels /= 4
            skips.append(width * pixels)
    kept = sum(skips)
    walk.resnet(given, given, pixels, kept)
    if config.get("mid_block_type", "UNetMidBlock2DCrossAttn"):
        attend(levels - 1, kept + given * pixels)
        walk.resnet(given, given, pixels, kept + given * pixels)
    for place, level in enumerate(reversed(range(levels))):
        width = widths[level]
        crosses = config["up_block_types"][place].startswith("CrossAttn")
        kept = sum(skips)
        entered = given * pixels
        for _ in range(layers + 1):
            skip = skips.pop() / pixels
            # skips of a block are freed when the block is done; the joined input is a copy
            walk.resnet(round(given + skip), width, pixels, kept + entered)
            if crosses:
                attend(level, kept + entered)
            given = width
        if level:
            walk.convolution(width, width, 4 * pixels, 4 * pixels, kept + entered + width * pixels)
            pixels *= 4
    walk.convolution(given, int(config.get("out_channels", 4)), 3 * pixels, pixels, 0)
    return Cost(walk.peak, walk.flops)


def _each(value: Any, levels: int) -> list[int]:
    return [int(value)] * levels if isinstance(value, int) else [int(part) for part in value]
