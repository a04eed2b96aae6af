"""Find models on this machine: from names to folders and files, and the hash of their contents."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path

from reactive.diffusion.models.catalogue import EMBER, CatalogueEntry, find_entry
from reactive.diffusion.models.families.sd import SD
from reactive.diffusion.models.pickles import refuse_pickle
from reactive.diffusion.models.presence import missing_files
from reactive.errors import ModelError

FOLDERS = {"ember": EMBER}
HASHED = (".json", ".safetensors", ".txt")


def find_model(name: str) -> Path:
    """Return the folder or file of a model given by short name, by path, or by a hub id that is on this machine already.

    Raises
    ------
    ModelError
        If it is missing, or is a pickle; nothing is downloaded.
    """
    path = FOLDERS.get(name, Path(name))
    if (path / "model_index.json").is_file():
        return path
    if path.is_file():
        refuse_pickle(path, name)
        if path.suffix == ".safetensors":
            return path
        if path.suffix.lower() == ".gguf":
            raise ModelError(
                "holds a network without text encoders and autoencoder",
                where=name,
                remedy=f"name its model's folder, and the network: --model FOLDER --quant {shlex.quote(name)}",
            )
        raise ModelError(
            "is neither a diffusers folder nor a .safetensors file", where=name, remedy="name one of these"
        )
    if path.is_dir():
        raise ModelError("has no model_index.json", where=name, remedy="name a folder saved by save_pretrained")
    entry = find_entry(name)
    if entry is not None and entry.kind != "model":
        raise ModelError(
            f"is a {entry.kind}, not a model", where=f"--model {name}", remedy=f"use --{entry.kind} {name}"
        )
    hub = entry.hub if entry else name
    if hub.count("/") == 1 and not hub.startswith((".", "/")):
        return cached(hub, name, f"--model {name}")
    raise ModelError(
        "there is no such model",
        where=f"--model {name}",
        remedy="use a name of `reactive models list`, a folder or a file",
    )


def cached(hub: str, name: str, where: str, file: str = "") -> Path:
    """Return the snapshot folder (or one file) of a hub repository that is on this machine.

    Raises
    ------
    ModelError
        If it is not there.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        if file:
            return Path(hf_hub_download(hub, file, local_files_only=True))
        folder = Path(snapshot_download(hub, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        raise ModelError(
            "is not on this machine, and nothing is downloaded unasked",
            where=where,
            remedy=f"fetch it once with `reactive models pull {name}`, then run this again",
        ) from None
    lack = missing_files(folder)
    if lack:
        raise ModelError(
            f"is only in part on this machine ({lack})",
            where=where,
            remedy=f"`reactive models pull {name}` goes on where it stopped",
        )
    return folder


def cached_files(entry: CatalogueEntry) -> Path:
    """Return the folder of the first file of an entry that names its files, if all of them are on this machine.

    Raises
    ------
    ModelError
        If one is missing.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    found: list[Path] = []
    try:
        found += [Path(hf_hub_download(entry.hub, name, local_files_only=True)) for name in entry.files]
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        raise ModelError(
            "is not on this machine, and nothing is downloaded unasked",
            where=entry.name,
            remedy=f"fetch it once with `reactive models pull {entry.name}`, then run this again",
        ) from None
    return found[0].parent


def hash_folder(folder: Path, parts: Iterable[str] = SD.parts) -> str:
    """Return one sha256 over the names and bytes of a model's weights, vocabulary and configuration."""
    return hash_files(folder, parts)


def hash_files(folder: Path, parts: Iterable[str]) -> str:
    """Return one sha256 over the names and bytes of some folders' files, as `hash_folder` does."""
    digest = hashlib.sha256()
    for part in parts:
        for file in sorted((folder / part).iterdir()):
            if file.suffix in HASHED:
                digest.update(f"{part}/{file.name}\n".encode())
                with file.open("rb") as handle:
                    digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()
