"""Find out what a model on disk is and whether it can be used, without loading its weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reactive.diffusion.models.adapter import find_adapter
from reactive.diffusion.models.catalogue import EMBER, ENTRIES, CatalogueEntry, find_entry, read_json
from reactive.diffusion.models.control import find_control
from reactive.diffusion.models.diffusers_folder import folder_family, folder_sampling, weighty_parts
from reactive.diffusion.models.families import Family, family_named
from reactive.diffusion.models.locate import cached, cached_files, find_model
from reactive.diffusion.models.lora import find_lora, parse_lora, read_layers, weights_in
from reactive.diffusion.models.pickles import PICKLED, require_safetensors
from reactive.diffusion.models.single_file import CONFIGS, read_header
from reactive.diffusion.sampling.sampling import Sampling, read_sampling
from reactive.errors import ModelError


def check_model(name: str) -> dict[str, Any]:
    """Return a model's properties: kind, family, size, steps, guidance, sampler, prediction, notes.

    Parameters
    ----------
    name
        A diffusers folder, a ``.safetensors`` file (model or LoRA), a short name, or a hub id that was fetched.

    Raises
    ------
    ModelError
        If it can't be used; the message says why.
    """
    entry = find_entry(name)
    if entry is not None and entry.kind == "vae":
        return _check_autoencoder(entry)
    if entry is not None and entry.kind == "lora":
        return _check_lora(name)
    if entry is not None and entry.kind == "adapter":
        return _check_adapter(entry)
    if entry is not None and entry.kind == "control":
        return _check_control(entry)
    if Path(name).is_dir() and not (Path(name) / "model_index.json").is_file() and weights_in(Path(name)).is_file():
        return _check_lora(name)
    found = find_model(name)
    if found.is_dir():
        return _check_folder(found, name)
    return _check_lora(name) if _is_lora(found, name) else _check_file(found, name)


def list_models() -> list[dict[str, Any]]:
    """Return everything with a short name, and whether it is on this machine."""
    rows: list[dict[str, Any]] = [
        {
            "name": "ember",
            "kind": "model",
            "family": "sd",
            "hub": "",
            "about": "the small model that ships with reactive",
            "licence": "CC-BY-SA-4.0",
            "here": (EMBER / "model_index.json").is_file(),
            "native": 384,
            "steps": 1,
            "card_gb": 0,
            "quantised_gb": {},
            "sell": "yes",
        }
    ]
    rows += [
        {
            "name": entry.name,
            "kind": entry.kind,
            "family": entry.family,
            "hub": entry.hub,
            "about": entry.about,
            "licence": entry.licence,
            "here": _is_here(entry),
            **(
                {
                    "native": entry.native,
                    "steps": entry.defaults.get("steps", 12),
                    "card_gb": entry.card,
                    "quantised_gb": dict(entry.quantised),
                    "sell": entry.sell,
                }
                if entry.kind == "model"
                else {}
            ),
        }
        for entry in ENTRIES
    ]
    return rows


def _is_here(entry: CatalogueEntry) -> bool:
    try:
        if entry.files:
            cached_files(entry)
        else:
            cached(entry.hub, entry.name, entry.name, entry.file)
    except ModelError:
        return False
    return True


def _check_folder(folder: Path, name: str) -> dict[str, Any]:
    index = read_json(folder / "model_index.json", name)
    family = folder_family(folder, index, name)
    weighty = weighty_parts(family)
    for part in weighty:
        require_safetensors(folder / part, name)
    files = [file for part in weighty for file in sorted((folder / part).glob("*.safetensors"))]
    formats = _formats(files, name)
    scheduler, defaults, taken = folder_sampling(folder, name, family)
    sampling = read_sampling(scheduler, defaults, name=name, recognized_as=taken, times=family.times)
    width, height = defaults.get("native", (0, 0))
    native = f"{width}x{height}" if width else _native(folder, family, name)
    facts: dict[str, Any] = {"kind": "folder", "family": family.name, "path": str(folder)}
    facts |= _facts(sampling, native, formats, sum(file.stat().st_size for file in files))
    pickled = [str(file.relative_to(folder)) for file in sorted(folder.rglob("*")) if file.suffix in PICKLED]
    if pickled:
        facts["notes"].append(f"not read, because pickles can run code: {', '.join(pickled[:4])}")
    return facts


def _check_file(path: Path, name: str) -> dict[str, Any]:
    header = read_header(path, name)
    folder = CONFIGS / header.config
    scheduler = header.scheduler(read_json(folder / "scheduler" / "scheduler_config.json", name))
    sampling = read_sampling(scheduler, header.defaults, name=path.name, recognized_as=header.recognized_as)
    native = _native(folder, header.family, name)
    facts: dict[str, Any] = {"kind": "single file", "family": header.family.name, "path": str(path)}
    width, height = header.defaults.get("native", (0, 0))
    native = f"{width}x{height}" if width else native
    facts |= _facts(sampling, native, _formats([path], name), path.stat().st_size)
    if header.guessed:
        facts["notes"].append("the file does not say what it predicts; if pictures are grey, pass --prediction epsilon")
    return facts


def _check_lora(name: str) -> dict[str, Any]:
    lora = find_lora(*parse_lora(name))
    layers = read_layers(lora.path, f"--lora {name}")
    parts = sorted({part for part, _ in layers})
    return {
        "kind": "lora",
        "path": str(lora.path),
        "layers": len(layers),
        "changes": parts,
        "size_mb": _megabytes(lora.path.stat().st_size),
        "sha256": lora.sha256,
        "defaults": {key: list(value) if isinstance(value, tuple) else value for key, value in lora.defaults.items()},
    }


def _check_autoencoder(entry: CatalogueEntry) -> dict[str, Any]:
    folder = cached(entry.hub, entry.name, entry.name)
    require_safetensors(folder, entry.name)
    files = sorted(folder.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    return {
        "kind": "vae",
        "family": entry.family,
        "path": str(folder),
        "weights": ", ".join(_formats(files, entry.name)),
        "size_mb": _megabytes(size),
    }


def _check_adapter(entry: CatalogueEntry) -> dict[str, Any]:
    adapter = find_adapter(entry.name, family_named(entry.family))
    files = [adapter.weights, *sorted(adapter.encoder.glob("*.safetensors"))]
    return {
        "kind": "adapter",
        "family": entry.family,
        "path": str(adapter.weights),
        "weights": ", ".join(_formats(files, entry.name)),
        "size_mb": _megabytes(sum(file.stat().st_size for file in files)),
        "sha256": adapter.sha256,
    }


def _check_control(entry: CatalogueEntry) -> dict[str, Any]:
    control = find_control(f"{entry.shows[0]}={entry.name}", family_named(entry.family))
    files = [file for file in control.files if file.suffix == ".safetensors"]
    return {
        "kind": "control",
        "family": entry.family,
        "path": str(control.folder),
        "weights": ", ".join(_formats(files, entry.name)),
        "size_mb": _megabytes(sum(file.stat().st_size for file in files)),
        "sha256": control.sha256,
    }


def _is_lora(path: Path, name: str) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return any("lora" in key for key in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as problem:
        what = " ".join(str(problem).split())[:120]
        raise ModelError(f"can't be read ({what})", where=name, remedy="fetch it again") from None


def _formats(files: Sequence[Path], name: str) -> list[str]:
    """Return the number formats in some safetensors files; opening one checks that it is whole."""
    from safetensors import SafetensorError, safe_open

    found: set[str] = set()
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118
                    found.add(str(file.get_slice(key).get_dtype()))
        except (OSError, SafetensorError) as problem:
            what = " ".join(str(problem).split())[:120]
            raise ModelError(f"{path.name} is damaged ({what})", where=name, remedy="fetch it again") from None
    return sorted(found)


def _native(folder: Path, family: Family, name: str) -> str:
    network, vae = (read_json(folder / part / "config.json", name) for part in (family.network, "vae"))
    width, height = family.native(network, family.factor(vae))
    return f"{width}x{height}"


def _facts(sampling: Sampling, native: str, formats: list[str], size: int) -> dict[str, Any]:
    return {
        "native": native,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "sampler": sampling.sampler,
        "prediction": sampling.prediction,
        "timesteps": [int(time) - 1 for time in sampling.grid[:-1].tolist()] if sampling.fixed else "any",
        "weights": ", ".join(formats),
        "size_mb": _megabytes(size),
        "notes": list(sampling.notes),
    }


def _megabytes(size: int) -> float:
    return round(size / 1e6, 1)
