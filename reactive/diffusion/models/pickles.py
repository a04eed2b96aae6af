"""Pickled checkpoints are refused: loading one can run any code in it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from reactive.errors import ModelError

PICKLED = (".ckpt", ".bin", ".pt", ".pth", ".pkl", ".pickle")


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, by its name or by its first bytes."""
    if path.suffix.lower() in PICKLED:
        return True
    try:
        with path.open("rb") as handle:
            head = handle.read(64)
    except OSError:
        return False
    if head[8:9] == b"{":
        # the length and the opening brace that safetensors begin with
        return False
    # torch's archives are zip files with a pickle inside; older ones are bare pickles of protocol 2 and up
    return head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def refuse_pickle(path: Path, name: str) -> None:
    """Check that a file is not a pickle.

    Raises
    ------
    ModelError
        If it is; the message has the command that converts it.
    """
    if is_pickle(path):
        raise ModelError(
            "is a pickled checkpoint, which can run code when it is loaded", where=name, remedy=conversion(path)
        )


def require_safetensors(folder: Path, name: str) -> None:
    """Check that a part of a model has its weights as safetensors.

    Raises
    ------
    ModelError
        If it has none.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(file for file in folder.iterdir() if file.suffix in PICKLED)
    if pickled:
        raise ModelError(
            f"{folder.name} holds no safetensors but {pickled[0].name}, a pickle, which can run code when it is loaded",
            where=name,
            remedy=conversion(pickled[0]),
        )
    raise ModelError(f"{folder.name} holds no safetensors", where=name, remedy="fetch or save the folder again")


def conversion(path: Path) -> str:
    """Return advice on converting a pickle to safetensors without running its code."""
    target = path.with_suffix(".safetensors")
    names = {"pytorch_model": "model.safetensors", "diffusion_pytorch_model": "diffusion_pytorch_model.safetensors"}
    target = target.with_name(names.get(path.stem, target.name))
    script = (
        "import sys, torch, safetensors.torch as s; "
        "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); d = d.get('state_dict', d); "
        "s.save_file({k: v.clone().contiguous() for k, v in d.items() if hasattr(v, 'shape')}, sys.argv[2])"
    )
    return f"convert it with `python -c {shlex.quote(script)} {shlex.quote(str(path))} {shlex.quote(str(target))}`"


def safe_options(folder: Path) -> dict[str, Any]:
    """Return the options of every loader: this machine only, safetensors only, and the variant."""
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    names = [file.name for file in folder.glob("*.safetensors")]
    if names and all(".fp16" in name for name in names):
        options["variant"] = "fp16"
    return options


def unloadable(problem: Exception, name: str) -> ModelError:
    """Return the error for weights that a library could not load."""
    what = " ".join(str(problem).split())[:200]
    return ModelError(f"can't be loaded ({what})", where=name, remedy="fetch or save it again")
