"""Adversarial training of the denoiser for one, two and four steps, with guidance built in.

    python -m training.ember.adversarial --work DIR --perceptual DIR

In one step from pure noise a denoiser paints the mean of all pictures of a text. `pairs` hold the results of many steps from the
same noise: their colours and layout are a coarse target. A critic (`critic`) pulls the result towards real pictures of the text, a
classifier of tags (`namer`) towards the text's tags. Where the noise was added to a picture, that picture is the target.
(Lin et al., "Diffusion Adversarial Post-Training", arXiv 2501.08316; Sauer et al., arXiv 2111.01007 and 2311.17042.)
Noise levels are continuous, so every strength occurs in training. Resumes from ``WORK/generator.pt``; the initial weights stay in
``WORK/start.pt``, which `export` can blend with the result.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from training.ember import autoencoder, checkpoint, critic, denoiser, efficientnet, namer, pairs, schedule, text

BATCH = 16
PEAK = 3e-4
CRITIC_PEAK = 1e-3
# a low momentum is stabler for two adversaries (Radford et al., arXiv 1511.06434)
BETAS = (0.5, 0.99)
# numbers of a batch: from pure noise, as most frames of a clip; then those results with noise added, the input of a second step;
# the others are views with noise added
FROM_NOISE, SECOND_STEP = 4, 8
# noise levels at which later steps start, in rectified flow's time
LATER_LEVELS = (0.4, 0.8)
# share of real pictures in the critic's training; the rest are scenes
REAL_SHARE = 0.7
# weight of the tag classifier's gradient relative to the critic's
NAMING_WEIGHT = 0.5
# weight of the target relative to critic and tag classifier
TARGET_WEIGHT = 1.0
# side of the squares of latents over which colours and layout are averaged
COARSE = 4
# corner of the pseudo-Huber loss (Song and Dhariwal, arXiv 2310.14189), per element
CORNER = 0.05


def huber(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean pseudo-Huber distance of each row of two batches, [n]."""
    return ((a - b).square() + CORNER**2).sqrt().sub(CORNER).mean((1, 2, 3))


def balanced(push: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
    """Return the sum of two gradients [n, ...] on the scale of a unit: the first of length 1, the second of length `TARGET_WEIGHT`."""
    return push / push.norm().clamp_min(1e-12) + TARGET_WEIGHT * pull / pull.norm().clamp_min(1e-12)


def coarse(latents: torch.Tensor) -> torch.Tensor:
    """Return colours and layout: the means over squares of `COARSE` latents."""
    return functional.avg_pool2d(latents, COARSE)


def train(work: Path, perceptual: Path, *, steps: int, seed: int) -> None:
    """Train for `steps` steps in all, resuming where the last run stopped."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    views = denoiser.Views(work, rng)
    generator = denoiser.build()
    generator.load_state_dict(denoiser.load(work).state_dict())
    judge = critic.Critic(text.WIDTH).eval()
    names = namer.load(work, len(views.tags))
    decoder, net = autoencoder.decoder_of(autoencoder.load(work)), efficientnet.load(perceptual, "lite0")
    run = checkpoint.Run(
        work / "generator.pt",
        generator,
        rng,
        steps=steps,
        peak=PEAK,
        decay=0.997,
        weight_decay=0.0,
        floor=0.1,
        betas=BETAS,
    )
    if run.step == 0:
        checkpoint.save(work / "start.pt", average=generator.state_dict())
    judging = checkpoint.Run(
        work / "critic.pt", judge, rng, steps=steps, peak=CRITIC_PEAK, decay=0.99, floor=0.1, betas=BETAS
    )
    led = pairs.load(work)

    def look(latents: torch.Tensor, near: bool) -> list[torch.Tensor]:
        part = critic.parts(latents, rng) if near else latents
        maps: list[torch.Tensor] = net(critic.windows(decoder(part / views.scale), rng))
        return maps

    for _ in zip(run, judging, strict=True):
        which = int(rng.choice(len(led), p=denoiser.SHAPE_WEIGHTS))
        batch = views.draw(BATCH, dropout=0.0, which=which, real=REAL_SHARE)
        indices = rng.integers(0, len(led[which].noise), FROM_NOISE + SECOND_STEP)
        start = pairs.Pairs(*(column[indices].float() for column in led[which]))
        texts = torch.cat([start.texts, batch.texts[len(indices) :]])
        named = torch.cat([start.named, batch.named[len(indices) :]])
        pictures = batch.latents[len(indices) :]
        ratio = torch.rand(len(pictures)).pow(0.6).clamp_min(0.03)
        times = schedule.time_of(
            torch.cat([torch.ones(FROM_NOISE), torch.empty(SECOND_STEP).uniform_(*LATER_LEVELS), ratio])
        )
        first = start.noise[FROM_NOISE:].contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), checkpoint.quick_forward():
            terminal = schedule.time_of(torch.ones(SECOND_STEP))
            before = schedule.predict_x0(
                first, generator(first, terminal, start.texts[FROM_NOISE:]).sample.float(), terminal
            )
        clean = torch.cat([before, pictures])
        noisy = schedule.renoise(clean, torch.randn(clean.shape), times[FROM_NOISE:])
        z = torch.cat([start.noise[:FROM_NOISE], noisy]).contiguous(memory_format=torch.channels_last)
        near = rng.random() < critic.PART_RATE
        with torch.no_grad(), checkpoint.quick_forward():
            true = look(batch.latents, near)
            judge.learn_scale(true)
        with checkpoint.quick_forward():
            velocity = generator(z, times, texts).sample
        picture = schedule.predict_x0(z, velocity.float(), times)

        # gradients are taken at the picture, where they can be balanced
        painted = picture.detach().requires_grad_()
        with checkpoint.quick_forward():
            maps = look(painted, near)
        wrong = -judge(maps, texts).mean() + NAMING_WEIGHT * namer.misnaming(names(maps), named)
        (push,) = torch.autograd.grad(wrong, painted)
        # with little noise the target is compared in detail too, not only coarsely
        apart = huber(coarse(painted), coarse(torch.cat([start.painted, pictures]))).mean()
        apart = apart + (huber(painted[len(indices) :], pictures) * (1 - ratio).square()).mean()
        (pull,) = torch.autograd.grad(apart, painted)
        # a loss with exactly this gradient; its value is only printed
        towards = balanced(push, pull)
        run.descend((picture * towards).sum() + (apart - (painted * towards).sum()).detach())

        fake = [one.detach() for one in maps]
        # the critic also learns to reject a real picture with another one's text
        right, made, misnamed = judge(true, batch.texts), judge(fake, texts), judge(true, batch.texts.roll(1, 0))
        hinge = functional.relu(1 - right).mean() + 0.75 * functional.relu(1 + made).mean()
        judging.descend(hinge + 0.25 * functional.relu(1 + misnamed).mean())


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with efficientnet-lite0.pth")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, arguments.perceptual, steps=arguments.steps, seed=arguments.seed)


if __name__ == "__main__":
    main()
