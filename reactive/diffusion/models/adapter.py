"""Adapters that let a model take the style of pictures (IP-Adapter): found on this machine, put into the network.

Pictures are encoded once for a clip by an encoder that is loaded for that and freed again; what it made of them is cached like
the embeddings of texts, by a hash of picture, encoder and adapter.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.diffusion.backend.out_of_memory import reported_in_one_line
from reactive.diffusion.models.catalogue import find_entry, read_json, style_adapter
from reactive.diffusion.models.families import Conditioning, Family, join
from reactive.diffusion.models.large_texts import LargeTexts, keep, kept
from reactive.diffusion.models.locate import cached_files
from reactive.diffusion.models.model import Model
from reactive.diffusion.models.pickles import refuse_pickle, require_safetensors, safe_options, unloadable
from reactive.diffusion.models.quiet import silence
from reactive.errors import ModelError
from reactive.files import hash_file

# its name where the family's own is meant
AUTO = "auto"
# weights of the encoder of pictures that all adapters with a short name were trained with (ViT-H/14, LAION)
ENCODER_NUMBERS = 632_076_800
_ENCODER = "image_encoder"
_NOTHING = "no picture"


@dataclass(frozen=True)
class Adapter:
    """An adapter on this machine: its name, its file of weights, and the folder of the encoder that it was trained with."""

    name: str
    weights: Path
    encoder: Path

    @property
    def sha256(self) -> str:
        """Hash over the adapter's and the encoder's files."""
        files = [self.weights, self.encoder / "config.json", *sorted(self.encoder.glob("*.safetensors"))]
        marks = [(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return hashlib.sha256(" ".join(_hash(*mark) for mark in marks).encode()).hexdigest()


@lru_cache(maxsize=64)
def _hash(file: Path, size: int, changed: int) -> str:
    # an encoder has gigabytes
    del size, changed
    return hash_file(file)


def find_adapter(name: str, family: Family, width: int = 0) -> Adapter:
    """Return an adapter.

    Parameters
    ----------
    name
        ``auto`` for the family's usual one, a short name, a ``.safetensors`` file with the folder ``image_encoder`` beside it or
        one level up, or a folder of both.
    width
        The channels of the model's texts, if they are known: an adapter with a short name is for one width.

    Raises
    ------
    ModelError
        If it is missing, or the family takes none.
    """
    where = "--style" if name == AUTO else f"--adapter {name}"
    if family.add_adapter is None:
        raise ModelError(
            f"models of the kind {family.name} can't take the style of pictures here: {family.no_adapter}",
            where=where,
            remedy="leave it out, or use a model of Stable Diffusion 1.5 or XL",
        )
    entry = style_adapter(family.name) if name == AUTO else find_entry(name)
    path = Path(name)
    if name != AUTO and path.exists():
        weights = next(iter(sorted(path.glob("*.safetensors"))), path) if path.is_dir() else path
        refuse_pickle(weights, where)
        if not weights.is_file():
            raise ModelError("holds no safetensors", where=where, remedy="name the adapter's .safetensors file")
        beside = [folder / _ENCODER for folder in (weights.parent, weights.parent.parent)]
        encoder = next((folder for folder in beside if (folder / "config.json").is_file()), None)
        if encoder is None:
            raise ModelError(
                "its encoder of pictures is missing",
                where=where,
                remedy=f"put the folder {_ENCODER} that it was published with beside it",
            )
        return Adapter(name, weights, encoder)
    if entry is None or entry.kind != "adapter":
        raise ModelError(
            "there is no such adapter",
            where=where,
            remedy="name a .safetensors file or a name of `reactive models list`",
        )
    if entry.family != family.name:
        usual = style_adapter(family.name)
        remedy = f"use {usual.name}" if usual else "leave it out"
        raise ModelError(f"is for models of the kind {entry.family}, not {family.name}", where=where, remedy=remedy)
    if width and entry.width and width != entry.width:
        raise ModelError(
            f"{entry.name} is for models whose texts are {entry.width} wide; those of this one are {width}",
            where=where,
            remedy="use a model of Stable Diffusion 1.5 or XL, or name an adapter for this one with --adapter",
        )
    folder = cached_files(entry)
    for _ in Path(entry.files[0]).parts[:-1]:
        folder = folder.parent
    config = next(file for file in entry.files if file.endswith("config.json"))
    return Adapter(entry.name, folder / entry.files[0], (folder / config).parent)


def add_adapter(adapter: Adapter, family: Family, network: Any) -> LargeTexts:
    """Put an adapter into a network; return what encodes pictures for it, which is loaded when there are some.

    Raises
    ------
    ModelError
        If it can't be read, is of another kind, or belongs to another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    assert family.add_adapter is not None
    where = f"--adapter {adapter.name}"
    require_safetensors(adapter.encoder, where)
    try:
        projection = family.add_adapter(network, load_file(adapter.weights))
    except ValueError as problem:
        raise ModelError(str(problem), where=where, remedy="use an adapter made for this kind of model") from None
    except (OSError, SafetensorError, RuntimeError, KeyError, IndexError) as problem:
        raise unloadable(problem, where) from None
    config = read_json(adapter.encoder / "config.json", where)
    return LargeTexts(
        load=partial(_load, adapter.encoder, where, projection),
        sha256=adapter.sha256,
        configs=(config,),
        weights=sum(file.stat().st_size for file in adapter.encoder.glob("*.safetensors")),
    )


