"""Diffusers folders: read part by part through the family's own classes, safetensors only, nothing downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.models.autoencoders import load_autoencoder
from reactive.diffusion.models.catalogue import find_entry, read_defaults, read_json
from reactive.diffusion.models.families import FAMILIES, SDXL, Family, family_of
from reactive.diffusion.models.few_step import few_step_of
from reactive.diffusion.models.locate import hash_files
from reactive.diffusion.models.marks import without_marks
from reactive.diffusion.models.pickles import require_safetensors, safe_options, unloadable
from reactive.errors import ModelError


@dataclass(frozen=True)
class ModelParts:
    """What a folder or file holds, before it is put in place: modules by part, configuration, hash."""

    family: Family
    modules: dict[str, Any]
    scheduler: dict[str, Any]
    defaults: dict[str, Any]
    zero_negative: bool
    sha256: str
    recognized_as: str = ""


def folder_family(folder: Path, index: dict[str, Any], name: str) -> Family:
    """Return the family of a diffusers folder.

    Raises
    ------
    ModelError
        If it is not known here, or a part is missing.
    """
    pipeline = str(index.get("_class_name"))
    family = family_of(pipeline)
    if family is None or any(word in pipeline for word in ("Inpaint", "Upscale", "Depth", "Pix2Pix", "ControlNet")):
        names = ", ".join(family.pipelines[0] for family in FAMILIES)
        raise ModelError(f"is a {pipeline}, which is not known here", where=name, remedy=f"use a folder of {names}")
    for part in family.parts:
        if not (folder / part).is_dir():
            raise ModelError(f"the folder {part} is missing", where=name, remedy="fetch or save the folder again")
    return family


def load_folder(folder: Path, name: str, dtype: torch.dtype) -> ModelParts:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    index = read_json(folder / "model_index.json", name)
    family = folder_family(folder, index, name)
    for part in family.parts:
        if part.startswith(("unet", "vae", "text_encoder")):
            require_safetensors(folder / part, name)
    classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    modules: dict[str, Any] = {}
    try:
        with without_marks(folder / "unet") as plain:
            modules["unet"] = UNet2DConditionModel.from_pretrained(plain, torch_dtype=dtype, **safe_options(plain))
        for part in family.parts:
            with without_marks(folder / part) as plain:
                if part in classes:
                    modules[part] = classes[part].from_pretrained(plain, dtype=dtype, **safe_options(plain))
                elif part.startswith("tokenizer"):
                    modules[part] = CLIPTokenizer.from_pretrained(plain, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
        raise unloadable(problem, name) from None
    modules["vae"] = load_autoencoder(folder / "vae", name, dtype, modules["unet"].config.in_channels)
    scheduler, defaults, taken = folder_sampling(folder, name, family)
    return ModelParts(
        family=family,
        modules=modules,
        scheduler=scheduler,
        defaults=defaults,
        zero_negative=bool(index.get("force_zeros_for_empty_prompt", family is SDXL)),
        sha256=hash_files(folder, family.parts),
        recognized_as=taken,
    )


def folder_sampling(folder: Path, name: str, family: Family) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return a folder's scheduler configuration, the defaults its author wrote, and what its name says it is; empty for nothing.

    Many folders of few-step models still hold the scheduler of the model that they were distilled from.
    """
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json", name)
    own = read_defaults(folder / "reactive.json", name)
    entry = find_entry(name)
    if entry is not None or own.keys() & {"steps", "sampler", "timesteps"}:
        return scheduler, {**(entry.defaults if entry else {}), **own}, ""
    few = few_step_of([("by its name", Path(name).name)], "sdxl" if family is SDXL else "")
    if few is None:
        return scheduler, own, ""
    return {**scheduler, **few.scheduler}, {**few.defaults, **own}, f"{few.name} ({few.by})"
