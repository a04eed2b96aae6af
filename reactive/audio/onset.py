"""Onsets in the whole spectrum and in three bands.

Onset strength is the half-wave rectified rise of the compressed mel spectrum (librosa's `onset_strength_multi`). A
peak means an onset nearby; the fine envelope then gives its time to some milliseconds. Times are in
seconds, strengths in [0, 1] with 1 at the song's strong onsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.spectrum import (
    FINE_HOP,
    FRAMES_PER_SECOND,
    HOP,
    MELS,
    RATE,
    Spectra,
    loud_level,
    mel_edges,
    row_chunks,
)

BANDS = ("all", "low", "mid", "high")
# compression: log(1 + COMPRESSION * power / loud power); a gain of the whole song cancels out
COMPRESSION = 1000.0
# how far around a peak of onset strength an attack is searched
SEARCH_SECONDS = 0.05
# how far around strong onsets set the scale, and its least share of the song's strong ones
NEARBY_SECONDS = 4.0
WEAKEST = 0.4


@dataclass(frozen=True)
class Onsets:
    """Onset times in seconds, rising, and their strengths in [0, 1]."""

    times: np.ndarray
    strengths: np.ndarray


def onset_strength(spectra: Spectra) -> np.ndarray:
    """Return onset strength float32 [4, t] for all, low, mid and high, about 1 at the strong onsets of each passage.

    Each band is divided by its own level nearby (the smoothed maximum of some seconds), so that kicks under a wall of
    sound still count; passages much weaker than the song's strong onsets stay weak.
    """
    import librosa
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    loud = loud_level(spectra.mel)
    if loud <= 0:
        return np.zeros((len(BANDS), len(spectra.mel)), np.float32)
    low, high = mel_edges()
    parts = [
        librosa.onset.onset_strength_multi(
            S=np.log1p(spectra.mel[stretch].T * np.float32(COMPRESSION / loud)),
            sr=RATE,
            hop_length=HOP,
            lag=2,
            max_size=1,
            center=False,
            channels=[slice(0, MELS), slice(0, low), slice(low, high), slice(high, MELS)],
        )[:, keep]
        for stretch, keep in row_chunks(len(spectra.mel), 4)
    ]
    strength = np.concatenate(parts, axis=1)
    # a song of one click has no useful percentile
    highest = strength.max(axis=1, keepdims=True)
    strong = np.maximum(np.percentile(strength, 99.5, axis=1, keepdims=True), 0.2 * highest)
    width = round(2 * NEARBY_SECONDS * FRAMES_PER_SECOND)
    nearby = gaussian_filter1d(maximum_filter1d(strength, width, axis=1), width / 4, axis=1, mode="nearest")
    scale = np.maximum(nearby, WEAKEST * strong)
    return (strength / np.maximum(scale, 1e-6) * (strong > 1e-4)).astype(np.float32)


def pick(strength: np.ndarray, *, threshold: float = 0.12) -> np.ndarray:
    """Return the rows at which onset strength [t] has clear peaks: the highest within 30 ms, and above the mean of 100 ms.

    The rule is that of ``librosa.util.peak_pick``, whose compiled code is kept on disk in two files that name each other. When
    several processes compile it at the same time the two may not match, and every later run dies of signal 11.
    """
    from scipy.ndimage import maximum_filter1d

    if not strength.any():
        return np.zeros(0, np.int64)
    near = round(0.03 * FRAMES_PER_SECOND)
    around = round(0.1 * FRAMES_PER_SECOND)
    row = np.arange(len(strength))
    sums = np.concatenate([[0.0], np.cumsum(strength, dtype=np.float64)])
    first, after = np.maximum(row - around, 0), np.minimum(row + around + 1, len(row))
    means = (sums[after] - sums[first]) / (after - first)
    highest = maximum_filter1d(strength, 2 * near + 1, mode="nearest")
    peaks: list[int] = []
    for at in np.flatnonzero((strength == highest) & (strength >= means + threshold)).tolist():
        if not peaks or at - peaks[-1] > near:
            peaks.append(at)
    return np.array(peaks, np.int64)


def attack(fine: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Move times to the steepest rise of the fine envelope near them, if there is a clear one.

    Parameters
    ----------
    fine
        Peak envelope in steps of 64 samples at 22050 Hz.
    seconds
        Times to refine.
    """
    reach = int(SEARCH_SECONDS * RATE / FINE_HOP)
    floor = max(float(np.percentile(fine, 99)) * 1e-2, 1e-6) if len(fine) else 1e-6
    # rise of the log envelope over three steps (9 ms): independent of gain, insensitive to slow swells
    level = np.log(fine + floor)
    rise = np.zeros_like(level)
    rise[2:] = level[2:] - np.minimum(level[1:-1], level[:-2])
    refined = seconds.copy()
    for i, time in enumerate(seconds):
        centre = round(time * RATE / FINE_HOP)
        first, last = max(centre - reach, 0), min(centre + reach + 1, len(rise))
        if last - first > 2 and rise[first:last].max() > 0.5:
            refined[i] = (first + int(rise[first:last].argmax())) * FINE_HOP / RATE
    return refined


def detect(spectra: Spectra, strength: np.ndarray) -> dict[str, Onsets]:
    """Return the onsets of each band, from onset strength [4, t] of `onset_strength`."""
    found = {}
    for band, curve in zip(BANDS, strength, strict=True):
        rows = pick(curve)
        seconds = attack(spectra.fine, rows * (HOP / RATE))
        order = np.argsort(seconds, kind="stable")
        kept = order[np.diff(seconds[order], prepend=-1.0) > 0.02] if len(order) else order
        found[band] = Onsets(seconds[kept], np.clip(curve[rows[kept]], 0, 1).astype(np.float64))
    return found
