"""Train ember's denoiser on latents: velocity prediction, classifier-free dropout, several shapes.

    python -m training.ember.denoiser --work DIR

Resumes from ``WORK/denoiser.pt``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional

from training.ember import checkpoint, schedule, text

CHANNELS = (32, 64, 112, 168)
NATIVE = (28, 48)
BATCH = 32
PEAK = 8e-4
DROPOUT = 0.12
# real pictures are at least half of what is seen
REAL = 0.5
# how often each shape is drawn: 16:9 is what most clips are
SHAPE_WEIGHTS = (0.7, 0.15, 0.15)


def build() -> torch.nn.Module:
    """Return the untrained denoiser: about 1 GFLOP at the latent of 256x256."""
    # diffusers' types lead to its stand-ins for a machine without torch
    net: Any = UNet2DConditionModel(
        sample_size=NATIVE,
        in_channels=4,
        out_channels=4,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=text.WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    made: torch.nn.Module = net.to(memory_format=torch.channels_last)
    return made


@dataclass(frozen=True)
class Batch:
    """Scaled latents [n, 4, h, w], the embeddings of a text of each [n, 77, width], the tags it names [n, t] as shares."""

    latents: torch.Tensor
    texts: torch.Tensor
    named: torch.Tensor


class Views:
    """Draws batches out of ``latents.pt``."""

    def __init__(self, work: Path, rng: np.random.Generator) -> None:
        stored: dict[str, Any] = torch.load(work / "latents.pt", weights_only=True)
        self.rng = rng
        self.scale = float(stored["scale"])
        self.embeddings: torch.Tensor = stored["embeddings"]
        self.choices: list[list[int]] = stored["choices"]
        self.empty = int(stored["empty"])
        self.tags = sorted({tag for tags in stored["tags"] for tag in tags})
        number = {tag: i for i, tag in enumerate(self.tags)}
        self.tags_of = [[number[tag] for tag in tags] for tags in stored["tags"]]
        # a text that is nothing but a tag names just this one
        self.tag_of_text = {i: number[words] for i, words in enumerate(stored["texts"]) if words in number}
        self.shapes = list(stored["shapes"].values())
        self.real = [shape["real"].nonzero()[:, 0].numpy() for shape in self.shapes]
        self.made = [(~shape["real"]).nonzero()[:, 0].numpy() for shape in self.shapes]

    def draw(self, count: int, *, dropout: float, which: int | None = None, real: float = REAL) -> Batch:
        """Return views of one shape, number `which` or any, a share `real` of them of real pictures.

        A share `dropout` of the texts is that of no text, which names no tag.
        """
        which = int(self.rng.choice(len(self.shapes), p=SHAPE_WEIGHTS)) if which is None else which
        shape = self.shapes[which]
        pools = [self.real[which] if self.rng.random() < real else self.made[which] for _ in range(count)]
        chosen = [int(pool[self.rng.integers(len(pool))]) for pool in pools]
        texts, named = [], torch.zeros(count, len(self.tags))
        for row, label in enumerate(shape["labels"][chosen].tolist()):
            options = self.choices[label]
            text = self.empty if self.rng.random() < dropout else options[self.rng.integers(len(options))]
            texts.append(text)
            if text != self.empty:
                tags = [self.tag_of_text[text]] if text in self.tag_of_text else self.tags_of[label]
                named[row, tags] = 1 / len(tags)
        latents = shape["latents"][chosen].float() * self.scale
        return Batch(latents.contiguous(memory_format=torch.channels_last), self.embeddings[texts].float(), named)


def train(work: Path, *, steps: int, peak: float, seed: int) -> None:
    """Train for `steps` steps in all, resuming where the last run stopped."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator = torch.default_generator
    views = Views(work, rng)
    net = build()
    run = checkpoint.Run(work / "denoiser.pt", net, rng, steps=steps, peak=peak, decay=0.999)
    for _ in run:
        batch = views.draw(BATCH, dropout=DROPOUT)
        times = schedule.sample_times(BATCH, generator)
        noise = torch.randn(batch.latents.shape).contiguous(memory_format=torch.channels_last)
        alpha, sigma = schedule.alpha_sigma(times)
        with checkpoint.quick_forward():
            predicted = net(alpha * batch.latents + sigma * noise, times, batch.texts).sample
        run.descend(functional.mse_loss(predicted.float(), alpha * noise - sigma * batch.latents))


def load(work: Path, name: str = "denoiser.pt") -> torch.nn.Module:
    """Return the averaged denoiser of the last checkpoint, in evaluation mode."""
    state = checkpoint.load(work / name)
    if state is None:
        raise FileNotFoundError(f"no {name} in {work}: train it first")
    net = build()
    net.load_state_dict(state["average"])
    return net.eval().requires_grad_(False)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--peak", type=float, default=PEAK, help="learning rate; lower to go on from trained weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, steps=arguments.steps, peak=arguments.peak, seed=arguments.seed)


if __name__ == "__main__":
    main()
