"""Paint pictures with the undistilled denoiser, many steps and guidance, and save each with its initial noise.

    python -m training.ember.pairs --work DIR

They are the target of one step from that noise, in colours and layout (Liu et al., "InstaFlow", arXiv 2309.06380).
Writes ``WORK/pairs.pt``; starts anew each time, since it takes only minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from training.ember import checkpoint, denoiser, schedule

BATCH = 16
STEPS = 12
GUIDANCE = 2.0


class Pairs(NamedTuple):
    """Noise and the pictures painted from it as scaled latents [n, 4, h, w], the texts' embeddings and their tags."""

    noise: torch.Tensor
    painted: torch.Tensor
    texts: torch.Tensor
    named: torch.Tensor


@torch.inference_mode()
def paint(net: torch.nn.Module, z: torch.Tensor, texts: torch.Tensor, empty: torch.Tensor) -> torch.Tensor:
    """Return the pictures, scaled latents [n, 4, h, w], that DDIM with classifier-free guidance paints from noise z."""
    ratios = torch.linspace(1, 0, STEPS + 1)
    both = torch.cat([texts, empty.expand_as(texts)])
    for ratio, later in zip(ratios[:-1], ratios[1:], strict=True):
        times = schedule.time_of(ratio.expand(len(z)))
        with checkpoint.quick_forward():
            led, free = net(torch.cat([z, z]), torch.cat([times, times]), both).sample.float().chunk(2)
        velocity = free + GUIDANCE * (led - free)
        alpha, sigma = schedule.alpha_sigma(times)
        x0, noise = alpha * z - sigma * velocity, sigma * z + alpha * velocity
        z = x0 if later == 0 else schedule.renoise(x0, noise, schedule.time_of(later.expand(len(z))))
    return z


def make(work: Path, *, count: int, seed: int) -> None:
    """Paint `count` pictures of each shape in proportion to how often it is drawn, and save."""
    generator = torch.Generator().manual_seed(seed)
    views = denoiser.Views(work, np.random.default_rng(seed))
    net = denoiser.load(work)
    empty = views.embed([""])
    kept = []
    for which, share in enumerate(denoiser.SHAPE_WEIGHTS):
        rows: list[Pairs] = []
        while BATCH * len(rows) < count * share:
            batch = views.draw(BATCH, dropout=0.0, which=which)
            noise = torch.randn(batch.latents.shape, generator=generator).contiguous(memory_format=torch.channels_last)
            painted = paint(net, noise, batch.texts, empty)
            rows.append(Pairs(noise.half(), painted.half(), batch.texts.half(), batch.named))
            print(f"pairs: {BATCH * len(rows)} of {count * share:.0f} of shape {which}", flush=True)
        kept.append(tuple(torch.cat(column) for column in zip(*rows, strict=True)))
    checkpoint.save(work / "pairs.pt", pairs=kept)


def load(work: Path) -> list[Pairs]:
    """Return the pairs of each shape."""
    state = checkpoint.load(work / "pairs.pt")
    if state is None:
        raise FileNotFoundError(f"no pairs.pt in {work}: make it first")
    return [Pairs(*columns) for columns in state["pairs"]]


def main() -> None:
    """Parse the command line and paint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    make(arguments.work, count=arguments.count, seed=arguments.seed)


if __name__ == "__main__":
    main()
