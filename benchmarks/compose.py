"""Time of composing a picture over a ground: milliseconds a picture on one CPU thread, and on a GPU.

python -m benchmarks compose [--photo FILE] [--device cpu|cuda] [--rounds N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import in_turn, line
from reactive.diffusion.compose import ROOM, Ground, Terms, canvas_size, compose, compose_on_device, prepare_ground
from reactive.diffusion.motion.camera import inverse_map
from reactive.sources.ground import GroundFile, load_ground

FRAME = (384, 224)
SIZES = ((768, 432), (1920, 1080))
# camera moves of the pictures of a round, as after a kick
MOVES = [[1.02 + 0.01 * number, 0.3, 0.004, 0.002] for number in range(8)]
TERMS = {"lit": Terms(1.0), "half its detail": Terms(0.5), "hardly any": Terms(0.1)}


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks compose", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, help="a photograph; default: noise of all scales")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    device = torch.device(options.device)
    painting = _noise(*FRAME)
    painting_on_device = torch.from_numpy(painting).permute(2, 0, 1).to(device)
    lenses = [inverse_map(move, FRAME[0] / FRAME[1]) for move in MOVES]
    for size in SIZES:
        ground = _ground(options.photo, size)
        for name, terms in TERMS.items():
            contestants = {
                "processor": lambda size=size, terms=terms, ground=ground: [
                    compose(ground, painting, terms, size, lens) for lens in lenses
                ]
            }
            if device.type != "cpu":
                contestants["card"] = lambda size=size, terms=terms, ground=ground: [
                    compose_on_device(ground, painting_on_device, terms, size, lens) for lens in lenses
                ]
            for processor, seconds in in_turn(contestants, rounds=options.rounds).items():
                bar = f" (bar {12 if size == SIZES[0] else 70})" if processor == "processor" else ""
                line(f"{size[0]}x{size[1]} {name}, {processor}", 1000 * seconds / len(lenses), f"ms a picture{bar}")


def _ground(photo: Path | None, size: tuple[int, int]) -> Ground:
    width, height = canvas_size(FRAME, size)
    if photo is None:
        return prepare_ground(_noise(round(width * ROOM), round(height * ROOM)))
    loaded = load_ground(GroundFile(photo), width=width, height=height, room=ROOM)
    return prepare_ground(loaded.larger, loaded.exact, focus=loaded.focus)


def _noise(width: int, height: int) -> np.ndarray:
    """Return noise of all scales, uint8 [height, width, 3]."""
    rng = np.random.default_rng(5)
    total = np.zeros((height, width, 3))
    for step in (1, 4, 16, 64):
        rows, columns = -(-height // step), -(-width // step)
        total += np.kron(rng.random((rows, columns, 3)), np.ones((step, step, 1)))[:height, :width]
    return np.asarray(np.round(total / 4 * 255), np.uint8)
