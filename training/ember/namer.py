"""A classifier of a picture's tags, used in adversarial training to compare paintings with their texts.

    python -m training.ember.namer --work DIR --perceptual DIR

One linear score a tag on EfficientNet's features, trained on decoded views of real pictures and scenes. It shares neither
network nor data with the classifier of `training.ember.evaluate`. Writes ``WORK/namer.pt``.
(An auxiliary classifier: Odena et al., arXiv 1610.09585.)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.ember import autoencoder, checkpoint, critic, denoiser, efficientnet

VIEWS = 8000
STEPS = 400
DECAY = 0.02


class Namer(nn.Module):
    """Scores [n, t] of tags from EfficientNet's maps, without the tags' priors."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        width = 2 * sum(efficientnet.WIDTHS[-2:])
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        self.linear = nn.Linear(width, tags)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        scores: torch.Tensor = self.linear((pooled(maps) - self.mean) / self.std)
        return scores


def pooled(maps: list[torch.Tensor]) -> torch.Tensor:
    """Return spatial mean and deviation of the two coarsest maps, float32 [n, f]."""
    last = [x.float() for x in maps[-2:]]
    return torch.cat([x.mean((2, 3)) for x in last] + [x.std((2, 3)) for x in last], 1)


def misnaming(scores: torch.Tensor, named: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy between tags, as shares [n, t], and scores [n, t]."""
    return -(named * functional.log_softmax(scores, 1)).sum(1).mean()


def train(work: Path, perceptual: Path, *, seed: int) -> None:
    """Train on `VIEWS` views and save."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    views, net = denoiser.Views(work, rng), efficientnet.load(perceptual, "lite0")
    decoder = autoencoder.decoder_of(autoencoder.load(work))
    features: list[torch.Tensor] = []
    named: list[torch.Tensor] = []
    while 16 * len(features) < VIEWS:
        batch = views.draw(16, dropout=0.0)
        with torch.inference_mode(), checkpoint.quick_forward():
            features.append(pooled(net(critic.windows(decoder(batch.latents / views.scale), rng))))
        named.append(batch.named)
        if len(features) % 50 == 0:
            print(f"namer: {16 * len(features)} of {VIEWS} views", flush=True)
    x, y = torch.cat(features).clone(), torch.cat(named)
    namer = Namer(len(views.tags))
    namer.mean.copy_(x.mean(0))
    namer.std.copy_(x.std(0).clamp_min(1e-6))
    standard = (x - namer.mean) / namer.std
    prior = (y.mean(0) + 1e-4).log()
    optimiser = torch.optim.Adam(namer.linear.parameters(), lr=0.01)
    for _ in range(STEPS):
        # the priors are added in training and omitted in use (logit adjustment: Menon et al., arXiv 2007.07314)
        loss = misnaming(namer.linear(standard) + prior, y)
        optimiser.zero_grad()
        (loss + DECAY * namer.linear.weight.square().sum(1).mean()).backward()
        optimiser.step()
    print(
        f"namer: loss {loss.item():.3f}, first name among the right ones "
        f"{float(y.gather(1, namer.linear(standard).argmax(1)[:, None]).gt(0).float().mean()):.0%}"
    )
    checkpoint.save(work / "namer.pt", model=namer.state_dict())


def load(work: Path, tags: int) -> Namer:
    """Return the namer of a work folder, frozen."""
    state = checkpoint.load(work / "namer.pt")
    if state is None:
        raise FileNotFoundError(f"no namer.pt in {work}: train it first")
    namer = Namer(tags)
    namer.load_state_dict(state["model"])
    return namer.eval().requires_grad_(False)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--perceptual", type=Path, required=True, help="folder with efficientnet-lite0.pth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, arguments.perceptual, seed=arguments.seed)


if __name__ == "__main__":
    main()
