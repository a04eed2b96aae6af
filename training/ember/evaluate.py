"""Evaluate models on held-out pictures: the figures of ember's model card.

    python -m training.ember.evaluate --pictures DIR --perceptual DIR [--model NAME ...] [--json OUT.json]

`--pictures` is the output of ``training.ember.gather``, `--perceptual` holds the weights of SqueezeNet, LPIPS and
EfficientNet-Lite1 (see ``squeezenet`` and ``efficientnet`` in ``training/ember``). Only held-out pictures are used (see
``data``). Several models give one table, with the same pictures, prompts and seeds for each. The tag classifier is trained on
real training pictures only, with a network that ember's training does not use.
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
from training.ember import composed, data, efficientnet, fidelity
from training.ember.autoencoder import psnr
from training.ember.squeezenet import Lpips, load_lpips

TAGS = 20
SEEDS = 50
# minimum number of training pictures of a tag
MIN_PICTURES = 7
# side of the squares for SqueezeNet and for the classifier, the same for real and painted pictures
FEATURE_SIDE = 160
TAG_SIDE = 224
# crops of each training picture for the classifier
VIEWS = 5
# seconds in which a slow walk covers one unit, after which a picture is completely different
WALK_SECONDS = 8
# seeds of each prompt of colour fidelity
COLOUR_SEEDS = 6
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
# number of held-out pictures for image-to-image and composing
COMPARED = 32


@dataclass(frozen=True)
class Real:
    """Real pictures prepared for evaluation: features [n, f], tags [n, t] of 0 and 1, pictures [n, 3, s, s]."""

    features: torch.Tensor
    tags: torch.Tensor
    pictures: torch.Tensor


@torch.inference_mode()
def features_of(net: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return float32 [n, f]: spatial mean and deviation of the two last feature maps of a network."""
    parts = []
    for batch in torch.split(pictures, 16):
        maps = net(batch)[-2:]
        parts.append(torch.cat([m.mean((2, 3)) for m in maps] + [m.std((2, 3)) for m in maps], dim=1))
    return torch.cat(parts)


