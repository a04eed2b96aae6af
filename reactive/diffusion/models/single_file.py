"""Single ``.safetensors`` files in the layout of the original releases, described by configurations that ship here.

A file's family is recognised by the names of its tensors, without any network access.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.models.catalogue import read_defaults, read_json
from reactive.diffusion.models.diffusers_folder import ModelParts
from reactive.diffusion.models.families import Family, family_of
from reactive.diffusion.models.families.sd import SD
from reactive.diffusion.models.families.sdxl import SDXL
from reactive.diffusion.models.few_step import FewStep, few_step_of, names_in, predicted_by_name
from reactive.diffusion.models.pickles import unloadable
from reactive.errors import ModelError
from reactive.files import hash_file

CONFIGS = Path(__file__).resolve().parent / "configs"
# a tensor that only this kind of file has: configuration, family
_SIGNS = (
    ("conditioner.embedders.1.model.token_embedding.weight", "sdxl", SDXL),
    ("cond_stage_model.model.token_embedding.weight", "sd2", SD),
    ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", "sd1", SD),
)
# the text encoder's layers as the releases of 2022 name them, without ``text_model``
_OLD = re.compile(
    r"^(cond_stage_model\.transformer|conditioner\.embedders\.0\.transformer)\.(?=embeddings\.|encoder\.|final_layer)"
)
_INPUT = "model.diffusion_model.input_blocks.0.0.weight"
_RESOLUTION = re.compile(r"(\d{2,4})x(\d{2,4})")
_NAMES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}
_PAD = {"sd1": ("<|endoftext|>",), "sd2": ("!",), "sdxl": ("<|endoftext|>", "!")}


@dataclass(frozen=True)
class Header:
    """The contents of a single file's header: configuration, family, defaults, scheduler, and its kind."""

    config: str
    family: Family
    defaults: dict[str, Any]
    zero_terminal: bool
    few: FewStep | None = None
    guessed: bool = False

    @property
    def recognized_as(self) -> str:
        """The file's assumed kind and the reason, in words."""
        if self.few is not None:
            return f"{self.few.name} ({self.few.by})"
        return f"an ordinary {_NAMES[self.config]}" + (
            " of v-prediction, which it does not say" if self.guessed else ""
        )

    def scheduler(self, shipped: Mapping[str, Any]) -> dict[str, Any]:
        """Return its scheduler's configuration, based on the one that ships for its kind."""
        changed = dict(self.few.scheduler) if self.few is not None else {}
        if self.zero_terminal:
            changed["rescale_betas_zero_snr"] = True
        return {**shipped, **changed}


