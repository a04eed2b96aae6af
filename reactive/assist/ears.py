"""Beats and "ones" as other programs hear them: Beat This! (extra [beats]) and, where it is installed, madmom.

Each ear is one function that loads the library and returns another: sound in, beats and "ones" out. What it says is kept with the
song as a grid of its own, so every command follows it. Nothing is downloaded here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from reactive.errors import GridError, ModelError, install_line
from reactive.media.sound import Track, resampled, stereo_blocks

# sound float32 [n] at RATE in, times of beats and of "ones" in seconds out
Ear = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
RATE = 44_100
# where Beat This! itself keeps what it downloaded
CHECKPOINT = "beat_this-final0.ckpt"
# "ones" lie on beats: so near, in seconds
NEAR_SECONDS = 0.035
# a beat so soon after another is the same
CLOSEST_SECONDS = 0.1


def hear_beats(track: Track, ear: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the beats of a song and those that are "ones", in seconds, rising.

    Parameters
    ----------
    ear
        ``beat-this``, ``beat-this=CHECKPOINT`` or ``madmom``.

    Raises
    ------
    ModelError
        If there is no such ear, its package or its weights are missing, or it fails.
    GridError
        If it hears fewer than two beats.
    """
    name, _, file = ear.partition("=")
    if name not in EARS:
        raise ModelError(f'there is no ear "{name}"', where="--ear", remedy=f"choose from {', '.join(EARS)}")
    hear = EARS[name](file)
    parts = stereo_blocks(track)
    parts = parts if track.sample_rate == RATE else resampled(parts, track.sample_rate, RATE, 2)
    sound = np.concatenate(list(parts)).mean(axis=1, dtype=np.float32)
    try:
        found = hear(sound)
    except Exception as problem:
        raise ModelError(f"failed ({_said(problem)})", where=f"--ear {name}", remedy="leave --ear out") from None
    beats, ones = (np.sort(np.asarray(times, float).ravel()) for times in found)
    beats = beats[np.isfinite(beats) & (beats >= 0) & (beats < track.duration)]
    beats = beats[np.diff(beats, prepend=-1.0) > CLOSEST_SECONDS]
    if len(beats) < 2:
        raise GridError("hears no beat in this song", where=f"--ear {name}", remedy="leave --ear out")
    ones = ones[np.isfinite(ones)]
    is_one = (np.abs(beats[:, None] - ones[None]) < NEAR_SECONDS).any(axis=1) if len(ones) else np.zeros(0, bool)
    return tuple(beats.tolist()), tuple(beats[is_one].tolist()) if len(ones) else ()


def load_beat_this(file: str) -> Ear:
    """Load Beat This! (Foscarin, Schlüter and Widmer, ISMIR 2024): weights of its own class, from a checkpoint on this machine."""
    try:
        import torch
        from beat_this.inference import Audio2Beats
    except ImportError:
        raise ModelError(
            "needs Beat This!",
            where="--ear beat-this",
            remedy=f"install it with `{install_line('[beats]')}`",
        ) from None
    checkpoint = Path(file) if file else Path(torch.hub.get_dir(), "checkpoints", CHECKPOINT)
    if not checkpoint.is_file():
        raise ModelError(
            "there are no weights of Beat This!",
            where=str(checkpoint),
            remedy="run `beat_this` once, which fetches them, or give --ear beat-this=CHECKPOINT",
        )
    try:
        # the library names the class itself; nothing but tensors and plain values may be in the file
        torch.load(checkpoint, map_location="cpu", weights_only=True)
        whole = Audio2Beats(checkpoint_path=str(checkpoint), device="cpu", dbn=False)
    except Exception as problem:
        raise ModelError(
            f"can't be loaded ({_said(problem)})", where=str(checkpoint), remedy="fetch the checkpoint again"
        ) from None
    return lambda sound: whole(sound, RATE)


def load_madmom(file: str) -> Ear:
    """Load madmom's downbeat model (Böck, Krebs and Widmer, ISMIR 2016) as it is installed; its weights are not for commercial use."""
    if file:
        raise ModelError("takes no checkpoint", where="--ear madmom", remedy="write --ear madmom")
    try:
        from madmom.audio.signal import Signal
        from madmom.features.downbeats import DBNDownBeatTrackingProcessor, RNNDownBeatProcessor
    except Exception as problem:
        # madmom looks for its own package's entry and raises what it likes
        raise ModelError(
            f"madmom can't be loaded ({_said(problem)})", where="--ear madmom", remedy="install it, or leave --ear out"
        ) from None
    network = RNNDownBeatProcessor()
    search = DBNDownBeatTrackingProcessor(beats_per_bar=[3, 4], fps=100)

    def hear(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.asarray(search(network(Signal(sound, sample_rate=RATE, num_channels=1)))).reshape(-1, 2)
        return rows[:, 0], rows[rows[:, 1] == 1, 0]

    return hear


EARS: dict[str, Callable[[str], Ear]] = {"beat-this": load_beat_this, "madmom": load_madmom}


def _said(problem: Exception) -> str:
    return " ".join(str(problem).split())[:160] or type(problem).__name__
