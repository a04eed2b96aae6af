"""Costs of transformers and the like: positions attend to each other and to the text, with one width throughout.

As in `footprint` the unit is one number a picture. These sums are estimates: a layer keeps its input, its normed input, query, key,
value and result, and within its feed-forward two projections; no test compares them with what blocks allocate.
"""

from __future__ import annotations

from reactive.diffusion.backend.footprint import Config, Cost, decoder_cost, encoder_cost

_WAITING = 7


def rows_cost(
    config: Config,
    latents: int,
    *,
    layers: int,
    text: int,
    patch: int = 1,
    forward: float = 4.0,
    linear: bool = False,
    written: bool = False,
) -> Cost:
    """Return the cost of one evaluation of a transformer for one picture.

    Parameters
    ----------
    config
        Has ``num_attention_heads`` and ``attention_head_dim``.
    latents
        Latents of the picture; `patch` by `patch` of them are one place.
    layers
        Layers, each of them an attention and a feed-forward.
    text
        Tokens of the text, which run through the layers with the places.
    forward
        Width of the feed-forward in widths.
    linear
        Whether attention costs no more than a projection.
    written
        Whether attention writes out its matrix.
    """
    heads = int(config["num_attention_heads"])
    width = heads * int(config["attention_head_dim"])
    places = latents / patch**2 + text
    matrix = 2 * heads * places * places if written and not linear else 0
    peak = places * width * max(_WAITING, 2 + 2 * forward) + matrix
    attention = 0 if linear else 4 * places * places * width
    return Cost(peak, layers * (places * width * width * (8 + 4 * forward) + attention))


def packed_decoder_cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    """Return the cost of decoding if two by two of the autoencoder's latents are one of the network's."""
    return decoder_cost(config, 4 * latents, written=written)


def packed_encoder_cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    """Return the cost of encoding if two by two of the autoencoder's latents are one of the network's."""
    return encoder_cost(config, 4 * latents, written=written)


def film_autoencoder_cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    """Return the cost of either half of an autoencoder of films for a single picture, with latents packed two by two."""
    shape = {"block_out_channels": [int(config["base_dim"]) * factor for factor in config["dim_mult"]]}
    return decoder_cost(shape | {"layers_per_block": config["num_res_blocks"]}, 4 * latents, written=written)


def deep_autoencoder_cost(config: Config, latents: int, *, written: bool = False) -> Cost:
    """Return the cost of either half of a deep-compression autoencoder: residual blocks on levels that halve."""
    del written
    widths, layers = config["decoder_block_out_channels"], config["decoder_layers_per_block"]
    pixels = [latents * 4.0 ** (len(widths) - 1 - level) for level in range(len(widths))]
    peak = max(4 * width * count for width, count in zip(widths, pixels, strict=True))
    flops = sum(
        2 * 2 * 9 * width * width * count * depth for width, count, depth in zip(widths, pixels, layers, strict=True)
    )
    return Cost(peak, flops)
