"""Distil the denoiser to one, two and four steps, guidance included.

    python -m reactive.ember.train.distillation --work DIR

Consistency distillation (Song et al., arXiv 2303.01469; Luo et al., arXiv 2310.04378): the student's picture at one
noise level is drawn towards its own average's picture a little further along the teacher's guided path. Levels are
continuous, so that any strength is met in training. Resumes from ``WORK/student.pt``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from reactive.ember.train import checkpoint, denoiser, schedule

BATCH = 16
PEAK = 2e-4
GUIDANCE = 2.5
# one hop along the teacher's path, in rectified flow's time
HOP = 1 / 8
# pseudo-Huber loss's corner (Song and Dhariwal, arXiv 2310.14189), per element
CORNER = 0.05


def hop(
    teacher: torch.nn.Module, z: torch.Tensor, texts: torch.Tensor, empty: torch.Tensor, ratio: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move z one guided DDIM step along the teacher's path; return the new z and its times."""
    times = schedule.time_of(ratio)
    both = teacher(torch.cat([z, z]), torch.cat([times, times]), torch.cat([texts, empty])).sample.float()
    led, free = both.chunk(2)
    velocity = free + GUIDANCE * (led - free)
    alpha, sigma = schedule.alpha_sigma(times)
    x0 = alpha * z - sigma * velocity
    noise = sigma * z + alpha * velocity
    later = schedule.time_of((ratio - HOP).clamp_min(0))
    return schedule.renoise(x0, noise, later), later


def train(work: Path, *, steps: int, seed: int) -> None:
    """Distil for `steps` steps in all, resuming where the last run stopped."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    views = denoiser.Views(work, rng)
    teacher = denoiser.load(work)
    student = denoiser.build()
    student.load_state_dict(teacher.state_dict())
    target = denoiser.build().requires_grad_(False)
    run = checkpoint.Run(
        work / "student.pt",
        student,
        rng,
        steps=steps,
        peak=PEAK,
        decay=0.99,
        weight_decay=0.0,
        floor=0.1,
        save_every=100,
    )
    empty = views.embeddings[views.empty].float().expand(BATCH, -1, -1)
    for _ in run:
        latents, texts = views.draw(BATCH, dropout=0.0)
        # half of the hops start in the noisiest third, which decides the one-step picture
        ratio = torch.rand(BATCH) ** 0.6
        ratio = torch.where(torch.rand(BATCH) < 0.15, torch.ones(BATCH), ratio).clamp_min(0.03)
        times = schedule.time_of(ratio)
        noise = torch.randn(latents.shape).contiguous(memory_format=torch.channels_last)
        z = schedule.renoise(latents, noise, times)
        with torch.no_grad(), checkpoint.quick_forward():
            moved, later = hop(teacher, z, texts, empty, ratio)
            target.load_state_dict(run.average.shadow)
            aim = schedule.clean(moved, target(moved, later, texts).sample.float(), later)
        with checkpoint.quick_forward():
            velocity = student(z, times, texts).sample
        picture = schedule.clean(z, velocity.float(), times)
        run.descend(((picture - aim).square() + CORNER**2).sqrt().sub(CORNER).mean())


def main() -> None:
    """Parse the command line and distil."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, steps=arguments.steps, seed=arguments.seed)


if __name__ == "__main__":
    main()