def _load(folder: Path, where: str, projection: torch.nn.Module, dtype: torch.dtype) -> Mapping[str, Any]:
    from transformers import CLIPVisionModelWithProjection

    silence("transformers")
    try:
        encoder = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=dtype, **safe_options(folder))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
        raise unloadable(problem, where) from None
    # moving a module changes it
    return {"encoder": encoder, "projection": copy.deepcopy(projection)}


class StyleBank:
    """The tokens of a clip's reference pictures, encoded once.

    Parameters
    ----------
    model
        The model, with an adapter.
    pictures
        uint8 [height, width, 3] each, in the order of the weights of requests.

    Raises
    ------
    ModelError
        If the model has no adapter, or the encoder does not fit it.
    """

    def __init__(self, model: Model, pictures: Sequence[np.ndarray]) -> None:
        if model.pictures is None:
            raise ModelError("was loaded without an adapter for pictures", where=model.name, remedy="load it with one")
        self.count = len(pictures)
        tokens = _embed(model, model.pictures, pictures).tokens
        # without a picture, as guidance leads away from it, other tokens stand in its place
        self._shown, self._empty = tokens[:-1][None], tokens[-1:].expand(self.count, -1, -1)[None]

    def beside(self, texts: Conditioning, weights: Sequence[Sequence[float]], *, empty: bool = False) -> Conditioning:
        """Return the conditioning of n texts with the pictures beside them.

        Parameters
        ----------
        weights
            A weight for each picture of each item, or nothing for 0.
        empty
            Whether tokens of no picture stand in for theirs: for what guidance leads away from.
        """
        none = (0.0,) * self.count
        shares = torch.tensor([tuple(each) or none for each in weights], dtype=torch.float32)
        shown = (self._empty if empty else self._shown).expand(len(shares), -1, -1, -1)
        return Conditioning(texts.tokens, texts.pooled, texts.mask, shown, shares.to(shown.device))


@torch.inference_mode()
def _embed(model: Model, encoder: LargeTexts, pictures: Sequence[np.ndarray]) -> Conditioning:
    """Return the tokens of each picture and, last, of none: from this machine's cache, or by an encoder that is freed again."""
    names = [hashlib.sha256(f"{picture.shape}".encode() + picture.tobytes()).hexdigest() for picture in pictures]
    named = {f"picture {name}": picture for name, picture in zip(names, pictures, strict=True)}
    wanted = [*(f"picture {name}" for name in names), _NOTHING]
    known = dict(zip(wanted, kept(encoder, model.dtype, wanted), strict=True))
    missing = [name for name in dict.fromkeys(wanted) if known[name] is None]
    if missing:
        with (
            reported_in_one_line("encode the pictures of its style", model.name),
            encoder.opened(model.device, model.dtype) as parts,
        ):
            for name in missing:
                try:
                    tokens = _tokens(parts["encoder"], parts["projection"], named.get(name))
                except RuntimeError as problem:
                    if "shape" not in str(problem):
                        raise
                    raise ModelError(
                        "its encoder of pictures is another than the adapter was made with",
                        where=model.name,
                        remedy="put the one that it was published with beside it",
                    ) from None
                known[name] = embedded = Conditioning(tokens)
                keep(encoder, model.dtype, name, embedded)
    found = [part.to(model.dtype, model.device) for name in wanted if (part := known[name]) is not None]
    return join(*found)


def _tokens(encoder: Any, projection: torch.nn.Module, picture: np.ndarray | None) -> torch.Tensor:
    """Return the tokens [1, tokens, width] of a picture, or of none, as diffusers' pipelines compute them."""
    from diffusers.models.embeddings import ImageProjection
    from transformers import CLIPImageProcessor

    size = int(encoder.config.image_size)
    prepare = CLIPImageProcessor(size=size, crop_size=size)
    shown = np.zeros((size, size, 3), np.uint8) if picture is None else picture
    pixels = prepare(shown, return_tensors="pt").pixel_values.to(encoder.device, encoder.dtype)
    if picture is None:
        pixels = torch.zeros_like(pixels)
    if isinstance(projection, ImageProjection):
        embedded = encoder(pixels).image_embeds
        embedded = torch.zeros_like(embedded) if picture is None else embedded
    else:
        embedded = encoder(pixels, output_hidden_states=True).hidden_states[-2]
    tokens: torch.Tensor = projection(embedded)
    return tokens
