"""LoRA files, fused into a model's weights: W + scale x (alpha / rank) x up @ down (Hu et al. 2021, arXiv 2106.09685).

Two ways of naming are read: that of diffusers and PEFT (``unet.mid_block.attentions.0...to_q.lora_A.weight``), and that of
kohya and the web interfaces (``lora_unet_mid_block_attentions_0_..._to_q.lora_down.weight``, for XL also with the names of the
original release, ``input_blocks_4_1_...``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.models.catalogue import known, read_wishes
from reactive.diffusion.models.few_step import FewStep, few_step_of
from reactive.diffusion.models.locate import cached
from reactive.diffusion.models.pickles import refuse_pickle
from reactive.diffusion.sampling.sampling import CLASSES
from reactive.errors import ModelError
from reactive.files import hash_file

_ENDINGS = {
    ".lora_A.weight": "down", ".lora_B.weight": "up", ".lora_down.weight": "down", ".lora_up.weight": "up",
    ".lora.down.weight": "down", ".lora.up.weight": "up", "_lora.down.weight": "down", "_lora.up.weight": "up",
    ".alpha": "alpha",
}  # fmt: skip
_PREFIXES = {
    "lora_unet_": "unet", "lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2", "lora_te_": "text_encoder",
    "unet.": "unet", "text_encoder_2.": "text_encoder_2", "text_encoder.": "text_encoder",
}  # fmt: skip
_OTHER_KINDS = {"hada_": "LoHa", "lokr_": "LoKr", "dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "oft_": "OFT"}


@dataclass(frozen=True)
class Lora:
    """A LoRA file that is on this machine: where, how strong, a hash of its bytes, what it wishes for the model, and notes."""

    name: str
    path: Path
    scale: float
    sha256: str
    wishes: dict[str, Any]
    notes: tuple[str, ...] = ()


def parse_lora(text: str) -> tuple[str, float]:
    """Return the name and the strength of ``FILE`` or ``FILE:0.8``.

    Raises
    ------
    ModelError
        If the strength is not within -4 and 4.
    """
    name, colon, scale = text.rpartition(":")
    # a drive letter's colon is followed by a path
    if not colon or not re.fullmatch(r"[+-]?[0-9]*\.?[0-9]+", scale):
        return text, 1.0
    if not -4 <= float(scale) <= 4:
        raise ModelError(
            f"{scale} is no strength", where=f"--lora {text}", remedy="give one within -4 and 4, often 0.5 to 1"
        )
    return name, float(scale)


def find_lora(name: str, scale: float = 1.0) -> Lora:
    """Return a LoRA given by path or short name.

    Raises
    ------
    ModelError
        If it isn't there, or is no safetensors file.
    """
    path, where, entry = Path(name), f"--lora {name}", known(name)
    if not path.is_file() and entry is not None and entry.kind == "lora":
        path = cached(entry.hub, entry.name, where, entry.file)
    if not path.is_file():
        raise ModelError(
            "there is no such file", where=where, remedy="name a .safetensors file or a name of `reactive models list`"
        )
    refuse_pickle(path, where)
    sha256 = hash_file(path)
    few = few_step_of([("by its name", path.stem)], "", lora=True) if entry is None else None
    wishes = dict(entry.wishes) if entry else lora_wishes(few) if few else {}
    told = (f"{path.name} is taken for {few.name} ({few.by}); a JSON file beside it says otherwise",) if few else ()
    return Lora(name, path, scale, sha256, wishes | read_wishes(path.with_suffix(".json"), where), told)


def lora_wishes(few: FewStep) -> dict[str, Any]:
    """Return what a few-step LoRA wishes for the model that it is fused into, whose scheduler stays the model's own."""
    wishes = dict(few.wishes) | {"sampler": CLASSES[few.scheduler["_class_name"]][0]}
    if "timestep_spacing" in few.scheduler:
        wishes["spacing"] = few.scheduler["timestep_spacing"]
    return wishes


def fuse(lora: Lora, modules: dict[str, Any]) -> int:
    """Add a LoRA to the weights of the parts it was made for; return how many layers it changed.

    Raises
    ------
    ModelError
        If the file can't be read, is of another kind, or belongs to another model.
    """
    where = f"--lora {lora.name}"
    layers = read_layers(lora.path, where)
    pending: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
    names = {part: _flat_names(module) for part, module in modules.items() if part in _PREFIXES.values()}
    blocks = int(modules["unet"].config.layers_per_block)
    for (part, layer), matrices in layers.items():
        known_layers = names.get(part, {})
        target = known_layers.get(_flat(layer)) or known_layers.get(_diffusers_name(_flat(layer), blocks))
        if target is None or not {"up", "down"} <= matrices.keys():
            raise ModelError(
                f"it changes a layer that this model has not: {part} {layer}", where=where,
                remedy="use a LoRA made for this family of models",
            )  # fmt: skip
        change = _change(matrices, target.weight.shape)
        if change is None:
            raise ModelError(
                f"its layer {layer} has another width than the model's", where=where,
                remedy="use a LoRA made for this family of models",
            )  # fmt: skip
        pending.append((target.weight, change))
    # only now, so that what does not fit leaves the model as it was
    with torch.no_grad():
        for weight, change in pending:
            weight.copy_((weight.float() + lora.scale * change).to(weight.dtype))
    return len(pending)


def read_layers(path: Path, where: str) -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    """Return a file's matrices by (part, layer): up, down and, where given, alpha.

    Raises
    ------
    ModelError
        If it can't be read or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as problem:
        what = " ".join(str(problem).split())[:120]
        raise ModelError(f"can't be read ({what})", where=where, remedy="fetch it again") from None
    layers: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        for sign, kind in _OTHER_KINDS.items():
            if sign in key:
                raise ModelError(f"is a {kind} file", where=where, remedy="use a LoRA; other kinds are not known here")
        ending = next((ending for ending in _ENDINGS if key.endswith(ending)), None)
        prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), None)
        if ending is None or prefix is None:
            raise ModelError(f"is no LoRA: it holds {key[:80]}", where=where, remedy="use a LoRA file")
        layer = key.removeprefix(prefix).removesuffix(ending)
        # older files of diffusers name the attention's processor
        layer = layer.replace(".processor", "")
        layers.setdefault((_PREFIXES[prefix], layer), {})[_ENDINGS[ending]] = tensor
    if not layers:
        raise ModelError("holds nothing", where=where, remedy="fetch it again")
    return layers


def _change(matrices: dict[str, torch.Tensor], shape: torch.Size) -> torch.Tensor | None:
    """Return (alpha / rank) x up @ down in the shape of a weight, float32, or None if it does not fit."""
    up, down = matrices["up"].float(), matrices["down"].float()
    rank = down.shape[0]
    if up.ndim < 2 or down.ndim < 2 or up.shape[1] != rank or up[0, 0].numel() != 1:
        return None
    product = (up.reshape(len(up), rank) @ down.reshape(rank, -1)).reshape(-1)
    alpha = float(matrices["alpha"]) if "alpha" in matrices else float(rank)
    fits = len(up) == shape[0] and down.numel() // rank == shape[1:].numel()
    return (alpha / rank * product).reshape(shape) if fits else None


def _flat(layer: str) -> str:
    # to_out's linear layer stands in a list of two; older files leave its number out
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
    "in_layers_2": "conv1", "out_layers_3": "conv2", "emb_layers_1": "time_emb_proj", "skip_connection": "conv_shortcut",
}  # fmt: skip
_STEM = {
    "input_blocks_0_0": "conv_in", "out_2": "conv_out", "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2", "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
}  # fmt: skip


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
