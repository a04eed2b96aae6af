"""Print the figures that README quotes, measured in this run on this machine.

    python -m benchmarks [--model NAME] [--threads N] [--no-memory]

Ratios of one run matter more than absolute figures: machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from reactive.diffusion.conditioning import PromptBank
from reactive.diffusion.core import Core, Request
from reactive.diffusion.models import default_batch, default_threads, load_model
from reactive.diffusion.noise import NoisePath

SONG = Path(__file__).resolve().parent.parent / "reactive" / "data" / "first-light.ogg"
# (frames, frame rate, seconds) of the two renders whose memory is compared
LENGTHS = ((1000, "40", "25"), (5000, "200", "25"))
MEASURED = (
    "import json, resource, sys; from click.testing import CliRunner; from reactive.cli import main; "
    "done = CliRunner().invoke(main, sys.argv[1:]); "
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024; "
    "print(json.dumps({'summary': json.loads(done.stdout), 'peak_mb': peak}))"
)


def best(run: Callable[[], object], *, rounds: int, warm_up: int = 2) -> float:
    """Return the seconds of the fastest of some runs, warm-up excluded."""
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def matmul_peak() -> float:
    """Return the machine's float32 matrix-multiply peak in GFLOP/s with torch's threads."""
    size = 2048
    a, b = torch.randn(size, size), torch.randn(size, size)
    return max(2 * size**3 / best(lambda: a @ b, rounds=8) / 1e9 for _ in range(2))


def core_figures(name: str) -> dict[str, float]:
    """Return the core's pictures a second, the bare nets' on the same tensors, and the cost of a picture in GFLOP."""
    from torch.utils.flop_counter import FlopCounterMode

    model = load_model(name)
    width, height = model.native
    batch = default_batch("cpu", width, height)
    core = Core(
        model, PromptBank(model, ["a sea at night", "a tower in the fog"]), batch=batch, width=width, height=height
    )
    path = NoisePath(model.channels, height // model.factor, width // model.factor, 16)
    requests = [
        Request(0, 1, 0.5, 1.0, tuple(path.at(step, 0.1 * i) for step in range(core.noises_per_picture)))
        for i in range(batch)
    ]
    z = torch.stack([request.noises[0] for request in requests]).contiguous(memory_format=torch.channels_last)
    embeddings = core.bank.mix(np.zeros(batch, int), np.ones(batch, int), np.full(batch, 0.5))
    tau = torch.full((batch,), float(model.schedule.steps))

    @torch.inference_mode()
    def bare() -> torch.Tensor:
        latents = z
        for _ in range(model.steps):
            latents = model.clean(z, tau, embeddings)
        return model.decode(latents)

    with FlopCounterMode(display=False) as counter:
        bare()
    return {
        "batch": batch,
        "steps": model.steps,
        "gflop": counter.get_total_flops() / batch / 1e9,
        "core": batch / best(lambda: core.imagine(requests), rounds=12),
        "bare": batch / best(bare, rounds=12),
    }


def render(folder: Path, name: str, *options: str) -> dict[str, object]:
    """Render the song that ships in a process of its own; return its summary and its peak memory in MB."""
    command = ["run", str(SONG), "--model", name, "-o", str(folder / "clip.mp4"), "--overwrite", "--json", *options]
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ember")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--no-memory", action="store_true", help="leave out the two long renders")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    peak = matmul_peak()
    figures = core_figures(arguments.model)
    share = figures["core"] * figures["gflop"] / peak
    print(f"matrix multiply   {peak:8.1f} GFLOP/s float32, {arguments.threads} threads")
    print(
        f"a picture         {figures['gflop']:8.2f} GFLOP ({figures['steps']:.0f} steps, batch {figures['batch']:.0f})"
    )
    print(f"bare nets         {figures['bare']:8.1f} pictures/s")
    print(
        f"core              {figures['core']:8.1f} pictures/s, {figures['core'] / figures['bare']:.0%} of the bare nets"
    )
    print(f"core              {share:8.0%} of the matrix-multiply peak")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first = render(folder, arguments.model)["summary"]
        assert isinstance(first, dict)
        print(f"hearing           {first['analysis_s']:8.2f} s for a song of {first['duration']} s, in a fresh process")
        print(f"loading           {first['load_s']:8.2f} s")
        print(f"rendering         {first['render_s']:8.2f} s for {first['frames']} frames of {first['size']}")
        print(
            f"whole job         {first['frames_per_s']:8.1f} frames/s, {first['frames_per_s'] / figures['core']:.0%} of the core"
        )
        if not arguments.no_memory:
            for frames, fps, seconds in LENGTHS:
                found = render(folder, arguments.model, "--fps", fps, "--duration", seconds)
                print(f"peak memory       {found['peak_mb']:8.0f} MB at {frames} frames")


if __name__ == "__main__":
    main()
