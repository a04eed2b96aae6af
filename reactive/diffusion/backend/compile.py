"""torch.compile, which is optional: it needs a C++ compiler and minutes before the first picture.

Measured on a busy machine with AVX-512, one thread, ember at 384x224 in batches of 8: 1.17 times as fast as eager channels_last,
too little to be the default. Without oneDNN eager reached 0.5 times, OpenVINO 0.93 times
(`python -m benchmarks backends`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Any

import torch

from reactive.diffusion.backend.spare_imports import mark_for_compiler
from reactive.errors import ModelError, install_line

_COMPILERS = ("c++", "g++", "clang++", "cl")


def check_compiler(device: str) -> None:
    """Check that networks can be compiled here for a kind of device.

    Raises
    ------
    ModelError
        If the compiler of its kernels is missing: Triton on CUDA, else a C++ compiler.
    """
    if device == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ModelError(
                "there is no Triton here, which torch.compile needs on CUDA",
                where="--compile",
                remedy=f"install it (on Windows `{install_line('triton-windows')}`), or leave --compile out",
            )
        return
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS) if name):
        raise ModelError(
            "there is no C++ compiler here",
            where="--compile",
            remedy="install one (Debian: g++), or leave --compile out",
        )


def compile_networks(modules: dict[str, Any], device: str) -> None:
    """Replace a model's network, encoder and decoder by compiled ones; each compiles when it is first called.

    Without autotuning: kernels that are chosen by timing could make other bits in the next process.
    """
    check_compiler(device)
    mark_for_compiler()
    modules["network"] = torch.compile(modules["network"], dynamic=False)
    vae = modules["vae"]
    vae.encoder = torch.compile(vae.encoder, dynamic=False)
    vae.decoder = torch.compile(vae.decoder, dynamic=False)
