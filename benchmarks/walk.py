"""Test whether a walk looks equally fast for all prompts: the visible change a unit of walk for each prompt of a preset.

python -m benchmarks walk [--model NAME] [--device auto|cpu|cuda] [--preset NAME] [--prompts N]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from benchmarks.measure import line
from reactive.diffusion.calibration import MAX_DEVIATION, REFERENCE, change_of, known_pace, measure_pace, outliers
from reactive.diffusion.core import Core
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import choose_device, default_batch, default_threads, load_model
from reactive.preset.library import get_preset


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks walk", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ember")
    parser.add_argument("--device", default="auto", help="default: auto, the best available")
    parser.add_argument("--preset", default="loop-destroy")
    parser.add_argument("--prompts", type=int, default=40, help="how many prompts, evenly over the phases")
    parser.add_argument("--threads", type=int, default=default_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    texts = [str(entry) for phase in get_preset(options.preset).phase for entry in phase.prompts]
    texts = [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, options.prompts).astype(int))]
    device = choose_device(options.device)
    model = load_model(options.model, device=device)
    width, height = model.native_size
    batch = default_batch(device, width, height)
    began = time.perf_counter()
    measured = measure_pace(model, width=width, height=height)
    took = time.perf_counter() - began
    used = known_pace(model, width=width, height=height) or measured.pace
    core = Core(model, PromptBank(model, texts), batch=batch, width=width, height=height)
    change = change_of(core, len(texts)) * used
    middle = float(np.median(change))
    line("pace measured", measured.pace, f"times, from {measured.pictures} pictures; {used:g} is used", digits=2)
    line("measuring took", took, "s (bar 30)")
    line("median change", middle, f"L*a*b* a unit of walk, reference {REFERENCE:g}")
    near = float(np.mean(np.abs(change / middle - 1) <= MAX_DEVIATION))
    line("within 25 %", 100 * near, "% of the prompts", digits=0)
    for text, share in sorted(outliers(change, texts), key=lambda found: found[1]):
        line("  outlier", share, f'times the median: "{text}"', digits=2)
