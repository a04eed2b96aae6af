"""Signals: the analysis as named curves in [0, 1], one value a frame, calibrated to the song itself.

Each continuous signal is divided by a high percentile of its own song, so a quiet and a loud master of the same music
give the same curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import Grid
from reactive.timeline.clock import frame_length, frame_times, nearest_frames

ROLES = ("kick", "snare", "hat")
BAND_OF = {"kick": "low", "snare": "mid", "hat": "high"}
# levels beside the three bands: what sounds on, and what strikes
LEVELS = ("harmonic", "percussive", "sustain.low", "sustain.mid", "sustain.high")
# weaker drum strokes count as none
LEAST_DRUM_STRENGTH = 0.2
NAMES = ("c", "cs", "d", "eb", "e", "f", "fs", "g", "ab", "a", "bb", "b")
# `energy.level` is 0 at this many LU below the song's loud moments, or at more if the song's own range is wider
LEAST_RANGE = 6.0
# anything quieter than this many LU below the loud moments counts as this quiet
DEEPEST = 40.0
SMOOTH_SECONDS = 4.0


def frame_signals(analysis: Analysis, grid: Grid, *, frames: int, fps: Fraction) -> dict[str, np.ndarray]:
    """Return every signal that does not depend on a preset, float64 [frames] in [0, 1]."""
    seconds = frame_times(frames, fps)
    length = frame_length(fps)
    level = {
        name: interval_means(curve, analysis.envelope_rate, seconds, length)
        for name, curve in analysis.envelopes.items()
    }
    signals = {
        "rms": _scaled(level["rms"], 98),
        "loudness": _scaled(_smoothed(level["rms"], 1.0 / length), 95),
        "brightness": _brightness(level["centroid"], level["rms"]),
        "flux": np.clip(level["flux"], 0, 1),
        "energy.level": _energy(analysis, seconds, length),
    }
    for name in ("low", "mid", "high", *LEVELS):
        signals[name] = _scaled(level.get(name, np.zeros(frames)), 98)
    for name, onsets in analysis.onsets.items():
        strengths = (
            np.where(onsets.strengths >= LEAST_DRUM_STRENGTH, onsets.strengths, 0.0)
            if name in ROLES
            else onsets.strengths
        )
        signals[_signal_of(name)] = hits(onsets.times, strengths, frames, fps)
    for name in analysis.envelopes:
        if name.startswith("stem."):
            signals[name] = _scaled(level[name], 98)
    for role in ROLES:
        signals.setdefault(role, signals[f"onset.{BAND_OF[role]}"])
    signals |= _chroma(analysis, seconds, length)
    heard = 1.0 if grid.heard else 0.0
    signals["beat"] = hits(grid.beats, np.full(len(grid.beats), heard), frames, fps)
    signals["bar"] = hits(grid.bars, np.full(len(grid.bars), heard), frames, fps)
    signals["phase.beat"] = np.mod(grid.beat_position(seconds), 1.0)
    signals["phase.bar"] = np.mod(grid.bar_position(seconds), 1.0)
    signals["song.progress"] = (np.arange(frames) + 0.5) / frames
    signals |= _structure(analysis, grid, seconds, frames, fps)
    if analysis.silent:
        moving = ("phase.beat", "phase.bar", "song.progress", "section.progress")
        signals = {name: curve if name in moving else np.zeros(frames) for name, curve in signals.items()}
    # rounded, so that masters of one song at other levels give the same timeline
    return {name: np.round(curve, 4) for name, curve in signals.items()}


def _signal_of(onsets: str) -> str:
    """Return the name of the signal that onsets make: roles and MIDI as they are, a stem's in addition to its level."""
    if onsets in ROLES or onsets.startswith("midi."):
        return onsets
    if onsets.startswith("stem."):
        return f"{onsets}.hit"
    return "onset" if onsets == "all" else f"onset.{onsets}"


def interval_means(curve: np.ndarray, rate: float, seconds: np.ndarray, length: float) -> np.ndarray:
    """Return the means of a curve over intervals of `length` seconds centred on `seconds`.

    Value i of the curve holds from (i - 1/2) / rate to (i + 1/2) / rate; beyond its ends it is 0.
    """
    total = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    edges = np.arange(len(curve) + 1) - 0.5

    def integral(at: np.ndarray) -> np.ndarray:
        return np.asarray(np.interp(at * rate, edges, total))

    return (integral(seconds + length / 2) - integral(seconds - length / 2)) / (length * rate)


def hits(times: np.ndarray, strengths: np.ndarray, frames: int, fps: Fraction) -> np.ndarray:
    """Return a curve with each event's strength at the nearest frame (the strongest counts), 0 elsewhere."""
    curve = np.zeros(frames)
    at = nearest_frames(times, fps)
    inside = (at >= 0) & (at < frames)
    np.maximum.at(curve, at[inside], np.asarray(strengths, np.float64)[inside])
    return curve


