"""Signals: what was heard, as named curves in [0, 1], one value a frame, calibrated to the song itself.

Each continuous signal is divided by a high percentile of its own song, so a quiet and a loud master of the same music
give the same curves.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import Grid
from reactive.timeline.clock import frame_length, frame_times, nearest_frames

KICK = 0.35
# a section counts as a drop when its energy exceeds that of the one before by so much
DROP_RISE = 0.2
BUILD_BARS = 8


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
        "low": _scaled(level["low"], 98),
        "mid": _scaled(level["mid"], 98),
        "high": _scaled(level["high"], 98),
        "brightness": _brightness(level["centroid"], level["rms"]),
        "flux": np.clip(level["flux"], 0, 1),
        "onset": hits(analysis.onsets["all"].times, analysis.onsets["all"].strengths, frames, fps),
    }
    for band in ("low", "mid", "high"):
        onsets = analysis.onsets[band]
        signals[f"onset.{band}"] = hits(onsets.times, onsets.strengths, frames, fps)
    signals["kick"] = np.where(signals["onset.low"] >= KICK, signals["onset.low"], 0.0)
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
    return signals


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
    """Return a curve that holds each event's strength at the frame nearest to it (the strongest wins), 0 elsewhere."""
    curve = np.zeros(frames)
    at = nearest_frames(times, fps)
    inside = (at >= 0) & (at < frames)
    np.maximum.at(curve, at[inside], np.asarray(strengths, np.float64)[inside])
    return curve


def drops(analysis: Analysis) -> list[float]:
    """Return the times of section starts that are much louder than what came before."""
    pairs = zip(analysis.sections, analysis.sections[1:], strict=False)
    return [after.start for before, after in pairs if after.energy - before.energy >= DROP_RISE]


def _structure(
    analysis: Analysis, grid: Grid, seconds: np.ndarray, frames: int, fps: Fraction
) -> dict[str, np.ndarray]:
    starts = np.array([section.start for section in analysis.sections])
    ends = np.array([section.end for section in analysis.sections])
    energy = np.array([section.energy for section in analysis.sections])
    inside = np.clip(np.searchsorted(starts, seconds, side="right") - 1, 0, len(starts) - 1)
    progress = np.clip((seconds - starts[inside]) / np.maximum(ends - starts, 1e-9)[inside], 0, 1)
    build = np.zeros(frames)
    bars = grid.bar_position(seconds)
    dropping = drops(analysis)
    for time in dropping:
        section = int(np.searchsorted(ends, time - 1e-6))
        here = (seconds < time) & (seconds >= starts[min(section, len(starts) - 1)])
        rise = 1 - (grid.bar_position(np.array([time])) - bars) / BUILD_BARS
        build = np.where(here, np.maximum(build, np.clip(rise, 0, 1)), build)
    return {
        "section": hits(starts, np.ones(len(starts)), frames, fps),
        "section.progress": progress,
        "section.energy": energy[inside],
        "drop": hits(np.array(dropping), np.ones(len(dropping)), frames, fps),
        "build": build * build,
    }


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
