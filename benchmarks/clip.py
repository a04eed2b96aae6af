"""Render the acceptance clip in one `reactive run`: 4 min 26 s at 7500/133 frames/s from 6 photographs and 2 videos.

python -m benchmarks clip [--seconds 266] [--model NAME] [--folder DIR] [-- OPTIONS OF reactive run]

266 s are 15,000 frames and 250 prompts. The benchmark creates song, preset, photographs and videos itself. A short run, for
instance --seconds 20, only tests that everything works. --folder keeps the files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from benchmarks.material import make_material
from benchmarks.measure import ROOT, line, render

FPS = "7500/133"
SECONDS = 266.0
# memory is compared between these numbers of frames
EARLY, LATE = 1000, 15_000
FLAT_MB = 50.0
FULL_PROMPTS = 250


def main(arguments: list[str]) -> None:
    """Make the clip and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks clip", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--model", default="ember")
    parser.add_argument("--folder", type=Path, help="keep all files in this folder")
    parser.add_argument("more", nargs="*", help="further options of reactive run, behind --")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reactive-clip-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _clip(folder, options.seconds, options.model, options.more)


def _clip(folder: Path, seconds: float, model: str, more: list[str]) -> None:
    began = time.perf_counter()
    material = make_material(folder, seconds=seconds)
    line("making the material", time.perf_counter() - began, "s, not part of the clip")
    total = round(seconds * Fraction(FPS))
    # a short run compares an early frame with its last one
    early, late = min(EARLY, max(1, total // 15)), min(LATE, total)
    arguments = ["--model", model, "--fps", FPS, *material.options(), *more]
    print(f"reactive run {material.song.name} {' '.join(_short(word) for word in arguments)}")
    began = time.perf_counter()
    done = render(folder, *arguments, song=material.song, marks=(early, late))
    wall = time.perf_counter() - began
    frames = int(done["frames"])
    line("wall time", wall, f"s, including the start of Python, for {done['duration']:g} s of song", digits=1)
    line("  hearing", done["analysis_s"], "s")
    line("  loading", done["load_s"], "s")
    line("  rendering", done["render_s"], f"s, {done['frames_per_s']:g} frames/s")
    line("  checking flashes", done["wall_s"] - done["analysis_s"] - done["load_s"] - done["render_s"], "s")
    line("frames", frames, f"of {done['size']} at {done['fps']} frames/s", digits=0)
    line("pictures", done["pictures"], f"imagined at {done['imagine_size']}", digits=0)
    line("prompts shown", done["prompts_used"], f"(the whole clip: {FULL_PROMPTS})", digits=0)
    line("sources shown", done["photos_shown"], "photographs and videos of 8", digits=0)
    line("peak memory", done["peak_mb"], "MB, the whole command", digits=0)
    at = done["peak_mb_at"]
    for mark in (early, late):
        line("  up to then", at[mark], f"MB at frame {mark:,}", digits=0)
    line("  growth", at[late] - at[early], f"MB (bar {FLAT_MB:g} between frame {EARLY:,} and {LATE:,})", digits=1)
    line("size of the file", Path(done["output"]).stat().st_size / 1e6, "MB")
    _score(Path(done["output"]))


def _short(word: str) -> str:
    return Path(word).name if Path(word).is_absolute() else word


def _score(clip: Path) -> None:
    """Print what `reactive score` finds in the finished file."""
    command = [sys.executable, "-m", "reactive", "score", str(clip), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    for name, value in json.loads(done.stdout).items():
        print(f"score {name:<18}{value if not isinstance(value, dict) else json.dumps(value)}")