def drops(analysis: Analysis) -> list[float]:
    """Return the times of the song's drops."""
    return [moment.start for moment in analysis.moments if moment.kind == "drop"]


def returns_of(labels: Sequence[str]) -> np.ndarray:
    """Return how often each section came before, n as n / (n + 1): 0, 1/2, 2/3 ..., float64 [sections].

    Sections of one label that follow each other count as one: the music has not been away.

    Parameters
    ----------
    labels
        The letter of each section; the same letter is the same music.
    """
    seen: dict[str, int] = {}
    found = []
    for number, label in enumerate(labels):
        if number == 0 or labels[number - 1] != label:
            seen[label] = seen.get(label, -1) + 1
        found.append(seen[label] / (seen[label] + 1))
    return np.array(found)


def _structure(
    analysis: Analysis, grid: Grid, seconds: np.ndarray, frames: int, fps: Fraction
) -> dict[str, np.ndarray]:
    starts = np.array([section.start for section in analysis.sections])
    ends = np.array([section.end for section in analysis.sections])
    energy = np.array([section.energy for section in analysis.sections])
    inside = np.clip(np.searchsorted(starts, seconds, side="right") - 1, 0, len(starts) - 1)
    progress = np.clip((seconds - starts[inside]) / np.maximum(ends - starts, 1e-9)[inside], 0, 1)
    build, broken, silent = np.zeros(frames), np.zeros(frames), np.zeros(frames)
    bars = grid.bar_position(seconds)
    for moment in analysis.moments:
        here = (seconds >= moment.start) & (seconds < moment.end)
        if moment.kind == "build":
            # steepest at its end, so that its effect is strongest when the drop comes
            first, last = grid.bar_position(np.array([moment.start, moment.end])).tolist()
            rise = np.clip((bars - first) / max(last - first, 1e-6), 0, 1)
            build = np.where(here, np.maximum(build, rise * rise), build)
        elif moment.kind == "break":
            broken = np.where(here, moment.strength, broken)
        elif moment.kind == "silence":
            silent = np.where(here, 1.0, silent)
    dropping = [moment for moment in analysis.moments if moment.kind == "drop"]
    return {
        "section": hits(starts, np.ones(len(starts)), frames, fps),
        "section.index": inside / max(len(starts) - 1, 1),
        "section.again": returns_of([section.label for section in analysis.sections])[inside],
        "section.progress": progress,
        "section.energy": energy[inside],
        "drop": hits(np.array([moment.start for moment in dropping]), np.ones(len(dropping)), frames, fps),
        "build": build,
        "break": broken,
        "silence": silent,
    }


def _chroma(analysis: Analysis, seconds: np.ndarray, length: float) -> dict[str, np.ndarray]:
    """Return one signal a pitch class."""
    names = [f"pitch.{name}" for name in NAMES]
    if not len(analysis.chroma):
        return {name: np.zeros(len(seconds)) for name in names}
    rate = analysis.envelope_rate / 4
    # a row lasts longer than a frame; values between rows are interpolated
    at = np.arange(len(analysis.chroma)) / rate
    return {name: np.clip(np.interp(seconds, at, analysis.chroma[:, row]), 0, 1) for row, name in enumerate(names)}


def _energy(analysis: Analysis, seconds: np.ndarray, length: float) -> np.ndarray:
    """Return momentary loudness, smoothed over some bars, between the song's quiet and its loud passages."""
    loudness = analysis.envelopes.get("loudness", np.zeros(1))
    # silence counts as the quietest music, whatever the master's level
    heard = np.maximum(loudness, loudness.max() - DEEPEST)
    # in decibels 0 is loud, so the curve is extended beyond the song's ends
    smooth = _smoothed(
        np.interp(seconds * analysis.envelope_rate, np.arange(len(heard)), heard), SMOOTH_SECONDS / length
    )
    low, high = np.percentile(smooth, [5, 95])
    return np.clip(1 - (high - smooth) / max(high - low, LEAST_RANGE), 0, 1)


def _scaled(curve: np.ndarray, percentile: float) -> np.ndarray:
    top = float(np.percentile(curve, percentile))
    scaled: np.ndarray = np.clip(curve / top, 0, 1) if top > 0 else np.zeros_like(curve)
    return scaled


def _smoothed(curve: np.ndarray, width: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(curve, width / 2, mode="nearest"))


def _brightness(centroid: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Return the centroid on a logarithmic scale between the 5th and 95th percentile of the song's audible frames."""
    audible = (rms > 0.05 * np.percentile(rms, 98)) & (centroid > 20)
    if audible.sum() < 2:
        return np.zeros_like(centroid)
    octaves = np.log2(np.maximum(centroid, 20))
    low, high = np.percentile(octaves[audible], [5, 95])
    bright: np.ndarray = np.where(audible, np.clip((octaves - low) / max(high - low, 0.1), 0, 1), 0.0)
    return bright
