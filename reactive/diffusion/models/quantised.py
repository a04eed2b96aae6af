"""Quantised weights: the layers of networks and large text encoders stored in 8 or 4 bits, and converted back when they compute.

Only linear layers in repeated blocks are quantised, which are nearly all weights of a transformer; embeddings, norms,
convolutions and the first and last layers stay as they are. ``int8`` and ``fp8`` have a scale for each row, as gpt-fast's
layers, in torch alone: torchao's tensors have a fixed number format, so a picture could not be computed again in float32.
``nf4`` (Dettmers et al. 2023, arXiv 2305.14314) has a scale for each 64 weights, packed and unpacked by bitsandbytes. A GGUF
file holds a network that others have quantised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reactive.errors import ModelError, install_line
from reactive.files import hash_file

# it tells at every import, which diffusers does too, that faster kernels for CPUs could be downloaded
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
KINDS = ("int8", "fp8", "nf4")
FP8 = torch.float8_e4m3fn
# kinds whose kernels can be recorded as a graph: others copy tables from the host, or choose kernels anew
RECORDED = ("", "int8", "fp8")
# weights that share a scale in nf4
_BLOCK = 64


@dataclass(frozen=True)
class Quant:
    """How weights are quantised: ``int8``, ``fp8``, ``nf4``, or the network's own GGUF file; the empty kind for not at all."""

    kind: str = ""
    file: Path | None = None

    @property
    def encoders(self) -> str:
        """How large text encoders are quantised: a GGUF file has none."""
        return self.kind if self.kind in KINDS else ""

    def chained(self, sha256: str) -> str:
        """Return what a model's hash becomes by it, as text that is hashed; empty if nothing changes."""
        if self.file is not None:
            return f"{sha256} gguf {hash_file(self.file)}"
        return f"{sha256} quantised {self.kind}" if self.kind else ""


NOT_QUANTISED = Quant()


def parse_quant(text: str | None) -> Quant:
    """Return how weights are quantised by ``int8``, ``fp8``, ``nf4`` or the name of a ``.gguf`` file; None for not at all.

    Raises
    ------
    ModelError
        If it is none of these, the file is missing, or a package that it needs is.
    """
    if not text:
        return NOT_QUANTISED
    where = f"--quant {text}"
    if text in KINDS:
        if text == "nf4":
            bits_and_bytes(where)
        return Quant(text)
    if not text.lower().endswith(".gguf"):
        raise ModelError("is not known", where=where, remedy=f"use one of {', '.join(KINDS)}, or a .gguf file")
    if not Path(text).is_file():
        raise ModelError("there is no such file", where=where, remedy="name a .gguf file of the model's network")
    return Quant("gguf", Path(text))


def bits_and_bytes(where: str) -> Any:
    """Return the functions of bitsandbytes.

    Raises
    ------
    ModelError
        If it is not installed, or does not run here.
    """
    try:
        import bitsandbytes.functional as functions
    except ImportError:
        raise ModelError(
            "needs the package bitsandbytes", where=where, remedy=f"run `{install_line('[quant]')}`, or use int8 or fp8"
        ) from None
    except (OSError, RuntimeError) as problem:
        what = " ".join(str(problem).split())[:160]
        raise ModelError(f"bitsandbytes does not run here ({what})", where=where, remedy="use int8 or fp8") from None
    return functions


class QuantisedLinear(nn.Module):
    """A linear layer with quantised weights.

    Attributes
    ----------
    codes
        The weights: int8 [out, in]; fp8 as uint8 [out, in], so that no change of number format touches it; nf4 as uint8, two in each.
    scale
        [out, 1], or for nf4 one for each 64 weights; in the layer's number format.
    bias
        As it was.
    """

    def __init__(self, layer: nn.Linear, kind: str, device: torch.device) -> None:
        super().__init__()
        self.kind, self.shape = kind, layer.weight.shape
        self.in_features, self.out_features = layer.in_features, layer.out_features
        codes, scale = _quantise(layer.weight.detach().to(device), kind)
        self.codes: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().to(device), requires_grad=False)

    @property
    def weight(self) -> torch.Tensor:
        """The weights [out, in] in the layer's number format, converted back anew each time."""
        if self.kind == "nf4":
            functions = bits_and_bytes("--quant nf4")
            state = functions.QuantState(
                absmax=self.scale.float(),
                shape=torch.Size([self.shape.numel()]),
                code=functions.get_4bit_type("nf4", device=self.codes.device),
                blocksize=_BLOCK,
                quant_type="nf4",
                dtype=self.scale.dtype,
            )
            unpacked: torch.Tensor = functions.dequantize_4bit(self.codes, state)
            return unpacked.view(self.shape)
        codes = self.codes.view(FP8) if self.kind == "fp8" else self.codes
        return codes.to(self.scale.dtype) * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


