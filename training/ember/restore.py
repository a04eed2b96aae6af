"""Initialise a work folder from an exported model, to train the bundled weights further.

    python -m training.ember.restore --model reactive/ember/model --work DIR [--base FILE]

Writes the checkpoints ``autoencoder.pt``, ``text.pt``, ``denoiser.pt``, ``generator.pt`` and the tokenizer at step 0: the
optimisers start anew, and the undistilled denoiser, which an exported folder lacks, starts from the distilled one, or from a file that
`base` wrote.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel

from training.ember import base, checkpoint


def restore(model: Path, work: Path, base_file: Path | None = None) -> None:
    """Write checkpoints of every part of the diffusers folder `model` to the folder `work`.

    Parameters
    ----------
    base_file
        The denoiser's weights, in place of the folder's; there is no generator then.
    """
    net = UNet2DConditionModel.from_pretrained(model / "unet")
    parts: dict[str, nn.Module] = {
        "autoencoder": AutoencoderTiny.from_pretrained(model / "vae"),
        "text": CLIPTextModel.from_pretrained(model / "text_encoder"),
        "denoiser": net,
        "generator": net,
    }
    work.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        state = part.float().state_dict()
        checkpoint.save(work / f"{name}.pt", model=state, average=state, updates=0, step=0)
    if base_file is not None:
        weights, _ = base.read(base_file)
        checkpoint.save(work / "denoiser.pt", model=weights, average=weights, updates=0, step=0)
        (work / "generator.pt").unlink()
    (work / "tokenizer").mkdir(exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(model / "tokenizer" / name, work / "tokenizer" / name)


def main() -> None:
    """Parse the command line and restore."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the diffusers folder to begin from")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--base", type=Path, help="the denoiser's weights, as `base` writes them")
    arguments = parser.parse_args()
    restore(arguments.model, arguments.work, arguments.base)


if __name__ == "__main__":
    main()
