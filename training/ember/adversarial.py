"""Bring the denoiser to one, two and four steps by training it against a critic, guidance included.

    python -m training.ember.adversarial --work DIR --perceptual DIR

From pure noise a denoiser paints in one step the mean of what a text names. `pairs` tell where its many steps lead from
there: their colours and layout anchor it, coarsely. A critic (`critic`) draws it towards what pictures with that text look
like, a namer (`namer`) towards what its tags look like. Where there is a picture beneath the noise, that one anchors it.
(Lin et al., "Diffusion Adversarial Post-Training", arXiv 2501.08316; Sauer et al., arXiv 2111.01007 and 2311.17042.)
Levels are continuous, so that any strength is met in training. Resumes from ``WORK/generator.pt``; what it began with stays in
``WORK/start.pt``, for `export` to go back to in part.
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
# a low momentum, for the two chase each other (Radford et al., arXiv 1511.06434)
BETAS = (0.5, 0.99)
# how many of a batch are painted from pure noise, as most of a clip is; how many are what it painted so, with noise on it
# again, as a second step meets them; the others are views with noise on them
WHOLE_WAY, AGAIN = 4, 8
# the levels that later steps begin at, in rectified flow's time
LATER = (0.4, 0.8)
# real pictures teach the critic more than scenes do
REAL = 0.7
# how much a wrong name counts beside a bad picture
NAMING = 0.5
# how strongly the anchor holds, against critic and namer
ANCHOR = 1.0
# side of the squares of latents whose means are colours and layout
COARSE = 4
# pseudo-Huber loss's corner (Song and Dhariwal, arXiv 2310.14189), per element
CORNER = 0.05


def off(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean pseudo-Huber distance of each row of two batches, [n]."""
    return ((a - b).square() + CORNER**2).sqrt().sub(CORNER).mean((1, 2, 3))


def balanced(push: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
    """Return the sum of two gradients [n, ...] on the scale of a unit: the first of length 1, the second of length `ANCHOR`."""
    return push / push.norm().clamp_min(1e-12) + ANCHOR * pull / pull.norm().clamp_min(1e-12)


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
        batch = views.draw(BATCH, dropout=0.0, which=which, real=REAL)
        chosen = rng.integers(0, len(led[which].noise), WHOLE_WAY + AGAIN)
        start = pairs.Pairs(*(column[chosen].float() for column in led[which]))
        texts = torch.cat([start.texts, batch.texts[len(chosen) :]])
        named = torch.cat([start.named, batch.named[len(chosen) :]])
        beneath = batch.latents[len(chosen) :]
        ratio = torch.rand(len(beneath)).pow(0.6).clamp_min(0.03)
        times = schedule.time_of(torch.cat([torch.ones(WHOLE_WAY), torch.empty(AGAIN).uniform_(*LATER), ratio]))
        first = start.noise[WHOLE_WAY:].contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), checkpoint.quick_forward():
            whole = schedule.time_of(torch.ones(AGAIN))
            before = schedule.clean(first, generator(first, whole, start.texts[WHOLE_WAY:]).sample.float(), whole)
        under = torch.cat([before, beneath])
        noisy = schedule.renoise(under, torch.randn(under.shape), times[WHOLE_WAY:])
        z = torch.cat([start.noise[:WHOLE_WAY], noisy]).contiguous(memory_format=torch.channels_last)
        near = rng.random() < critic.NEAR
        with torch.no_grad(), checkpoint.quick_forward():
            true = look(batch.latents, near)
            judge.learn_scale(true)
        with checkpoint.quick_forward():
            velocity = generator(z, times, texts).sample
        picture = schedule.clean(z, velocity.float(), times)

        # the pulls are taken on the picture itself, where they can be weighed against each other
        painted = picture.detach().requires_grad_()
        with checkpoint.quick_forward():
            maps = look(painted, near)
        wrong = -judge(maps, texts).mean() + NAMING * namer.misnaming(names(maps), named)
        (push,) = torch.autograd.grad(wrong, painted)
        # what is beneath little noise is known in its strokes too
        apart = off(coarse(painted), coarse(torch.cat([start.painted, beneath]))).mean()
        apart = apart + (off(painted[len(chosen) :], beneath) * (1 - ratio).square()).mean()
        (pull,) = torch.autograd.grad(apart, painted)
        # a loss with just this gradient; its value is what is printed
        towards = balanced(push, pull)
        run.descend((picture * towards).sum() + (apart - (painted * towards).sum()).detach())

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
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, arguments.perceptual, steps=arguments.steps, seed=arguments.seed)


if __name__ == "__main__":
    main()
