"""Models: any checkpoint of the Stable Diffusion family, loaded into one shape.

A model is a diffusers folder, a hub id that was fetched before, or a single ``.safetensors`` file. Only safetensors are
read, nothing is downloaded, and no code from a model is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.catalogue import EMBER as EMBER
from reactive.diffusion.catalogue import known, read_json, read_wishes
from reactive.diffusion.device import (
    autoencoder_dtype,
    choose_dtype,
    place,
    prepare,
)
from reactive.diffusion.device import choose_device as choose_device
from reactive.diffusion.device import default_batch as default_batch
from reactive.diffusion.device import default_threads as default_threads
from reactive.diffusion.families import FAMILIES, SD, SDXL, Conditioning, Family, family_of, guidance_embedding, join
from reactive.diffusion.fold import fold_decoder
from reactive.diffusion.sampling import Sampling, read_sampling
from reactive.diffusion.schedule import NoiseSchedule
from reactive.errors import ModelError

FOLDERS = {"ember": EMBER}
HASHED = (".json", ".safetensors", ".txt")


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes
    ----------
    name, sha256
        What the user called it, and a hash over its weights and configuration, LoRAs and exchanged parts included.
    family
        How it is spoken to.
    unet, vae, text_encoder, tokenizer, text_encoder_2, tokenizer_2
        The parts; the last two are None where the family has none.
    sampling
        How its pictures are sampled.
    guidance
        Classifier-free guidance (1: none).
    native
        Width and height in pixels that it was made for.
    factor
        Pixels per latent.
    zero_negative
        Whether an empty negative prompt is zeros rather than an embedded empty text.
    dtype, vae_dtype
        Number formats of the network and of the autoencoder.
    told_guidance
        What a guidance-distilled network is told of its guidance [1, width]; None for others.
    walk
        The pace of its walk where its folder says it: one number, or one for each "384x224/1" (size and steps).
    """

    name: str
    sha256: str
    family: Family
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    sampling: Sampling
    guidance: float
    native: tuple[int, int]
    factor: int
    device: torch.device
    dtype: torch.dtype
    vae_dtype: torch.dtype
    text_encoder_2: Any = None
    tokenizer_2: Any = None
    zero_negative: bool = False
    told_guidance: torch.Tensor | None = None
    walk: float | dict[str, float] = field(default_factory=dict)

    @property
    def schedule(self) -> NoiseSchedule:
        """Noise levels."""
        return self.sampling.schedule

    @property
    def prediction(self) -> str:
        """What the network predicts: epsilon, v_prediction, sample or flow."""
        return self.sampling.prediction

    @property
    def consistency(self) -> bool:
        """Whether it is sampled by jumps (LCM) rather than along the deterministic path."""
        return self.sampling.sampler == "lcm"

    @property
    def steps(self) -> int:
        """Evaluations a picture."""
        return self.sampling.steps

    @property
    def channels(self) -> int:
        """Number of latent channels."""
        return int(self.unet.config.in_channels)

    def clean(self, z: torch.Tensor, tau: torch.Tensor, conditioning: Conditioning | torch.Tensor) -> torch.Tensor:
        """Return the clean latents that the network believes in.

        Parameters
        ----------
        z
            Noisy latents [n, c, h, w].
        tau
            Train times [n] in 0..T.
        conditioning
            What the network attends to; tokens alone [n, tokens, width] where the family needs no more.
        """
        if isinstance(conditioning, torch.Tensor):
            conditioning = Conditioning(conditioning)
        time = self.schedule.network_time(tau).to(self.device)
        more = self.family.added(self, z, conditioning)
        if self.told_guidance is not None:
            more["timestep_cond"] = self.told_guidance.expand(len(z), -1)
        output = self.unet(z, time, encoder_hidden_states=conditioning.tokens, return_dict=False, **more)[0]
        alpha, sigma = (v.to(z.device, z.dtype).view(-1, 1, 1, 1) for v in self.schedule.alpha_sigma(tau))
        if self.prediction == "v_prediction":
            return alpha * z - sigma * output
        if self.prediction == "sample":
            return output
        if self.prediction == "flow":
            return z - sigma * output
        return (z - sigma * output) / alpha.clamp_min(1e-3)

    def guided(
        self, z: torch.Tensor, tau: torch.Tensor, conditioning: Conditioning, negative: Conditioning
    ) -> torch.Tensor:
        """Return the clean latents, led away from the negative prompt (Ho and Salimans 2022, arXiv 2207.12598).

        Parameters
        ----------
        conditioning
            Of n items.
        negative
            Of as many; not used at guidance 1, nor where the network is told its guidance.
        """
        if self.guidance <= 1.0 or self.told_guidance is not None:
            return self.clean(z, tau, conditioning)
        both = self.clean(torch.cat([z, z]), torch.cat([tau, tau]), join(conditioning, negative))
        led, free = both.chunk(2)
        return free + self.guidance * (led - free)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the latents of pictures [n, 3, height, width] in [-1, 1]."""
        encoded = self.vae.encode(pictures.to(self.vae_dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        scaled: torch.Tensor = (latents - shift) * self.vae.config.scaling_factor
        return scaled.to(self.dtype)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures [n, 3, height, width] in about [-1, 1]."""
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        plain = (latents / self.vae.config.scaling_factor + shift).to(self.vae_dtype)
        decoded: torch.Tensor = self.vae.decode(plain, return_dict=False)[0]
        return decoded


