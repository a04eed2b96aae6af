"""Draw training examples: windows of the excerpts with random tempo, pitch, mix and timbre.

Stems are stored as power, and the powers of independent sounds add up. So changes of drum level, timbre, room, compression,
hiss, clicks and crowd noise need no new rendering.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from reactive.audio.attention import WINDOW
from reactive.audio.network import FRAME_SECONDS, OUTPUTS, inputs
from reactive.audio.spectrum import FRAMES_PER_SECOND, MELS, RATE, Spectra
from training.ear.data import FLOOR, STEPS

# probability of each kind
SHARES = {
    "band": 0.30,
    "pop": 0.06,
    "drummers": 0.12,
    "sheets": 0.11,
    "games": 0.09,
    "modules": 0.09,
    "strings": 0.08,
    "classical": 0.05,
    "grooves": 0.06,
    "styles": 0.04,
    "none": 0.03,
}
POWERS = (10 ** ((np.arange(256) / STEPS + FLOOR) / 10)).astype(np.float32) * (np.arange(256) > 0)
# limits of the tempo after a change of pace
SLOWEST, FASTEST = 48.0, 225.0


@dataclass
class Examples:
    """The excerpts in a folder, by kind."""

    folder: Path
    kinds: dict[str, list[Path]] = field(default_factory=dict)

    def look(self) -> int:
        """Look for new excerpts; return how many there are in all."""
        every = sorted(self.folder.glob("*-[0-9]*.npz"))
        found: dict[str, list[Path]] = {kind: [] for kind in SHARES}
        for path in every:
            kind = path.stem.rsplit("-", 1)[0]
            if kind in found:
                found[kind].append(path)
        self.kinds = {kind: paths for kind, paths in found.items() if paths}
        return sum(map(len, self.kinds.values()))

    def draw(self, rng: np.random.Generator, rows: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs [rows, 152] and targets [rows, outputs], float32; unknown targets are nan."""
        names = list(self.kinds)
        shares = np.array([SHARES[kind] for kind in names])
        paths = self.kinds[names[rng.choice(len(names), p=shares / shares.sum())]]
        for _ in range(20):
            try:
                with np.load(paths[rng.integers(len(paths))]) as stored_arrays:
                    return example({name: stored_arrays[name] for name in stored_arrays.files}, rng, rows)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                continue
        raise ValueError(f"the excerpts in {self.folder} can't be read")

    def batch(self, count: int, rng: np.random.Generator, rows: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
        """Return `count` examples, stacked."""
        x, y = zip(*(self.draw(rng, rows) for _ in range(count)), strict=True)
        return np.stack(x), np.stack(y)


def example(
    stored_arrays: dict[str, np.ndarray], rng: np.random.Generator, rows: int = WINDOW
) -> tuple[np.ndarray, np.ndarray]:
    """Return input and target of one window of an excerpt, `rows` (a multiple of four) long."""
    mel, chroma = stored_arrays["mel"], stored_arrays["chroma"]
    pace = _pace(stored_arrays["beats"], rng) if rng.random() < 0.6 else 1.0
    # seconds of the excerpt; some windows extend beyond its start or end
    length = rows * FRAME_SECONDS * pace
    duration = mel.shape[1] / FRAMES_PER_SECOND
    start = float(rng.uniform(-2, max(duration - length + 2, -1)))
    power = _sampled(mel, start * FRAMES_PER_SECOND, pace, 2 * rows)
    pitch = _sampled(chroma, start * FRAMES_PER_SECOND / 4, pace, rows // 2)
    power, pitch, silent = _mixed(power, pitch, rng)
    semitones = int(rng.integers(-4, 5))
    if semitones:
        power = power @ _shift(semitones)
        pitch = np.roll(pitch.reshape(-1, 2, 12), semitones, axis=2).reshape(-1, 24)
    power = _coloured(power, rng)
    events = {"beat": stored_arrays["beats"], "downbeat": stored_arrays["beats"][stored_arrays["opens"]]}
    events |= {role: stored_arrays[role] for role in ("kick", "snare", "hat")}
    if silent:
        # silenced drums have no events; the drums of a module stay unknown
        events |= {role: events[role][np.isnan(events[role])] for role in ("kick", "snare", "hat")}
    target = targets(rows, {name: (times - start) / pace for name, times in events.items()})
    none = np.zeros(0, np.float32)
    features = inputs(Spectra(power, none, none, none, pitch, none, none))
    return features, target


def targets(rows: int, events: dict[str, np.ndarray]) -> np.ndarray:
    """Return float32 [rows, outputs]: triangles of two rows to each side of every event; all nan for a role with nan."""
    values = np.zeros((rows, len(OUTPUTS)), np.float32)
    for column, name in enumerate(OUTPUTS):
        if np.isnan(events[name]).any():
            values[:, column] = np.nan
            continue
        at = events[name] / FRAME_SECONDS - 0.25
        for step in range(-2, 4):
            index = np.floor(at).astype(int) + step
            inside = (index >= 0) & (index < rows)
            height = np.maximum(0.0, 1 - np.abs(index - at) / 2)
            np.maximum.at(values[:, column], index[inside], height[inside])
    return values


def _pace(beats: np.ndarray, rng: np.random.Generator) -> float:
    """Return the seconds of the excerpt in one second of the window."""
    if len(beats) < 2:
        return 1.0
    tempo = 60 / float(np.median(np.diff(beats)))
    return float(
        np.exp(rng.uniform(max(-0.22, min(np.log(SLOWEST / tempo), 0)), min(0.22, max(np.log(FASTEST / tempo), 0))))
    )


def _sampled(codes: np.ndarray, first: float, pace: float, rows: int) -> np.ndarray:
    """Return power float32 [stems, rows, columns] at rows `first`, `first` + `pace`, ..; 0 beyond the ends."""
    at = first + pace * np.arange(rows)
    index = np.floor(at).astype(int)
    share = (at - index).astype(np.float32)[None, :, None]
    low, high = max(int(index[0]), 0), min(int(index[-1]) + 2, codes.shape[1])
    part = np.pad(POWERS[codes[:, low:high]], ((0, 0), (1, 1), (0, 0)))
    before = np.clip(index - low + 1, 0, part.shape[1] - 1)
    after = np.clip(index - low + 2, 0, part.shape[1] - 1)
    mixed: np.ndarray = part[:, before] * (1 - share) + part[:, after] * share
    return mixed


def _mixed(power: np.ndarray, pitch: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the sum of the stems with random levels and timbres, and whether the drums are silent."""
    levels = [1.0, 10 ** (float(np.clip(rng.normal(0, 6), -14, 14)) / 10)][: len(power)]
    silent = False
    if len(power) == 2 and (odd := rng.random()) < 0.08:
        silent = odd < 0.05
        levels[1 if silent else 0] = 0.0
    total, tones = np.zeros(power.shape[1:], np.float32), np.zeros(pitch.shape[1:], np.float32)
    for level, stem, tone in zip(levels, power, pitch, strict=True):
        tilt = np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), rng.normal(0, 3.5, 5))
        total += stem * (np.float32(level) * 10 ** (tilt / 10).astype(np.float32))
        tones += tone * np.float32(level)
    return total, tones, silent


@cache
def _shift(semitones: int) -> np.ndarray:
    """Return the float32 [64, 64] matrix that shifts mel power up by some semitones."""
    import librosa

    centres = librosa.mel_frequencies(n_mels=MELS + 2, fmin=30.0, fmax=RATE / 2)[1:-1]
    place = np.interp(centres * 2 ** (-semitones / 12), centres, np.arange(MELS), left=-1, right=MELS)
    matrix = np.zeros((MELS, MELS), np.float32)
    for band, at in enumerate(place):
        low = int(np.floor(at))
        for index, weight in ((low, 1 - (at - low)), (low + 1, at - low)):
            if 0 <= index < MELS:
                matrix[index, band] += weight
    return matrix


def _coloured(power: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the mix with a random recording condition: room, compressor, bad line, old record or crowd."""
    from scipy.signal import lfilter

    loud = float(np.percentile(power[::8], 99.5)) + 1e-12
    if rng.random() < 0.15:
        keep = 10 ** (-6 / (float(np.exp(rng.uniform(np.log(0.2), np.log(2.0)))) * FRAMES_PER_SECOND))
        tail = lfilter([1 - keep], [1, -keep], power, axis=0)
        power = power + np.float32(rng.uniform(0.2, 3)) * tail
    if rng.random() < 0.2:
        level = power.sum(axis=1)
        keep = np.exp(-1 / (rng.uniform(0.03, 0.4) * FRAMES_PER_SECOND))
        level = np.maximum(level, lfilter([1 - keep], [1, -keep], level))
        gain = (np.maximum(level, 1e-9) / (level.max() + 1e-9)) ** (-rng.uniform(0.2, 0.7))
        power = power * np.minimum(gain, 30)[:, None]
    if rng.random() < 0.12:
        edge = int(rng.integers(30, 60))
        power = power * (np.arange(MELS) < edge)
    if rng.random() < 0.08:
        power = power * (np.arange(MELS) >= int(rng.integers(1, 12)))
    if rng.random() < 0.25:
        slope = 10 ** (np.linspace(0, rng.uniform(-3, 1), MELS))
        swell = np.exp(np.interp(np.arange(len(power)), np.linspace(0, len(power), 60), rng.normal(0, 0.5, 60)))
        grain = rng.exponential(1.0, power.shape)
        power = power + loud * 10 ** rng.uniform(-5, -1.5) * slope * swell[:, None] * grain
    if rng.random() < 0.06:
        # clicks of a record: broadband and short
        rows = rng.integers(0, len(power), rng.poisson(len(power) / FRAMES_PER_SECOND * rng.uniform(0.5, 8)))
        np.add.at(power, rows, loud * 10 ** rng.uniform(-4, -1.5) * rng.exponential(1.0, (len(rows), 1)))
    return np.asarray(power, np.float32)
