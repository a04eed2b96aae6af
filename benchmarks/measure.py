"""How everything here is measured: warm-up excluded, contestants in turn, the fastest round counts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

SONG = Path(__file__).resolve().parent.parent / "reactive" / "data" / "first-light.ogg"
_MEASURED = (
    "import json, resource, sys; from click.testing import CliRunner; from reactive.cli import main; "
    "done = CliRunner().invoke(main, sys.argv[1:]); "
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024; "
    "print(json.dumps({'summary': json.loads(done.stdout), 'peak_mb': peak}))"
)


def in_turn(contestants: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 2) -> dict[str, float]:
    """Return the seconds of each contestant's fastest round.

    They run in turn, so that a noisy moment of the machine does not fall on one of them alone.
    """
    fastest = dict.fromkeys(contestants, float("inf"))
    for number in range(warm_up + rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if number >= warm_up:
                fastest[name] = min(fastest[name], time.perf_counter() - began)
    return fastest


def matmul_peak() -> float:
    """Return the machine's float32 matrix-multiply peak in GFLOP/s with torch's threads."""
    size = 2048
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / in_turn({"matmul": lambda: a @ b}, rounds=12)["matmul"] / 1e9


def render(folder: Path, *options: str, song: Path = SONG) -> dict[str, object]:
    """Render a song in a process of its own; return its summary, with the process's peak memory as ``peak_mb``."""
    command = ["run", str(song), "-o", str(folder / "clip.mp4"), "--overwrite", "--json", *options]
    done = subprocess.run([sys.executable, "-c", _MEASURED, *command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found["summary"], "peak_mb": found["peak_mb"]}


def line(name: str, value: float, text: str, *, digits: int = 1) -> None:
    """Print one figure."""
    print(f"{name:<24}{value:10.{digits}f} {text}", flush=True)
