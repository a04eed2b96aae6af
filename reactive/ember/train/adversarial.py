"""Bring the denoiser to one, two and four steps by training it against a critic, guidance included.

    python -m reactive.ember.train.adversarial --work DIR --perceptual DIR

From pure noise a denoiser can only paint the mean of what a text names. A critic (`critic`) draws its one step towards
what pictures with that text look like, a namer (`namer`) towards what its tags look like, and pictures of one text are
kept apart. From a picture with noise on it, what was there anchors it. No teacher: where it blurs, its pupil would.
(Lin et al., "Diffusion Adversarial Post-Training", arXiv 2501.08316; Sauer et al., arXiv 2111.01007 and 2311.17042.)
Levels are continuous, so that any strength is met in training. Resumes from ``WORK/generator.pt``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from reactive.ember.train import autoencoder, checkpoint, critic, denoiser, efficientnet, namer, schedule

BATCH = 16
PEAK = 3e-4
CRITIC_PEAK = 2e-3
# a low momentum, for the two chase each other (Radford et al., arXiv 1511.06434)
BETAS = (0.5, 0.99)
# how much a wrong name counts beside a bad picture, and pictures of one text that are too alike
NAMING = 0.5
SPREAD = 2.0
# how far apart two pictures of one text are to be, against real ones of different texts
APART = 0.7
# how strongly the picture beneath the noise holds, against critic and namer
ANCHOR = 0.7
# pseudo-Huber loss's corner (Song and Dhariwal, arXiv 2310.14189), per element
CORNER = 0.05


def draw_ratios(count: int) -> torch.Tensor:
    """Draw noise levels in rectified flow's time: the first half pure noise, the others anything, noisy ones more often."""
    ratio = torch.rand(count).pow(0.6).clamp_min(0.03)
    ratio[: count // 2] = 1.0
    return ratio


def twins(rows: torch.Tensor) -> torch.Tensor:
    """Return a batch [n, ...] whose second quarter repeats the first."""
    quarter = len(rows) // 4
    return torch.cat([rows[:quarter], rows[:quarter], rows[2 * quarter :]])


def alike(maps: list[torch.Tensor], quarter: int) -> torch.Tensor:
    """Return the distance between first and second quarter of the maps of a batch, place by place, float32 [quarter]."""
    apart = [
        (functional.normalize(x[:quarter].float(), dim=1) - functional.normalize(x[quarter : 2 * quarter].float(), dim=1))
        .square().sum(1).mean((1, 2))
        for x in maps
    ]  # fmt: skip
    return torch.stack(apart).mean(0)


def train(work: Path, perceptual: Path, *, steps: int, seed: int) -> None:
    """Train for `steps` steps in all, resuming where the last run stopped."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    views = denoiser.Views(work, rng)
    generator = denoiser.build()
    generator.load_state_dict(denoiser.load(work).state_dict())
    judge = critic.Critic(views.embeddings.shape[-1]).eval()
    names = namer.load(work, len(views.tags))
    decoder, net = autoencoder.load(work).decoder, efficientnet.load(perceptual, "lite0")
    run = checkpoint.Run(
        work / "generator.pt", generator, rng,
        steps=steps, peak=PEAK, decay=0.997, weight_decay=0.0, floor=0.1, betas=BETAS,
    )  # fmt: skip
    judging = checkpoint.Run(
        work / "critic.pt", judge, rng,
        steps=steps, peak=CRITIC_PEAK, decay=0.99, floor=0.1, betas=BETAS,
    )  # fmt: skip
    quarter = BATCH // 4

    for _ in zip(run, judging, strict=True):
        batch = views.draw(BATCH, dropout=0.0)
        near = rng.random() < critic.NEAR

        def look(latents: torch.Tensor, near: bool = near) -> list[torch.Tensor]:
            part = critic.parts(latents, rng) if near else latents
            maps: list[torch.Tensor] = net(critic.windows(decoder(part / views.scale), rng))
            return maps

        ratio = draw_ratios(BATCH)
        times = schedule.time_of(ratio)
        noise = torch.randn(batch.latents.shape).contiguous(memory_format=torch.channels_last)
        z = schedule.renoise(batch.latents, noise, times)
        texts, named = twins(batch.texts), twins(batch.named)
        with torch.no_grad(), checkpoint.quick_forward():
            true = look(batch.latents)
            judge.learn_scale(true)
        with checkpoint.quick_forward():
            velocity = generator(z, times, texts).sample
        picture = schedule.clean(z, velocity.float(), times)

        # the pulls are taken on the picture itself, where they can be weighed against each other
        painted = picture.detach().requires_grad_()
        with checkpoint.quick_forward():
            maps = look(painted)
        wanted = APART * alike(true, quarter).mean()
        wrong = (
            -judge(maps, texts).mean()
            + NAMING * namer.misnaming(names(maps), named)
            + SPREAD * functional.relu(1 - alike(maps, quarter) / wanted).mean()
        )
        (push,) = torch.autograd.grad(wrong, painted)
        off = ((painted - batch.latents).square() + CORNER**2).sqrt().sub(CORNER)[ratio < 1].mean()
        (pull,) = torch.autograd.grad(off, painted)
        towards = push / push.norm().clamp_min(1e-12) + ANCHOR * pull / pull.norm().clamp_min(1e-12)
        # a loss with just this gradient; its value is what is printed
        run.descend((picture * towards).sum() + (wrong - (painted * towards).sum()).detach())

        fake = [one.detach() for one in maps]
        # a real picture under another one's text is wrong too
        right, made, misnamed = judge(true, batch.texts), judge(fake, texts), judge(true, batch.texts.roll(1, 0))
        hinge = functional.relu(1 - right).mean() + 0.75 * functional.relu(1 + made).mean()
        judging.descend(hinge + 0.25 * functional.relu(1 + misnamed).mean())


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with efficientnet-lite0.pth")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, arguments.perceptual, steps=arguments.steps, seed=arguments.seed)


if __name__ == "__main__":
    main()
