"""Judge a model from held-out pictures: the figures of ember's card.

    python -m training.ember.evaluate --pictures DIR --perceptual DIR [--model NAME] [--json OUT.json]

`--pictures` is what ``training.ember.gather`` gathers, `--perceptual` holds the weights of SqueezeNet, LPIPS and
EfficientNet-Lite1 (see ``squeezenet`` and ``efficientnet`` in ``training/ember``). Real pictures whose number is divisible
by 8 are held out from all training of the model. The tag classifier learns from real training pictures only, never from
anything a model painted, and sees by a net that no training of ember uses.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import linalg
from torch import nn
from torch.nn import functional

from reactive.diffusion.core import Core, FrameRequest, from_bytes
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import Model, default_batch, load_model
from reactive.diffusion.sampling.noise import NoisePath
from training.ember import data, efficientnet
from training.ember.autoencoder import psnr
from training.ember.squeezenet import Lpips, load_lpips

TAGS = 20
SEEDS = 50
# of fewer training pictures than these nobody learns a tag
ENOUGH = 7
# side of the squares that SqueezeNet and the classifier see, the same for real and painted pictures
SEEN = 160
NAMED_AT = 224
VIEWS = 16
# a slow walk: one unit of the walk, after which nothing is left of a picture, in so many seconds
WALK_SECONDS = 8


@dataclass(frozen=True)
class Real:
    """Real pictures as a judge sees them: features [n, f], tags [n, t] of 0 and 1, pictures [n, 3, s, s]."""

    features: torch.Tensor
    tags: torch.Tensor
    pictures: torch.Tensor


@torch.inference_mode()
def features_of(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return float32 [n, f]: mean and deviation over the picture of the two last feature maps of a net."""
    parts = []
    for batch in torch.split(pictures, 16):
        maps = net(batch)[-2:]
        parts.append(torch.cat([m.mean((2, 3)) for m in maps] + [m.std((2, 3)) for m in maps], dim=1))
    return torch.cat(parts)


def seen(pictures: torch.Tensor, size: int = SEEN) -> torch.Tensor:
    """Return the centred squares of pictures [n, 3, h, w] at the size that a judge sees."""
    height, width = pictures.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pictures[:, :, top : top + side, left : left + side]
    return functional.interpolate(square, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def tags_to_ask(learned: list[data.Captioned], held_out: list[data.Captioned], count: int = TAGS) -> list[str]:
    """Return the tags that tell pictures apart best: of those seen often enough, those that share fewest pictures.

    Where one picture carries five of the tags asked, four of five right answers count as wrong. So the tag which shares
    most pictures with the others is left out until `count` are left. Looks at nothing but the tags.
    """
    known = {tag for item in held_out for tag in item.tags}
    tags = sorted({tag for item in learned for tag in item.tags} & known)
    carried = np.array([[tag in item.tags for tag in tags] for item in learned], float)
    often = carried.sum(0) >= ENOUGH
    left = [tag for tag, enough in zip(tags, often, strict=True) if enough]
    carried = carried[:, often]
    shared = carried.T @ carried
    share = shared / shared.diagonal()
    overlap = share + share.T
    np.fill_diagonal(overlap, 0.0)
    while len(left) > count:
        worst = int(overlap.sum(1).argmax())
        overlap = np.delete(np.delete(overlap, worst, 0), worst, 1)
        del left[worst]
    return left


def real_pictures(
    net: nn.Module, items: list[data.Captioned], tags: list[str], *, size: int, views: int, rng: np.random.Generator
) -> Real:
    """Return crops of real pictures (one centred crop each if `views` is 1) with their tags."""
    pictures, labels = [], []
    for item in items:
        for _ in range(views):
            if views == 1:
                pictures.append(data.centre_crop(item.picture, width=size, height=size))
            else:
                pictures.append(data.random_crop(item.picture, rng, width=size, height=size, zoom=1.6))
            labels.append([float(tag in item.tags) for tag in tags])
    tensors = data.to_tensor(pictures)
    return Real(features_of(net, tensors), torch.tensor(labels), tensors)


class TagClassifier:
    """One linear score a tag on standardised features, learnt from real pictures; scores are free of the tags' priors."""

    def __init__(self, real: Real, *, decay: float = 0.02, steps: int = 300) -> None:
        self.mean, self.std = real.features.mean(0), real.features.std(0).clamp_min(1e-6)
        self.weight = torch.zeros(real.features.shape[1], real.tags.shape[1], requires_grad=True)
        self.bias = torch.zeros(real.tags.shape[1], requires_grad=True)
        share = real.tags.mean(0)
        # every tag's pictures weigh as much as those without it
        weights = torch.where(real.tags > 0, 0.5 / share, 0.5 / (1 - share))
        optimiser = torch.optim.Adam([self.weight, self.bias], lr=0.01)
        x = (real.features - self.mean) / self.std
        for _ in range(steps):
            loss = functional.binary_cross_entropy_with_logits(x @ self.weight + self.bias, real.tags, weight=weights)
            loss = loss + decay * self.weight.square().sum(0).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Return a score for each tag, [n, t]."""
        with torch.inference_mode():
            return (features - self.mean) / self.std @ self.weight + self.bias


def frechet(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the Fréchet distance of two sets of features [n, f] (Heusel et al., arXiv 1706.08500)."""
    mean_a, mean_b = a.double().mean(0).numpy(), b.double().mean(0).numpy()
    cov_a, cov_b = np.cov(a.double().numpy(), rowvar=False), np.cov(b.double().numpy(), rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b)
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root.real))


