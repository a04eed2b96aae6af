"""Diffusers folders: read part by part through the family's own classes, safetensors only, nothing downloaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.backend.device import place_part
from reactive.diffusion.backend.footprint import Config
from reactive.diffusion.models.autoencoders import load_autoencoder
from reactive.diffusion.models.catalogue import find_entry, read_defaults, read_json
from reactive.diffusion.models.families import FAMILIES, Family, family_of
from reactive.diffusion.models.few_step import few_step_of
from reactive.diffusion.models.gguf import load_gguf
from reactive.diffusion.models.large_texts import LargeTexts
from reactive.diffusion.models.later import LaterPart
from reactive.diffusion.models.locate import hash_files
from reactive.diffusion.models.marks import without_marks
from reactive.diffusion.models.pickles import require_safetensors, safe_options, unloadable
from reactive.diffusion.models.quantised import NOT_QUANTISED, Quant, bytes_when_quantised, unloaded
from reactive.diffusion.models.quiet import silence
from reactive.errors import ModelError, install_line


@dataclass(frozen=True)
class ModelParts:
    """The contents of a folder or file before they become a `Model`: modules by part, configuration, hash."""

    family: Family
    modules: dict[str, Any]
    scheduler: dict[str, Any]
    defaults: dict[str, Any]
    zero_negative: bool
    sha256: str
    recognized_as: str = ""


def folder_family(folder: Path, index: dict[str, Any], name: str) -> Family:
    """Return the family of a diffusers folder.

    Raises
    ------
    ModelError
        If it is not known, or a part is missing.
    """
    pipeline = str(index.get("_class_name"))
    family = family_of(pipeline)
    if family is None or any(word in pipeline for word in ("Inpaint", "Upscale", "Depth", "Pix2Pix", "ControlNet")):
        names = ", ".join(family.pipelines[0] for family in FAMILIES)
        raise ModelError(f"is a {pipeline}, which is not known here", where=name, remedy=f"use a folder of {names}")
    for part in family.parts:
        if not (folder / part).is_dir():
            raise ModelError(f"the folder {part} is missing", where=name, remedy="fetch or save the folder again")
    return family


def weighty_parts(family: Family) -> list[str]:
    """Return the folders of a family that have weights."""
    return [part for part in family.parts if part == family.network or part.startswith(("vae", "text_encoder"))]


def _load_parts(folder: Path, name: str, family: Family, parts: Sequence[str], dtype: torch.dtype) -> dict[str, Any]:
    """Load some of a folder's parts; the network goes by that name."""
    modules: dict[str, Any] = {}
    try:
        for part in parts:
            if kind := family.parts[part]:
                with without_marks(folder / part) as plain:
                    modules["network" if part == family.network else part] = _load_part(part, kind, plain, dtype)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
        raise unloadable(problem, name) from None
    return modules


def _load_part(part: str, kind: str, folder: Path, dtype: torch.dtype) -> Any:
    """Load one part by its class; nothing is downloaded and no code in the folder is run."""
    library, _, name = kind.partition(".")
    made: Any = getattr(importlib.import_module(library), name)
    if getattr(made, "_keep_in_fp32_modules", None) and library == "diffusers" and not find_spec("accelerate"):
        raise ModelError(
            "its network is loaded by the package accelerate, which is not here",
            where=name,
            remedy=f"run `{install_line('[large]')}`",
        )
    silence(library)
    if part.startswith("tokenizer"):
        return made.from_pretrained(folder, local_files_only=True)
    number_format = {"dtype" if library == "transformers" else "torch_dtype": dtype}
    return made.from_pretrained(folder, **number_format, **safe_options(folder))


