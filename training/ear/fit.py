"""Train the rhythm network on the excerpts of `data`; an interrupted run resumes.

    python -m training.ear.fit --work FOLDER --out FOLDER --hours N [--threads N] [--compile] [--bfloat16]

New excerpts are used as they appear, so training may begin while `data` still runs. The learning rate warms up, then falls
linearly to 0 over `--hours` of wall-clock time of all runs; windows have half the length in the first half. Every two
minutes `--out` gets ``last.pt`` (network, optimisers, average, step, seconds: the state to resume from), ``ear.safetensors``
(the averaged weights in the program's format) and a line in ``log.tsv``.

Matrices are trained with Muon (Jordan 2024; Liu et al. 2025), all else with AdamW. `--bfloat16` uses it where it is exact enough:
a step of 8 windows takes 0.9 instead of 1.3 seconds on one core with matrix units (AMX). On a machine with other load, set
``OMP_WAIT_POLICY=passive``: threads that wait actively use four times the processor time.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from reactive.audio.attention import WINDOW
from reactive.audio.network import OUTPUTS
from training.ear.examples import Examples
from training.ear.net import WEIGHTS, Network, export, tolerant_loss

BATCH = 8
# learning rates of AdamW and Muon, and steps until they are reached
PEAK, PEAK_MATRICES, WARM_UP = 2e-3, 0.015, 150
DECAY = 0.02
AVERAGE = 0.998
SAVE_SECONDS, LOOK_STEPS = 120.0, 100
# share of the training time with windows of half the length, twice as many in a batch
SHORT = 0.5

Batch = tuple[torch.Tensor, torch.Tensor]


class SeededBatches(IterableDataset[Batch]):
    """Endless batches from a step on; the step is the seed, so a resumed run draws the same batches."""

    def __init__(self, work: Path, step: int, rows: int) -> None:
        self.examples, self.step, self.rows = Examples(work), step, rows

    def __iter__(self) -> Iterator[Batch]:
        """Yield inputs and targets without end."""
        count = BATCH * WINDOW // self.rows
        while True:
            if not self.examples.kinds or self.step % LOOK_STEPS == 0:
                self.examples.look()
            x, y = self.examples.batch(count, np.random.default_rng([self.step, 5]), self.rows)
            self.step += 1
            yield torch.from_numpy(x), torch.from_numpy(y)


def rate_at(step: int, progress: float) -> float:
    """Return the factor of the learning rate at a step, at a `progress` in [0, 1] of the training time."""
    return min(1.0, (step + 1) / WARM_UP) * max(1.0 - progress, 0.002)


def optimizers(network: Network) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices between the first and the last layer, AdamW for the other parameters."""
    inner = {
        name
        for name, value in network.named_parameters()
        if value.ndim == 2 and not name.startswith(("first.", "last."))
    }
    matrices = [value for name, value in network.named_parameters() if name in inner]
    others = [value for name, value in network.named_parameters() if name not in inner]
    return [
        torch.optim.Muon(matrices, lr=PEAK_MATRICES, weight_decay=DECAY),
        torch.optim.AdamW(others, lr=PEAK, weight_decay=DECAY, betas=(0.9, 0.98)),
    ]


def save(
    out: Path,
    network: Network,
    average: dict[str, torch.Tensor],
    learners: list[torch.optim.Optimizer],
    step: int,
    seconds: float,
) -> None:
    """Write the state to resume from, and the averaged weights for the program."""
    from safetensors.numpy import save_file

    state = {
        "network": network.state_dict(),
        "average": average,
        "optimizers": [learner.state_dict() for learner in learners],
        "step": step,
        "seconds": seconds,
    }
    partial = out / "last.part"
    torch.save(state, partial)
    partial.replace(out / "last.pt")
    save_file(export(average), out / "ear.part")
    (out / "ear.part").replace(out / "ear.safetensors")


def main() -> None:
    """Train for some hours, or until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder of excerpts")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints and the log go")
    parser.add_argument("--hours", type=float, required=True, help="of training in all, including earlier runs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--compile", action="store_true", help="let torch.compile fuse the steps (needs a C++ compiler)"
    )
    parser.add_argument("--bfloat16", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = Network()
    learners = optimizers(network)
    peaks = [group["lr"] for learner in learners for group in learner.param_groups]
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    step, before = 0, 0.0
    if (options.out / "last.pt").exists():
        kept = torch.load(options.out / "last.pt", weights_only=True)
        network.load_state_dict(kept["network"])
        for learner, state in zip(learners, kept["optimizers"], strict=True):
            learner.load_state_dict(state)
        average, step, before = kept["average"], kept["step"], kept["seconds"]
    logging.info("%d parameters, from step %d", sum(p.numel() for p in network.parameters()), step)
    counts = torch.tensor(WEIGHTS)

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            logits = network(x)
        return tolerant_loss(logits, y)

    compute = torch.compile(loss_of) if options.compile else loss_of
    began = saved = time.monotonic()
    losses: list[np.ndarray] = []
    # SIGTERM, as sent at shutdown, saves before it stops
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    batches, rows = iter(()), 0
    while not stopped:
        seconds = before + time.monotonic() - began
        progress = seconds / (3600 * options.hours)
        if progress >= 1:
            break
        wanted = WINDOW // 2 if progress < SHORT else WINDOW
        if rows != wanted:
            rows = wanted
            batches = iter(
                DataLoader(SeededBatches(options.work, step, rows), batch_size=None, num_workers=1, prefetch_factor=4)
            )
        groups = [group for learner in learners for group in learner.param_groups]
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * rate_at(step, progress)
        loss = compute(*next(batches))
        for learner in learners:
            learner.zero_grad()
        (loss * counts).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for learner in learners:
            learner.step()
        keep = min(AVERAGE, (step + 1) / (step + 20))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        losses.append(loss.detach().numpy())
        step += 1
        if time.monotonic() - saved > SAVE_SECONDS:
            save(options.out, network, average, learners, step, seconds)
            means = np.mean(losses, axis=0)
            found = Examples(options.work).look()
            with (options.out / "log.tsv").open("a", encoding="utf-8") as log:
                figures = "\t".join(f"{name} {value:.4f}" for name, value in zip(OUTPUTS, means, strict=True))
                log.write(f"{time.strftime('%F %T')}\t{step}\t{found} excerpts\t{figures}\n")
            logging.info("step %d, %d excerpts, loss %.4f", step, found, float(means @ np.array(WEIGHTS)))
            losses.clear()
            saved = time.monotonic()
    save(options.out, network, average, learners, step, before + time.monotonic() - began)


if __name__ == "__main__":
    main()
