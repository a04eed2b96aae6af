"""Autoencoders: the model's own, or a small replacement for previews."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.models.catalogue import find_entry, read_json, small_autoencoder
from reactive.diffusion.models.families import Family
from reactive.diffusion.models.locate import cached, hash_files
from reactive.diffusion.models.marks import without_marks
from reactive.diffusion.models.pickles import refuse_pickle, require_safetensors, safe_options, unloadable
from reactive.errors import ModelError

# classes with known latents, the tiny ones included
CLASSES = ("AutoencoderTiny", "AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderKLQwenImage", "AutoencoderDC")
# the one for XL that does not overflow in float16 is known by its name only
_FIXED = re.compile(r"fp16[-_. ]?fix", re.IGNORECASE)


def find_autoencoder(name: str, family: Family) -> Path:
    """Return the folder or the file of an autoencoder.

    Parameters
    ----------
    name
        ``tiny`` for the small one of the family, a short name, a folder, a ``.safetensors`` file, or the id of one on the hub
        that was fetched, by itself or as a part of a model.

    Raises
    ------
    ModelError
        If it is missing, or belongs to another family.
    """
    where = f"--vae {name}"
    if (Path(name) / "config.json").is_file():
        return Path(name)
    if (Path(name) / "vae" / "config.json").is_file():
        return Path(name) / "vae"
    if Path(name).is_file():
        refuse_pickle(Path(name), where)
        if Path(name).suffix == ".safetensors":
            return Path(name)
        raise ModelError("is no .safetensors file", where=where, remedy="name one, or a folder with a config.json")
    entry = find_entry(name)
    if name == "tiny":
        entry = small_autoencoder(family.name)
        if entry is None:
            raise ModelError(
                f"there is no small autoencoder for models of the kind {family.name}",
                where=where,
                remedy="leave it out: the model's own is used",
            )
    if (entry is None or entry.kind == "model") and name.count("/") == 1 and not name.startswith((".", "/")):
        folder = cached(name, name, where)
        return folder / "vae" if (folder / "vae" / "config.json").is_file() else folder
    if entry is None or entry.kind != "vae":
        raise ModelError(
            "there is no such autoencoder",
            where=where,
            remedy='use "tiny", taesd, taesdxl, taesd3, taef1, a hub id, a .safetensors file, or a folder with a config.json',
        )
    if family.name not in (entry.family, *entry.also):
        raise ModelError(
            f"is for models of the kind {entry.family}, not {family.name}", where=where, remedy="use --vae tiny"
        )
    return cached(entry.hub, entry.name, where)


def load_autoencoder(folder: Path, name: str, dtype: torch.dtype, channels: int, config: Path | None = None) -> Any:
    """Load an autoencoder whose latents have a number of channels.

    Parameters
    ----------
    folder
        Its folder, or a single file.
    config
        The folder that describes a single file.

    Raises
    ------
    ModelError
        If it can't be loaded, has an unknown class, or its latents don't fit.
    """
    import diffusers

    if folder.is_file():
        return _from_file(folder, name, dtype, channels, config)
    kind = str(read_json(folder / "config.json", name).get("_class_name"))
    if kind not in CLASSES:
        remedy = f"use one of {', '.join(CLASSES)}"
        raise ModelError(f"has an autoencoder of class {kind}, which is not known here", where=name, remedy=remedy)
    require_safetensors(folder, name)
    try:
        with without_marks(folder) as plain:
            vae = getattr(diffusers, kind).from_pretrained(plain, torch_dtype=dtype, **safe_options(plain))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
        raise unloadable(problem, name) from None
    _check_channels(int(vae.config.get("latent_channels") or vae.config.z_dim), channels, name)
    return vae


def hash_autoencoder(place: Path) -> str:
    """Return one sha256 over an autoencoder's folder or file."""
    if place.is_dir():
        return hash_files(place, (".",))
    with place.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _from_file(file: Path, name: str, dtype: torch.dtype, channels: int, config: Path | None) -> Any:
    """Load a single file: of diffusers' names, of the original release's, or the autoencoder within a whole checkpoint."""
    from diffusers import AutoencoderKL
    from safetensors import SafetensorError, safe_open

    assert config is not None
    try:
        with safe_open(file, framework="pt") as opened:
            keys = {str(key).removeprefix("first_stage_model.") for key in opened.keys()}  # noqa: SIM118
            at = next((key for key in opened.keys() if str(key).endswith("decoder.conv_in.weight")), None)  # noqa: SIM118
            found = int(opened.get_slice(at).get_shape()[1]) if at is not None else 0
    except (OSError, SafetensorError, ValueError) as problem:
        raise unloadable(problem, name) from None
    if not found or "encoder.conv_in.weight" not in keys:
        raise ModelError(
            "is no autoencoder of the Stable Diffusion family",
            where=f"--vae {name}",
            remedy='name one, or use "tiny", a hub id or a folder',
        )
    _check_channels(found, channels, name)
    try:
        # a local folder as config keeps the loader from looking for one on the network
        vae = AutoencoderKL.from_single_file(
            str(file), config=str(config), subfolder="vae", local_files_only=True, torch_dtype=dtype
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as problem:
        raise unloadable(problem, name) from None
    lacking = [key for key, value in vae.named_parameters() if value.is_meta]
    if lacking:
        raise ModelError(f"lacks {lacking[0]}", where=f"--vae {name}", remedy="fetch it again")
    if _FIXED.search(file.name):
        vae.register_to_config(force_upcast=False)
    return vae


def _check_channels(found: int, channels: int, name: str) -> None:
    if found != channels:
        raise ModelError(
            f"its latents have {found} channels, the model's {channels}",
            where=name,
            remedy="use an autoencoder of the same family",
        )
