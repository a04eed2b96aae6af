"""Structure: sections and their similarity, build-ups, drops, breaks and silences. Times in seconds."""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np

from reactive.audio.spectrum import FRAMES_PER_SECOND, MELS, Spectra, loud_level

# the checkerboard looks this many bars back and ahead
KERNEL_BARS = 8
MIN_BARS = 4
# songs shorter than this many bars may have shorter sections
SHORT_SONG, MIN_BARS_SHORT = 24, 2
# sections whose mean features are nearer than this (correlation distance) have the same letter
SAME = 0.35


@dataclass(frozen=True)
class Section:
    """A passage: start and end in seconds, a letter shared by passages that sound alike, energy in [0, 1].

    `part` is the name that a person gave it, as ``chorus``; empty without one.
    """

    start: float
    end: float
    label: str
    energy: float
    part: str = ""


@dataclass(frozen=True)
class Moment:
    """An event in the song's structure: ``build``, ``drop``, ``break`` or ``silence``, strength in [0, 1].

    A build ends where its drop begins; a drop ends with its first bar.
    """

    kind: str
    start: float
    end: float
    strength: float


# a drop: in dB, how much bass or everything rises over the bars before, and how near to its loudest the song is
BASS_RISE, WHOLE_RISE, NEAR_LOUDEST = 6.0, 4.0, 6.0
# a break: dB below the song's loud bars, in bass or as a whole, and least number of bars
BREAK_DEPTH, BREAK_BARS = 9.0, 2
BUILD_BARS = 8
# silence: dB below the song's loud moments, and least seconds
SILENT_DEPTH, SILENT_SECONDS = 45.0, 0.8


def find_sections(spectra: Spectra, bars: np.ndarray, duration: float) -> list[Section]:
    """Divide the song at its strongest lasting changes, on bar lines.

    Foote's checkerboard novelty on a bar-by-bar self-similarity (Foote 2000), then average-linkage clustering of the
    sections' means for the letters.

    Parameters
    ----------
    spectra
        The song's spectra.
    bars
        Bar starts in seconds (any regular pulse works), rising.
    duration
        The song's length in seconds.
    """
    edges = np.unique(np.clip(np.concatenate([[0.0], bars, [duration]]), 0.0, duration))
    edges = _without_slivers(edges)
    features, energy = features_between(spectra, edges), _bar_levels(spectra, edges)[0]
    count = len(features)
    starts = [0, *_boundaries(features, MIN_BARS_SHORT if count < SHORT_SONG else MIN_BARS), count]
    means = np.stack([features[a:b].mean(axis=0) for a, b in zip(starts, starts[1:], strict=False)])
    labels = _letters(means)
    level = level_ranks([float(energy[a:b].mean()) for a, b in zip(starts, starts[1:], strict=False)])
    return [
        Section(float(edges[a]), float(edges[b]), label, loud)
        for a, b, label, loud in zip(starts, starts[1:], labels, level, strict=False)
    ]


def find_moments(spectra: Spectra, bars: np.ndarray, sections: list[Section], duration: float) -> list[Moment]:
    """Return builds, drops, breaks and silences, by start.

    Parameters
    ----------
    spectra
        The song's spectra.
    bars
        Bar starts in seconds, rising.
    sections
        Its sections; drops and breaks begin with one.
    duration
        The song's length in seconds.
    """
    edges = _without_slivers(np.unique(np.clip(np.concatenate([[0.0], bars, [duration]]), 0.0, duration)))
    whole, bass = _bar_levels(spectra, edges)
    found = _silences(spectra)
    if len(edges) < 6:
        return found
    loud, loud_bass = np.percentile(whole, 90), np.percentile(bass, 90)
    # a song without bass can't drop it
    has_bass = loud_bass > loud - 20
    starts = np.searchsorted(edges, [section.start + 1e-6 for section in sections], side="right") - 1
    for section, bar in zip(sections[1:], starts[1:].tolist(), strict=True):
        first = max(bar - BUILD_BARS, int(starts[max(int(np.searchsorted(starts, bar)) - 1, 0)]))
        after = slice(bar, bar + 4)
        rise = float(whole[after].mean()) - _level_before(whole, first, bar)
        bass_rise = float(bass[after].mean()) - _level_before(bass, first, bar) if has_bass else 0.0
        enough = max(rise / WHOLE_RISE, bass_rise / BASS_RISE if rise > 0 else 0.0)
        if enough < 1 or whole[after].mean() < loud - NEAR_LOUDEST:
            continue
        found.append(Moment("drop", section.start, float(edges[min(bar + 1, len(edges) - 1)]), min(enough / 3, 1.0)))
        found.append(Moment("build", float(edges[first]), section.start, min(enough / 3, 1.0)))
    low = (whole < loud - BREAK_DEPTH) | (has_bass & (bass < loud_bass - BREAK_DEPTH) & (whole < loud - 3))
    for first, last in _runs(low):
        # before the music begins and after it ends there are no breaks
        if last - first >= BREAK_BARS and first > 0 and last < len(low):
            depth = float(np.clip((loud - whole[first:last].mean()) / 24, 0.2, 1.0))
            found.append(Moment("break", float(edges[first]), float(edges[last]), depth))
    return sorted(found, key=lambda moment: (moment.start, moment.kind))


