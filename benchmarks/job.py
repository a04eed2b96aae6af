"""Times of all stages of a job for the bundled song, and memory against the number of frames.

python -m benchmarks job [--model NAME] [--no-memory]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.core import Nets
from benchmarks.measure import in_turn, line, matmul_peak, render
from reactive.diffusion.models.load import default_threads

# numbers of frames after which memory is compared
LENGTHS = (1000, 5000)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks job", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ember")
    parser.add_argument("--no-memory", action="store_true", help="skip the long render")
    options = parser.parse_args(arguments)
    torch.set_num_threads(default_threads())
    peak = matmul_peak()
    line("matrix multiply", peak, f"GFLOP/s float32, {torch.get_num_threads()} threads")
    nets = Nets.load(options.model)
    times = in_turn({"core": nets.imagine, "bare": nets.bare}, rounds=12)
    rate = nets.batch / times["core"]
    line("bare networks", nets.batch / times["bare"], "pictures/s")
    line("core", rate, f"pictures/s, {times['bare'] / times['core']:.0%} of the bare networks")
    line("core", 100 * rate * nets.gflop / peak, "% of the matrix-multiply peak", digits=0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        done = render(folder, "--model", options.model)
        frames_per_s = float(str(done["frames_per_s"]))
        line("hearing", float(str(done["analysis_s"])), f"s for {done['duration']} s, in a fresh process", digits=2)
        line("loading", float(str(done["load_s"])), "s", digits=2)
        line("rendering", float(str(done["render_s"])), f"s for {done['frames']} frames of {done['size']}", digits=2)
        line("whole job", frames_per_s, f"frames/s, {frames_per_s / rate:.0%} of the core")
        if not options.no_memory:
            found = render(
                folder, "--model", options.model, "--fps", str(LENGTHS[-1] // 25), "--duration", "25", marks=LENGTHS
            )
            for frames in LENGTHS:
                line("peak memory", found["peak_mb_at"][frames], f"MB at frame {frames:,}", digits=0)
