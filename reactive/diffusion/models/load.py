"""Load a model: any checkpoint of a known family becomes a `Model`.

A model is a diffusers folder, a hub id that was fetched before, or a single ``.safetensors`` file. Only safetensors are
read, nothing is downloaded, and no code from a model is run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.backend.compile import compile_networks
from reactive.diffusion.backend.device import (
    autoencoder_dtype,
    choose_dtype,
    device_memory,
    place_part,
    prepare_backend,
)
from reactive.diffusion.backend.device import choose_device as choose_device
from reactive.diffusion.backend.device import default_batch as default_batch
from reactive.diffusion.backend.device import default_threads as default_threads
from reactive.diffusion.backend.fold import fold_decoder, fold_encoder
from reactive.diffusion.backend.fuse import can_fuse, finite_weights, fuse_relu
from reactive.diffusion.backend.graphs import graphs_for
from reactive.diffusion.backend.half import usable_dtype
from reactive.diffusion.backend.out_of_memory import loading
from reactive.diffusion.backend.shapes import memory_class
from reactive.diffusion.backend.spare_imports import spare_imports
from reactive.diffusion.models.adapter import Adapter, add_adapter, find_adapter
from reactive.diffusion.models.autoencoders import find_autoencoder, hash_autoencoder, load_autoencoder
from reactive.diffusion.models.catalogue import EMBER as EMBER
from reactive.diffusion.models.catalogue import read_json
from reactive.diffusion.models.control import ControlNetwork, find_control, load_controls
from reactive.diffusion.models.diffusers_folder import folder_family, load_folder
from reactive.diffusion.models.families import Family
from reactive.diffusion.models.locate import find_model as find_model
from reactive.diffusion.models.locate import hash_files
from reactive.diffusion.models.locate import hash_folder as hash_folder
from reactive.diffusion.models.lora import Lora, find_lora, fuse, left_out, parse_lora
from reactive.diffusion.models.model import Model as Model
from reactive.diffusion.models.quantised import RECORDED, Quant, parse_quant, quantise
from reactive.diffusion.models.quiet import silence
from reactive.diffusion.models.single_file import CONFIGS, hash_single, load_file, read_header
from reactive.diffusion.models.text_encoders import OWN_MEMORY
from reactive.diffusion.models.text_order import embed_first
from reactive.diffusion.models.varying_lora import add_beside
from reactive.diffusion.sampling.sampling import NO_OVERRIDES, read_sampling
from reactive.errors import ModelError


@loading
def load_model(
    name: str | os.PathLike[str],
    *,
    device: str = "cpu",
    steps: int | None = None,
    guidance: float | None = None,
    loras: Sequence[str] = (),
    vae: str | None = None,
    adapter: str | None = None,
    controls: Sequence[str] = (),
    dtype: str = "auto",
    quant: str | None = None,
    config: Path | None = None,
    compiled: bool = False,
    overrides: Mapping[str, str] = NO_OVERRIDES,
    prompts: Sequence[str] = (),
) -> Model:
    """Load a model for a device.

    Parameters
    ----------
    name
        ``ember``, a short name, a diffusers folder, a ``.safetensors`` file, or the id of a hub model that was fetched.
    device
        ``cpu``, ``cuda``, ``mps`` or ``xpu``; ``auto`` for the best there is.
    steps
        Evaluations a picture; default: the model's own.
    guidance
        Classifier-free guidance; default: the model's own.
    loras
        LoRA files or short names, each with an optional strength (``film.safetensors:0.8``), fused in this order. With an
        expression as strength (``film.safetensors:0.2+0.8*drop``, or ``film.safetensors:preset`` if a preset has it) it
        changes from frame to frame, as the timeline says.
    vae
        Another autoencoder: ``tiny`` for the family's small one, a short name, the id of one on the hub that was fetched, a
        folder or a ``.safetensors`` file. Default: the model's own.
    adapter
        An IP-Adapter, by which pictures steer the style: ``auto`` for the family's usual one, a short name, a file or a folder.
        Default: none.
    controls
        Control networks, which keep the shapes of pictures: what these show, for the family's usual network (``canny``), or with a
        network (``canny=FOLDER``).
    dtype
        ``auto`` (float16 on cards, bfloat16 for families that overflow in it; bfloat16 on CPUs that multiply it, else
        float32), ``float32``, ``float16`` or ``bfloat16``.
    quant
        ``int8``, ``fp8`` or ``nf4``: how the weights of network and large text encoders are stored; or a ``.gguf`` file of the
        network. Default: as they are.
    config
        A diffusers folder that describes a single file. Default: what ships for its family.
    compiled
        Whether its networks are compiled by torch.compile, which takes minutes at their first call.
    overrides
        Sampler, spacing and prediction that the user chose, by these names; they override the model's own.
    prompts
        Texts that will be shown, and their negatives. A text encoder the size of a language model embeds them before the network
        is loaded and is freed, so that memory need not hold both.

    Raises
    ------
    ModelError
        If it is missing, incomplete, has pickles instead of safetensors, or is of an unknown family.

    Examples
    --------
    >>> import reactive
    >>> model = reactive.load_model("ember", steps=1)
    >>> model.steps, model.device.type
    (1, 'cpu')
    """
    name = os.fspath(name)
    found = find_model(name)
    device = choose_device(device)
    where = torch.device(device)
    chosen_format = choose_dtype(device, dtype)
    if dtype == "auto" and chosen_format == torch.float16 and _overflows_in_half(found, name):
        chosen_format = torch.bfloat16
    number_format, notes = usable_dtype(where, chosen_format, dtype, name)
    stored = parse_quant(quant)
    fused = [find_lora(*parse_lora(text)) for text in loras]
    pictures = None if adapter is None else adapter_here(adapter, found, name)
    steering = controls_here(controls, found, name)
    prepare_backend(device)
    spare_imports()
    silence("diffusers")
    if stored.file is not None and (found.is_file() or fused):
        raise ModelError(
            "its layers can't be changed by a LoRA" if fused else "replaces the network of a diffusers folder",
            where=f"--quant {quant}",
            remedy="use int8, fp8 or nf4 with it",
        )
    memory = memory_class(device_memory(where.type))
    first = None
    if prompts:
        # every bank of prompts has the empty one
        wanted = ["", *prompts]
        first = partial(embed_first, prompts=wanted, name=name, device=where, dtype=number_format, memory=memory)
    parts = (
        load_file(found, name, number_format, config)
        if found.is_file()
        else load_folder(found, name, number_format, stored, texts_later=device == "cpu" and not fused, first=first)
    )
    modules, defaults, sha256 = parts.modules, dict(parts.defaults), parts.sha256
    for lora in fused:
        if lora.scale is not None:
            fuse(lora, modules)
        defaults |= lora.defaults
        sha256 = _with_lora(sha256, lora)
    if vae is not None:
        folder = find_autoencoder(vae, parts.family)
        described = config or (CONFIGS / parts.family.single_files[0] if parts.family.single_files else None)
        channels = parts.family.vae_channels(modules["network"].config)
        modules["vae"] = load_autoencoder(folder, vae, number_format, channels, described)
        sha256 = _with_autoencoder(sha256, folder)
    if pictures is not None:
        modules["pictures"] = add_adapter(pictures, parts.family, modules["network"])
        sha256 = _with_adapter(sha256, pictures)
    networks = load_controls(steering, parts.family, modules["network"], number_format) if steering else {}
    sha256 = _with_controls(sha256, steering)
    without = [note for lora in fused if (note := left_out(lora, modules))]
    varying = add_beside([lora for lora in fused if lora.scale is None], modules)
    sha256 = _quantised(sha256, stored)
    short = found.name if found.is_file() else name
    sampling = read_sampling(
        parts.scheduler,
        defaults,
        name=short,
        steps=steps,
        overrides=overrides,
        recognized_as=parts.recognized_as,
        times=parts.family.times,
    )
    of_loras = [note for lora in fused for note in lora.notes]
    sampling = replace(sampling, notes=(*of_loras, *without, *sampling.notes))
    chosen = sampling.guidance if guidance is None else guidance
    vae_format = autoencoder_dtype(parts.family.exact_autoencoder(modules["vae"].config), number_format)
    for part, module in modules.items():
        if isinstance(module, torch.nn.Module):
            exact = vae_format if part == "vae" else number_format
            # text encoders stay on the host until there are prompts to embed
            at = torch.device("cpu") if part.startswith("text") and where.type in OWN_MEMORY else where
            if part == "network":
                # after LoRAs are fused, layer by layer, so that a card never holds the plain weights
                quantise(module, stored, at)
            modules[part] = place_part(module, at, exact, images=part in ("network", "vae"))
    networks = {kind: place_part(part, where, number_format, images=True) for kind, part in networks.items()}
    for half, fold in ((modules["vae"].decoder, fold_decoder), (modules["vae"].encoder, fold_encoder)):
        if isinstance(getattr(half, "layers", None), torch.nn.Sequential):
            half.layers = fold(half.layers)
            if where.type == "cpu" and not compiled and can_fuse(vae_format) and finite_weights(half):
                half.layers = fuse_relu(half.layers)
    if compiled:
        compile_networks(modules, where.type)
    factor = parts.family.factor(modules["vae"].config)
    return Model(
        name=name,
        sha256=sha256,
        family=parts.family,
        sampling=sampling,
        guidance=chosen,
        native_size=parts.defaults.get("native", parts.family.native(modules["network"].config, factor)),
        vae_scale_factor=factor,
        device=where,
        dtype=number_format,
        vae_dtype=vae_format,
        zero_negative=parts.zero_negative,
        walk_pace=defaults.get("walk", {}),
        graphs=graphs_for(where.type) if parts.family.graphs and stored.kind in RECORDED else None,
        compiled=compiled,
        scheduler=parts.scheduler,
        memory=memory,
        controls=networks,
        loras=varying,
        notes=notes,
        **modules,
    )


def hash_weights(
    name: str,
    loras: Sequence[str] = (),
    vae: str | None = None,
    adapter: str | None = None,
    quant: str | None = None,
    controls: Sequence[str] = (),
) -> str:
    """Return the hash that `load_model` gives a model with LoRAs and other parts, without loading it.

    Raises
    ------
    ModelError
        As `load_model`.
    """
    found = find_model(name)
    if found.is_file():
        header = read_header(found, name)
        family, sha256 = header.family, hash_single(found, CONFIGS / header.config)
    else:
        family = folder_family(found, read_json(found / "model_index.json", name), name)
        sha256 = hash_files(found, family.parts)
    for text in loras:
        sha256 = _with_lora(sha256, find_lora(*parse_lora(text)))
    if vae is not None:
        sha256 = _with_autoencoder(sha256, find_autoencoder(vae, family))
    if adapter is not None:
        sha256 = _with_adapter(sha256, adapter_here(adapter, found, name))
    sha256 = _with_controls(sha256, controls_here(controls, found, name))
    return _quantised(sha256, parse_quant(quant))


def _overflows_in_half(found: Path, name: str) -> bool:
    """Return whether a model is of a family that cards compute in bfloat16."""
    return not found.is_file() and family_here(found, name).bfloat16


def adapter_here(adapter: str, found: Path, name: str) -> Adapter:
    """Return an adapter for the model of a folder or file.

    Raises
    ------
    ModelError
        If it is missing, or is for another kind of model.
    """
    family, config = _family_and_config(found, name)
    width = config.get("cross_attention_dim")
    return find_adapter(adapter, family, width if isinstance(width, int) else 0)


def controls_here(controls: Sequence[str], found: Path, name: str) -> list[ControlNetwork]:
    """Return control networks for the model of a folder or file.

    Raises
    ------
    ModelError
        If one is missing, or is for another kind of model.
    """
    if not controls:
        return []
    family, config = _family_and_config(found, name)
    return [find_control(text, family, config) for text in controls]


def _family_and_config(found: Path, name: str) -> tuple[Family, dict[str, Any]]:
    """Return the family of a folder or file, and the configuration of its network."""
    family = family_here(found, name)
    folder = CONFIGS / read_header(found, name).config if found.is_file() else found
    return family, read_json(folder / family.network / "config.json", name)


def family_here(found: Path, name: str) -> Family:
    """Return the family of a folder or file, without its weights."""
    if found.is_file():
        return read_header(found, name).family
    return folder_family(found, read_json(found / "model_index.json", name), name)


def _with_lora(sha256: str, adapter: Lora) -> str:
    return _chained(sha256, f"lora {'varies' if adapter.scale is None else repr(adapter.scale)} {adapter.sha256}")


def _with_autoencoder(sha256: str, place: Path) -> str:
    return _chained(sha256, f"vae {hash_autoencoder(place)}")


def _with_adapter(sha256: str, adapter: Adapter) -> str:
    return _chained(sha256, f"adapter {adapter.sha256}")


def _with_controls(sha256: str, controls: Sequence[ControlNetwork]) -> str:
    for control in controls:
        sha256 = _chained(sha256, f"control {control.sha256}")
    return sha256


def _quantised(sha256: str, quant: Quant) -> str:
    chained = quant.chained(sha256)
    return hashlib.sha256(chained.encode()).hexdigest() if chained else sha256


def _chained(sha256: str, what: str) -> str:
    return hashlib.sha256(f"{sha256} {what}".encode()).hexdigest()
