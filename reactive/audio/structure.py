"""Sections: where the music changes, which passages are alike, how loud and dense each is. Times in seconds."""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np

from reactive.audio.spectrum import FRAMES_PER_SECOND, Spectra

# the checkerboard looks this many bars back and ahead
KERNEL_BARS = 8
MIN_BARS = 4
# songs shorter than this many bars may have shorter sections
SHORT_SONG, MIN_BARS_SHORT = 24, 2
# sections whose mean features are nearer than this (correlation distance) bear the same letter
SAME = 0.35


@dataclass(frozen=True)
class Section:
    """A passage: start and end in seconds, a letter shared by passages that sound alike, energy in [0, 1]."""

    start: float
    end: float
    label: str
    energy: float


def find_sections(spectra: Spectra, bars: np.ndarray, duration: float) -> list[Section]:
    """Divide the song at the strongest changes that last, on bar lines.

    Foote's checkerboard novelty on a bar-by-bar self-similarity (Foote 2000), then average-linkage clustering of the
    sections' means for the letters.

    Parameters
    ----------
    spectra
        The song's spectra.
    bars
        Bar starts in seconds (any regular pulse will do), rising.
    duration
        The song's length in seconds.
    """
    edges = np.unique(np.clip(np.concatenate([[0.0], bars, [duration]]), 0.0, duration))
    edges = _without_slivers(edges)
    features, energy = _bar_features(spectra, edges)
    count = len(features)
    starts = [0, *_boundaries(features, MIN_BARS_SHORT if count < SHORT_SONG else MIN_BARS), count]
    means = np.stack([features[a:b].mean(axis=0) for a, b in zip(starts, starts[1:], strict=False)])
    labels = _letters(means)
    level = _rank([float(energy[a:b].mean()) for a, b in zip(starts, starts[1:], strict=False)])
    return [
        Section(float(edges[a]), float(edges[b]), label, loud)
        for a, b, label, loud in zip(starts, starts[1:], labels, level, strict=False)
    ]


def _without_slivers(edges: np.ndarray) -> np.ndarray:
    """Drop edges less than half a typical bar after the one before, keeping the first and the last."""
    if len(edges) < 3:
        return edges
    typical = float(np.median(np.diff(edges)))
    kept = [edges[0]]
    for edge in edges[1:-1]:
        if edge - kept[-1] >= typical / 2 and edges[-1] - edge >= typical / 2:
            kept.append(edge)
    return np.array([*kept, edges[-1]])


def _bar_features(spectra: Spectra, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised features [bars, d] and loudness in dB [bars]."""
    rows = np.round(edges * FRAMES_PER_SECOND).astype(int)
    spans = [(min(a, len(spectra.mel) - 1), max(b, a + 1)) for a, b in zip(rows, rows[1:], strict=False)]
    loud = max(float(np.percentile(spectra.mel, 99.9)), 1e-12)
    mel = np.log1p(1000 * spectra.mel / loud).reshape(len(spectra.mel), 16, -1).mean(axis=2)
    timbre = np.stack([mel[a:b].mean(axis=0) for a, b in spans])
    motion = np.stack([mel[a:b].std(axis=0) for a, b in spans])
    chroma = np.stack([spectra.chroma[a:b].mean(axis=0) for a, b in spans])
    chroma = chroma / np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-12)
    energy = 10 * np.log10(np.array([float(spectra.power[a:b].mean()) for a, b in spans]) + 1e-7)
    parts = [timbre, 0.7 * motion, 1.0 * chroma]
    # each group weighs the same whatever its size and spread
    scaled = [part / max(float(part.std(axis=0).mean()) * np.sqrt(part.shape[1]), 1e-9) for part in parts]
    return np.concatenate(scaled, axis=1), energy


def _boundaries(features: np.ndarray, fewest: int) -> list[int]:
    """Return the bars, rising, where a new section starts; no section is shorter than `fewest` bars."""
    if len(features) < 2 * fewest:
        return []
    centred = features - features.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    count = len(unit)
    size = min(KERNEL_BARS, count // 2)
    novelty = np.zeros(count)
    for bar in range(fewest, count - fewest + 1):
        reach = min(size, bar, count - bar)
        before, after = unit[bar - reach : bar], unit[bar : bar + reach]
        novelty[bar] = (
            (before @ before.T).mean() + (after @ after.T).mean() - 2 * (before @ after.T).mean()
        ) * np.sqrt(reach / size)
    chosen: list[int] = []
    threshold = max(0.25, float(np.median(novelty) + 0.5 * novelty.std()))
    for bar in np.argsort(-novelty):
        near = novelty[max(bar - 2, 0) : bar + 3]
        far_enough = all(abs(int(bar) - other) >= fewest for other in [0, count, *chosen])
        if novelty[bar] > threshold and novelty[bar] >= near.max() and far_enough:
            chosen.append(int(bar))
    return sorted(chosen)


def _letters(means: np.ndarray) -> list[str]:
    """Return A, B, ... by likeness, in order of first appearance."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(means) == 1:
        return ["A"]
    centred = means - means.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    distance = np.clip(1 - unit @ unit.T, 0, None)[np.triu_indices(len(means), 1)]
    clusters = fcluster(linkage(distance, "average"), SAME, "distance")
    seen: dict[int, str] = {}
    for cluster in clusters:
        seen.setdefault(int(cluster), _letter(len(seen)))
    return [seen[int(cluster)] for cluster in clusters]


def _letter(index: int) -> str:
    return string.ascii_uppercase[index % 26] * (index // 26 + 1)


def _rank(levels: list[float]) -> list[float]:
    """Map levels in dB to [0, 1]: half by level (at most 24 dB below the top), half by rank, so that all spread out."""
    values = np.array(levels)
    if len(values) == 1:
        return [1.0]
    top = values.max()
    spread = min(max(top - values.min(), 3.0), 24.0)
    by_level = np.clip(1 - (top - values) / spread, 0, 1)
    by_rank = values.argsort().argsort() / (len(values) - 1)
    return [float(level) for level in (by_level + by_rank) / 2]