@dataclass(frozen=True)
class Parts:
    """What a folder or file holds, before it is put in place: modules by part, configuration, hash."""

    family: Family
    modules: dict[str, Any]
    scheduler: dict[str, Any]
    wishes: dict[str, Any]
    zero_negative: bool
    sha256: str


def find_model(name: str) -> Path:
    """Return the folder or file of a model given by short name, by path, or by a hub id that is on this machine already.

    Raises
    ------
    ModelError
        If it isn't there, or is a pickle; nothing is downloaded.
    """
    from reactive.diffusion.pickles import refuse_pickle

    path = FOLDERS.get(name, Path(name))
    if (path / "model_index.json").is_file():
        return path
    if path.is_file():
        refuse_pickle(path, name)
        if path.suffix == ".safetensors":
            return path
        raise ModelError(
            "is neither a diffusers folder nor a .safetensors file", where=name, remedy="name one of these"
        )
    if path.is_dir():
        raise ModelError("has no model_index.json", where=name, remedy="name a folder saved by save_pretrained")
    entry = known(name)
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
        If it isn't.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        if file:
            return Path(hf_hub_download(hub, file, local_files_only=True))
        return Path(snapshot_download(hub, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        raise ModelError(
            "is not on this machine, and nothing is downloaded unasked",
            where=where,
            remedy=f"fetch it once with `reactive models pull {name}`, then run this again",
        ) from None


def load_model(
    name: str,
    *,
    device: str = "cpu",
    steps: int | None = None,
    guidance: float | None = None,
    loras: Sequence[str] = (),
    vae: str | None = None,
    dtype: str = "auto",
    config: Path | None = None,
) -> Model:
    """Load a model for a device.

    Parameters
    ----------
    name
        ``ember``, a short name, a diffusers folder, a ``.safetensors`` file, or the id of a hub model that was fetched.
    device
        ``cpu`` or ``cuda``.
    steps
        Evaluations a picture; default: what the model wants.
    guidance
        Classifier-free guidance; default: what the model wants.
    loras
        LoRA files or short names, each with an optional strength (``film.safetensors:0.8``), fused in this order.
    vae
        Another autoencoder: ``tiny`` for the family's small one, a short name, or a folder. Default: the model's own.
    dtype
        ``auto`` (float32 on CPU, float16 on CUDA), ``float32``, ``float16`` or ``bfloat16``.
    config
        A diffusers folder that describes a single file. Default: what ships for its family.

    Raises
    ------
    ModelError
        If it isn't there, is incomplete, holds pickles instead of safetensors, or is of a family not known here.
    """
    from reactive.diffusion.autoencoders import find_autoencoder, load_autoencoder
    from reactive.diffusion.lora import find_lora, fuse, parse_lora
    from reactive.diffusion.singlefile import load_file

    found = find_model(name)
    number_format = choose_dtype(device, dtype)
    adapters = [find_lora(*parse_lora(text)) for text in loras]
    prepare(device)
    _quiet()
    parts = (
        load_file(found, name, number_format, config) if found.is_file() else _load_folder(found, name, number_format)
    )
    modules, wishes, sha256 = parts.modules, dict(parts.wishes), parts.sha256
    for adapter in adapters:
        fuse(adapter, modules)
        wishes |= adapter.wishes
        sha256 = _chained(sha256, f"lora {adapter.scale!r} {adapter.sha256}")
    if vae is not None:
        folder = find_autoencoder(vae, parts.family)
        modules["vae"] = load_autoencoder(folder, vae, number_format, modules["unet"].config.in_channels)
        sha256 = _chained(sha256, f"vae {_hash_files(folder, ('.',))}")
    sampling = read_sampling(parts.scheduler, wishes, name=name, steps=steps)
    chosen = sampling.guidance if guidance is None else guidance
    where = torch.device(device)
    vae_format = autoencoder_dtype(modules["vae"], parts.family.name, number_format)
    for part, module in modules.items():
        if not part.startswith("tokenizer"):
            exact = vae_format if part == "vae" else number_format
            modules[part] = place(module, where, exact, images=part in ("unet", "vae"))
    if isinstance(getattr(modules["vae"].decoder, "layers", None), torch.nn.Sequential):
        modules["vae"].decoder.layers = fold_decoder(modules["vae"].decoder.layers)
    unet = modules["unet"]
    factor = 2 ** (len(modules["vae"].config.block_out_channels) - 1)
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    told = unet.config.time_cond_proj_dim
    return Model(
        name=name,
        sha256=sha256,
        family=parts.family,
        sampling=sampling,
        guidance=chosen,
        native=(width * factor, height * factor),
        factor=factor,
        device=where,
        dtype=number_format,
        vae_dtype=vae_format,
        zero_negative=parts.zero_negative,
        told_guidance=guidance_embedding(chosen, told).to(where, number_format) if told else None,
        walk=wishes.get("walk", {}),
        **modules,
    )


def hash_folder(folder: Path, parts: Sequence[str] = SD.parts) -> str:
    """Return one sha256 over the names and bytes of a model's weights, vocabulary and configuration."""
    return _hash_files(folder, parts)


def _hash_files(folder: Path, parts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for file in sorted((folder / part).iterdir()):
            if file.suffix in HASHED:
                digest.update(f"{part}/{file.name}\n".encode())
                with file.open("rb") as handle:
                    digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def _chained(sha256: str, what: str) -> str:
    return hashlib.sha256(f"{sha256} {what}".encode()).hexdigest()


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


def _load_folder(folder: Path, name: str, dtype: torch.dtype) -> Parts:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    from reactive.diffusion.autoencoders import load_autoencoder
    from reactive.diffusion.pickles import require_safetensors

    index = read_json(folder / "model_index.json", name)
    family = folder_family(folder, index, name)
    for part in family.parts:
        if part.startswith(("unet", "vae", "text_encoder")):
            require_safetensors(folder / part, name)
    classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    modules: dict[str, Any] = {}
    try:
        modules["unet"] = UNet2DConditionModel.from_pretrained(
            folder / "unet", torch_dtype=dtype, **safe_options(folder / "unet")
        )
        for part in family.parts:
            if part in classes:
                modules[part] = classes[part].from_pretrained(folder / part, dtype=dtype, **safe_options(folder / part))
            elif part.startswith("tokenizer"):
                modules[part] = CLIPTokenizer.from_pretrained(folder / part, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
        raise unloadable(problem, name) from None
    modules["vae"] = load_autoencoder(folder / "vae", name, dtype, modules["unet"].config.in_channels)
    entry = known(name)
    return Parts(
        family=family,
        modules=modules,
        scheduler=read_json(folder / "scheduler" / "scheduler_config.json", name),
        wishes={**(entry.wishes if entry else {}), **read_wishes(folder / "reactive.json", name)},
        zero_negative=bool(index.get("force_zeros_for_empty_prompt", family is SDXL)),
        sha256=_hash_files(folder, family.parts),
    )


def safe_options(folder: Path) -> dict[str, Any]:
    """Return what every loader is told: this machine only, safetensors only, and which variant there is."""
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    names = [file.name for file in folder.glob("*.safetensors")]
    if names and all(".fp16" in name for name in names):
        options["variant"] = "fp16"
    return options


def unloadable(problem: Exception, name: str) -> ModelError:
    """Return the error for weights that a library could not load."""
    what = " ".join(str(problem).split())[:200]
    return ModelError(f"can't be loaded ({what})", where=name, remedy="fetch or save it again")


def _quiet() -> None:
    """What the libraries say while loading is not for the user of a clip."""
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    for log in (logging, transformers_logging):
        log.disable_progress_bar()
        log.set_verbosity_error()
