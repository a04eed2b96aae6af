"""Choose device, number format and backend settings of a model. Each choice is one small function that can be tested."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

from reactive.diffusion.backend.allocator import keep_freed_memory
from reactive.diffusion.backend.builds import advice
from reactive.errors import ModelError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# kinds of cards, the best first: CUDA is NVIDIA and, in a build for ROCm, AMD; XPU is Intel, MPS Apple
CARDS = ("cuda", "xpu", "mps")


def has_device(kind: str) -> bool:
    """Return whether torch sees a device of a kind."""
    if kind == "mps":
        return torch.backends.mps.is_available()
    return kind == "cpu" or bool(getattr(torch, kind).is_available())


def choose_device(requested: str) -> str:
    """Return the kind of device for ``auto``, which is the best there is, or for a requested kind.

    Raises
    ------
    ModelError
        If torch does not see the requested kind.
    """
    if requested == "auto":
        return next((kind for kind in CARDS if has_device(kind)), "cpu")
    if requested not in ("cpu", *CARDS):
        raise ModelError(f'"{requested}" is no device', where="--device", remedy=f"use auto, cpu, {', '.join(CARDS)}")
    if not has_device(requested):
        hint = advice()
        remedy = f"use --device auto; {hint}" if hint else "use --device auto or cpu"
        raise ModelError(f"torch sees no {requested} device here", where=f"--device {requested}", remedy=remedy)
    return requested


def _module(kind: str) -> Any:
    """Return torch's module of a kind of card."""
    return getattr(torch, kind)


def device_name(kind: str) -> str:
    """Return a device's name, on which bits depend."""
    if kind in ("cuda", "xpu"):
        return str(_module(kind).get_device_name())
    if kind == "mps":
        return f"mps {platform.processor() or platform.machine()}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def device_memory(kind: str) -> int:
    """Return the bytes of a card's memory, for an Apple chip the recommended limit; 0 for the CPU."""
    if kind in ("cuda", "xpu"):
        return int(_module(kind).get_device_properties(0).total_memory)
    return int(torch.mps.recommended_max_memory()) if kind == "mps" else 0


def synchronize(kind: str) -> None:
    """Wait until a device has finished all its work."""
    if kind in CARDS:
        _module(kind).synchronize()


def free_memory() -> None:
    """Return the memory that torch caches on every card to the system."""
    for kind in CARDS:
        if has_device(kind):
            _module(kind).empty_cache()


def choose_dtype(kind: str, requested: str = "auto") -> torch.dtype:
    """Return the number format for a kind of device.

    float16 on cards: checkpoints are published and tested in it, and it keeps three bits more than bfloat16.
    bfloat16 on CPUs that multiply it; float32 on others, which compute the smaller formats slowly.

    Raises
    ------
    ModelError
        If it is not auto, float32, float16 or bfloat16.
    """
    if requested == "auto":
        if kind == "cpu":
            return torch.bfloat16 if multiplies_bfloat16() else torch.float32
        return torch.float16
    if requested not in DTYPES:
        raise ModelError(f'"{requested}" is no number format', where="--dtype", remedy=f"use auto, {', '.join(DTYPES)}")
    return DTYPES[requested]


def multiplies_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 itself (AMX or AVX512-BF16) and torch's convolutions make use of it.

    A processor that converts the format and computes in float32 would be slower.
    """
    capabilities = torch.cpu.get_capabilities()
    multiplies = bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    onednn: bool = torch.backends.mkldnn.is_available()
    return multiplies and onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autoencoder_dtype(overflows: bool, dtype: torch.dtype) -> torch.dtype:
    """Return the number format of an autoencoder: float32 for one that overflows in float16."""
    return torch.float32 if dtype == torch.float16 and overflows else dtype


def prepare_backend(kind: str) -> None:
    """Set options of the whole process: on CUDA, TF32 for what stays in float32, and no autotuning; on CPU, memory.

    Autotuning would choose kernels by timing, so two processes could make different bits.
    """
    if kind == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = False
    elif kind == "cpu":
        keep_freed_memory()


def place_part(part: Any, device: torch.device, dtype: torch.dtype, *, images: bool) -> Any:
    """Return a part ready for inference on a device; those that process images get the channels_last layout."""
    part.to(device=device, dtype=dtype).eval().requires_grad_(False)
    # kernels for films have five dimensions, which have no such layout
    images = images and all(weight.dim() < 5 for weight in part.parameters())
    return part.to(memory_format=torch.channels_last) if images else part


def attention_kernels(kind: str) -> str:
    """Return which kernels scaled dot product attention may use, in words."""
    if kind != "cuda":
        return "scaled dot product attention of torch"
    cuda: Any = torch.backends.cuda
    enabled = {
        "flash": cuda.flash_sdp_enabled(),
        "memory-efficient": cuda.mem_efficient_sdp_enabled(),
        "cuDNN": cuda.cudnn_sdp_enabled(),
        "plain": cuda.math_sdp_enabled(),
    }
    return "scaled dot product attention of torch: " + ", ".join(name for name, on in enabled.items() if on)


def default_threads() -> int:
    """Return the default number of CPU threads of a job: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_batch(device: str, width: int, height: int) -> int:
    """Return the batch size for ``--batch auto``: a fixed rule of device and size, never of free memory."""
    pixels = width * height
    if device == "cpu":
        return 8 if pixels <= 160_000 else 4 if pixels <= 400_000 else 2
    return 32 if pixels <= 160_000 else 16 if pixels <= 400_000 else 8
