"""Train the bundled convolutional network further on more music.

    python -m training.ear.tune --work FOLDER --out FOLDER --until "HH:MM" [--from FILE]

Resumes from ``last.pt`` in `--out` if there is one. New excerpts are used as they appear. The learning rate falls linearly to 0 at
`--until` (today, by this machine's clock). Every two minutes ``ear.safetensors`` gets the averaged weights in the program's
format, and ``log.tsv`` a line. Blocks that the starting weights lack are initialised to have no effect.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import re
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from reactive.audio.network import INPUTS, MODEL, OUTPUTS
from reactive.audio.spectrum import MELS
from training.ear.examples import Examples

CHANNELS = 32
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
DROPOUT = 0.05
BATCH, PEAK, WARM_UP, DECAY = 8, 2e-3, 50, 1e-4
WEIGHTS = (1.0, 1.0, 0.3, 0.3, 0.2)
AVERAGE = 0.99
# windows in the pool, and how many of them are replaced at each step
POOL, NEW = 320, 1
SAVE_SECONDS = 120.0


class Network(nn.Module):
    """The network that `reactive.audio.network.forward` computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {"first": nn.Conv1d(INPUTS, CHANNELS, 3, padding=1), "second": nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)}
        )
        for dilation in DILATIONS:
            block = nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2 * dilation, dilation=dilation)
            out = nn.Conv1d(CHANNELS, CHANNELS, 1)
            nn.init.zeros_(out.weight)
            if out.bias is not None:
                nn.init.zeros_(out.bias)
            self.layers[f"block{dilation}"], self.layers[f"block{dilation}_out"] = block, out
        self.layers["last"] = nn.Conv1d(CHANNELS, len(OUTPUTS), 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, outputs, rows] for inputs [batch, 152, rows]."""
        x = F.elu(self.layers["second"](F.elu(self.layers["first"](features))))
        for dilation in DILATIONS:
            inner = F.dropout(F.elu(self.layers[f"block{dilation}"](x)), DROPOUT, self.training)
            x = x + self.layers[f"block{dilation}_out"](inner)
        return self.layers["last"](F.elu(x))


def loaded(path: Path) -> dict[str, torch.Tensor]:
    """Return weights in the program's format as those of `Network`, without the ones the file lacks."""
    from safetensors.numpy import load_file

    found = {}
    for name, value in load_file(path).items():
        array = value.astype(np.float32)
        array = array.transpose(2, 1, 0) if array.ndim == 3 else array
        found[f"layers.{name.replace('.out.', '_out.')}"] = torch.from_numpy(np.ascontiguousarray(array))
    return found


def export(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return weights in the program's format: [taps, in, out], float16."""
    written = {}
    for name, value in state.items():
        array = value.detach().numpy()
        key = re.sub(r"^layers\.", "", name).replace("_out.", ".out.")
        written[key] = np.ascontiguousarray(array.transpose(2, 1, 0) if array.ndim == 3 else array).astype(np.float16)
    return written


def loss_of(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the loss by output [outputs] of logits [batch, outputs, rows]; events weigh up to 3 times, nan is unknown."""
    known = ~torch.isnan(wanted)
    target = torch.nan_to_num(wanted)
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * (1 + 2 * target)
    return (loss * known).sum(dim=(0, 2)) / known.sum(dim=(0, 2)).clamp(min=1)


class Pool:
    """A pool of training windows, some of which are replaced at each step."""

    def __init__(self, work: Path) -> None:
        self.examples = Examples(work)
        self.windows: list[tuple[np.ndarray, np.ndarray]] = []

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs [BATCH, 152, rows] and targets [BATCH, outputs, rows]."""
        for _ in range(NEW if self.windows else 4 * BATCH):
            x, y = self.examples.draw(rng)
            window = np.ascontiguousarray(x.T.astype(np.float16)), np.ascontiguousarray(y.T.astype(np.float16))
            if len(self.windows) < POOL:
                self.windows.append(window)
            else:
                self.windows[rng.integers(POOL)] = window
        drawn = [self.windows[number] for number in rng.integers(len(self.windows), size=BATCH)]
        x = np.stack([_varied(window[0], rng) for window in drawn])
        return torch.from_numpy(x), torch.from_numpy(np.stack([window[1] for window in drawn]).astype(np.float32))


def _varied(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return inputs [152, rows] with a random timbre and key."""
    varied = x.astype(np.float32)
    tilt = np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), rng.normal(0, 0.04, 5)).astype(np.float32)
    mel = varied[: 2 * MELS]
    mel += np.tile(tilt, 2)[:, None] * np.minimum(mel * 10, 1)
    np.maximum(mel, 0, out=mel)
    turn = int(rng.integers(12))
    varied[2 * MELS :] = np.roll(varied[2 * MELS :].reshape(2, 12, -1), turn, axis=1).reshape(24, -1)
    return varied


def main() -> None:
    """Train until a time of day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder of excerpts")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints and the log go")
    parser.add_argument("--until", required=True, metavar="HH:MM")
    parser.add_argument(
        "--from", dest="weights", type=Path, default=MODEL, help="weights to begin with (default: those that ship)"
    )
    parser.add_argument("--peak", type=float, default=PEAK, help=f"the highest rate of learning (default: {PEAK})")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="compute in it where that is exact enough")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    clock = datetime.time.fromisoformat(options.until)
    end = datetime.datetime.combine(datetime.date.today(), clock).timestamp()
    network = Network()
    lacking = network.load_state_dict(loaded(options.weights), strict=False)
    logging.info("started without %s", ", ".join(lacking.missing_keys))
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.peak, weight_decay=DECAY, betas=(0.9, 0.98))
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    step, began = 0, time.time()
    if (options.out / "last.pt").exists():
        kept = torch.load(options.out / "last.pt", weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        average, step, began = kept["average"], kept["step"], kept["began"]
    counts = torch.tensor(WEIGHTS)
    pool = Pool(options.work)
    found, saved = pool.examples.look(), time.monotonic()
    losses: list[np.ndarray] = []
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    rng = np.random.default_rng([step, 22])

    def save() -> None:
        from safetensors.numpy import save_file

        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
        torch.save(state | {"step": step, "began": began}, options.out / "last.part")
        (options.out / "last.part").replace(options.out / "last.pt")
        save_file(export(average), options.out / "ear.part")
        (options.out / "ear.part").replace(options.out / "ear.safetensors")
        means = np.mean(losses, axis=0) if losses else np.full(len(OUTPUTS), np.nan)
        figures = "\t".join(f"{name} {value:.4f}" for name, value in zip(OUTPUTS, means, strict=True))
        with (options.out / "log.tsv").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%F %T')}\t{step}\t{found} excerpts\t{time.process_time():.0f} s\t{figures}\n")
        losses.clear()

    while not stopped and time.time() < end:
        left = (end - time.time()) / max(end - began, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = options.peak * min(1.0, (step + 1) / WARM_UP) * max(left, 0.003)
        x, y = pool.batch(rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            logits = network(x)
        loss = loss_of(logits.float(), y)
        optimizer.zero_grad()
        torch.autograd.backward((loss * counts).sum())
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        keep = min(AVERAGE, (step + 1) / (step + 20))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        losses.append(loss.detach().numpy())
        step += 1
        if time.monotonic() - saved > SAVE_SECONDS:
            save()
            found, saved = pool.examples.look(), time.monotonic()
    save()


if __name__ == "__main__":
    main()
