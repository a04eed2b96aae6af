"""Everything that has a short name (models, LoRAs, small autoencoders, adapters), and the defaults that a checkpoint brings along.

Defaults tell what weights can't: how many steps, which guidance, which sampler, or the only times a network was trained
on. They are read from ``reactive.json`` in a model's folder, from a JSON file of the same name beside a single file or a
LoRA, or from ``catalogue.json`` beside this module, which lists everything that has a short name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactive.errors import ModelError
from reactive.jsonfile import parse_json

EMBER = Path(__file__).resolve().parents[2] / "ember" / "model"
_LIMITS: dict[str, tuple[type | tuple[type, ...], float, float]] = {
    "steps": (int, 1, 200),
    "guidance": ((int, float), 0, 50),
}
_WORDS = ("sampler", "spacing", "prediction")


@dataclass(frozen=True)
class CatalogueEntry:
    """Something with a short name.

    Attributes
    ----------
    name, hub
        The short name, and the id of its repository on the Hugging Face hub.
    kind
        ``model``, ``lora``, ``vae``, ``adapter`` or ``control``; ``stems``, ``lyrics`` or ``depth`` for models that extract those.
    family, also
        Which models it belongs to, and others with the same latents.
    about, licence
        A description, and the licence in words.
    file
        The file, if the repository has several.
    files
        All needed files, for entries that are not diffusion models.
    native
        Pixels of a side.
    config
        The shipped configuration that describes it, if that is not the family's first.
    card
        The smallest card in GB, of 6, 8, 12, 16, 24, 40 and 80, that makes its pictures at its native size by ``doctor``'s table.
    quantised
        The same, of 4 GB too, by how its weights are quantised, where that is a smaller card.
    width
        Of an adapter, the channels of the texts of models that it is for.
    needs
        Of a control network, what the configuration of the network must have that it is for.
    shows
        Of a control network, what its pictures show: ``canny``, ``depth``, ...; one for several kinds has several.
    sell
        Whether a band may sell what it makes with it, in one word: yes, limited or no. The licence itself decides.
    defaults
        The defaults that its author set.
    """

    name: str
    hub: str
    kind: str
    family: str
    about: str
    licence: str
    file: str = ""
    files: tuple[str, ...] = ()
    native: int = 512
    config: str = ""
    card: int = 0
    quantised: Mapping[str, int] = field(default_factory=dict)
    width: int = 0
    needs: Mapping[str, Any] = field(default_factory=dict)
    shows: tuple[str, ...] = ()
    sell: str = ""
    also: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _read_entries() -> tuple[CatalogueEntry, ...]:
    """Return what ``catalogue.json`` lists; lists in it are tuples here, so that nobody changes them."""
    listed = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    for entry in listed:
        entry |= {key: tuple(entry.get(key, ())) for key in ("files", "also", "shows")}
        defaults = entry.get("defaults", {})
        entry["defaults"] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in defaults.items()
        }
    return tuple(CatalogueEntry(**entry) for entry in listed)


ENTRIES = _read_entries()


# models of a few steps whose pictures may be sold, the best pictures first
_BEST = ("z-image-turbo", "flux2-klein", "lcm")
# its pictures hardly differ from those of plain weights, and it needs no package
_NEARLY_PLAIN = "int8"


@dataclass(frozen=True)
class Recommendation:
    """A model for a card, and how its weights are quantised to fit, empty for not at all."""

    entry: CatalogueEntry
    quant: str = ""

    @property
    def options(self) -> str:
        """The options of `run` that choose it."""
        return f"--model {self.entry.name}" + (f" --quant {self.quant}" if self.quant else "")


def recommended(memory: int) -> Recommendation | None:
    """Return the model that is recommended for a card of so many GB; None if only ember fits."""
    for name in _BEST:
        entry = find_entry(name)
        assert entry is not None
        if entry.card <= memory:
            return Recommendation(entry)
        if entry.quantised.get(_NEARLY_PLAIN, entry.card) <= memory:
            return Recommendation(entry, _NEARLY_PLAIN)
    return None


def small_autoencoder(family: str) -> CatalogueEntry | None:
    """Return the small autoencoder of a family, None if there is none."""
    return next((entry for entry in ENTRIES if entry.kind == "vae" and family in (entry.family, *entry.also)), None)


def style_adapter(family: str) -> CatalogueEntry | None:
    """Return the adapter by which a family takes the style of pictures, None if there is none."""
    return next((entry for entry in ENTRIES if entry.kind == "adapter" and entry.family == family), None)


def control_network(family: str, kind: str, config: Mapping[str, Any] | None = None) -> CatalogueEntry | None:
    """Return the usual control network for pictures of a kind; None if there is none.

    Parameters
    ----------
    family
        Short name of the model's family.
    config
        The configuration of its network; None if it is not known.
    """
    for entry in ENTRIES:
        if entry.kind == "control" and entry.family == family and kind in entry.shows and not missing_of(entry, config):
            return entry
    return None


def missing_of(entry: CatalogueEntry, config: Mapping[str, Any] | None) -> str:
    """Return what an entry needs that a network's configuration has not, in words; empty for nothing."""
    known = config if config is not None else entry.needs
    return next((f"{name} = {value}" for name, value in entry.needs.items() if known.get(name) != value), "")


