"""Train the rhythm network on what `data` wrote, and write its weights where `network` looks for them.

    python -m reactive.audio.train.fit --work FOLDER [--minutes N] [--out FILE] [--resume FILE]

The files are read anew as they grow in number, so training may start while `data` still works.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from reactive.audio.network import DILATIONS, INPUTS, MODEL, OUTPUTS
from reactive.audio.spectrum import MELS

CHANNELS = 64
ROWS, BATCH = 1024, 8
PEAK = 2e-3
# how much each output counts: beats and bars are what the network is for
WEIGHTS = (1.0, 1.0, 0.35, 0.35, 0.25)
# how often an example is of each kind; people's MIDI files count most
SHARES = {"piece": 0.36, "style": 0.32, "groove": 0.32}
REREAD_SECONDS = 120.0


class Network(nn.Module):
    """The network that `reactive.audio.network.forward` computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {"first": nn.Conv1d(INPUTS, CHANNELS, 3, padding=1), "second": nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)}
        )
        for dilation in DILATIONS:
            block = nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2 * dilation, dilation=dilation)
            self.layers[f"block{dilation}"] = block
            self.layers[f"block{dilation}_out"] = nn.Conv1d(CHANNELS, CHANNELS, 1)
        self.layers["last"] = nn.Conv1d(CHANNELS, len(OUTPUTS), 1)
        nn.init.constant_(self.layers["last"].bias, -2.5)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, outputs, rows] for inputs [batch, 152, rows]."""
        x = F.elu(self.layers["first"](given))
        x = F.dropout(F.elu(self.layers["second"](x)), 0.1, self.training)
        for dilation in DILATIONS:
            inner = F.dropout(F.elu(self.layers[f"block{dilation}"](x)), 0.1, self.training)
            x = x + self.layers[f"block{dilation}_out"](inner)
        return self.layers["last"](F.elu(x))


class Examples:
    """Excerpts drawn at random, stretched, shifted in pitch, and coloured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.kinds: dict[str, list[str]] = {}

    def read(self) -> None:
        for path in sorted(self.folder.glob("*.npz")):
            if path.name not in self.found:
                try:
                    with np.load(path) as held:
                        self.found[path.name] = held["x"], held["y"]
                except (OSError, ValueError, EOFError):
                    # still being written
                    continue
        every = {kind: [name for name in self.found if name.startswith(kind)] for kind in SHARES}
        self.kinds = {kind: names for kind, names in every.items() if names}

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs [rows, 152] and targets [rows, outputs]."""
        shares = np.array([SHARES[kind] for kind in self.kinds])
        names = self.kinds[list(self.kinds)[rng.choice(len(shares), p=shares / shares.sum())]]
        given, wanted = self.found[names[rng.integers(len(names))]]
        pace = float(np.exp(rng.uniform(-0.2, 0.2))) if rng.random() < 0.6 else 1.0
        start = rng.uniform(0, max(len(given) - ROWS * pace, 1))
        at = start + pace * np.arange(ROWS)
        index = np.clip(np.floor(at).astype(int), 0, len(given) - 2)
        share = np.clip(at - index, 0, 1)[:, None].astype(np.float32)
        inside = (at < len(given))[:, None]
        x = (given[index] * (1 - share) + given[index + 1] * share) * inside
        # between two rows a triangle's height would sink; the greater of both keeps it
        y = np.where(share < 0.5, wanted[index], wanted[index + 1]) * inside
        return _coloured(x.astype(np.float32), rng), y.astype(np.float32)

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs [batch, 152, rows] and targets [batch, outputs, rows]."""
        x, y = (np.stack(part) for part in zip(*(self.draw(rng) for _ in range(BATCH)), strict=True))
        return torch.from_numpy(x.transpose(0, 2, 1).copy()), torch.from_numpy(y.transpose(0, 2, 1).copy())


