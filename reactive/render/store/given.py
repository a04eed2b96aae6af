"""The files that a job was given: named by full path, recorded with their hashes, and found again if they were moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from reactive.diffusion.models.locate import FOLDERS
from reactive.diffusion.models.lora import parse_lora
from reactive.errors import MediaError, PresetError
from reactive.preset.control import joined_control, split_control
from reactive.preset.installed import PRESET_FILE
from reactive.preset.library import find_preset
from reactive.preset.style import split_style
from reactive.render.store.cache_keys import hash_path

# entries of a folder that are searched at most
MOST_FILES = 50_000
_ONE, _MANY = ("timeline", "take", "lyrics", "shots", "logo", "lut"), ("photos", "videos")

# maps a setting's path to its new one
Change = Callable[[str], str]


def named_in_full(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest's settings with presets, models, LoRAs and autoencoders that are files named by full path.

    A name that is not a file here is that of a preset that ships or of a model on the hub, and stays.
    """
    return _changed(settings, lambda path: path, _in_full, _preset_in_full)


def noted_files(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the hash and size in bytes (-1: a folder) of each file that a manifest's settings name, by its path."""
    noted: dict[str, dict[str, Any]] = {}

    def note(text: str) -> str:
        path = Path(text)
        if path.is_absolute() and text not in noted:
            # a preset's folder is identified by the preset in it
            file = path / PRESET_FILE if (path / PRESET_FILE).is_file() else path
            try:
                noted[text] = {"sha256": hash_path(file), "bytes": file.stat().st_size if file.is_file() else -1}
            except OSError:
                # a file that was removed meanwhile can't be identified later
                noted.pop(text, None)
        return text

    _changed(settings, note, note, note)
    return noted


@dataclass(frozen=True)
class Places:
    """Where to search: the folder that held the job at first, the one that holds it now, and more folders."""

    before: Path
    now: Path
    more: tuple[Path, ...] = ()


def found_again(
    settings: Mapping[str, Any], noted: Mapping[str, Mapping[str, Any]], places: Places
) -> tuple[dict[str, Any], list[str]]:
    """Return a manifest's settings with the new path of each file that was moved, and a sentence about each.

    Raises
    ------
    MediaError
        If a file is not found; the message says where it was.
    """
    notes: list[str] = []

    def find(text: str) -> str:
        if Path(text).exists():
            return text
        path = find_file(text, noted.get(text), places)
        if path is None:
            raise MediaError(
                "is not where it was, nor beside the job",
                where=text,
                remedy="name the folder that it is in with --look-in, or run the same `reactive run` again where it is",
            )
        notes.append(f"{Path(text).name} is taken from {path}.")
        return str(path)

    def find_named(text: str) -> str:
        # older jobs have paths as they were typed
        given_as_path = text in noted or Path(text).suffix in (".toml", ".safetensors")
        return find(text) if given_as_path and text not in FOLDERS else text

    return _changed(settings, find, find_named, find_named), notes


def find_file(text: str, noted: Mapping[str, Any] | None, places: Places) -> Path | None:
    """Return where a file or folder is now: at the same place relative to the job, else by its name, else by its hash."""
    told = Path(text)
    folders = [places.now, *places.more]
    near = [places.now / os.path.relpath(told, places.before)] if told.is_absolute() else []
    for candidate in [*near, *(folder / told.name for folder in folders)]:
        if _is(candidate, noted) if noted else candidate.exists() and not told.is_absolute():
            return candidate
    if not noted:
        return None
    # beside the job only that folder itself is searched: it may be a home directory
    seen = [*_entries(places.now), *(file for folder in places.more for file in _tree(folder))]
    return next((path for path in seen if _is(path, noted, strictly=noted["bytes"] < 0, name=told.name)), None)


def _is(path: Path, noted: Mapping[str, Any], *, strictly: bool = False, name: str = "") -> bool:
    """Return whether a file or folder is the recorded one; with `strictly` only if its name is the same or it holds weights."""
    try:
        file = path / PRESET_FILE if (path / PRESET_FILE).is_file() else path
        if strictly and path.name != name and not _is_weights(path):
            return False
        size = file.stat().st_size if file.is_file() else -1
        return size == noted["bytes"] and hash_path(file) == noted["sha256"]
    except OSError:
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(islice(folder.iterdir(), MOST_FILES))
    except OSError:
        return []


def _tree(folder: Path) -> Iterator[Path]:
    def walk() -> Iterator[Path]:
        for place, folders, files in os.walk(folder):
            folders.sort()
            yield from (Path(place, name) for name in sorted([*folders, *files]))

    return islice(walk(), MOST_FILES)


def _in_full(name: str) -> str:
    path = Path(name)
    if name in FOLDERS:
        return name
    return str(path.absolute()) if path.is_file() or _is_weights(path) else name


def _is_weights(path: Path) -> bool:
    """Return whether a folder is a model's, an autoencoder's or a LoRA's."""
    told = any((path / config).is_file() for config in ("model_index.json", "config.json"))
    return path.is_dir() and (told or any(path.glob("*.safetensors")))


def _preset_in_full(name: str) -> str:
    """Return a preset's name, or its path from the root on if it was given by path."""
    if Path(name).suffix != ".toml" and not set("/\\") & set(name) and not Path(name).is_dir():
        return name
    try:
        find_preset(name)
    except PresetError:
        return name
    return str(Path(name).absolute())


def _changed(settings: Mapping[str, Any], change: Change, named: Change, preset: Change) -> dict[str, Any]:
    """Return settings with each path in them changed, by `named` and `preset` also what may be a name instead."""
    new = dict(settings)
    for key in _ONE:
        if new.get(key):
            new[key] = change(new[key])
    for key in _MANY:
        new[key] = [change(path) for path in new.get(key, ())]
    hearing = dict(new.get("hearing") or {})
    for key in ("midi", "markers"):
        if hearing.get(key):
            hearing[key] = change(hearing[key])
    if hearing:
        hearing["stems"] = [[name, change(path)] for name, path in hearing.get("stems", ())]
        new["hearing"] = hearing
    if new.get("preset") and not (new.get("timeline") or new.get("take")):
        new["preset"] = preset(new["preset"])
    for key in ("model", "vae", "adapter", "quant"):
        if new.get(key):
            new[key] = named(new[key])
    new["loras"] = [_lora(text, named) for text in new.get("loras", ())]
    new["styles"] = [_style(text, change) for text in new.get("styles", ())]
    new["controls"] = [_control(text, change) for text in new.get("controls", ())]
    new["control_models"] = [_control_model(text, named) for text in new.get("control_models", ())]
    return new


def _style(text: str, change: Change) -> str:
    name, weight = split_style(text)
    return f"{change(name)}:{weight}"


def _control(text: str, change: Change) -> str:
    kind, name, weight = split_control(text)
    return joined_control(kind, change(name) if name else "", weight)


def _control_model(text: str, named: Change) -> str:
    kind, equals, name = text.partition("=")
    return f"{kind}={named(name)}" if equals else text


def _lora(text: str, named: Change) -> str:
    name = parse_lora(text)[0]
    return named(name) + text[len(name) :]