def centred_squares(pictures: torch.Tensor, size: int = FEATURE_SIDE) -> torch.Tensor:
    """Return the centred squares of pictures [n, 3, h, w], scaled to `size`."""
    height, width = pictures.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pictures[:, :, top : top + side, left : left + side]
    return functional.interpolate(square, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def tags_to_ask(learned: list[data.Captioned], held_out: list[data.Captioned], count: int = TAGS) -> list[str]:
    """Return the `count` tags that separate pictures best: frequent ones that share few pictures.

    If one picture had five of the tags, four of five right answers would count as wrong. So the tag that shares most pictures
    with the others is removed until `count` are left. Uses only the tags, not the pictures.
    """
    known = {tag for item in held_out for tag in item.tags}
    tags = sorted({tag for item in learned for tag in item.tags} & known)
    carried = np.array([[tag in item.tags for tag in tags] for item in learned], float)
    often = carried.sum(0) >= MIN_PICTURES
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
    """Return crops of real pictures (one centred crop each if `views` is 1) and their tags."""
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
    """One linear score a tag on standardised features, trained on real pictures; scores do not contain the tags' priors."""

    def __init__(self, real: Real, *, decay: float = 0.02, steps: int = 300) -> None:
        self.mean, self.std = real.features.mean(0), real.features.std(0).clamp_min(1e-6)
        self.weight = torch.zeros(real.features.shape[1], real.tags.shape[1], requires_grad=True)
        self.bias = torch.zeros(real.tags.shape[1], requires_grad=True)
        share = real.tags.mean(0)
        # each tag's positives and negatives have the same total weight
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
    """Return the mean LPIPS between random pairs of pictures [n, 3, s, s]."""
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
        pictures.append(centred_squares(from_bytes(core.imagine(requests))))
    walk = torch.cat(pictures)
    change = torch.cat(
        [lpips(a, b) for a, b in zip(torch.split(walk[:-1], 16), torch.split(walk[1:], 16), strict=True)]
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
    """Return pictures a second of denoiser with decoder, of decoder, and of encoder, at the native size."""
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


@torch.inference_mode()
def image_to_image(model: Model, lpips: Lpips, items: list[data.Captioned]) -> dict[str, float]:
    """Return PSNR in dB, LPIPS and edge energy against the source for each of `STRENGTHS`, with each picture's caption as prompt."""
    width, height = model.native_size
    core = Core(
        model,
        PromptBank(model, [item.caption for item in items]),
        batch=default_batch("cpu", width, height),
        width=width,
        height=height,
    )
    path = NoisePath(model.channels, height // model.vae_scale_factor, width // model.vae_scale_factor, 4)
    sources = data.to_tensor([data.centre_crop(item.picture, width=width, height=height) for item in items])
    figures = {}
    for strength in STRENGTHS:
        made = []
        for first in range(0, len(items), core.batch):
            requests = [
                FrameRequest(
                    i,
                    i,
                    0.0,
                    strength,
                    tuple(path.at(i + 100_000 * step, 0.0) for step in range(core.noises_per_picture)),
                    sources[i],
                )
                for i in range(first, min(first + core.batch, len(items)))
            ]
            made.append(core.imagine(requests))
        pictures = torch.cat(made)
        again = from_bytes(pictures)
        figures[f"psnr_db {strength}"] = float(psnr(again, sources).mean())
        distances = [lpips(a, b) for a, b in zip(torch.split(again, 8), torch.split(sources, 8), strict=True)]
        figures[f"lpips {strength}"] = float(torch.cat(distances).mean())
        edges = [composed.edge_energy(picture) for picture in as_pictures(pictures)]
        true = [composed.edge_energy(data.centre_crop(item.picture, width=width, height=height)) for item in items]
        figures[f"edges {strength}"] = float(np.median(np.array(edges) / np.maximum(true, 1e-9)))
    return figures


def as_pictures(painted: torch.Tensor) -> list[np.ndarray]:
    """Convert uint8 [n, 3, h, w] to pictures uint8 [h, w, 3]."""
    return list(painted.permute(0, 2, 3, 1).contiguous().numpy())


def light_and_colour(model: Model, items: list[data.Captioned]) -> dict[str, object]:
    """Return colour fidelity and edge energy of paintings, and the figures of composed frames."""
    painted = paint(model, [asked.prompt for asked in fidelity.COLOUR_PROMPTS], seeds=COLOUR_SEEDS)
    several = painted.permute(0, 1, 3, 4, 2).contiguous().numpy()
    right = fidelity.judge(several)
    width, height = model.native_size
    paintings = as_pictures(paint(model, [item.caption for item in items], seeds=1)[:, 0])
    true = [composed.edge_energy(data.centre_crop(item.picture, width=width, height=height)) for item in items]
    sharp = np.median([composed.edge_energy(painting) for painting in paintings]) / np.median(true)
    # paintings of other prompts than the ground's: between equal colours the share can't be measured
    others = [*paintings[1:], paintings[0]]
    return {
        "colour_fidelity": float(np.mean(list(right.values()))),
        "colours_right_by_prompt": {prompt: round(share, 2) for prompt, share in right.items()},
        "sharpness_of_real": float(sharp),
        **composed.judge(others, [item.picture for item in items]),
    }


@dataclass(frozen=True)
class Judges:
    """What evaluates a model: networks, real pictures, and figures that are the same for all models."""

    lpips: Lpips
    net: nn.Module
    tags: list[str]
    classifier: TagClassifier
    plain: Real
    unseen: Real
    held_out: list[data.Captioned]
    of_real: dict[str, object]

    @property
    def spreads(self) -> list[float]:
        """The LPIPS diversity of real pictures of each tag."""
        rng = np.random.default_rng(1)
        together = [
            torch.cat(
                [self.plain.pictures[self.plain.tags[:, i] > 0], self.unseen.pictures[self.unseen.tags[:, i] > 0]]
            )
            for i in range(len(self.tags))
        ]
        return [spread(self.lpips, pictures, rng) for pictures in together]


def make_judges(pictures: Path, perceptual: Path) -> Judges:
    """Train the tag classifier on the training split, and evaluate the held-out pictures themselves."""
    rng = np.random.default_rng(0)
    lpips = load_lpips(perceptual)
    learned, held_out = data.load(pictures, held_out=False), data.load(pictures, held_out=True)
    tags = tags_to_ask(learned, held_out)
    net = efficientnet.load(perceptual, "lite1")
    classifier = TagClassifier(real_pictures(net, learned, tags, size=TAG_SIDE, views=VIEWS, rng=rng))
    judged = real_pictures(net, held_out, tags, size=TAG_SIDE, views=1, rng=rng)
    # a real picture has several tags: naming any of them first is right
    known = judged.tags.sum(1) > 0
    guess = classifier.scores(judged.features).argmax(1)
    hits = judged.tags.gather(1, guess[:, None])[:, 0][known]
    # as strict as for paintings: of the real pictures with a tag, those for which exactly this tag is named first
    asked = [float((guess[judged.tags[:, i] > 0] == i).float().mean()) for i in range(len(tags))]
    plain = real_pictures(lpips.features, learned, tags, size=FEATURE_SIDE, views=1, rng=rng)
    unseen = real_pictures(lpips.features, held_out, tags, size=FEATURE_SIDE, views=1, rng=rng)
    of_real: dict[str, object] = {
        "tags": tags,
        "classifier_accuracy_real": float(hits.mean()),
        "classifier_fidelity_real": float(np.mean(asked)),
        "classifier_chance_real": float(judged.tags[known].mean()),
        "frechet_real_against_real": frechet(plain.features, unseen.features),
        "nearest_real": float(nearest(unseen.features, plain.features).median()),
    }
    return Judges(lpips, net, tags, classifier, plain, unseen, held_out, of_real)


def evaluate(name: str, judges: Judges, *, step_counts: tuple[int, ...]) -> dict[str, object]:
    """Return every figure of a model's card."""
    rng = np.random.default_rng(0)
    lpips, tags = judges.lpips, judges.tags
    model = load_model(name)
    decibel, distance = reconstruction(model, lpips, judges.held_out)
    figures: dict[str, object] = {"psnr_db": decibel, "lpips": distance}
    some = judges.held_out[:: max(1, len(judges.held_out) // COMPARED)][:COMPARED]
    figures |= light_and_colour(model, some)
    figures["image_to_image"] = image_to_image(model, lpips, some)
    for steps in step_counts:
        painted = paint(load_model(name, steps=steps), tags, seeds=SEEDS)
        parts = [from_bytes(part) for part in torch.split(painted.flatten(0, 1), 16)]
        found = torch.cat([features_of(judges.net, centred_squares(part, TAG_SIDE)) for part in parts])
        named = judges.classifier.scores(found).argmax(1).view(len(tags), SEEDS)
        right = (named == torch.arange(len(tags))[:, None]).float().mean(1)
        small = torch.cat([centred_squares(part) for part in parts])
        ratios = [
            spread(lpips, pictures, rng) / real
            for pictures, real in zip(torch.split(small, SEEDS), judges.spreads, strict=True)
        ]
        found = features_of(lpips.features, small)
        closest = nearest(found, judges.plain.features)
        figures[f"steps_{steps}"] = {
            "fidelity": float(right.mean()),
            "fidelity_by_tag": {tag: round(float(value), 2) for tag, value in zip(tags, right, strict=True)},
            "frechet": frechet(found, judges.unseen.features),
            "diversity_of_real": float(np.mean(ratios)),
            "nearest_median": float(closest.median()),
            "nearest_smallest": float(closest.min()),
        }
    change, jump = walk_smoothness(model, lpips, "a mountain under clouds")
    return figures | {"walk_lpips": change, "walk_jump": jump} | pace(model)


def rows_of(figures: dict[str, object]) -> dict[str, str]:
    """Return the figures as lines of a table: name and value."""
    rows = {}
    for name, value in figures.items():
        for key, one in value.items() if isinstance(value, dict) else [("", value)]:
            rows[f"{name} {key}".strip()] = f"{one:.3f}" if isinstance(one, float) else str(one)
    return rows


def table(judged: dict[str, dict[str, object]]) -> str:
    """Return the figures of several models as a table: one row a figure, one column a model."""
    columns = {name: rows_of(figures) for name, figures in judged.items()}
    names = list(dict.fromkeys(row for rows in columns.values() for row in rows))
    lines = ["  ".join([f"{'':<44}", *(f"{Path(name).name[-14:]:>14}" for name in columns)])]
    lines += ["  ".join([f"{row:<44}", *(f"{rows.get(row, ''):>14}" for rows in columns.values())]) for row in names]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder with the manifest's pictures")
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with the nets that judge")
    parser.add_argument("--model", action="append", help="a model's name or folder; several times: one table (ember)")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4], help="step counts to judge")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file too, after each model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    judges = make_judges(arguments.pictures, arguments.perceptual)
    judged: dict[str, dict[str, object]] = {}
    print("\n".join(f"{row:<44}  {text}" for row, text in rows_of(judges.of_real).items()), flush=True)
    for name in arguments.model or ["ember"]:
        judged[name] = evaluate(name, judges, step_counts=tuple(arguments.steps))
        if arguments.json:
            text = json.dumps({"real": judges.of_real, **judged}, indent=1)
            arguments.json.write_text(text + "\n", encoding="utf-8")
    print(table(judged))


if __name__ == "__main__":
    main()