def load_folder(
    folder: Path,
    name: str,
    dtype: torch.dtype,
    quant: Quant = NOT_QUANTISED,
    *,
    texts_later: bool = False,
    first: Callable[[LargeTexts, Family, Config], LargeTexts] | None = None,
) -> ModelParts:
    """Load a folder; its network is that of a GGUF file if `quant` names one.

    Parameters
    ----------
    texts_later
        Whether small text encoders are loaded, on the CPU, when they are first used (`LaterPart`).
    first
        What is done with large text encoders before the network is loaded; it gets the network's configuration.

    Raises
    ------
    ModelError
        If it is incomplete, has pickles instead of safetensors, or is of an unknown family.
    """
    index = read_json(folder / "model_index.json", name)
    family = folder_family(folder, index, name)
    for part in weighty_parts(family):
        if not (part == family.network and quant.file):
            require_safetensors(folder / part, name)
    texts = [part for part in family.parts if part.startswith(("text_encoder", "tokenizer"))]
    later = texts if family.large_texts else []
    others = (family.network,) if quant.file else ()
    waiting = texts if texts_later and not later else []
    now = [part for part in family.parts if part not in (*later, *waiting, *others)]
    large = _large_texts(folder, name, family, later, dtype, quant) if later else None
    if large is not None and first is not None:
        large = first(large, family, read_json(folder / family.network / "config.json", name))
    modules = _load_parts(folder, name, family, now, dtype)
    if large is not None:
        modules["texts"] = large
    modules |= {part: LaterPart(partial(_load_small, folder, name, family, part, dtype)) for part in waiting}
    if quant.file:
        library, _, kind = family.parts[family.network].partition(".")
        made = getattr(importlib.import_module(library), kind)
        modules["network"] = load_gguf(quant.file, made, folder / family.network, dtype)
    modules["vae"] = load_autoencoder(folder / "vae", name, dtype, family.vae_channels(modules["network"].config))
    scheduler, defaults, taken = folder_sampling(folder, name, family)
    return ModelParts(
        family=family,
        modules=modules,
        scheduler=scheduler,
        defaults=defaults,
        zero_negative=bool(index.get("force_zeros_for_empty_prompt", family.zero_negative)),
        sha256=hash_files(folder, family.parts),
        recognized_as=taken,
    )


def _large_texts(
    folder: Path, name: str, family: Family, parts: Sequence[str], dtype: torch.dtype, quant: Quant
) -> LargeTexts:
    """Return the encoders of these parts, which are not loaded yet."""
    encoders = [folder / part for part in parts if part.startswith("text_encoder")]
    tokenizers = [part for part in parts if part.startswith("tokenizer")]
    return LargeTexts(
        load=partial(_load_parts, folder, name, family, parts),
        sha256=hash_files(folder, parts),
        quant=quant,
        tokenizers=partial(_load_parts, folder, name, family, tokenizers, dtype),
        configs=tuple(read_json(encoder / "config.json", name) for encoder in encoders),
        weights=sum(_bytes(family.parts[part.name], part, name, dtype, quant) for part in encoders),
    )


def _load_small(folder: Path, name: str, family: Family, part: str, dtype: torch.dtype) -> Any:
    """Load a small text encoder or its tokenizer, ready for the CPU."""
    loaded = _load_parts(folder, name, family, [part], dtype)[part]
    return (
        place_part(loaded, torch.device("cpu"), dtype, images=False) if isinstance(loaded, torch.nn.Module) else loaded
    )


def _bytes(kind: str, folder: Path, name: str, dtype: torch.dtype, quant: Quant) -> int:
    """Return the bytes of a text encoder's weights as they will be loaded."""
    if not quant.encoders:
        return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    config = read_json(folder / "config.json", name)
    return bytes_when_quantised(unloaded(kind, config), quant.encoders, dtype.itemsize)


def folder_sampling(folder: Path, name: str, family: Family) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return a folder's scheduler configuration, its author's defaults, and its kind by its name; empty if there is none.

    Many folders of few-step models still have the scheduler of the model that they were distilled from.
    """
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json", name)
    own = read_defaults(folder / "reactive.json", name)
    entry = find_entry(name)
    index, network = (read_json(folder / file, name) for file in ("model_index.json", f"{family.network}/config.json"))
    own = {**family.defaults(index, network, Path(name).name), **own}
    scheduler = {**scheduler, **own.pop("scheduler", {})}
    if entry is not None or own.keys() & {"steps", "sampler", "timesteps"} or family.few_step is None:
        return scheduler, {**(entry.defaults if entry else {}), **own}, ""
    few = few_step_of([("by its name", Path(name).name)], family.few_step)
    if few is None:
        return scheduler, own, ""
    # a folder's own configuration has its size
    few_defaults = {key: value for key, value in few.defaults.items() if key != "native"}
    return {**scheduler, **few.scheduler}, {**few_defaults, **own}, f"{few.name} ({few.by})"
