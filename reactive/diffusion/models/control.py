"""Control networks (ControlNet), which keep the shapes of pictures: found on this machine, loaded beside a model's network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.diffusion.backend.graphs import NamedTensors
from reactive.diffusion.backend.transfer import stacked
from reactive.diffusion.models.catalogue import control_network, find_entry, missing_of, read_json
from reactive.diffusion.models.families import Family
from reactive.diffusion.models.locate import HASHED, cached, cached_files, hash_files
from reactive.diffusion.models.marks import without_marks
from reactive.diffusion.models.model import Model
from reactive.diffusion.models.pickles import refuse_pickle, require_safetensors, safe_options, unloadable
from reactive.errors import ModelError


@dataclass(frozen=True)
class ControlNetwork:
    """A control network on this machine.

    Attributes
    ----------
    kind
        What its pictures show, such as ``canny`` or ``depth``.
    name
        The name that the user gave.
    folder
        Its folder.
    """

    kind: str
    name: str
    folder: Path

    @property
    def sha256(self) -> str:
        """Hash over its files, and what it is used for."""
        return hashlib.sha256(f"{self.kind} {hash_files(self.folder, ('.',))}".encode()).hexdigest()

    @property
    def files(self) -> list[Path]:
        """The files that decide what it does."""
        return [file for file in sorted(self.folder.iterdir()) if file.suffix in HASHED]


@dataclass(frozen=True)
class ControlInput:
    """What one control does to a picture.

    Attributes
    ----------
    weight
        How strongly it counts; 0: not at all.
    picture
        The control picture, uint8 [height, width, 3] at the imagine-size; None: there is none, so it does not count.
    """

    weight: float
    picture: np.ndarray | None = None


def split_network(text: str) -> tuple[str, str]:
    """Return the kind and the name of ``canny=NAME``; the name is empty for the usual network."""
    kind, _, name = text.partition("=")
    return kind, name


def find_control(text: str, family: Family, config: Mapping[str, Any] | None = None) -> ControlNetwork:
    """Return a control network.

    Parameters
    ----------
    text
        What its pictures show, for the usual network of the model's family (``canny``), or this and the network (``canny=NAME``):
        a short name, a folder, or the id of one on the hub that was fetched.
    config
        The configuration of the model's network, if it is known: a network with a short name is for some models of a family only.

    Raises
    ------
    ModelError
        If it is missing, or the family takes none.
    """
    kind, name = split_network(text)
    where = f"--control-model {text}" if name else f"--control {kind}"
    if family.control is None:
        raise ModelError(
            f"models of the kind {family.name} can't keep the shapes of pictures here: {family.no_control}",
            where=where,
            remedy="leave it out, or use a model of Stable Diffusion 1.5, XL or 3.5, FLUX.1 or Qwen-Image",
        )
    path = Path(name)
    if name and path.exists():
        if path.is_file():
            refuse_pickle(path, where)
            raise ModelError(
                "is a file, not a folder", where=where, remedy="name a folder with config.json and safetensors"
            )
        if not (path / "config.json").is_file():
            raise ModelError("has no config.json", where=where, remedy="name a folder saved by save_pretrained")
        return ControlNetwork(kind, name, path)
    entry = find_entry(name) if name else control_network(family.name, kind, config)
    if name and entry is None and name.count("/") == 1 and not name.startswith((".", "/")):
        return ControlNetwork(kind, name, cached(name, name, where))
    if entry is None or entry.kind != "control":
        raise ModelError(
            "there is no such control network" if name else f"there is no usual network of this kind for {family.name}",
            where=where,
            remedy=f"name one with --control-model {kind}=FOLDER, or a name of `reactive models list`",
        )
    if entry.family != family.name:
        raise ModelError(
            f"is for models of the kind {entry.family}, not {family.name}", where=where, remedy="name one for this kind"
        )
    if missing := missing_of(entry, config):
        raise ModelError(
            f"{entry.name} is for another model of this kind: one with {missing}",
            where=where,
            remedy=f"name one for this model with --control-model {kind}=FOLDER",
        )
    return ControlNetwork(
        kind, entry.name, cached_files(entry) if entry.files else cached(entry.hub, entry.name, where)
    )


def load_controls(
    found: Sequence[ControlNetwork], family: Family, network: Any, dtype: torch.dtype
) -> dict[str, torch.nn.Module]:
    """Load control networks for a model's network, by their kinds; one that is there for several kinds is loaded once.

    Raises
    ------
    ModelError
        If one can't be read, is of another class, or belongs to another network.
    """
    import diffusers

    steered = family.control
    assert steered is not None
    loaded: dict[Path, torch.nn.Module] = {}
    controls: dict[str, torch.nn.Module] = {}
    for one in found:
        where = f"--control-model {one.kind}={one.name}"
        config = read_json(one.folder / "config.json", where)
        named = str(config.get("_class_name"))
        if "union" in named.lower():
            # published under older names of the class too
            named, config = "ControlNetUnionModel", {"num_control_type": 6, **config}
        if named not in steered.classes:
            raise ModelError(
                f"is of class {named}, which does not steer models of the kind {family.name}",
                where=where,
                remedy=f"use a {' or '.join(steered.classes)}",
            )
        if what := steered.misfit(network.config, config, one.kind):
            raise ModelError(what, where=where, remedy="use a control network that was made for this kind of model")
        if one.folder not in loaded:
            require_safetensors(one.folder, where)
            try:
                with without_marks(one.folder) as plain:
                    module = getattr(diffusers, named).from_pretrained(plain, torch_dtype=dtype, **safe_options(plain))
            except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
                raise unloadable(problem, where) from None
            steered.prepare(module, network)
            loaded[one.folder] = module.requires_grad_(False).eval()
        controls[one.kind] = loaded[one.folder]
    return controls


class ControlBank:
    """The controls of a clip, in the order of the weights of requests.

    Parameters
    ----------
    model
        The model, with the control networks of these kinds.
    kinds
        What their pictures show.

    Raises
    ------
    ModelError
        If the model was loaded without one of them.
    """

    def __init__(self, model: Model, kinds: Sequence[str]) -> None:
        missing = next((kind for kind in kinds if kind not in model.controls), None)
        if missing is not None:
            raise ModelError(
                f"was loaded without a control network of the kind {missing}",
                where=model.name,
                remedy="load it with one",
            )
        self.kinds = tuple(kinds)

    def inputs(
        self,
        model: Model,
        items: Sequence[tuple[ControlInput, ...]],
        size: tuple[int, int],
        in_slices: Callable[[Callable[[torch.Tensor], tuple[torch.Tensor, ...]], torch.Tensor], list[torch.Tensor]],
    ) -> NamedTensors | None:
        """Return what the control networks are told of a batch, as `Model.predict_x0` takes it; None if nothing counts in it.

        Parameters
        ----------
        model
            The model that the batch is computed with: in its own format, or in float32.
        items
            The controls of each item; empty for none.
        size
            Width and height of the pictures.
        in_slices
            Computes something of a batch in slices that fit into memory, as autoencoders do.

        Returns
        -------
        For each control, named by its number and kind, ``hint`` [n, ...] and ``share`` [n].
        """
        told: NamedTensors = {}
        width, height = size
        empty = np.zeros((height, width, 3), np.uint8)
        for number, kind in enumerate(self.kinds):
            given = [item[number] if item else ControlInput(0.0) for item in items]
            weights = [0.0 if one.picture is None else one.weight for one in given]
            # a compiled network must not be computed in two ways
            if not any(weights) and not model.compiled:
                continue
            shown = np.stack([empty if one.picture is None else one.picture for one in given])
            pictures = stacked([torch.from_numpy(shown)], model.device)[0].permute(0, 3, 1, 2)
            pictures = pictures.to(torch.float32).div(255).to(model.dtype)
            share = torch.tensor(weights, dtype=model.dtype).to(model.device)
            (hint,) = in_slices(partial(_hinted, model, kind), pictures)
            told[f"{number} {kind}"] = {"hint": hint, "share": share}
        return told or None


def _hinted(model: Model, kind: str, pictures: torch.Tensor) -> tuple[torch.Tensor]:
    """Return what the control network of a kind takes of pictures."""
    assert model.family.control is not None
    return (model.family.control.hint(model, model.controls[kind], kind, pictures),)
