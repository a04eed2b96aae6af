"""Check that a model's folder is complete: every part that it names, with its configuration and every file of its weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reactive.jsonfile import parse_json

# parts with weights, and those without
_WEIGHTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
_OTHERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "scheduler")
_HALF = ".fp16"
_UNWANTED = ("non_ema", "openvino", "flax", "onnx")
_SMALL = (".json", ".txt", ".jinja")


def wanted_files(listing: Iterable[str], *, full: bool = False) -> list[str]:
    """Return which files of a hub repository make up a model, LoRA folder or autoencoder, sorted.

    If weights are available in half precision (``fp16``), only those are taken: half the download, and the format that a card
    uses anyway. A part with only some files in half precision is taken in full precision.

    Parameters
    ----------
    listing
        All files of the repository, by their names in it.
    full
        Whether full precision is wanted anyway.
    """
    names = [name for name in listing if not any(word in name.lower() for word in _UNWANTED)]
    pipeline = "model_index.json" in names
    parts = (*_WEIGHTS, *_OTHERS) if pipeline else (".",)
    wanted = [name for name in names if name in ("model_index.json", "reactive.json")]
    for part in parts:
        inside = [name for name in names if _folder(name) == part]
        weights = [name for name in inside if name.endswith(".safetensors")]
        half = [name for name in weights if _HALF in name]
        plain = [name for name in weights if _HALF not in name]
        indices = [name for name in inside if name.endswith(".safetensors.index.json")]
        halved = bool(half) and not full and _complete(half)
        wanted += half if halved or not plain else plain
        wanted += [name for name in indices if (_HALF in name) == (halved or not plain)]
        wanted += [
            name
            for name in inside
            if name.endswith(_SMALL) and not name.endswith(".index.json") and (pipeline or name.endswith("config.json"))
        ]
    return sorted(set(wanted))


def missing_files(folder: Path) -> str:
    """Return in words what is missing in a model's folder, or an autoencoder's; empty if it is complete.

    Interrupted downloads and copies leave such folders.
    """
    index = _object(folder / "model_index.json")
    if index is None:
        if not (folder / "config.json").is_file():
            return "model_index.json is missing"
        return _weights_missing(folder, folder)
    for part, told in index.items():
        if part not in (*_WEIGHTS, *_OTHERS) or _absent(told):
            continue
        if not (folder / part).is_dir():
            return f"the folder {part} is missing"
        config = {"scheduler": "scheduler_config.json"}.get(part, "config.json")
        if part.startswith("tokenizer"):
            if not any((folder / part / name).is_file() for name in ("tokenizer.json", "vocab.json")):
                return f"{part} has no vocabulary"
        elif not (folder / part / config).is_file():
            return f"{part}/{config} is missing"
        if part in _WEIGHTS and (lack := _weights_missing(folder / part, folder)):
            return lack
    return ""


def _weights_missing(part: Path, folder: Path) -> str:
    where = part.relative_to(folder).as_posix()
    inside = "" if where == "." else f"{where}/"
    found = sorted(part.glob("*.safetensors"))
    named: set[str] = set()
    for index in part.glob("*.safetensors.index.json"):
        named |= {str(file) for file in ((_object(index) or {}).get("weight_map") or {}).values()}
    lacking = sorted(named - {file.name for file in found})
    if lacking and not any(file.name not in named for file in found):
        return f"{inside}{lacking[0]} is missing"
    if not found:
        # pickles are reported by the loader
        pickled = any(file.suffix in (".bin", ".ckpt", ".pt") for file in part.iterdir())
        return "" if pickled else f"{where if where != '.' else 'it'} has no weights"
    cut = next((file for file in found if not is_complete_file(file)), None)
    return f"{inside}{cut.name} is cut off" if cut is not None else ""


def is_complete_file(path: Path) -> bool:
    """Return whether a safetensors file is as long as its header says; the loader reports one that can't be read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > min(size, 100_000_000):
                return False
            header = json.loads(handle.read(length))
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (OSError, struct.error, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return path.is_file() and path.stat().st_size > 8
    return size >= 8 + length + max(ends, default=0)


def _complete(half: list[str]) -> bool:
    """Return whether numbered files of half precision are all listed: ``-00001-of-00003`` has their number."""
    numbered = [name.rpartition("-of-")[2] for name in half if "-of-" in name]
    if not numbered:
        return True
    count = numbered[0].split(".")[0]
    return count.isdigit() and len(numbered) == int(count)


def _folder(name: str) -> str:
    return name.rpartition("/")[0] or "."


def _absent(told: Any) -> bool:
    return not isinstance(told, list) or not any(told)


def _object(path: Path) -> dict[str, Any] | None:
    try:
        data = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