def _coloured(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mel = x[:, : 2 * MELS].reshape(len(x), 2, MELS)
    step = int(rng.integers(-2, 3))
    if step:
        mel = np.roll(mel, step, axis=2)
        mel[:, :, slice(0, step) if step > 0 else slice(step, None)] = 0
    tilt = np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), rng.normal(0, 0.07, 5))
    # what is silent stays so
    mel = np.maximum(mel + tilt * np.minimum(mel * 10, 1), 0)
    if rng.random() < 0.15:
        mel = np.maximum(mel, rng.uniform(0, 0.25))
    chroma = np.roll(x[:, 2 * MELS :].reshape(len(x), 2, 12), int(rng.integers(12)), axis=2)
    return np.concatenate([mel.reshape(len(x), -1), chroma.reshape(len(x), -1)], axis=1).astype(np.float32)


def export(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return weights as `network.forward` takes them: [taps, in, out], float16."""
    written = {}
    for name, value in state.items():
        _, layer, kind = name.split(".")
        array = value.detach().numpy()
        key = f"{layer.replace('_out', '.out')}.{kind}"
        written[key] = np.ascontiguousarray(array.transpose(2, 1, 0) if array.ndim == 3 else array).astype(np.float16)
    return written


def restored(path: Path) -> dict[str, torch.Tensor]:
    """Return the state of a network whose first channels compute what the weights at `path` do.

    A narrower network is widened: channels it lacks are begun anew, and nothing that it computed listens to them yet.
    """
    if path.suffix == ".pt":
        return dict(torch.load(path, weights_only=True))
    from safetensors.numpy import load_file

    state = Network().state_dict()
    for key, value in load_file(path).items():
        layer, kind = key.rsplit(".", 1)
        old = torch.from_numpy(value.astype(np.float32))
        old = old.permute(2, 1, 0) if old.ndim == 3 else old
        new = state[f"layers.{layer.replace('.out', '_out')}.{kind}"]
        if new.ndim == 3:
            new[: old.shape[0], old.shape[1] :] = 0
        new[tuple(slice(0, size) for size in old.shape)] = old
    return state


def keep(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write the weights for the program, and beside them those to go on from."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(export(state), path)
    torch.save(state, path.with_suffix(".pt"))


def main() -> None:
    """Train for so many minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument(
        "--resume", type=Path, help="Go on from weights saved before: FILE.pt, or FILE.safetensors, even narrower ones."
    )
    parser.add_argument("--peak", type=float, default=PEAK)
    parser.add_argument(
        "--seed", type=int, default=0, help="Runs of other seeds from the same weights may be averaged."
    )
    parser.add_argument("--average", type=Path, nargs="+", help="Write the mean of these FILE.pt to --out, and stop.")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.average:
        states = [restored(path) for path in arguments.average]
        keep({name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}, arguments.out)
        return
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng([arguments.seed, arguments.resume is not None])
    examples = Examples(arguments.work)
    examples.read()
    network = Network()
    if arguments.resume:
        network.load_state_dict(restored(arguments.resume))
    logging.info("%d parameters", sum(p.numel() for p in network.parameters()))
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=arguments.peak, weight_decay=1e-4)
    weights = torch.tensor(WEIGHTS)[None, :, None]
    began = read = time.monotonic()
    losses: list[np.ndarray] = []
    step = 0
    while (share := (time.monotonic() - began) / (60 * arguments.minutes)) < 1:
        rate = arguments.peak * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        given, wanted = examples.batch(rng)
        loss = F.binary_cross_entropy_with_logits(network(given), wanted, reduction="none")
        # rows at events are few; they count as much again for each tenth of their height
        mean = (loss * weights * (1 + 2 * wanted)).mean()
        optimizer.zero_grad()
        mean.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        share_kept = min(0.995, (step + 1) / (step + 20))
        for name, value in network.state_dict().items():
            averaged[name].lerp_(value, 1 - share_kept)
        losses.append(loss.detach().mean(dim=(0, 2)).numpy())
        step += 1
        if step % 100 == 0:
            text = " ".join(f"{name} {x:.4f}" for name, x in zip(OUTPUTS, np.mean(losses, axis=0), strict=True))
            logging.info("step %d, %d examples, %s", step, len(examples.found), text)
            losses.clear()
        if time.monotonic() - read > REREAD_SECONDS:
            examples.read()
            keep(averaged, arguments.out)
            read = time.monotonic()
    keep(averaged, arguments.out)


if __name__ == "__main__":
    main()
