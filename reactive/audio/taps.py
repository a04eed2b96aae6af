"""A grid from a person's taps: their tempo, and the grid that they mean.

People tap at the level that they feel (every beat, every second one), to within some 30 ms; the analysis has exact
times. So taps choose among the analysed beats if they fit them, else the steady tempo near them that fits the onsets best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.corrections import FASTEST, SLOWEST, Corrections, apply_corrections, steady_beats
from reactive.audio.onset import Onsets
from reactive.errors import GridError

MIN_TAPS, MAX_TAPS = 4, 64
# how far a tapped tempo may be from an analysed one, and how far around a tapped tempo beats are searched
SAME, AROUND = 0.06, 0.02
# a beat this far (in periods) from the taps is not the one that was tapped
MAX_TAP_ERROR = 0.15
# how far from the taps a steady grid's beats are searched, and how exact beats are, in seconds
REACH, EXACT = 0.08, 0.02


def grid_from_taps(analysis: Analysis, corrections: Corrections, taps: Sequence[float]) -> Corrections:
    """Return the corrections that taps at song times (seconds, at least four) mean.

    Parameters
    ----------
    analysis
        The analysis without corrections.
    corrections
        The corrections so far; their metre is kept.

    Raises
    ------
    GridError
        If the taps are too few, too uneven, or at no tempo.
    """
    period, first = tap_period(taps)
    heard = replace(corrections, half=False, double=False, offset_ms=None, downbeat=None)
    level = _level(analysis, heard, period, first)
    if level is None:
        bpm, start = _steady(analysis.onsets["all"], analysis.duration, period, first)
        beats = steady_beats(bpm, analysis.onsets["all"], analysis.duration)
        shift = _wrapped(start - float(beats[0]), 60 / bpm)
        return Corrections(bpm=bpm, offset_ms=_ms(shift), meter=corrections.meter, sections=corrections.sections)
    unshifted = replace(heard, half=level == "half", double=level == "double")
    kept = replace(unshifted, offset_ms=corrections.offset_ms)
    late = _lateness(apply_corrections(analysis, kept).beats, taps)
    if abs(late) <= MAX_TAP_ERROR * period:
        return kept
    return replace(unshifted, offset_ms=_ms(_lateness(apply_corrections(analysis, unshifted).beats, taps)))


def tap_period(taps: Sequence[float]) -> tuple[float, float]:
    """Return the seconds from tap to tap and the time of the first one, by least squares; a missed tap is allowed.

    Raises
    ------
    GridError
        If the taps are too few, too uneven, or at no tempo.
    """
    times = np.asarray(taps[-MAX_TAPS:], np.float64)
    if len(times) < MIN_TAPS:
        raise GridError(f"{len(times)} taps tell no tempo", where="tap", remedy=f"tap at least {MIN_TAPS} times")
    steps = np.diff(times)
    typical = float(np.median(steps))
    if not typical > 0 or not SLOWEST <= 60 / typical <= FASTEST:
        raise GridError("the taps are at no tempo", where="tap", remedy="tap 20 to 400 times a minute")
    numbers = np.concatenate([[0], np.cumsum(np.maximum(np.round(steps / typical), 1))])
    period, first = np.polyfit(numbers, times, 1)
    if np.abs(times - first - period * numbers).max() > 0.3 * period:
        raise GridError("the taps are uneven", where="tap", remedy="tap along with the beat once more")
    return float(period), float(first)


def _level(analysis: Analysis, heard: Corrections, period: float, first: float) -> str | None:
    """Return which of the heard beats were tapped: ``all``, every second one (``half``), ``double``, or None of these."""
    try:
        beats = apply_corrections(analysis, heard).beats
    except GridError:
        return None
    if len(beats) < 8:
        return None
    nearest = int(np.clip(np.searchsorted(beats, first), 4, len(beats) - 4))
    ratio = period / float(np.median(np.diff(beats[nearest - 4 : nearest + 4])))
    for level, wanted in (("all", 1.0), ("half", 2.0), ("double", 0.5)):
        if abs(ratio / wanted - 1) < SAME:
            return level
    return None


def _steady(onsets: Onsets, duration: float, period: float, first: float) -> tuple[float, float]:
    """Return the tempo near the taps whose beats meet most onset strength, and the time of its beat at the first tap."""
    # steps so fine that the song's last beat moves by less than the exactness of beats
    steps = max(1, int(np.ceil(AROUND * duration / EXACT)))
    periods = period * (1 + AROUND * np.arange(-steps, steps + 1) / steps)
    if not len(onsets.times):
        return 60 / period, first
    starts = first + np.arange(-REACH, REACH + 1e-9, EXACT / 2)
    best, found = -1.0, (60 / period, first)
    for one in periods:
        away = _wrapped(onsets.times[None] - starts[:, None], one)
        fit = (np.exp(-0.5 * (away / EXACT) ** 2) * onsets.strengths).sum(axis=1)
        if fit.max() > best:
            best, found = float(fit.max()), (60 / float(one), float(starts[int(fit.argmax())]))
    return found


def _lateness(beats: np.ndarray, taps: Sequence[float]) -> float:
    """Return how much later than the beats the taps lie, in seconds: the median, since single taps vary."""
    times = np.asarray(taps, np.float64)
    after = np.clip(np.searchsorted(beats, times), 1, len(beats) - 1)
    away = times[:, None] - np.stack([beats[after - 1], beats[after]], axis=1)
    nearest = np.take_along_axis(away, np.abs(away).argmin(axis=1)[:, None], axis=1)[:, 0]
    # taps between two beats must not fall to either side
    period = float(np.median(np.diff(beats)))
    turned = np.angle(np.exp(2j * np.pi * nearest / period).mean()) / (2 * np.pi) * period
    return float(turned)


def _wrapped(times: np.ndarray | float, period: float) -> np.ndarray | float:
    return np.mod(np.asarray(times) + period / 2, period) - period / 2


def _ms(seconds: np.ndarray | float) -> float | None:
    return round(float(seconds) * 1000, 1) or None
