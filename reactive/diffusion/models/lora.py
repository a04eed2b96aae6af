"""LoRA and DoRA files, fused into a model's weights: W + scale x (alpha / rank) x up @ down (Hu et al. 2021, arXiv 2106.09685).

The names of matrices in files are in `lora_keys`. Layers are named as in diffusers or, for XL also, as in the
original release (``input_blocks_4_1_...``).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.lora_keys import PARTS, Strength, name_of, strengths_of
from reactive.diffusion.models.catalogue import find_entry, read_defaults
from reactive.diffusion.models.few_step import FewStep, few_step_of
from reactive.diffusion.models.locate import cached
from reactive.diffusion.models.numbered_lora import named_layers, numbered_name
from reactive.diffusion.models.pickles import refuse_pickle
from reactive.diffusion.sampling.sampling import CLASSES
from reactive.errors import ModelError
from reactive.files import hash_file
from reactive.jsonfile import parse_json
from reactive.timeline.loras import split_lora, varies

_OTHER_KINDS = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "lora_mid": "LoCon",
}
# where diffusers keeps PEFT's configuration since 0.34
_TOLD = "lora_adapter_metadata"


@dataclass(frozen=True)
class Lora:
    """A LoRA file on this machine: path, strength, a hash of its bytes, the defaults it sets for the model, and notes.

    `scale` is None if the strength changes from frame to frame.
    """

    name: str
    path: Path
    scale: float | None
    sha256: str
    defaults: dict[str, Any]
    notes: tuple[str, ...] = ()


def parse_lora(text: str) -> tuple[str, float | None]:
    """Return the name and the strength of ``FILE`` or ``FILE:0.8``; None for an expression, as in ``FILE:0.2+0.8*drop``.

    Raises
    ------
    ModelError
        If the strength is not within -4 and 4.
    """
    name, strength = split_lora(text)
    if varies(strength):
        return name, None
    scale = float(strength or 1)
    if not -4 <= scale <= 4:
        raise ModelError(
            f"{strength} is no strength", where=f"--lora {text}", remedy="give one within -4 and 4, often 0.5 to 1"
        )
    return name, scale


def find_lora(name: str, scale: float | None = 1.0) -> Lora:
    """Return a LoRA given by path or short name.

    Raises
    ------
    ModelError
        If it is missing, or is not a safetensors file.
    """
    path, where, entry = weights_in(Path(name)), f"--lora {name}", find_entry(name)
    if not path.is_file() and entry is not None and entry.kind == "lora":
        path = cached(entry.hub, entry.name, where, entry.file)
    if not path.is_file():
        raise ModelError(
            "there is no such file", where=where, remedy="name a .safetensors file or a name of `reactive models list`"
        )
    refuse_pickle(path, where)
    sha256 = hash_file(path)
    if config := _config_beside(path):
        # it decides the strength
        sha256 = hashlib.sha256(f"{sha256} {hash_file(config)}".encode()).hexdigest()
    # files of weights in folders all have the same name
    title = Path(name).resolve().name if Path(name).is_dir() else path.name
    few = few_step_of([("by its name", title.removesuffix(path.suffix))], "", lora=True) if entry is None else None
    defaults = dict(entry.defaults) if entry else lora_defaults(few) if few else {}
    notes = (f"{title} is taken for {few.name} ({few.by}); a JSON file beside it says otherwise",) if few else ()
    return Lora(name, path, scale, sha256, defaults | read_defaults(path.with_suffix(".json"), where), notes)


def lora_defaults(few: FewStep) -> dict[str, Any]:
    """Return the defaults that a few-step LoRA sets for the model that it is fused into, which keeps its own scheduler."""
    defaults = dict(few.defaults) | {"sampler": CLASSES[few.scheduler["_class_name"]][0]}
    if "timestep_spacing" in few.scheduler:
        defaults["spacing"] = few.scheduler["timestep_spacing"]
    return defaults


def weights_in(path: Path) -> Path:
    """Return the file of weights in a folder that PEFT or diffusers saved; a file as it is."""
    if not path.is_dir():
        return path
    usual = [path / name for name in ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")]
    return next((file for file in [*usual, *sorted(path.glob("*.safetensors"))] if file.is_file()), path)


def _config_beside(path: Path) -> Path | None:
    config = path.with_name("adapter_config.json")
    return config if path.name.startswith("adapter_model") and config.is_file() else None


def fuse(lora: Lora, modules: dict[str, Any]) -> int:
    """Add a LoRA to the weights of the parts it was made for; return how many layers it changed.

    Raises
    ------
    ModelError
        If the file can't be read, is of another kind, or belongs to another model.
    """
    assert lora.scale is not None
    pending: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
    for layer in changed_layers(lora, modules):
        change = _change(layer.matrices, layer.module.weight)
        if change is None:
            raise other_width(lora, layer)
        pending.append((layer.module.weight, change))
    # only now, so that a LoRA that does not fit leaves the model unchanged
    with torch.no_grad():
        for weight, change in pending:
            weight.copy_((weight.float() + lora.scale * change).to(weight.dtype))
    return len(pending)


@dataclass(frozen=True)
class ChangedLayer:
    """A layer that a LoRA changes: the part and its name there, as the file has it, the layer itself, and its matrices."""

    part: str
    name: str
    module: Any
    matrices: Mapping[str, torch.Tensor]


def changed_layers(lora: Lora, modules: dict[str, Any]) -> list[ChangedLayer]:
    """Return the layers of a model that a LoRA changes.

    Raises
    ------
    ModelError
        If the file can't be read, is of another kind, or belongs to another model.
    """
    where = f"--lora {lora.name}"
    layers: Mapping[tuple[str, str], Mapping[str, torch.Tensor]] = read_layers(lora.path, where)
    if any(layer.startswith("#") for _, layer in layers):
        named = named_layers(layers, modules, _metadata(lora.path))
        if named is None:
            raise ModelError(
                "it numbers its layers, and they are not those of this model",
                where=where,
                remedy="use a LoRA made for this family of models",
            )
        layers = named
    found = []
    names = {part: _flat_names(module) for part, module in modules.items() if part in PARTS}
    blocks = int(modules["network"].config.get("layers_per_block", 1))
    for (part, layer), matrices in layers.items():
        if _is_of_later_texts(part, modules):
            continue
        known_layers = names.get(part, {})
        target = known_layers.get(_flat(layer)) or known_layers.get(_diffusers_name(_flat(layer), blocks))
        if target is None or not {"up", "down"} <= matrices.keys():
            raise ModelError(
                f"it changes a layer that this model has not: {part} {layer}",
                where=where,
                remedy="use a LoRA made for this family of models",
            )
        found.append(ChangedLayer(part, layer, target, matrices))
    if not found:
        raise ModelError(
            "changes text encoders only, which this model loads for its prompts as they are",
            where=where,
            remedy="use a LoRA for the network",
        )
    return found


def left_out(lora: Lora, modules: dict[str, Any]) -> str:
    """Return a sentence if a LoRA has parts for text encoders that are not among a model's parts, which are then left out."""
    if "texts" not in modules:
        return ""
    parts = {part for part, _ in read_layers(lora.path, f"--lora {lora.name}") if _is_of_later_texts(part, modules)}
    return (
        f"what {lora.path.name} changes of text encoders is left out; its part for the network is used" if parts else ""
    )


