"""Keep the base model: its averaged weights as one float16 file, from which training goes on on another machine.

    python -m training.ember.base --work WORK --out training/ember/base.safetensors
    python -m training.ember.restore --model reactive/ember/model --base training/ember/base.safetensors --work WORK

The file has no optimiser state, so the learning rate has to warm up anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from training.ember import checkpoint


def write(work: Path, out: Path) -> int:
    """Write the averaged weights of ``WORK/denoiser.pt`` as float16; return the step that they were trained to.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    """
    state = checkpoint.load(work / "denoiser.pt")
    if state is None:
        raise FileNotFoundError(f"no denoiser.pt in {work}: train it first")
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state["average"].items()
    }
    save_file(halves, out, metadata={"step": str(state["step"])})
    return int(state["step"])


def read(path: Path) -> tuple[dict[str, torch.Tensor], int]:
    """Return weights in float32 by name, and the step that they were trained to."""
    with safe_open(path, framework="pt") as file:
        values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step = int(file.metadata()["step"])
    return {name: value.float() if value.is_floating_point() else value for name, value in values.items()}, step


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    arguments = parser.parse_args()
    print(f"step {write(arguments.work, arguments.out)}")


if __name__ == "__main__":
    main()
