"""Render MIDI files with FluidSynth and a General MIDI soundfont, and drums by formula.

Audio is float32 mono at 22050 Hz.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from reactive.audio.spectrum import RATE


def synthesize(data: bytes, soundfont: Path, *, rate: int = RATE, reverb: bool = True) -> np.ndarray:
    """Render a MIDI file with FluidSynth to float32 mono."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        score.write_bytes(data)
        command = ["fluidsynth", "-ni", "-q", "-F", str(sound), "-r", str(rate), "-g", "0.4"]
        command += ["-o", "synth.dynamic-sample-loading=1", "-R", str(int(reverb)), "-C", str(int(reverb))]
        subprocess.run([*command, str(soundfont), str(score)], check=True, capture_output=True, timeout=3600)
        with wave.open(str(sound)) as handle:
            samples = np.frombuffer(handle.readframes(handle.getnframes()), "<i2").reshape(-1, handle.getnchannels())
    return (samples.mean(axis=1) / 32768).astype(np.float32)


def drums_by_formula(hits: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Render hits, rows of (seconds, pitch, velocity): swept sines, ringing tones and noise with random parameters."""
    kit: dict[int, np.ndarray] = {}
    mix = np.zeros(samples, np.float32)
    style = rng.uniform(0, 1, 8)
    for start, pitch, velocity in hits:
        if int(pitch) not in kit:
            kit[int(pitch)] = _drum(int(pitch), style, rng)
        sound = kit[int(pitch)]
        first = round(start * RATE)
        part = mix[first : first + len(sound)]
        part += sound[: len(part)] * np.float32((velocity / 127) ** 1.5)
    return mix


def _drum(pitch: int, style: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(round(0.5 * RATE)) / RATE
    noise = rng.standard_normal(len(t))
    bright = np.diff(noise, n=2, prepend=[0.0, 0.0]) / 2.4
    if pitch in (35, 36):
        base, depth, fall, ring = 40 + 25 * style[0], 60 + 250 * style[1], 0.01 + 0.04 * style[2], 0.06 + 0.2 * style[3]
        phase = 2 * np.pi * np.cumsum(base + depth * np.exp(-t / fall)) / RATE
        sound = np.sin(phase) * np.exp(-t / ring) + 0.3 * style[4] * bright * np.exp(-t / 0.003)
    elif pitch in (38, 40, 37, 39):
        tone = np.sin(2 * np.pi * (160 + 80 * style[1]) * t) * np.exp(-t / 0.06)
        body = noise if style[2] < 0.5 else bright
        sound = 0.5 * style[3] * tone + 0.6 * body * np.exp(-t / (0.03 + 0.12 * style[4]))
        if pitch == 39:
            sound += 0.4 * body * sum(np.exp(-np.abs(t - late) / 0.004) for late in (0.0, 0.012, 0.022))
    elif pitch in (41, 43, 45, 47, 48, 50):
        sound = np.sin(2 * np.pi * np.cumsum((60 + 5 * (pitch - 40)) * (1 + 0.5 * np.exp(-t / 0.03))) / RATE) * np.exp(
            -t / 0.15
        )
    else:
        long = 0.25 if pitch in (46, 49, 51) else 0.015 + 0.05 * style[5]
        sound = 0.4 * bright * np.exp(-t / long)
    return (0.5 * sound).astype(np.float32)
