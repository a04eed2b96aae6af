"""Draw contact sheets of a model: one for each phase of a preset, with a row a seed and a column a prompt.

python -m training.ember.sheet --model reactive/ember/model --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from reactive.diffusion.core import Core, FrameRequest
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import load_model
from reactive.diffusion.sampling.noise import NoisePath
from reactive.preset.library import get_preset

COLUMNS, ROWS = 6, 2
WIDTH = 192


def sheet(core: Core, first: int, *, seed: int) -> Image.Image:
    """Return a sheet of six prompts, starting at number `first`, with two seeds."""
    path = NoisePath(
        core.model.channels, core.height // core.model.vae_scale_factor, core.width // core.model.vae_scale_factor, 16
    )
    size = (WIDTH, WIDTH * core.height // core.width)
    page = Image.new("RGB", (COLUMNS * size[0], ROWS * size[1]))
    for row in range(ROWS):
        for column in range(COLUMNS):
            prompt = first + column
            noises = tuple(path.at(seed + row + 1000 * i, 0.0) for i in range(core.noises_per_picture))
            picture = core.imagine([FrameRequest(prompt, prompt, 0.0, 1.0, noises)])[0]
            image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
            page.paste(image.resize(size, Image.Resampling.LANCZOS), (column * size[0], row * size[1]))
    return page


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ember", help="a model's name or folder")
    parser.add_argument("--preset", default="loop-destroy")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    preset = get_preset(arguments.preset)
    model = load_model(arguments.model, steps=arguments.steps)
    width, height = model.native_size
    arguments.out.mkdir(parents=True, exist_ok=True)
    for phase in preset.phase:
        indices = np.linspace(0, len(phase.prompts) - 1, COLUMNS).astype(int)
        prompts = [phase.prompts[index].text for index in indices]
        core = Core(model, PromptBank(model, prompts), batch=1, width=width, height=height)
        sheet(core, 0, seed=arguments.seed).save(arguments.out / f"{phase.name}.jpg", quality=85)
        print(phase.name + ": " + " | ".join(prompts))


if __name__ == "__main__":
    main()
