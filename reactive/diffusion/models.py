"""Models: any diffusers folder of the Stable Diffusion family, adapted to one interface in this one place.

Only safetensors are read, nothing is ever downloaded, and no code from a model folder is run. A folder may hold a file
``reactive.json`` that says how many steps it wants and at which guidance.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.allocator import keep_freed_memory
from reactive.diffusion.fold import fold_decoder
from reactive.diffusion.schedule import NoiseSchedule, from_alphas_cumprod, from_flow
from reactive.errors import ModelError

EMBER = Path(__file__).resolve().parent.parent / "ember" / "model"
FOLDERS = {"ember": EMBER}
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
# schedulers that jump to the clean picture and add new noise between steps
CONSISTENCY = ("LCMScheduler", "TCDScheduler")
FLOW = ("FlowMatchEulerDiscreteScheduler",)


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes
    ----------
    name, sha256
        What the user called it, and a hash over its weights and configuration.
    unet, vae, text_encoder, tokenizer
        The parts.
    schedule
        Noise levels.
    prediction
        What the network predicts: epsilon, v_prediction, sample or flow.
    consistency
        Whether it is sampled by jumps (LCM) rather than along the deterministic path.
    steps, guidance
        Evaluations a picture, and classifier-free guidance (1: none).
    native
        Width and height in pixels that it was made for.
    factor
        Pixels per latent.
    """

    name: str
    sha256: str
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    schedule: NoiseSchedule
    prediction: str
    consistency: bool
    steps: int
    guidance: float
    native: tuple[int, int]
    factor: int
    device: torch.device
    dtype: torch.dtype

    @property
    def channels(self) -> int:
        """Number of latent channels."""
        return int(self.unet.config.in_channels)

    def clean(self, z: torch.Tensor, tau: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the clean latents that the network believes in.

        Parameters
        ----------
        z
            Noisy latents [n, c, h, w].
        tau
            Train times [n] in 0..T.
        embeddings
            What the network attends to, [n, tokens, width].
        """
        time = self.schedule.network_time(tau).to(self.device)
        output = self.unet(z, time, encoder_hidden_states=embeddings, return_dict=False)[0]
        alpha, sigma = (v.to(z.device, z.dtype).view(-1, 1, 1, 1) for v in self.schedule.alpha_sigma(tau))
        if self.prediction == "v_prediction":
            return alpha * z - sigma * output
        if self.prediction == "sample":
            return output
        if self.prediction == "flow":
            return z - sigma * output
        return (z - sigma * output) / alpha.clamp_min(1e-3)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the latents of pictures [n, 3, height, width] in [-1, 1]."""
        encoded = self.vae.encode(pictures)
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        return (latents - shift) * self.vae.config.scaling_factor

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures [n, 3, height, width] in about [-1, 1]."""
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        decoded: torch.Tensor = self.vae.decode(latents / self.vae.config.scaling_factor + shift, return_dict=False)[0]
        return decoded


def find_model(name: str) -> Path:
    """Return the folder of a model given by name, by path, or by a hub id that is on this machine already.

    Raises
    ------
    ModelError
        If it isn't there; nothing is downloaded.
    """
    path = FOLDERS.get(name, Path(name))
    if (path / "model_index.json").is_file():
        return path
    if path.is_file():
        raise ModelError(
            "is a file, not a diffusers folder", where=name, remedy="name a folder with a model_index.json"
        )
    if path.is_dir():
        raise ModelError("has no model_index.json", where=name, remedy="name a folder saved by save_pretrained")
    if name.count("/") == 1 and not name.startswith((".", "/")):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError, OSError):
            raise ModelError(
                "is not on this machine, and nothing is downloaded unasked",
                where=f"--model {name}",
                remedy=f"fetch it once with `hf download {name}`, then run this again",
            ) from None
    raise ModelError("there is no such model", where=f"--model {name}", remedy='use "ember", a folder, or a hub id')


def load_model(name: str, *, device: str = "cpu", steps: int | None = None) -> Model:
    """Load a model for a device.

    Parameters
    ----------
    name
        ``ember``, a diffusers folder, or the id of a hub model that was fetched before.
    device
        ``cpu`` (float32) or ``cuda`` (float16).
    steps
        Evaluations a picture; default: what the model wants.

    Raises
    ------
    ModelError
        If it isn't there, is incomplete, holds pickles instead of safetensors, or is of a family not known here.
    """
    folder = find_model(name)
    index = _read_json(folder / "model_index.json", name)
    for part in PARTS:
        if not (folder / part).is_dir():
            raise ModelError(f"the folder {part} is missing", where=name, remedy="this is no Stable Diffusion folder")
    if not str(index.get("_class_name", "")).startswith(
        ("StableDiffusionPipeline", "StableDiffusionImg2Img", "LatentConsistency")
    ):
        raise ModelError(
            f"is a {index.get('_class_name')}, which is not known here",
            where=name,
            remedy="use a Stable Diffusion 1 or 2 folder",
        )
    place = torch.device(device)
    dtype = torch.float32 if place.type == "cpu" else torch.float16
    unet, vae, text_encoder, tokenizer = _load_parts(folder, index, name, dtype)
    for part in (unet, vae, text_encoder):
        part.to(place).eval().requires_grad_(False)
    unet.to(memory_format=torch.channels_last)
    vae.to(memory_format=torch.channels_last)
    if isinstance(getattr(vae.decoder, "layers", None), torch.nn.Sequential):
        vae.decoder.layers = fold_decoder(vae.decoder.layers)
    if place.type == "cpu":
        keep_freed_memory()
    schedule, prediction, scheduler_class = _schedule(folder, name)
    wishes = _read_json(folder / "reactive.json", name) if (folder / "reactive.json").is_file() else {}
    consistency = scheduler_class in CONSISTENCY
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return Model(
        name=name,
        sha256=hash_folder(folder),
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        schedule=schedule,
        prediction=prediction,
        consistency=consistency,
        steps=steps or int(wishes.get("steps", 4 if consistency else 12)),
        guidance=float(wishes.get("guidance", 1.0 if consistency else 7.0)),
        native=(width * factor, height * factor),
        factor=factor,
        device=place,
        dtype=dtype,
    )


def hash_folder(folder: Path) -> str:
    """Return one sha256 over the names and bytes of a model's weights, vocabulary and configuration."""
    digest = hashlib.sha256()
    for part in PARTS:
        for file in sorted((folder / part).iterdir()):
            if file.suffix in (".json", ".safetensors", ".txt"):
                digest.update(f"{part}/{file.name}\n".encode())
                with file.open("rb") as handle:
                    digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def _load_parts(folder: Path, index: dict[str, Any], name: str, dtype: torch.dtype) -> tuple[Any, Any, Any, Any]:
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from diffusers.utils import logging
    from transformers import CLIPTextModel, CLIPTokenizer
    from transformers.utils import logging as transformers_logging

    # what the libraries say while loading is not for the user of a clip
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    autoencoders = {"AutoencoderTiny": AutoencoderTiny, "AutoencoderKL": AutoencoderKL}
    kind = str((index.get("vae") or [None, ""])[1])
    if kind not in autoencoders:
        raise ModelError(f"has an autoencoder of class {kind}, which is not known here", where=name)
    for part in ("unet", "vae", "text_encoder"):
        if not any((folder / part).glob("*.safetensors")):
            raise ModelError(
                f"{part} holds no safetensors",
                where=name,
                remedy="convert it: pickled weights can run code and are not read",
            )
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "torch_dtype": dtype}
    try:
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", **options)
        vae = autoencoders[kind].from_pretrained(folder / "vae", **options)
        text_encoder = CLIPTextModel.from_pretrained(
            folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype=dtype
        )
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as problem:
        what = " ".join(str(problem).split())[:200]
        raise ModelError(f"can't be loaded ({what})", where=name, remedy="fetch or save the folder again") from None
    return unet, vae, text_encoder, tokenizer


