"""What a model needs of a card's memory, as a table: computed from shapes, whether the model is here or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.backend.shapes import GIB, MemoryNeeds, budget, shape_by_rule, text_numbers, text_shape
from reactive.diffusion.models.adapter import ENCODER_NUMBERS
from reactive.diffusion.models.catalogue import find_entry, read_json, style_adapter
from reactive.diffusion.models.families import FAMILIES, Family, family_named, family_of
from reactive.diffusion.models.locate import find_model
from reactive.diffusion.models.single_file import CONFIGS, read_header
from reactive.errors import ModelError

CARDS = (6, 8, 12, 24)
# of an autoencoder that overflows in float16
_EXACT = 4
_HALF = 2


def needs_table(name: str, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return what a model needs on a card in float16, at its native size or another one.

    Returns
    -------
    ``model``, ``size``, ``weights_gib`` by part, ``style_gib`` (what an adapter for pictures adds to the network, and what encoding
    the pictures needs before the clip; None if there is no adapter), ``batches``: for each batch the GiB of network, of decoding at
    once and in slices of one; ``cards``: for each class of memory the batch and slices of ``--batch auto``, the GiB that they need,
    whether that fits, whether the text encoders embed on the card, and where it does not fit the largest ``smaller`` size that does
    (None: there is none).

    Raises
    ------
    ModelError
        If the model is neither here nor known by its name.
    """
    needs, native = needs_named(name)
    width, height = size or native
    batches = [
        {
            "batch": batch,
            "network": _gib(needs.evaluation(width, height, batch)),
            "decoding at once": _gib(needs.autoencoder(width, height, 0, batch)),
            "one by one": _gib(needs.autoencoder(width, height, 1, batch)),
        }
        for batch in (1, 2, 4, 8, 16, 32)
    ]
    rows = []
    for memory in CARDS:
        shape = shape_by_rule(needs, "cuda", memory, width, height)
        total = needs.total(width, height, shape)
        fits = total <= budget(memory)
        rows.append(
            {
                "card": memory,
                "batch": shape.batch,
                "slices": shape.slices,
                "needs": _gib(total),
                "has": _gib(budget(memory)),
                "fits": fits,
                "smaller": None if fits else _smaller(needs, memory, width, height),
                "texts": "card" if needs.embedding() <= budget(memory) else "cpu",
            }
        )
    return {
        "model": name,
        "size": f"{width}x{height}",
        "weights_gib": {
            "network": _gib(needs.network_bytes),
            "autoencoder": _gib(needs.vae_bytes),
            "text encoders": _gib(needs.text_bytes),
        },
        "style_gib": _style(name),
        "batches": batches,
        "cards": rows,
    }


def _smaller(needs: MemoryNeeds, memory: int, width: int, height: int) -> str | None:
    """Return the largest size of about the same shape with which single pictures fit, not below half; None for none."""
    for share in range(15, 7, -1):
        small = (width * share // 1024 * 64, height * share // 1024 * 64)
        if needs.total(*small, shape_by_rule(needs, "cuda", memory, *small)) <= budget(memory):
            return f"{small[0]}x{small[1]}"
    return None


def needs_named(name: str) -> tuple[MemoryNeeds, tuple[int, int]]:
    """Return what a model needs in float16, and its native size, by the configuration of its folder, file or short name.

    Raises
    ------
    ModelError
        If the model is neither here nor known by its name.
    """
    folder, family, told, native = _described(name)
    network, vae = (read_json(folder / part / "config.json", name) for part in (family.network, "vae"))
    vae_number = _EXACT if family.exact_autoencoder(vae) else _HALF
    encoders = [folder / part for part in family.parts if part.startswith("text_encoder")]
    texts = [read_json(encoder / "config.json", name) for encoder in encoders]
    factor = family.factor(vae)
    needs = MemoryNeeds(
        network=network,
        vae=vae,
        network_bytes=_HALF * _weights(family.parts[family.network], network),
        vae_bytes=vae_number * _weights(str(vae.get("_class_name", "AutoencoderKL")), vae),
        text_bytes=_HALF
        * sum(_weights(family.parts[part.name], text) for part, text in zip(encoders, texts, strict=True)),
        number=_HALF,
        vae_number=vae_number,
        factor=factor,
        twice=told != 1.0,
        text_numbers=sum(text_numbers(*text_shape(text)) for text in texts),
        cost=family.cost,
        decoding=family.decoding,
        encoding=family.encoding,
        tokens=family.text_batch * family.text_tokens,
    )
    return needs, native or family.native(network, factor)


def _described(name: str) -> tuple[Path, Family, float, tuple[int, int] | None]:
    """Return the folder whose configuration describes a model, its family, guidance, and native size if that is another."""
    entry = find_entry(name)
    if entry is not None and entry.kind != "model":
        raise ModelError(f"is a {entry.kind}, not a model", where=f"--model {name}", remedy="name a model")
    try:
        found = find_model(name)
    except ModelError:
        if entry is None:
            raise
        # the shipped configurations describe what is not here yet
        family, guidance = family_named(entry.family), float(entry.defaults.get("guidance", 7.0))
        return CONFIGS / (entry.config or family.single_files[0]), family, guidance, (entry.native, entry.native)
    from reactive.diffusion.models.check import check_model

    guidance = float(check_model(name)["guidance"])
    if found.is_file():
        header = read_header(found, name)
        return CONFIGS / header.config, header.family, guidance, header.defaults.get("native")
    family = family_of(str(read_json(found / "model_index.json", name).get("_class_name"))) or FAMILIES[0]
    told = family.tells_guidance(read_json(found / family.network / "config.json", name))
    return found, family, 1.0 if told else guidance, None


def _style(name: str) -> dict[str, float] | None:
    folder, family, _, _ = _described(name)
    config, entry = read_json(folder / family.network / "config.json", name), style_adapter(family.name)
    if family.adapter_numbers is None or entry is None or config.get("cross_attention_dim") != entry.width:
        return None
    added = family.adapter_numbers(_on_meta(family.parts[family.network], config))
    return {"network": _gib(_HALF * added), "encoding": _gib(_HALF * ENCODER_NUMBERS)}


def _weights(kind: str, config: Config) -> int:
    """Return how many weights a part of a class and configuration has; nothing is allocated."""
    return sum(weight.numel() for weight in _on_meta(kind, config).parameters())


def _on_meta(kind: str, config: Config) -> Any:
    """Return a part of a class and configuration, without memory for its weights."""
    import diffusers
    import transformers

    library, _, name = kind.rpartition(".")
    plain = {key: value for key, value in config.items() if not key.startswith("_")}
    with torch.device("meta"):
        if library == "transformers":
            text: Any = getattr(transformers, name)
            made: Any = text(text.config_class(**plain))
        else:
            if "num_decoder_blocks" in config:
                plain.pop("block_out_channels", None)
            made = getattr(diffusers, name).from_config(plain)
    return made


def _gib(size: int) -> float:
    return round(size / GIB, 2)
