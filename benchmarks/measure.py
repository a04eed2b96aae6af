"""Measurement helpers: warm-up is excluded, contestants take turns, the fastest round counts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
SONG = ROOT / "reactive" / "data" / "first-light.ogg"


def in_turn(contestants: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 2) -> dict[str, float]:
    """Return the seconds of each contestant's fastest round.

    They take turns, so that noise of the machine affects all of them.
    """
    fastest = dict.fromkeys(contestants, float("inf"))
    for number in range(warm_up + rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number >= warm_up:
                fastest[name] = min(fastest[name], time.perf_counter() - began)
    return fastest


def matmul_peak(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Return a device's matrix-multiply peak in GFLOP/s; the CPU uses torch's number of threads."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / in_turn({"matmul": lambda: a @ b}, rounds=12)["matmul"] / 1e9


def render(folder: Path, *options: str, song: Path = SONG, marks: Sequence[int] = ()) -> dict[str, Any]:
    """Render a song in a new process.

    Parameters
    ----------
    marks
        Numbers of finished frames at which the peak memory is recorded.

    Returns
    -------
    The command's summary, with the process's peak memory as ``peak_mb``, and by mark as ``peak_mb_at``.
    """
    command = ["run", str(song), "-o", str(folder / "clip.mp4"), "--overwrite", "--json", *options]
    arguments = [sys.executable, "-m", "benchmarks.watched", ",".join(map(str, marks)), *command]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"reactive {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    found = json.loads(done.stdout.splitlines()[-1])
    at = {int(mark): float(peak) for mark, peak in found["peak_mb_at"].items()}
    return {**found["summary"], "peak_mb": float(found["peak_mb"]), "peak_mb_at": at}


def line(name: str, value: float, text: str, *, digits: int = 1) -> None:
    """Print one figure."""
    print(f"{name:<24}{value:10.{digits}f} {text}", flush=True)