def _is_of_later_texts(part: str, modules: dict[str, Any]) -> bool:
    """Whether a part is a text encoder that is only loaded for the clip's prompts, and then as it is."""
    return part != "network" and part not in modules and "texts" in modules


def other_width(lora: Lora, layer: ChangedLayer) -> ModelError:
    """Return the error of a layer that is of another width than the model's."""
    return ModelError(
        f"its layer {layer.name} has another width than the model's",
        where=f"--lora {lora.name}",
        remedy="use a LoRA made for this family of models",
    )


def read_layers(path: Path, where: str) -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    """Return a file's matrices by (part, layer): up, down and, where given, alpha.

    Raises
    ------
    ModelError
        If it can't be read or is not a LoRA.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        metadata = _metadata(path)
    except (OSError, SafetensorError, ValueError) as problem:
        what = " ".join(str(problem).split())[:120]
        raise ModelError(f"can't be read ({what})", where=where, remedy="fetch it again") from None
    layers: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        for sign, kind in _OTHER_KINDS.items():
            if sign in key:
                raise ModelError(f"is a {kind} file", where=where, remedy="use a LoRA; other kinds are not known here")
        name = numbered_name(key) or name_of(key)
        if name is None:
            raise ModelError(f"is no LoRA: it holds {key[:80]}", where=where, remedy="use a LoRA file")
        part, layer, kind = name
        layers.setdefault((part, layer), {})[kind] = tensor
    if not layers:
        raise ModelError("holds nothing", where=where, remedy="fetch it again")
    strengths = _strengths(path, metadata, where, dora=any("row lengths" in found for found in layers.values()))
    for (part, layer), matrices in layers.items():
        if "alpha" in matrices and matrices["alpha"].numel() != 1:
            raise ModelError(f"its layer {layer[:80]} has no single alpha", where=where, remedy="fetch it again")
        if "alpha" not in matrices and "down" in matrices and part in strengths:
            alpha = strengths[part].alpha_of(layer, len(matrices["down"]))
            if alpha is not None:
                matrices["alpha"] = torch.tensor(alpha)
    return layers


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _strengths(path: Path, metadata: dict[str, str], where: str, *, dora: bool) -> dict[str, Strength]:
    """Return the strengths in a file's metadata, or in PEFT's configuration beside it; `dora`: the file has a DoRA's lengths."""
    beside = _config_beside(path)
    try:
        config = parse_json(beside.read_bytes() if beside else metadata.get(_TOLD, "{}"))
        if not isinstance(config, dict):
            return {}
        if not dora and any(key.endswith("use_dora") and value for key, value in config.items()):
            raise ModelError("is a DoRA without its magnitudes", where=where, remedy="fetch it again")
        return strengths_of(config)
    except OSError as problem:
        raise ModelError(
            f"adapter_config.json can't be read ({problem.strerror})", where=where, remedy="fetch it again"
        ) from None
    except ValueError as problem:
        named = beside.name if beside else "its metadata"
        raise ModelError(f"{named} {problem}", where=where, remedy="fetch it again") from None


