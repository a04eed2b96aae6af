"""Train ember's denoiser on latents: velocity prediction, classifier-free dropout, several shapes.

    python -m reactive.ember.train.denoiser --work DIR

Resumes from ``WORK/denoiser.pt``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional

from reactive.ember.train import checkpoint, schedule, text

CHANNELS = (32, 64, 112, 168)
NATIVE = (28, 48)
BATCH = 32
PEAK = 8e-4
DROPOUT = 0.12
# real pictures are at least half of what is seen
REAL = 0.5
# how often each shape is drawn: 16:9 is what most clips are
SHAPE_WEIGHTS = (0.7, 0.15, 0.15)


def build() -> UNet2DConditionModel:
    """Return the untrained denoiser: about 1 GFLOP at the latent of 256x256."""
    net = UNet2DConditionModel(
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
    return net.to(memory_format=torch.channels_last)


class Views:
    """Draws batches of scaled latents [n, 4, h, w] with text embeddings [n, 77, width] out of ``latents.pt``."""

    def __init__(self, work: Path, rng: np.random.Generator) -> None:
        stored: dict[str, Any] = torch.load(work / "latents.pt", weights_only=True)
        self.rng = rng
        self.scale = float(stored["scale"])
        self.embeddings: torch.Tensor = stored["embeddings"]
        self.choices: list[list[int]] = stored["choices"]
        self.empty = int(stored["empty"])
        self.shapes = list(stored["shapes"].values())
        self.real = [shape["real"].nonzero()[:, 0].numpy() for shape in self.shapes]
        self.made = [(~shape["real"]).nonzero()[:, 0].numpy() for shape in self.shapes]

    def draw(self, count: int, *, dropout: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return latents and embeddings of one shape; a share `dropout` of the embeddings is that of no text."""
        which = int(self.rng.choice(len(self.shapes), p=SHAPE_WEIGHTS))
        shape = self.shapes[which]
        pools = [self.real[which] if self.rng.random() < REAL else self.made[which] for _ in range(count)]
        chosen = [int(pool[self.rng.integers(len(pool))]) for pool in pools]
        texts = []
        for label in shape["labels"][chosen].tolist():
            options = self.choices[label]
            texts.append(self.empty if self.rng.random() < dropout else options[self.rng.integers(len(options))])
        latents = shape["latents"][chosen].float() * self.scale
        return latents.contiguous(memory_format=torch.channels_last), self.embeddings[texts].float()


def train(work: Path, *, steps: int, peak: float, seed: int) -> None:
    """Train for `steps` steps in all, resuming where the last run stopped."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator = torch.default_generator
    views = Views(work, rng)
    net = build()
    run = checkpoint.Run(work / "denoiser.pt", net, rng, steps=steps, peak=peak, decay=0.999)
    for _ in run:
        latents, embeddings = views.draw(BATCH, dropout=DROPOUT)
        times = schedule.sample_times(BATCH, generator)
        noise = torch.randn(latents.shape).contiguous(memory_format=torch.channels_last)
        alpha, sigma = schedule.alpha_sigma(times)
        with checkpoint.quick_forward():
            predicted = net(alpha * latents + sigma * noise, times, embeddings).sample
        run.descend(functional.mse_loss(predicted.float(), alpha * noise - sigma * latents))


def load(work: Path, name: str = "denoiser.pt") -> UNet2DConditionModel:
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
