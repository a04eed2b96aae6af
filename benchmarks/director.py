"""How soon a director sees a change: a try, and one soft shot made again.

    python -m benchmarks director [--song FILE] [--rounds N]

Whole processes, as typed. `try` is measured after the song was heard once, beside `run` over the same seconds (bars: 8 s, a
quarter). Then a clip of the whole song (default: the bundled one, repeated to three minutes) is made, one shot that blends
in is rolled again, and `run` makes the clip anew (bar: the shot's length and 5 s).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.measure import SONG, line

MINUTES = 3
# the length of a try, and of what it is compared with
SECONDS = 12.0
# the soft shot that is made again is the longest of at most this many seconds
LONGEST_SHOT = 4.5


def main(arguments: list[str]) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="benchmarks director", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--song", type=Path, help="default: the bundled song, repeated to three minutes")
    parser.add_argument("--preset", default="loop-destroy")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reactive-director-") as room:
        folder = Path(room)
        song = options.song.resolve() if options.song else repeated(folder / "song.wav")
        preset = ["-p", options.preset]
        command(folder, "analyze", str(song))
        tries = [spent(folder, "try", str(song), *preset) for _ in range(options.rounds)]
        again = ["--start", "60", "--duration", str(SECONDS), "-o", "full.mp4", "--overwrite"]
        full = min(spent(folder, "run", str(song), *preset, *again) for _ in range(max(1, options.rounds // 2)))
        line("try", min(tries), f"s (bar 8; {', '.join(f'{one:.1f}' for one in tries)})")
        line("run, the same length", full, "s")
        line("try against run", full / min(tries), "times as fast (bar 4)")
        made = ["run", str(song), *preset, "-o", "whole.mp4", "--overwrite"]
        line("the whole clip", spent(folder, *made), "s")
        shots = json.loads(command(folder, "shots", str(song), *preset, "--json"))["shots"]
        shot = soft_shot(shots)
        command(folder, "shots", str(song), *preset, "--shot", shot["name"], "--roll")
        seconds = spent(folder, *made)
        length = shot["frames"] / 24
        line("one soft shot again", seconds, f"s, of which it lasts {length:.1f} (bar {length + 5:.1f})")


def repeated(out: Path) -> Path:
    """Write the bundled song over and over, three minutes long; return the file."""
    sound, rate = soundfile.read(SONG, always_2d=True, dtype="float32")
    wanted = MINUTES * 60 * rate
    soundfile.write(out, np.tile(sound, (-(-wanted // len(sound)), 1))[:wanted], rate)
    return out


def soft_shot(shots: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the longest shot that blends in and lasts at most `LONGEST_SHOT` seconds."""
    soft = [shot for shot in shots if shot["begins"] == "blend" and shot["frames"] <= LONGEST_SHOT * 24]
    if not soft:
        sys.exit("this song has no soft shot of the wanted length; name another --song or --preset")
    return max(soft, key=lambda shot: int(shot["frames"]))


def command(folder: Path, *words: str) -> str:
    """Run `reactive` in a folder; return what it prints."""
    done = subprocess.run([sys.executable, "-m", "reactive", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"reactive {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def spent(folder: Path, *words: str) -> float:
    """Return the seconds that a command takes."""
    began = time.perf_counter()
    command(folder, *words)
    return time.perf_counter() - began
