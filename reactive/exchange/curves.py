"""Curves of other tools as expressions of the preset language: constants, ramps, oscillations, else the song's kick.

A formula of frames can't be copied: its own time is the frame, ours is the music. What it draws is recognised instead: a curve that
is a sine to within 3 % of its variance becomes `lfo` with the same turns a bar, a straight one follows `song.progress`. Everything else
keeps its median, and deviates from it with the kick.
"""

from __future__ import annotations

import numpy as np

# share of a curve's variance that a sine or a ramp must explain, and how often a sine must come round
_SINE, _RAMP, _TURNS = 0.97, 0.995, 2.0
# a curve that deviates less from its median than this share is constant
_STILL = 0.01
# fewest samples in which a shape is looked for
_FEWEST = 16
# bars of an oscillation: shorter ones flicker, longer ones than a song are none
SHORTEST, LONGEST = 1 / 16, 1024


def as_expression(values: np.ndarray, bars: np.ndarray, *, share: float = 0.5) -> str:
    """Return an expression for a curve.

    Parameters
    ----------
    values
        The curve, float64 [n], in the preset's units.
    bars
        How many bars have passed at each value, float64 [n], evenly spaced, or one value for a constant.
    share
        In percent: values beyond this share on either side are ignored where the curve follows the kick.
    """
    rest = float(np.median(values))
    if len(values) < _FEWEST or float(np.abs(values - rest).max()) < _STILL * max(abs(rest), 0.1):
        return _kicked(values, rest, share)
    return _sine(values, bars) or _ramp(values) or _kicked(values, rest, share)


def _sine(values: np.ndarray, bars: np.ndarray) -> str:
    """Return ``a + b * lfo(bars, shift)`` for a sine; empty for anything else."""
    count, spread = len(values), float(values.var())
    spectrum = np.abs(np.fft.rfft(values - values.mean()))
    peak = int(spectrum.argmax())
    turns = np.arange(count) / count
    best: tuple[float, float, np.ndarray] | None = None
    # the true number of turns lies between two places of the spectrum
    for number in np.linspace(max(peak - 1, 0.5), peak + 1, 81):
        table = np.stack(
            [np.ones(count), np.cos(2 * np.pi * number * turns), np.sin(2 * np.pi * number * turns)], axis=1
        )
        found, *_ = np.linalg.lstsq(table, values, rcond=None)
        left = float(((values - table @ found) ** 2).mean())
        if best is None or left < best[0]:
            best = left, float(number), found
    assert best is not None
    left, number, (middle, cosine, sine) = best
    if number < _TURNS or left > (1 - _SINE) * spread:
        return ""
    # cosine * cos + sine * sin is a cosine with a phase, and a cosine is 1 - 2 * lfo
    reach, phase = float(np.hypot(cosine, sine)), float(np.arctan2(-sine, cosine)) / (2 * np.pi) % 1
    length = float(bars[-1] - bars[0]) * count / (count - 1) / number
    if not SHORTEST <= length <= LONGEST:
        return ""
    return f"{middle + reach:.4g} - {2 * reach:.4g} * lfo({length:.4g}, {phase:.3g})"


def _ramp(values: np.ndarray) -> str:
    """Return ``a + b * song.progress`` for a straight curve; empty for anything else."""
    place = np.linspace(0, 1, len(values))
    slope, start = np.polyfit(place, values, 1)
    if float(((values - start - slope * place) ** 2).mean()) > (1 - _RAMP) * float(values.var()):
        return ""
    return f"{start:.4g} {'+' if slope > 0 else '-'} {abs(slope):.4g} * song.progress"


def _kicked(values: np.ndarray, rest: float, share: float) -> str:
    """Return an expression with the curve's median and its largest deviation on kicks."""
    swings = [float(np.percentile(values, place)) - rest for place in (share, 100 - share)]
    swing = max(swings, key=abs)
    if abs(swing) < _STILL * max(abs(rest), 0.1):
        return f"{rest:.4g}"
    return f"{rest:.4g} {'+' if swing > 0 else '-'} {abs(swing):.4g} * decay(kick, 0.25)"
