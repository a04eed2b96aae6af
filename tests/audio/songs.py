"""Synthesised songs with known beats: drums, bass and chords in any metre."""

from __future__ import annotations

import numpy as np

RATE = 22_050


def drum(kind: str) -> np.ndarray:
    """Return one hit, float64."""
    t = np.arange(round(0.25 * RATE)) / RATE
    noise = np.random.default_rng(len(kind)).standard_normal(len(t))
    if kind == "kick":
        return np.sin(2 * np.pi * np.cumsum(50 + 120 * np.exp(-t / 0.015)) / RATE) * np.exp(-t / 0.09)
    if kind == "snare":
        return 0.5 * np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.05) + 0.4 * noise * np.exp(-t / 0.07)
    return 0.3 * np.diff(noise, prepend=0.0) * np.exp(-t / 0.02)


def note(pitch: float, seconds: float) -> np.ndarray:
    """Return a plucked note with some overtones."""
    t = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    body = sum(np.sin(2 * np.pi * frequency * k * t) / k for k in (1, 2, 3))
    return body * np.minimum(t / 0.004, 1) * np.exp(-t / (0.6 * seconds))


def band(beats: np.ndarray, size: int = 4, *, seconds: float, drums: bool = True, parts: int = 2) -> np.ndarray:
    """Return a song with a kick on each downbeat (and in the middle of even bars), snares between, hats on parts of beats,
    a bass note on each beat and a chord that changes with the bar, float32 mono.

    Parameters
    ----------
    beats
        Beat times in seconds; the first is a downbeat.
    size
        Beats of a bar.
    """
    song = np.zeros(round((seconds + 1) * RATE))
    roots = (45, 41, 48, 43)

    def add(sound: np.ndarray, at: float, level: float) -> None:
        first = round(at * RATE)
        part = song[first : first + len(sound)]
        part += level * sound[: len(part)]

    for number, (beat, following) in enumerate(zip(beats, [*beats[1:], 2 * beats[-1] - beats[-2]], strict=True)):
        bar, place = divmod(number, size)
        root, length = roots[bar % len(roots)], following - beat
        if drums:
            strong = place == 0 or (size == 4 and place == 2)
            add(drum("kick" if strong else "snare"), beat, 0.8)
            for part in range(parts):
                add(drum("hat"), beat + part * length / parts, 0.4)
        add(note(root - 12, length), beat, 0.5 if place == 0 else 0.25)
        if place == 0:
            for step in (0, 4 if root in (41, 48, 43) else 3, 7):
                add(note(root + 12 + step, size * length), beat, 0.25)
    return (0.3 * song[: round(seconds * RATE)]).astype(np.float32)


def steady(tempo: float, seconds: float, start: float = 0.5) -> np.ndarray:
    """Return beat times at a steady tempo."""
    return np.arange(start, seconds - 0.3, 60 / tempo)