def _schedule(folder: Path, name: str) -> tuple[NoiseSchedule, str, str]:
    import diffusers

    config = _read_json(folder / "scheduler" / "scheduler_config.json", name)
    kind = str(config.get("_class_name", ""))
    if kind in FLOW:
        return from_flow(int(config.get("num_train_timesteps", 1000)), float(config.get("shift", 1.0))), "flow", kind
    # only the betas are wanted, and every class of the family makes them alike
    source: Any = diffusers.LCMScheduler if kind in CONSISTENCY else diffusers.DDIMScheduler
    try:
        scheduler = source.from_config(config)
    except (ValueError, NotImplementedError, TypeError) as problem:
        raise ModelError(f"its scheduler can't be used ({problem})", where=name) from None
    return from_alphas_cumprod(scheduler.alphas_cumprod), str(config.get("prediction_type", "epsilon")), kind


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ModelError(f"{path.name} can't be read ({problem})", where=name, remedy="fetch the model again") from None
    if not isinstance(data, dict):
        raise ModelError(f"{path.name} is not a JSON object", where=name, remedy="fetch the model again")
    return data


def choose_device(wish: str) -> str:
    """Return ``cuda`` or ``cpu`` for ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ModelError
        If cuda is asked for and there is none.
    """
    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wish == "cuda" and not torch.cuda.is_available():
        raise ModelError("there is no CUDA device here", where="--device cuda", remedy="use --device cpu")
    return wish


def default_threads() -> int:
    """Return how many CPU threads a job uses unless told: the cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_batch(device: str, width: int, height: int) -> int:
    """Return the batch size for ``--batch auto``: a fixed rule of device and size, never of free memory."""
    pixels = width * height
    if device == "cpu":
        return 8 if pixels <= 160_000 else 4 if pixels <= 400_000 else 2
    return 32 if pixels <= 160_000 else 16 if pixels <= 400_000 else 8
