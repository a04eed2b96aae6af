"""Synthetic live music: a kick on each beat and a hat between, without a sound card."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RATE = 44_100
BLOCK = 512


def beat_stream(
    seconds: float, *, bpm: float = 120.0, noise: float = 0.01, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a stream float32 [n] at 44100 Hz, and the times of its kicks."""
    sound = np.random.default_rng(seed).normal(0, noise, int(seconds * RATE)).astype(np.float32)
    t = np.arange(int(0.12 * RATE)) / RATE
    kick = 0.7 * np.sin(2 * np.pi * 60 * t) * np.exp(-t * 25)
    hat = 0.15 * np.random.default_rng(1).normal(0, 1, len(t)) * np.exp(-t * 90)
    times = np.arange(0.5, seconds - 0.3, 60 / bpm)
    for time in times:
        for sample, at in ((kick, time), (hat, time + 30 / bpm)):
            first = int(at * RATE)
            part = sound[first : first + len(sample)]
            part += sample[: len(part)]
    return sound, times


def blocks(sound: np.ndarray, size: int = BLOCK) -> Iterator[np.ndarray]:
    """Yield a stream block by block."""
    for first in range(0, len(sound), size):
        yield sound[first : first + size]