def _quantise(weight: torch.Tensor, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and scales of a layer's weights."""
    if kind == "nf4":
        functions = bits_and_bytes("--quant nf4")
        # as one row: its kernel for CPUs (0.50) mixes up rows that are not a multiple of a block
        codes, state = functions.quantize_4bit(weight.reshape(-1), blocksize=_BLOCK, quant_type="nf4")
        return codes, state.absmax.to(weight.dtype)
    most = 127.0 if kind == "int8" else torch.finfo(FP8).max
    # rounded to the layer's format first, so that codes belong to the scale that is kept
    scale = (weight.float().abs().amax(1, keepdim=True) / most).to(weight.dtype)
    # rows of zeros, and of numbers whose scale the format has not
    scale = torch.where(scale > 0, scale, torch.finfo(weight.dtype).tiny)
    codes = (weight.float() / scale.float()).clamp(-most, most)
    return (codes.round().to(torch.int8) if kind == "int8" else codes.to(FP8).view(torch.uint8)), scale


def quantise(module: nn.Module, quant: Quant, device: torch.device) -> None:
    """Replace the linear layers of a module's repeated blocks by quantised ones, one after the other, on a device.

    Raises
    ------
    ModelError
        If the device has no such format.
    """
    if quant.kind not in KINDS:
        return
    for parent, name, layer in list(block_layers(module)):
        try:
            setattr(parent, name, QuantisedLinear(layer, quant.kind, device))
        except (NotImplementedError, TypeError) as problem:
            # formats that a kind of card has not
            what = " ".join(str(problem).split())[:160]
            raise ModelError(
                f"can't be computed on {device.type} ({what})", where=f"--quant {quant.kind}", remedy="use int8"
            ) from None


def block_layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Give the linear layers of a module's repeated blocks, each once: the module that it is in, its name there, the layer."""
    seen: set[int] = set()
    for blocks in module.modules():
        if not isinstance(blocks, nn.ModuleList):
            continue
        for parent in blocks.modules():
            for name, layer in parent.named_children():
                # subclasses may read their weights in ways of their own
                if type(layer) is nn.Linear and id(layer) not in seen:
                    seen.add(id(layer))
                    yield parent, name, layer


def unloaded(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Return a part of a class, as ``library.Class``, and a configuration; nothing is allocated."""
    import diffusers
    import transformers

    library, _, name = kind.rpartition(".")
    plain = {key: value for key, value in config.items() if not key.startswith("_")}
    made: Any
    with torch.device("meta"):
        if library == "transformers":
            text: Any = getattr(transformers, name)
            made = text(text.config_class(**plain))
        else:
            if "num_decoder_blocks" in config:
                plain.pop("block_out_channels", None)
            made = getattr(diffusers, name).from_config(plain)
    assert isinstance(made, nn.Module)
    return made


def bytes_when_quantised(module: nn.Module, kind: str, number: int) -> int:
    """Return the bytes of a module's weights when it is quantised; its own may be on the device ``meta``.

    Parameters
    ----------
    kind
        ``int8``, ``fp8`` or ``nf4``; empty for not at all.
    number
        Bytes of a number that is not quantised.
    """
    total = number * sum(weight.numel() for weight in module.parameters())
    if not kind:
        return total
    for _, _, layer in block_layers(module):
        count = layer.weight.numel()
        scales = -(-count // _BLOCK) if kind == "nf4" else layer.out_features
        total += -number * count + (-(-count // 2) if kind == "nf4" else count) + number * scales
    return total
