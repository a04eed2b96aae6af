"""Distil the denoiser to one, two and four steps, guidance included.

    python -m reactive.ember.train.distillation --work DIR --perceptual DIR

Three forces. Consistency distillation (Song et al., arXiv 2303.01469; Luo et al., arXiv 2310.04378): the student's picture
at one noise level is drawn towards its own average's picture a little further along the teacher's guided path; by
itself that gives the right picture, blurred. A critic (`critic`) draws it towards what pictures with that text look
like, and a namer (`namer`) towards what its tags look like. Levels are continuous, so that any strength is met in training.
Resumes from ``WORK/student.pt``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from reactive.ember.train import autoencoder, checkpoint, critic, denoiser, efficientnet, namer, schedule

BATCH = 16
PEAK = 2e-4
CRITIC_PEAK = 2e-3
GUIDANCE = 3.0
# one hop along the teacher's path, in rectified flow's time
HOP = 1 / 8
# pseudo-Huber loss's corner (Song and Dhariwal, arXiv 2310.14189), per element
CORNER = 0.05
# how strongly critic and namer pull, against consistency's pull on the same pictures
CRITIC_PULL = 2.0
# how much a wrong name counts beside a bad picture
NAMING = 0.5
# how often the whole way from pure noise is asked for, which is what most clips are made of
WHOLE_WAY = 0.4


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


def draw_ratios(count: int) -> torch.Tensor:
    """Draw where hops start, in rectified flow's time; the noisier third more often, pure noise most often."""
    ratio = torch.rand(count) ** 0.6
    return torch.where(torch.rand(count) < WHOLE_WAY, torch.ones(count), ratio).clamp_min(0.03)


def balanced(pull: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the sum of two gradients [n, ...], the second brought to `CRITIC_PULL` times the first's length."""
    return pull + other * (CRITIC_PULL * pull.norm() / other.norm().clamp_min(1e-12))


def train(work: Path, perceptual: Path, *, steps: int, seed: int) -> None:
    """Distil for `steps` steps in all, resuming where the last run stopped."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    views = denoiser.Views(work, rng)
    teacher = denoiser.load(work)
    student = denoiser.build()
    student.load_state_dict(teacher.state_dict())
    target = denoiser.build().requires_grad_(False)
    judge = critic.Critic(views.embeddings.shape[-1]).eval()
    names = namer.load(work, len(views.tags))
    decoder, net = autoencoder.load(work).decoder, efficientnet.load(perceptual, "lite0")
    run = checkpoint.Run(
        work / "student.pt", student, rng, steps=steps, peak=PEAK, decay=0.995, weight_decay=0.0, floor=0.1
    )
    judging = checkpoint.Run(
        work / "critic.pt", judge, rng, steps=steps, peak=CRITIC_PEAK, decay=0.99, weight_decay=0.01, floor=0.1
    )
    empty = views.embeddings[views.empty].float().expand(BATCH, -1, -1)

    def look(latents: torch.Tensor) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = net(critic.windows(decoder(latents / views.scale), rng))
        return maps

    for _ in zip(run, judging, strict=True):
        batch = views.draw(BATCH, dropout=0.0)
        texts = batch.texts
        ratio = draw_ratios(BATCH)
        times = schedule.time_of(ratio)
        noise = torch.randn(batch.latents.shape).contiguous(memory_format=torch.channels_last)
        z = schedule.renoise(batch.latents, noise, times)
        with torch.no_grad(), checkpoint.quick_forward():
            moved, later = hop(teacher, z, texts, empty, ratio)
            target.load_state_dict(run.average.shadow)
            aim = schedule.clean(moved, target(moved, later, texts).sample.float(), later)
            true = look(batch.latents)
            judge.learn_scale(true)
        with checkpoint.quick_forward():
            velocity = student(z, times, texts).sample
        picture = schedule.clean(z, velocity.float(), times)

        # both pulls are taken on the picture itself, where they can be weighed against each other
        painted = picture.detach().requires_grad_()
        with checkpoint.quick_forward():
            maps = look(painted)
        wrong = -judge(maps, texts).mean() + NAMING * namer.misnaming(names(maps), batch.named)
        (push,) = torch.autograd.grad(wrong, painted)
        apart = ((painted - aim).square() + CORNER**2).sqrt().sub(CORNER).mean()
        (pull,) = torch.autograd.grad(apart, painted)
        towards = balanced(pull, push)
        # a loss with just this gradient; its value is what is printed
        run.descend((picture * towards).sum() + (apart - (painted * towards).sum()).detach())

        fake = [one.detach() for one in maps]
        # a real picture under another one's text is wrong too
        right, made, misnamed = judge(true, texts), judge(fake, texts), judge(true, texts.roll(1, 0))
        hinge = functional.relu(1 - right).mean() + 0.75 * functional.relu(1 + made).mean()
        judging.descend(hinge + 0.25 * functional.relu(1 + misnamed).mean())


def main() -> None:
    """Parse the command line and distil."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with efficientnet-lite0.pth")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, arguments.perceptual, steps=arguments.steps, seed=arguments.seed)


if __name__ == "__main__":
    main()
