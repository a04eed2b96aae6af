"""Networks in GGUF files: quantised by others, with the names of the original release or diffusers' own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.models.marks import without_marks
from reactive.diffusion.models.pickles import unloadable
from reactive.errors import ModelError, install_line


def load_gguf(file: Path, kind: Any, config: Path, dtype: torch.dtype) -> Any:
    """Return a network whose weights stay quantised as they are in a GGUF file.

    Parameters
    ----------
    kind
        The network's class.
    config
        The folder of its configuration.
    dtype
        The format in which it computes.

    Raises
    ------
    ModelError
        If the package that reads such files is missing, or the file is damaged or of another model.
    """
    where = f"--quant {file}"
    for package in ("gguf", "accelerate"):
        if not find_spec(package):
            raise ModelError(
                f"is read by the package {package}, which is not here",
                where=where,
                remedy=f"run `{install_line('[quant]')}`",
            )
    from diffusers import GGUFQuantizationConfig

    try:
        with without_marks(config) as plain:
            network: Any = kind.from_single_file(
                str(file),
                config=str(plain),
                local_files_only=True,
                torch_dtype=dtype,
                quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError) as problem:
        raise unloadable(problem, where) from None
    missing = next((name for name, weight in network.named_parameters() if weight.is_meta), None)
    if missing is not None:
        raise ModelError(f"lacks {missing[:80]}", where=where, remedy="name a file of this model's network")
    # diffusers would refuse to change the format of what is not quantised
    network.is_quantized = False
    return network