def paint(model: Model, prompts: list[str], *, seeds: int, first_seed: int = 1000) -> torch.Tensor:
    """Return pictures at the model's native size, uint8 [prompts, seeds, 3, h, w]: pure noise, strength 1."""
    width, height = model.native_size
    core = Core(
        model, PromptBank(model, prompts), batch=default_batch("cpu", width, height), width=width, height=height
    )
    path = NoisePath(model.channels, height // model.vae_scale_factor, width // model.vae_scale_factor, 4)
    jobs = [(prompt, first_seed + seed) for prompt in range(len(prompts)) for seed in range(seeds)]
    painted = []
    for first in range(0, len(jobs), core.batch):
        requests = [
            FrameRequest(p, p, 0.0, 1.0, tuple(path.at(s + 100_000 * i, 0.0) for i in range(core.noises_per_picture)))
            for p, s in jobs[first : first + core.batch]
        ]
        painted.append(core.imagine(requests))
    return torch.cat(painted).view(len(prompts), seeds, 3, height, width)


@torch.inference_mode()
def spread(lpips: Lpips, pictures: torch.Tensor, rng: np.random.Generator, *, pairs: int = 60) -> float:
    """Return the mean LPIPS between random pairs of different pictures [n, 3, s, s]."""
    count = len(pictures)
    if count < 2:
        return float("nan")
    first = rng.integers(0, count, pairs)
    second = (first + rng.integers(1, count, pairs)) % count
    return float(lpips(pictures[torch.from_numpy(first)], pictures[torch.from_numpy(second)]).mean())


@torch.inference_mode()
def nearest(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return for each row of features a [n, f] the cosine distance to its nearest row of b."""
    return 1 - (functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T).max(1).values


@torch.inference_mode()
def walk_smoothness(model: Model, lpips: Lpips, prompt: str, *, frames: int = 96) -> tuple[float, float]:
    """Return the mean LPIPS between neighbouring frames of a slow walk at 24 frames/s, and the largest over the median."""
    width, height = model.native_size
    core = Core(
        model, PromptBank(model, [prompt]), batch=default_batch("cpu", width, height), width=width, height=height
    )
    path = NoisePath(model.channels, height // model.vae_scale_factor, width // model.vae_scale_factor, 16)
    pictures = []
    for first in range(0, frames, core.batch):
        requests = [
            FrameRequest(
                0, 0, 0.0, 1.0, tuple(path.at(7 + i, frame / 24 / WALK_SECONDS) for i in range(core.noises_per_picture))
            )
            for frame in range(first, min(first + core.batch, frames))
        ]
        pictures.append(seen(from_bytes(core.imagine(requests))))
    whole = torch.cat(pictures)
    change = torch.cat(
        [lpips(a, b) for a, b in zip(torch.split(whole[:-1], 16), torch.split(whole[1:], 16), strict=True)]
    )
    return float(change.mean()), float(change.max() / change.median())


@torch.inference_mode()
def reconstruction(model: Model, lpips: Lpips, items: list[data.Captioned]) -> tuple[float, float]:
    """Return mean PSNR in dB and mean LPIPS of the autoencoder on pictures at 256x256."""
    pictures = data.to_tensor([data.centre_crop(item.picture, width=256, height=256) for item in items])
    decoded = torch.cat([model.decode(model.encode(part)).clamp(-1, 1) for part in torch.split(pictures, 8)])
    distances = [lpips(a, b) for a, b in zip(torch.split(decoded, 8), torch.split(pictures, 8), strict=True)]
    return float(psnr(decoded, pictures).mean()), float(torch.cat(distances).mean())


@torch.inference_mode()
def pace(model: Model) -> dict[str, float]:
    """Return pictures a second of denoiser and decoder together, of decoder and of encoder, at the native size."""
    width, height = model.native_size
    batch = default_batch("cpu", width, height)
    shape = (batch, model.channels, height // model.vae_scale_factor, width // model.vae_scale_factor)
    z = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    pictures = torch.rand(batch, 3, height, width).contiguous(memory_format=torch.channels_last)
    embeddings = PromptBank(model, ["a sea at night"]).mix(np.zeros(batch, int), np.zeros(batch, int), np.zeros(batch))
    tau = torch.full((batch,), float(model.schedule.steps))
    runs: dict[str, Callable[[], torch.Tensor]] = {
        "frames_per_s": lambda: model.decode(model.predict_x0(z, tau, embeddings)),
        "decodes_per_s": lambda: model.decode(z),
        "encodes_per_s": lambda: model.encode(pictures),
    }
    fastest: dict[str, float] = dict.fromkeys(runs, 0.0)
    for round_ in range(12):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if round_ > 1:
                fastest[name] = max(fastest[name], batch / (time.perf_counter() - began))
    return fastest


def evaluate(name: str, pictures: Path, perceptual: Path, *, step_counts: tuple[int, ...]) -> dict[str, object]:
    """Return every figure of the model's card."""
    rng = np.random.default_rng(0)
    lpips = load_lpips(perceptual)
    learned, held_out = data.load(pictures, held_out=False), data.load(pictures, held_out=True)
    model = load_model(name)
    decibel, distance = reconstruction(model, lpips, held_out)
    figures: dict[str, object] = {"psnr_db": decibel, "lpips": distance}

    tags = tags_to_ask(learned, held_out)
    net = efficientnet.load(perceptual, "lite1")
    classifier = TagClassifier(real_pictures(net, learned, tags, size=NAMED_AT, views=VIEWS, rng=rng))
    judged = real_pictures(net, held_out, tags, size=NAMED_AT, views=1, rng=rng)
    # a real picture carries several tags: right is whoever names one of them first
    known = judged.tags.sum(1) > 0
    guess = classifier.scores(judged.features).argmax(1)
    hits = judged.tags.gather(1, guess[:, None])[:, 0][known]
    # as strictly as what is painted: of the real pictures with a tag, those for which just this tag is named first
    asked = [float((guess[judged.tags[:, i] > 0] == i).float().mean()) for i in range(len(tags))]

    plain = real_pictures(lpips.features, learned, tags, size=SEEN, views=1, rng=rng)
    unseen = real_pictures(lpips.features, held_out, tags, size=SEEN, views=1, rng=rng)
    figures |= {
        "tags": tags,
        "classifier_accuracy_real": float(hits.mean()),
        "classifier_fidelity_real": float(np.mean(asked)),
        "classifier_chance_real": float(judged.tags[known].mean()),
        "frechet_real_against_real": frechet(plain.features, unseen.features),
        "nearest_real": float(nearest(unseen.features, plain.features).median()),
    }
    real_spread = {
        tag: spread(
            lpips, torch.cat([plain.pictures[plain.tags[:, i] > 0], unseen.pictures[unseen.tags[:, i] > 0]]), rng
        )
        for i, tag in enumerate(tags)
    }
    for steps in step_counts:
        painted = paint(load_model(name, steps=steps), tags, seeds=SEEDS)
        parts = [from_bytes(part) for part in torch.split(painted.flatten(0, 1), 16)]
        found = torch.cat([features_of(net, seen(part, NAMED_AT)) for part in parts])
        named = classifier.scores(found).argmax(1).view(len(tags), SEEDS)
        right = (named == torch.arange(len(tags))[:, None]).float().mean(1)
        small = torch.cat([seen(part) for part in parts])
        ratios = [
            spread(lpips, some, rng) / real_spread[tag]
            for some, tag in zip(torch.split(small, SEEDS), tags, strict=True)
        ]
        found = features_of(lpips.features, small)
        closest = nearest(found, plain.features)
        figures[f"steps_{steps}"] = {
            "fidelity": float(right.mean()),
            "fidelity_by_tag": {tag: round(float(value), 2) for tag, value in zip(tags, right, strict=True)},
            "frechet": frechet(found, unseen.features),
            "diversity_of_real": float(np.mean(ratios)),
            "nearest_median": float(closest.median()),
            "nearest_smallest": float(closest.min()),
        }
    change, jump = walk_smoothness(model, lpips, "a mountain under clouds")
    return figures | {"walk_lpips": change, "walk_jump": jump} | pace(model)


def main() -> None:
    """Parse the command line, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder with the manifest's pictures")
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with the nets that judge")
    parser.add_argument("--model", default="ember", help="a model's name or folder")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4], help="step counts to judge")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = evaluate(arguments.model, arguments.pictures, arguments.perceptual, step_counts=tuple(arguments.steps))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, value in figures.items():
        for key, one in value.items() if isinstance(value, dict) else [("", value)]:
            text = f"{one:.3f}" if isinstance(one, float) else str(one)
            print(f"{f'{name} {key}'.strip():<36} {text}")


if __name__ == "__main__":
    main()