def _level_before(levels: np.ndarray, first: int, bar: int) -> float:
    """Return the level before a bar, of bars from `first` on: a build gets loud at its end, so its median counts if that is lower."""
    return float(min(levels[max(bar - 2, 0) : bar].mean(), np.median(levels[first:bar])))


def _bar_levels(spectra: Spectra, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of each bar in dB, of everything and of the bass, at least 80 dB below the song's loud level."""
    floor = max(float(np.percentile(spectra.power, 95)), 1e-20) * 1e-8
    rows = np.round(edges * FRAMES_PER_SECOND).astype(int).clip(0, len(spectra.power) - 1)
    stacked = np.stack([spectra.power, spectra.bands[:, 0]], axis=1).astype(float)
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(stacked, axis=0)])
    first, last = rows[:-1], np.maximum(rows[1:], rows[:-1] + 1)
    means = (total[last] - total[first]) / (last - first)[:, None]
    whole, bass = 10 * np.log10(means.T + floor)
    return whole, bass


def _silences(spectra: Spectra) -> list[Moment]:
    width = round(0.2 * FRAMES_PER_SECOND)
    mean = np.convolve(spectra.power, np.full(width, 1 / width), "same")
    quiet = mean < max(float(np.percentile(mean, 95)), 1e-20) * 10 ** (-SILENT_DEPTH / 10)
    fewest = SILENT_SECONDS * FRAMES_PER_SECOND
    runs = [(first, last) for first, last in _runs(quiet) if last - first >= fewest]
    return [Moment("silence", first / FRAMES_PER_SECOND, last / FRAMES_PER_SECOND, 1.0) for first, last in runs]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last (excluded) of each run of True."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return list(zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True))


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


def features_between(spectra: Spectra, edges: np.ndarray) -> np.ndarray:
    """Return timbre, its motion and chroma between each two of rising times [n + 1], float64 [n, d], each of similar weight."""
    rows = np.round(edges * FRAMES_PER_SECOND).astype(int)
    spans = [(min(a, len(spectra.mel) - 1), max(b, a + 1)) for a, b in zip(rows, rows[1:], strict=False)]
    scale = np.float32(1000 / max(loud_level(spectra.mel), 1e-12))
    bars = [np.log1p(scale * spectra.mel[a:b]).reshape(-1, 16, MELS // 16).mean(axis=2) for a, b in spans]
    timbre = np.stack([bar.mean(axis=0) for bar in bars])
    motion = np.stack([bar.std(axis=0) for bar in bars])
    chroma = np.stack([spectra.chroma[a // 4 : max(b // 4, a // 4 + 1)].mean(axis=0) for a, b in spans])
    chroma = chroma.reshape(-1, 2, 12)
    chroma = (chroma / np.maximum(np.linalg.norm(chroma, axis=2, keepdims=True), 1e-12)).reshape(-1, 24)
    parts = [timbre, 0.7 * motion, 1.0 * chroma]
    # each group has the same weight whatever its size and spread
    scaled = [part / max(float(part.std(axis=0).mean()) * np.sqrt(part.shape[1]), 1e-9) for part in parts]
    return np.concatenate(scaled, axis=1)


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
    """Return A, B, ... by similarity, in order of first appearance."""
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


def level_ranks(levels: list[float]) -> list[float]:
    """Map levels in dB to [0, 1]: half by level (at most 24 dB below the top), half by rank, so that they spread out."""
    values = np.array(levels)
    if len(values) == 1:
        return [1.0]
    top = values.max()
    spread = min(max(top - values.min(), 3.0), 24.0)
    by_level = np.clip(1 - (top - values) / spread, 0, 1)
    by_rank = values.argsort().argsort() / (len(values) - 1)
    return [float(level) for level in (by_level + by_rank) / 2]