def _change(matrices: Mapping[str, torch.Tensor], weight: torch.Tensor) -> torch.Tensor | None:
    """Return what strength 1 adds to a weight, float32, or None if it does not fit: (alpha / rank) x up @ down.

    A DoRA (Liu et al. 2024, arXiv 2402.09353) then brings the rows, or columns, of the sum to its own lengths.
    """
    shape = weight.shape
    fitting = matrices_of(matrices, shape)
    if fitting is None:
        return None
    up, down = fitting
    rank = len(down)
    alpha = float(matrices["alpha"]) if "alpha" in matrices else float(rank)
    change = (alpha / rank * (up @ down).reshape(-1)).reshape(shape)
    lengths = matrices.get("row lengths", matrices.get("lengths"))
    if lengths is None:
        return change
    # LyCORIS has lengths of columns as [1, in]
    columns = "lengths" in matrices and lengths.ndim > 1 and len(lengths) == 1 < lengths.numel() == shape[1]
    kept = 1 if columns else 0
    if lengths.numel() != shape[kept]:
        return None
    changed = weight.detach().float() + change
    others = [dim for dim in range(len(shape)) if dim != kept]
    told = lengths.float().reshape([-1 if dim == kept else 1 for dim in range(len(shape))])
    return (
        changed * (told / torch.linalg.vector_norm(changed, dim=others, keepdim=True).clamp_min(1e-12))
        - weight.detach().float()
    )


def matrices_of(matrices: Mapping[str, torch.Tensor], shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return up [out, rank] and down [rank, the rest of a weight's shape in one] as float32; None if they do not fit the shape."""
    up, down = matrices["up"].float(), matrices["down"].float()
    if up.ndim < 2 or down.ndim < 2 or not up.numel() or not down.numel():
        return None
    rank = down.shape[0]
    if up.shape[1] != rank or up[0, 0].numel() != 1:
        return None
    alpha = float(matrices["alpha"]) if "alpha" in matrices else float(rank)
    fits = len(up) == shape[0] and down.numel() // rank == shape[1:].numel() and math.isfinite(alpha)
    return (up.reshape(len(up), rank), down.reshape(rank, -1)) if fits else None


def _flat(layer: str) -> str:
    # to_out's linear layer is in a list of two; older files leave out its index
    flat = layer.replace(".", "_").removeprefix("text_model_")
    return flat + "_0" if flat.endswith("to_out") else flat


def _flat_names(module: Any) -> dict[str, Any]:
    """Return a part's layers with weights by their flattened names."""
    return {
        _flat(name): layer
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }


_RESNET = {
    "in_layers_2": "conv1",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_STEM = {
    "input_blocks_0_0": "conv_in",
    "out_2": "conv_out",
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
}


def _diffusers_name(name: str, layers: int) -> str:
    """Return diffusers' name of a U-Net layer that is named as in the original release (both flattened).

    Parameters
    ----------
    layers
        Residual blocks a level.
    """
    if name in _STEM:
        return _STEM[name]
    match = re.fullmatch(r"(input_blocks|output_blocks|middle_block)_(\d+)(?:_(\d+))?_(.+)", name)
    if not match:
        return name
    side, first, second, rest = match.groups()
    if side == "middle_block":
        # its second number, if any, is part of what follows
        rest = f"{second}_{rest}" if second else rest
        number = int(first)
        return f"mid_block_attentions_0_{rest}" if number == 1 else f"mid_block_resnets_{number // 2}_{_resnet(rest)}"
    number, place = int(first), int(second or 0)
    level, index = divmod(number - 1 if side == "input_blocks" else number, layers + 1)
    block = f"down_blocks_{level}" if side == "input_blocks" else f"up_blocks_{level}"
    if side == "input_blocks" and index == layers:
        return f"{block}_downsamplers_0_conv"
    if rest == "conv":
        return f"{block}_upsamplers_0_conv"
    return f"{block}_attentions_{index}_{rest}" if place == 1 else f"{block}_resnets_{index}_{_resnet(rest)}"


def _resnet(name: str) -> str:
    return _RESNET.get(name, name)
