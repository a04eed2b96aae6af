"""Tempo, beats, bars and metre, from the rhythm network's activations. Times in seconds, tempo in beats a minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from reactive.audio.bars import BeatPath, best_path
from reactive.audio.onset import Onsets
from reactive.audio.spectrum import HOP, RATE

# songs without a beat get an even pulse: seconds a bar, with four beats
PULSE_SECONDS = 2.0
BEATS_PER_BAR = 4
# mean log odds of the best path's beats, below which there is no beat worth following: excerpts without a beat reach -3.0 at
# most (40 of `training.ear.data`), strings without accents -2.1 at least (25). From -1.3 to 2 confidence rises from 0 to 1
NO_PULSE = -2.3
UNSURE_PULSE, CLEAR_PULSE = -1.3, 2.0
MIN_BEATS = 4
# probability, and steps from the song's start, of a beat that becomes the grid's first
FIRST_BEAT, FIRST_STEPS = 0.15, 3
# a beat is moved to an attack this near, in seconds
NEAR_SECONDS = 0.03
# the network's mean error in seconds, as measured by `python -m benchmarks rhythm`
BIAS_SECONDS = 0.0


@dataclass(frozen=True)
class Rhythm:
    """Tempo, beats and bars of a song.

    Attributes
    ----------
    tempo
        Beats a minute, the median over the song; 0 if there is no beat.
    beats, downbeats
        Times, rising.
    beats_per_bar
        Beats of the bar that each downbeat opens, int64.
    confidence
        How clearly the beat was heard, in [0, 1].
    """

    tempo: float
    beats: np.ndarray
    downbeats: np.ndarray
    beats_per_bar: np.ndarray
    confidence: float


NO_RHYTHM = Rhythm(0.0, np.zeros(0), np.zeros(0), np.zeros(0, np.int64), 0.0)


def track_beats(heard: Mapping[str, np.ndarray], onsets: Onsets, rows: int) -> Rhythm:
    """Find beats and bars.

    Parameters
    ----------
    heard
        Activations ``beat`` and ``downbeat`` of `network.activations`.
    onsets
        Onsets with refined times; a beat near an attack is moved to it.
    rows
        How many rows the song's spectrum has.
    """
    if len(onsets.times) < MIN_BEATS:
        return NO_RHYTHM
    at = 2 * np.arange(len(heard["beat"])) + 0.5
    beat, downbeat = (np.interp(np.arange(rows), at, heard[name]) for name in ("beat", "downbeat"))
    path = best_path(beat, np.minimum(beat, downbeat))
    if len(path.steps) < MIN_BEATS or path.score < NO_PULSE:
        return NO_RHYTHM
    path = with_first_beat(path, beat)
    # to a tenth of a millisecond, above the rounding noise between masters of different level
    beats = np.round(snap_to_onsets(between_steps(beat, path.steps) - BIAS_SECONDS, onsets), 4)
    opens = path.places == 0
    return Rhythm(
        tempo=typical_tempo(beats),
        beats=beats,
        downbeats=beats[opens],
        beats_per_bar=path.metres[opens].astype(np.int64),
        confidence=float(np.clip((path.score - UNSURE_PULSE) / (CLEAR_PULSE - UNSURE_PULSE), 0.0, 1.0)),
    )


def with_first_beat(path: BeatPath, beat: np.ndarray) -> BeatPath:
    """Return the path with the beat at the very start of a song, if one was heard there and the path's pace leads to it.

    The best path may skip it for a beat just before the song, which costs nothing.
    """
    before = int(path.steps[0]) - int(np.median(np.diff(path.steps[:9])))
    if abs(before) > FIRST_STEPS or beat[: FIRST_STEPS + 1].max() < FIRST_BEAT:
        return path
    metre = path.metres[0]
    return replace(
        path,
        steps=np.concatenate([[max(before, 0)], path.steps]),
        places=np.concatenate([[(path.places[0] - 1) % metre], path.places]),
        metres=np.concatenate([[metre], path.metres]),
    )


def between_steps(curve: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the times of peaks near `steps`: the centre of the curve's weight some 35 ms around each."""
    offsets = np.arange(-3, 4)
    near = curve[np.clip(steps[:, None] + offsets, 0, len(curve) - 1)] ** 2
    weight = near.sum(axis=1)
    shift = np.where(weight > 1e-3, (near * offsets).sum(axis=1) / np.maximum(weight, 1e-9), 0.0)
    seconds: np.ndarray = np.maximum((steps + shift) * (HOP / RATE), 0.0)
    return seconds


def snap_to_onsets(beats: np.ndarray, onsets: Onsets) -> np.ndarray:
    """Move each beat to the strongest onset beside it, if there is one; beats stay in order and distinct."""
    moved = beats.copy()
    for number, beat in enumerate(beats):
        first, last = np.searchsorted(onsets.times, (beat - NEAR_SECONDS, beat + NEAR_SECONDS))
        if last > first:
            moved[number] = onsets.times[first + int(np.argmax(onsets.strengths[first:last]))]
    kept = np.diff(moved, prepend=-1.0) > 0.1
    return np.where(kept, moved, beats)


def typical_tempo(beats: np.ndarray) -> float:
    """Return the median tempo, each measured over eight beats or as many as there are; 0 for fewer than two."""
    if len(beats) < 2:
        return 0.0
    span = min(8, len(beats) - 1)
    return 60.0 * span / float(np.median(beats[span:] - beats[:-span]))


def extend_beats(beats: np.ndarray, duration: float) -> np.ndarray:
    """Continue the beats at the pace of the nearest eight down to 0 and up to the song's end."""
    pace_in = float(np.median(np.diff(beats[:9])))
    pace_out = float(np.median(np.diff(beats[-9:])))
    before = np.arange(beats[0] - pace_in, -1e-9, -pace_in)[::-1]
    after = np.arange(beats[-1] + pace_out, duration, pace_out)
    return np.concatenate([before, beats, after])