def read_header(path: Path, name: str) -> Header:
    """Read a single file's header, without its weights.

    Raises
    ------
    ModelError
        If it can't be read or is not a whole checkpoint of a known family.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            keys = {_OLD.sub(r"\1.text_model.", key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
            channels = file.get_slice(_INPUT).get_shape()[1] if _INPUT in keys else 0
    except (OSError, SafetensorError, ValueError) as problem:
        what = " ".join(str(problem).split())[:120]
        raise ModelError(f"can't be read ({what})", where=name, remedy="fetch it again") from None
    found = next(((config, family) for sign, config, family in _SIGNS if sign in keys), None)
    if any("lora" in key for key in list(keys)[:50]):
        raise ModelError(
            "is a LoRA, not a model", where=name, remedy=f"use --lora {path.name} with the model it was made for"
        )
    if not channels or found is None or not any(key.startswith("first_stage_model.") for key in keys):
        raise ModelError(
            "is no whole Stable Diffusion 1, 2 or XL checkpoint",
            where=name,
            remedy="use a file that holds network, text encoder and autoencoder, or a diffusers folder",
        )
    if channels != 4:
        raise ModelError("is made for inpainting or editing", where=name, remedy="use a text-to-image checkpoint")
    few = few_step_of(names_in(metadata, path.stem), found[0])
    defaults: dict[str, Any] = dict(few.defaults) if few is not None else {}
    told = str(metadata.get("modelspec.prediction_type", ""))
    by_name = predicted_by_name(path.stem, found[0])
    if "v_pred" in keys or told.startswith("v"):
        defaults["prediction"] = "v_prediction"
    elif told.startswith("eps"):
        defaults["prediction"] = "epsilon"
    elif few is None and by_name is not None:
        defaults["prediction"] = by_name
    size = _RESOLUTION.fullmatch(str(metadata.get("modelspec.resolution", "")))
    if size:
        defaults["native"] = (int(size[1]), int(size[2]))
    elif found[0] == "sd2" and defaults.get("prediction") == "epsilon":
        # of Stable Diffusion 2 the models that predict the noise are those of 512 pixels
        defaults["native"] = (512, 512)
    # the user's choice overrides the file's
    defaults |= read_defaults(path.with_suffix(".json"), name)
    guessed = found[0] == "sd2" and few is None and "prediction" not in defaults
    return Header(found[0], found[1], defaults, "ztsnr" in keys, few, guessed)


def load_file(path: Path, name: str, dtype: torch.dtype, config: Path | None = None) -> Any:
    """Load a single file.

    Parameters
    ----------
    config
        A diffusers folder that describes it; default: what ships for its kind.

    Returns
    -------
    Parts of `reactive.diffusion.models.diffusers_folder`.

    Raises
    ------
    ModelError
        If it is not a checkpoint, or does not fit its description.
    """
    import diffusers

    header = read_header(path, name)
    folder = config or CONFIGS / header.config
    index = read_json(folder / "model_index.json", name)
    family = family_of(str(index.get("_class_name"))) or header.family
    if family is not header.family:
        raise ModelError(f"is of the family {header.family.name}", where=name, remedy="give a config of that family")
    pipeline: Any = getattr(diffusers, str(index["_class_name"]))
    tokenizers = _tokenizers(header.config) if config is None else {}
    try:
        # a local folder as config keeps the loader from looking for one on the network
        with _todays_names(path) as named:
            loaded = pipeline.from_single_file(
                str(named), config=str(folder), local_files_only=True, torch_dtype=dtype, **tokenizers
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as problem:
        raise unloadable(problem, name) from None
    parts = {
        "network" if part == family.network else part: getattr(loaded, part)
        for part in family.parts
        if part != "scheduler"
    }
    for part, module in parts.items():
        missing = (
            [key for key, value in module.named_parameters() if value.is_meta] if hasattr(module, "parameters") else []
        )
        if missing:
            raise ModelError(f"{part} lacks {missing[0]}", where=name, remedy="fetch it again")
    scheduler = header.scheduler(read_json(folder / "scheduler" / "scheduler_config.json", name))
    return ModelParts(
        family=family,
        modules=parts,
        scheduler=scheduler,
        defaults=header.defaults,
        zero_negative=bool(index.get("force_zeros_for_empty_prompt", family.zero_negative)),
        sha256=hash_single(path, folder),
        recognized_as=header.recognized_as,
    )


def hash_single(path: Path, config: Path) -> str:
    """Return one sha256 over a single file and the folder that describes it."""
    digest = hash_file(path)
    described = "".join(file.read_text(encoding="utf-8") for file in sorted(config.rglob("*.json")))
    return hashlib.sha256(f"{digest} {described}".encode()).hexdigest()


@contextmanager
def _todays_names(path: Path) -> Iterator[Path]:
    """Give a file whose tensors have today's names: the file itself, or a copy within the block."""
    with path.open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        header = json.loads(handle.read(size))
        renamed = {_OLD.sub(r"\1.text_model.", key): value for key, value in header.items()}
        if renamed.keys() == header.keys():
            yield path
            return
        head = json.dumps(renamed).encode()
        head += b" " * (-len(head) % 8)
        with tempfile.TemporaryDirectory(prefix="reactive-names-") as room:
            copy = Path(room, path.name)
            with copy.open("wb") as target:
                target.write(len(head).to_bytes(8, "little") + head)
                shutil.copyfileobj(handle, target, 1 << 24)
            yield copy


def _tokenizers(config: str) -> dict[str, Any]:
    """Return CLIP's tokenizers for a kind of file; they differ in the padding of short texts."""
    from transformers import CLIPTokenizer

    build: Any = CLIPTokenizer
    lines = (CONFIGS / "clip" / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    letters = byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return {
        name: build(vocab=vocabulary, merges=merges, model_max_length=77, pad_token=pad)
        for name, pad in zip(("tokenizer", "tokenizer_2"), _PAD[config], strict=False)
    }


def byte_letters() -> list[str]:
    """Return the printable letter that stands for each byte, in the order of CLIP's vocabulary.

    Printable bytes are themselves; the others are the letters from code 256 on.
    """
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printing)
    return [chr(code) for code in (*printing, *range(256, 256 + others))]
