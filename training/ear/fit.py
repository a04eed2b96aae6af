"""Train the rhythm network on the excerpts that `data` writes; go on from where it was broken off.

    python -m training.ear.fit --work FOLDER --out FOLDER [--hours N] [--threads N]

New excerpts are seen as they come, so training may begin while `data` still works. Every few minutes `--out` gets
``last.pt`` (network, optimiser, average, step: what a later run goes on from), ``ear.safetensors`` (the averaged weights as the
program reads them) and a line in ``log.tsv``; every few thousand steps a numbered copy of the averaged weights.

On a machine that does other things too set ``OMP_WAIT_POLICY=passive``: threads that spin for each other take 9 instead of 2.2 seconds
of processor a step.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from reactive.audio.network import OUTPUTS
from training.ear.examples import Examples
from training.ear.net import WEIGHTS, Network, export, tolerant_loss

BATCH = 8
PEAK, WARM_UP, STEADY = 1.5e-3, 300, 4000
DECAY = 0.02
AVERAGE = 0.9995
SAVE_SECONDS, COPY_STEPS = 240.0, 4000


def rate_at(step: int) -> float:
    """Return the learning rate: warm-up, steady, then as one over the root of the step, so that no end need be known."""
    return PEAK * min(1.0, (step + 1) / WARM_UP) * min(1.0, (STEADY / (step + 1)) ** 0.5)


def save(
    out: Path, network: Network, average: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Write what a later run goes on from, and the averaged weights for the program."""
    from safetensors.numpy import save_file

    state = {"network": network.state_dict(), "average": average, "optimizer": optimizer.state_dict(), "step": step}
    partly = out / "last.part"
    torch.save(state, partly)
    partly.replace(out / "last.pt")
    save_file(export(average), out / "ear.part")
    (out / "ear.part").replace(out / "ear.safetensors")


def main() -> None:
    """Train for so many hours, or until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder of excerpts")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints and the log go")
    parser.add_argument("--hours", type=float, default=1000.0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK, weight_decay=DECAY, betas=(0.9, 0.98))
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    step = 0
    if (given.out / "last.pt").exists():
        kept = torch.load(given.out / "last.pt", weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        average, step = kept["average"], kept["step"]
    logging.info("%d parameters, from step %d", sum(p.numel() for p in network.parameters()), step)
    examples = Examples(given.work)
    counts = torch.tensor(WEIGHTS)
    began = saved = time.monotonic()
    losses: list[np.ndarray] = []
    found = examples.look()
    # a kind stop (SIGTERM, as a shutdown sends) keeps what was learnt since the last save
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    while not stopped and time.monotonic() - began < 3600 * given.hours:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        # the step is the seed: a run that goes on draws what it would have drawn
        x, y = examples.batch(BATCH, np.random.default_rng([step, 5]))
        loss = tolerant_loss(network(torch.from_numpy(x)), torch.from_numpy(y))
        optimizer.zero_grad()
        (loss * counts).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        keep = min(AVERAGE, (step + 1) / (step + 20))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        losses.append(loss.detach().numpy())
        step += 1
        if step % COPY_STEPS == 0:
            from safetensors.numpy import save_file

            save_file(export(average), given.out / f"ear-{step:07d}.safetensors")
        if time.monotonic() - saved > SAVE_SECONDS:
            save(given.out, network, average, optimizer, step)
            means = np.mean(losses, axis=0)
            with (given.out / "log.tsv").open("a", encoding="utf-8") as log:
                figures = "\t".join(f"{name} {value:.4f}" for name, value in zip(OUTPUTS, means, strict=True))
                log.write(f"{time.strftime('%F %T')}\t{step}\t{found} excerpts\t{figures}\n")
            logging.info("step %d, %d excerpts, loss %.4f", step, found, float(means @ np.array(WEIGHTS)))
            losses.clear()
            found, saved = examples.look(), time.monotonic()
    save(given.out, network, average, optimizer, step)


if __name__ == "__main__":
    main()
