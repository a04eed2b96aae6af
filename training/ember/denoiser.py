"""Train ember's denoiser on latents: velocity prediction, classifier-free dropout, several shapes.

    python -m training.ember.denoiser --work DIR
    torchrun --nproc-per-node 2 -m training.ember.denoiser --work DIR --threads 1

The second form trains with two processes of one thread and half the batch each, which on a machine with other load is several
times as fast as two threads that wait for each other at every layer. Resumes from ``WORK/denoiser.pt``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from training.ember import checkpoint, schedule, text

CHANNELS = (64, 128, 192, 256)
# the latent's width; diffusers' image-to-image pipeline requires one number
NATIVE = 48
# views a step, over all processes; 64 gives 1.7 times the views a second of 32 (weights are converted and averaged once a step)
BATCH = 64
PEAK = 6e-4
DROPOUT = 0.12
# minimum share of real pictures in a batch; the rest are scenes
MIN_REAL_SHARE = 0.8
# probability of each shape: most clips are 16:9
SHAPE_WEIGHTS = (0.8, 0.1, 0.1)
# seconds between two checkpoints
SAVE_EVERY = 240
# signal-to-noise ratio from which on the weight of a step is limited (Hang et al., arXiv 2303.09556)
GAMMA = 5.0
# number of texts whose embeddings are cached, 30 kB each
CACHED_TEXTS = 12_000


def build() -> torch.nn.Module:
    """Return the untrained denoiser: 4.1 GFLOP at the latent of 384x224."""
    # diffusers' types lead to its placeholders for a machine without torch
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
    """Scaled latents [n, 4, h, w], the embeddings of their texts [n, 77, width], and their tags as shares [n, t]."""

    latents: torch.Tensor
    texts: torch.Tensor
    named: torch.Tensor


class Views:
    """Draws batches from ``latents.pt``; texts are embedded when they are drawn."""

    def __init__(self, work: Path, rng: np.random.Generator) -> None:
        stored: dict[str, Any] = torch.load(work / "latents.pt", weights_only=True)
        self.rng = rng
        self.scale = float(stored["scale"])
        self.tokenizer, self.encoder = text.load(work)
        self.remembered: dict[str, torch.Tensor] = {}
        self.shapes = list(stored["shapes"].values())
        self.tags = sorted({tag for shape in self.shapes for tags in shape["tags"] for tag in tags})
        self.number = {tag: i for i, tag in enumerate(self.tags)}
        self.real = [shape["real"].nonzero()[:, 0].numpy() for shape in self.shapes]
        self.made = [(~shape["real"]).nonzero()[:, 0].numpy() for shape in self.shapes]

    def embed(self, texts: list[str]) -> torch.Tensor:
        """Return the embeddings of texts, float32 [n, 77, width]."""
        if missing := sorted(set(texts) - self.remembered.keys()):
            if len(self.remembered) + len(missing) > CACHED_TEXTS:
                self.remembered.clear()
                missing = sorted(set(texts))
            found = text.embed(self.tokenizer, self.encoder, missing).half()
            self.remembered |= dict(zip(missing, found.clone(), strict=True))
        return torch.stack([self.remembered[one] for one in texts]).float()

    def draw(self, count: int, *, dropout: float, which: int | None = None, real: float = MIN_REAL_SHARE) -> Batch:
        """Return views of one shape (number `which`, default random), a share `real` of them of real pictures.

        A share `dropout` of the texts is empty, which has no tag.
        """
        which = int(self.rng.choice(len(self.shapes), p=SHAPE_WEIGHTS)) if which is None else which
        shape = self.shapes[which]
        pools = [self.real[which] if self.rng.random() < real else self.made[which] for _ in range(count)]
        indices = [int(pool[self.rng.integers(len(pool))]) for pool in pools]
        texts, named = [], torch.zeros(count, len(self.tags))
        for row, view in enumerate(indices):
            options = shape["texts"][view]
            words = "" if self.rng.random() < dropout else options[self.rng.integers(len(options))]
            texts.append(words)
            if words:
                # a text that is a single tag counts as this tag only
                tags = [words] if words in self.number else shape["tags"][view]
                named[row, [self.number[tag] for tag in tags]] = 1 / len(tags)
        latents = shape["latents"][indices].float() * self.scale
        return Batch(latents.contiguous(memory_format=torch.channels_last), self.embed(texts), named)


def weights(times: torch.Tensor) -> torch.Tensor:
    """Return the weight of the velocity's error at each time, [n]: 1 where noise prevails, less where little is left."""
    alpha, sigma = schedule.alpha_sigma(times)
    # in terms of the picture's error, which is the velocity's over (1 + ratio), the weight is min(1 + ratio, GAMMA)
    ratio = (alpha / sigma.clamp_min(1e-4)).square().flatten()
    return (1 + ratio).clamp_max(GAMMA) / (1 + ratio)


def train(work: Path, *, steps: int, peak: float, seed: int) -> None:
    """Train for `steps` steps in all, resuming where the last run stopped."""
    rank, processes = checkpoint.join()
    torch.manual_seed(seed)
    net = build()
    # the same weights in each process, but other views
    torch.manual_seed(seed + rank)
    rng = np.random.default_rng(seed + rank)
    views = Views(work, rng)
    run = checkpoint.Run(
        work / "denoiser.pt", net, rng, steps=steps, peak=peak, decay=0.999, save_seconds=SAVE_EVERY, fresh=rank
    )
    for _ in run:
        batch = views.draw(BATCH // processes, dropout=DROPOUT)
        times = schedule.sample_times(BATCH // processes, torch.default_generator)
        noise = torch.randn(batch.latents.shape).contiguous(memory_format=torch.channels_last)
        alpha, sigma = schedule.alpha_sigma(times)
        with checkpoint.quick_forward():
            predicted = net(alpha * batch.latents + sigma * noise, times, batch.texts).sample
        wrong = (predicted.float() - (alpha * noise - sigma * batch.latents)).square().mean((1, 2, 3))
        run.descend((weights(times) * wrong).mean())


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
    parser.add_argument("--peak", type=float, default=PEAK, help="learning rate; use a lower one for trained weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, steps=arguments.steps, peak=arguments.peak, seed=arguments.seed)


if __name__ == "__main__":
    main()