def find_entry(name: str) -> CatalogueEntry | None:
    """Return the entry of a short name, or of the hub id of a whole repository."""
    for entry in ENTRIES:
        if name == entry.name or (name == entry.hub and not entry.file and entry.kind != "adapter"):
            return entry
    return None


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Return the object in a JSON file of a model.

    Raises
    ------
    ModelError
        If it can't be read or is not an object.
    """
    try:
        data = parse_json(path.read_bytes())
    except OSError as problem:
        what = f"{path.name} can't be read ({problem.strerror})"
        raise ModelError(what, where=name, remedy="fetch the model again") from None
    except ValueError as problem:
        raise ModelError(f"{path.name} {problem}", where=name, remedy="mend it, or fetch the model again") from None
    if not isinstance(data, dict):
        raise ModelError(f"{path.name} is not a JSON object", where=name, remedy="fetch the model again")
    return data


def read_defaults(path: Path, name: str) -> dict[str, Any]:
    """Return the defaults in a JSON file, none if there is no such file; other keys are ignored.

    Raises
    ------
    ModelError
        If a default is out of its range.
    """
    if not path.is_file():
        return {}
    data = read_json(path, name)
    defaults: dict[str, Any] = {}
    for key, (kind, low, high) in _LIMITS.items():
        if key in data:
            if isinstance(data[key], bool) or not isinstance(data[key], kind) or not low <= data[key] <= high:
                raise ModelError(
                    f"{path.name} asks for {key} {data[key]!r}",
                    where=name,
                    remedy=f"write a number from {low:g} to {high:g}",
                )
            defaults[key] = data[key]
    if "walk" in data:
        defaults["walk"] = _paces(data["walk"], path, name)
    if "native" in data:
        defaults["native"] = _size(data["native"], path, name)
    for key in _WORDS:
        if key in data:
            defaults[key] = str(data[key])
    for key in ("timesteps", "trained"):
        if key in data:
            defaults[key] = data[key]
    return defaults


def _size(value: Any, path: Path, name: str) -> tuple[int, int]:
    """Return the width and height a model was trained for."""
    sides = value if isinstance(value, list) else []
    if len(sides) != 2 or any(type(side) is not int or side % 8 or not 64 <= side <= 8192 for side in sides):
        raise ModelError(
            f"{path.name} asks for native {value!r}",
            where=name,
            remedy="write width and height in pixels, such as [384, 224], each a multiple of 8",
        )
    return sides[0], sides[1]


def _paces(value: Any, path: Path, name: str) -> float | dict[str, float]:
    """Return the pace of the walk: one number, or one for each size and number of steps."""
    paces = value if isinstance(value, dict) else {"": value}
    for pace in paces.values():
        if isinstance(pace, bool) or not isinstance(pace, int | float) or not 0.01 <= pace <= 100:
            raise ModelError(
                f"{path.name} asks for walk {pace!r}", where=name, remedy="write a number from 0.01 to 100"
            )
    exact = {str(key): float(pace) for key, pace in paces.items()}
    return exact if isinstance(value, dict) else exact[""]
