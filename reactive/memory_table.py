"""What a model needs of a card's memory, as a table: computed from shapes, whether the model is here or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.backend.shapes import (
    CLASSES,
    GIB,
    BatchShape,
    MemoryNeeds,
    budget,
    shape_by_rule,
    text_numbers,
    text_shape,
)
from reactive.diffusion.models.adapter import ENCODER_NUMBERS
from reactive.diffusion.models.catalogue import find_entry, read_json, style_adapter
from reactive.diffusion.models.families import FAMILIES, Family, family_named, family_of
from reactive.diffusion.models.locate import find_model
from reactive.diffusion.models.quantised import KINDS, NOT_QUANTISED, Quant, bytes_when_quantised, parse_quant, unloaded
from reactive.diffusion.models.single_file import CONFIGS, read_header
from reactive.errors import ModelError

CARDS = (6, 8, 12, 24)
# of an autoencoder that overflows in float16
_EXACT = 4
_HALF = 2
Described = tuple[Path, Family, float, tuple[int, int] | None]


def needs_table(name: str, size: tuple[int, int] | None = None, quant: str | None = None) -> dict[str, Any]:
    """Return what a model needs on a card in float16, at its native size or another one, quantised if `quant` says how.

    Returns
    -------
    ``model``, ``size``, ``weights_gib`` by part, ``style_gib`` (what an adapter for pictures adds to the network, and what encoding
    the pictures needs before the clip; None if there is no adapter), ``control_gib`` (what one control network adds; None if there is
    none), ``batches``: for each batch the GiB of network, of decoding at
    once and in slices of one; ``cards``: for each class of memory the batch and slices of ``--batch auto``, the GiB that they need,
    whether that fits, whether the text encoders embed on the card, and where it does not fit the largest ``smaller`` size that does
    (None: there is none); ``quantised``: for no quantisation and each kind of it the GiB of network and text encoders, and the
    smallest of these cards that holds one picture (None: none of them).

    Raises
    ------
    ModelError
        If the model is neither here nor known by its name.
    """
    chosen = parse_quant(quant)
    described = _described(name)
    needs, native = _needs(name, described, chosen)
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
        "quant": quant or "",
        "weights_gib": {
            "network": _gib(needs.network_bytes),
            "autoencoder": _gib(needs.vae_bytes),
            "text encoders": _gib(needs.text_bytes),
        },
        "style_gib": _style(name),
        "control_gib": _control(name),
        "batches": batches,
        "cards": rows,
        "quantised": [
            _quantised(_needs(name, described, Quant(kind))[0], kind, width, height) for kind in ("", *KINDS)
        ],
    }


def _quantised(needs: MemoryNeeds, kind: str, width: int, height: int) -> dict[str, Any]:
    """Return the sizes of a model's parts in a kind of quantisation, and the smallest card for one picture."""
    one = needs.total(width, height, BatchShape(1, 1))
    return {
        "quant": kind,
        "network": _gib(needs.network_bytes),
        "text encoders": _gib(needs.text_bytes),
        "card": next((card for card in CLASSES if one <= budget(card)), None),
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
    return _needs(name, _described(name), NOT_QUANTISED)


def _needs(name: str, described: Described, quant: Quant) -> tuple[MemoryNeeds, tuple[int, int]]:
    folder, family, told, native = described
    network, vae = (read_json(folder / part / "config.json", name) for part in (family.network, "vae"))
    vae_number = _EXACT if family.exact_autoencoder(vae) else _HALF
    encoders = [folder / part for part in family.parts if part.startswith("text_encoder")]
    texts = [read_json(encoder / "config.json", name) for encoder in encoders]
    factor = family.factor(vae)
    needs = MemoryNeeds(
        network=network,
        vae=vae,
        network_bytes=quant.file.stat().st_size
        if quant.file
        else _bytes(family.parts[family.network], network, quant.encoders),
        vae_bytes=_bytes(str(vae.get("_class_name", "AutoencoderKL")), vae, number=vae_number),
        text_bytes=sum(
            # small ones stay as they are
            _bytes(family.parts[part.name], text, quant.encoders if family.large_texts else "")
            for part, text in zip(encoders, texts, strict=True)
        ),
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


def _described(name: str) -> Described:
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
    folder, family, *_ = _described(name)
    config, entry = read_json(folder / family.network / "config.json", name), style_adapter(family.name)
    if family.adapter_numbers is None or entry is None or config.get("cross_attention_dim") != entry.width:
        return None
    added = family.adapter_numbers(unloaded(family.parts[family.network], config))
    return {"network": _gib(_HALF * added), "encoding": _gib(_HALF * ENCODER_NUMBERS)}


def _control(name: str) -> float | None:
    folder, family, *_ = _described(name)
    config = read_json(folder / family.network / "config.json", name)
    if family.control is None:
        return None
    return _gib(_HALF * family.control.numbers(unloaded(family.parts[family.network], config)))


def _bytes(kind: str, config: Config, quant: str = "", number: int = _HALF) -> int:
    return bytes_when_quantised(unloaded(kind, config), quant, number)


def _gib(size: int) -> float:
    return round(size / GIB, 2)
