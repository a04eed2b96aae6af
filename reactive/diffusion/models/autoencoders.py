"""Autoencoders: the model's own, or a small one in its place for previews."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.models.catalogue import ENTRIES, known, read_json
from reactive.diffusion.models.families import Family
from reactive.diffusion.models.locate import cached
from reactive.diffusion.models.pickles import require_safetensors, safe_options, unloadable
from reactive.errors import ModelError


def find_autoencoder(name: str, family: Family) -> Path:
    """Return the folder of an autoencoder.

    Parameters
    ----------
    name
        ``tiny`` for the small one of the family, a short name, or a folder.

    Raises
    ------
    ModelError
        If it isn't there, or belongs to another family.
    """
    where = f"--vae {name}"
    if (Path(name) / "config.json").is_file():
        return Path(name)
    if (Path(name) / "vae" / "config.json").is_file():
        return Path(name) / "vae"
    entry = known(name)
    if name == "tiny":
        entry = next((e for e in ENTRIES if e.kind == "vae" and e.family == family.name), None)
    if entry is None or entry.kind != "vae":
        raise ModelError(
            "there is no such autoencoder",
            where=where,
            remedy='use "tiny", taesd, taesdxl, or a folder with a config.json',
        )
    if entry.family != family.name:
        raise ModelError(
            f"is for models of the kind {entry.family}, not {family.name}", where=where, remedy="use --vae tiny"
        )
    return cached(entry.hub, entry.name, where)


def load_autoencoder(folder: Path, name: str, dtype: torch.dtype, channels: int) -> Any:
    """Load an autoencoder whose latents have a number of channels.

    Raises
    ------
    ModelError
        If it can't be loaded, is of a class not known here, or its latents don't fit.
    """
    from diffusers import AutoencoderKL, AutoencoderTiny

    classes = {"AutoencoderTiny": AutoencoderTiny, "AutoencoderKL": AutoencoderKL}
    kind = str(read_json(folder / "config.json", name).get("_class_name"))
    if kind not in classes:
        remedy = f"use one of {', '.join(classes)}"
        raise ModelError(f"has an autoencoder of class {kind}, which is not known here", where=name, remedy=remedy)
    require_safetensors(folder, name)
    try:
        vae = classes[kind].from_pretrained(folder, torch_dtype=dtype, **safe_options(folder))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
        raise unloadable(problem, name) from None
    if vae.config.latent_channels != channels:
        raise ModelError(
            f"its latents have {vae.config.latent_channels} channels, the model's {channels}",
            where=name,
            remedy="use an autoencoder of the same family",
        )
    return vae
