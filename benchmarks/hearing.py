"""Time and memory of the analysis: `python -m benchmarks hearing [--no-memory] [--rounds N] [--kinds FOLDER]`.

The bundled song, repeated to 266 s of stereo at 44100 Hz, is analysed in a warm process and by `reactive analyze` in new
processes (without and with the cache); three hours of it are analysed in a process whose peak memory is printed. At most two
processor cores are used. With `--kinds`, the folder of scores that `ear_split.tsv` names, the table of `python -m benchmarks rhythm`
follows: the accuracy for each kind of music, with librosa's beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks import rhythm
from benchmarks.measure import SONG, line

SECONDS, RATE = 266.0, 44_100
CORES = 2
# bars, in seconds and MB
WARM, COLD, CACHED_COMMAND, CACHED, MEMORY = 4.0, 10.0, 1.0, 0.3, 1000.0
HOURS = 3.0
_IN_PROCESS = (
    "import json, resource, sys, time; from reactive.audio.hear import hear; began = time.perf_counter(); "
    "heard = hear(sys.argv[1]); took = time.perf_counter() - began; "
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024; "
    "loaded = [name for name in ('librosa', 'torch') if name in sys.modules]; "
    "print(json.dumps({'took': took, 'peak': peak, 'loaded': loaded, 'duration': heard.analysis.duration}))"
)


def write_song(path: Path, seconds: float) -> None:
    """Write the bundled song, repeated, as a 16-bit stereo WAV of a length in seconds."""
    sound = soundfile.read(SONG, dtype="int16", always_2d=True)[0]
    sound = np.repeat(sound, 2, axis=1) if sound.shape[1] == 1 else sound
    left = round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2) as handle:
        while left:
            handle.write(sound[:left])
            left -= min(left, len(sound))


def in_process(song: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Analyse a song in a new process; return the seconds, peak MB, and which heavy packages were imported."""
    command = [sys.executable, "-c", _IN_PROCESS, str(song)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def command_seconds(song: Path, environment: dict[str, str]) -> float:
    """Return the seconds of `reactive analyze SONG` as a command."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "reactive", "analyze", str(song)], capture_output=True, check=True, env=environment
    )
    return time.perf_counter() - began


def print_least(name: str, values: list[float], bar: float, unit: str) -> None:
    """Print the least of several figures and its bar."""
    least = min(values)
    line(name, least, f"{unit}, bar {bar:g}: {'kept' if least <= bar else 'MISSED'}", digits=2 if unit == "s" else 0)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; the fastest of several rounds counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks hearing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true", help="skip the three hours of music")
    parser.add_argument("--kinds", type=Path, metavar="FOLDER", help="print the accuracy for each kind of music too")
    options = parser.parse_args(arguments)
    if options.kinds and (absent := rhythm.lacking("validation", options.kinds)):
        sys.exit("missing: " + "; ".join(absent))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track

    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder, "song.wav")
        write_song(song, SECONDS)
        track = open_track(song)
        warm = []
        for _ in range(options.rounds + 1):
            began = time.perf_counter()
            analyze(track)
            warm.append(time.perf_counter() - began)
        print_least("warm process", warm[1:], WARM, "s")
        cold = []
        for number in range(options.rounds):
            environment = os.environ | {"REACTIVE_CACHE": str(Path(folder, f"cache{number}"))}
            cold.append(command_seconds(song, environment))
        print_least("cold, as a command", cold, COLD, "s")
        print_least("cached, command", [command_seconds(song, environment) for _ in cold], CACHED_COMMAND, "s")
        before = [in_process(song, environment) for _ in cold]
        print_least("cached, in process", [float(run["took"]) for run in before], CACHED, "s")
        print(
            "imported by then:",
            ", ".join({str(name) for run in before for name in run["loaded"]}) or "no librosa, no torch",
        )
        if not options.no_memory:
            write_song(song, HOURS * 3600)
            environment["REACTIVE_CACHE"] = str(Path(folder, "cache-long"))
            run = in_process(song, environment)
            print_least(f"peak memory, {HOURS:g} h", [float(run["peak"])], MEMORY, "MB")
            line(f"hearing {HOURS:g} h", float(run["took"]), "s")
    if options.kinds:
        rhythm.main(["--hearing", str(options.kinds), "--others", "librosa"])
