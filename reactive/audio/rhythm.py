"""Tempo, beats and downbeats. Times in seconds, tempo in beats a minute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.onset import Onsets
from reactive.audio.spectrum import FRAMES_PER_SECOND, HOP, RATE, Spectra

BEATS_PER_BAR = 4
# below this autocorrelation of onset strength at the beat period there is no beat worth following
CLEAR_PULSE = 0.08
PASSAGE_SECONDS = 60.0


@dataclass(frozen=True)
class Rhythm:
    """Tempo in beats a minute (0 if there is no beat), beat and downbeat times in seconds."""

    tempo: float
    beats: np.ndarray
    downbeats: np.ndarray


NONE = Rhythm(0.0, np.zeros(0), np.zeros(0))


def track_beats(spectra: Spectra, strength: np.ndarray, onsets: dict[str, Onsets]) -> Rhythm:
    """Follow the beat.

    Parameters
    ----------
    spectra
        For harmony, which tells bars apart.
    strength
        Onset strength [4, t] of `onset.onset_strength`.
    onsets
        Refined onsets of `onset.detect`; beats are drawn to them.
    """
    import librosa

    curve = np.ascontiguousarray(strength[0] + strength[1])
    if len(onsets["all"].times) < 6:
        return NONE
    tempo = estimate_tempo(curve)
    _, rows = librosa.beat.beat_track(
        onset_envelope=curve, sr=RATE, hop_length=HOP, bpm=tempo, tightness=100.0, trim=True, units="frames"
    )
    if len(rows) < 4 or tempo <= 0 or pulse_clarity(curve, 60 * FRAMES_PER_SECOND / tempo) < CLEAR_PULSE:
        return NONE
    beats = draw_to_onsets(np.asarray(rows) * (HOP / RATE), onsets["all"])
    beats = beats[np.diff(beats, prepend=-1.0) > 0.1]
    if len(beats) < 4:
        return NONE
    span = min(8, len(beats) - 1)
    tempo = 60.0 * span / float(np.median(beats[span:] - beats[:-span]))
    return Rhythm(tempo, beats, beats[downbeat_phase(spectra, strength, beats) :: BEATS_PER_BAR])


def estimate_tempo(curve: np.ndarray) -> float:
    """Return the tempo in beats a minute that onset strength suggests: the strongest lag of its mean tempogram.

    The tempogram is averaged passage by passage; of a set of hours it would fill the memory.
    """
    import librosa

    length = round(PASSAGE_SECONDS * FRAMES_PER_SECOND)
    means, weights = [], []
    for first in range(0, len(curve), length):
        passage = curve[first : first + length]
        tempogram = librosa.feature.tempogram(onset_envelope=passage, sr=RATE, hop_length=HOP)
        means.append(tempogram.mean(axis=1))
        weights.append(len(passage))
    mean = np.average(means, axis=0, weights=weights)[:, None]
    return float(librosa.feature.tempo(tg=mean, sr=RATE, hop_length=HOP, start_bpm=120.0)[0])


def extended(beats: np.ndarray, duration: float) -> np.ndarray:
    """Continue the beats at the pace of the nearest eight down to 0 and up to the song's end."""
    pace_in = float(np.median(np.diff(beats[:9])))
    pace_out = float(np.median(np.diff(beats[-9:])))
    before = np.arange(beats[0] - pace_in, -1e-9, -pace_in)[::-1]
    after = np.arange(beats[-1] + pace_out, duration, pace_out)
    return np.concatenate([before, beats, after])


def pulse_clarity(curve: np.ndarray, period: float) -> float:
    """Return the autocorrelation of onset strength near a beat period (in rows), from about 0 to 1."""
    centred = curve - curve.mean()
    energy = float(centred @ centred)
    if energy <= 0:
        return 0.0
    near = [lag for lag in range(int(period * 0.97), int(period * 1.03) + 2) if 0 < lag < len(curve)]
    return max((float(centred[lag:] @ centred[:-lag]) / energy for lag in near), default=0.0)


def draw_to_onsets(beats: np.ndarray, onsets: Onsets, *, reach: float = 0.06) -> np.ndarray:
    """Move each beat to the strongest onset within `reach` seconds; beats without one move by the others' median.

    Onset strength leads or lags the true attack by a constant that depends on window and compression; drawing beats to
    refined onsets removes it.
    """
    moved = np.full(len(beats), np.nan)
    for i, beat in enumerate(beats):
        first, last = np.searchsorted(onsets.times, (beat - reach, beat + reach))
        if last > first:
            best = first + int(np.argmax(onsets.strengths[first:last]))
            moved[i] = onsets.times[best] - beat
    shift = float(np.nanmedian(moved)) if np.isfinite(moved).any() else 0.0
    # an onset far from where the others lie is an ornament, not the beat
    off = ~np.isfinite(moved) | (np.abs(moved - shift) > 0.03)
    shifted: np.ndarray = np.sort(np.maximum(beats + np.where(off, shift, moved), 0.0))
    return shifted


def downbeat_phase(spectra: Spectra, strength: np.ndarray, beats: np.ndarray) -> int:
    """Return which of the first four beats is a "one": where bass comes in and harmony changes."""
    if len(beats) < 2 * BEATS_PER_BAR:
        return 0
    rows = np.clip(np.round(beats * FRAMES_PER_SECOND).astype(int), 0, strength.shape[1] - 1)
    near = np.stack([strength[:, np.clip(rows + step, 0, strength.shape[1] - 1)] for step in range(-2, 3)]).max(axis=0)
    spans = np.append(rows, min(2 * rows[-1] - rows[-2], len(spectra.chroma)))
    chroma = np.stack([spectra.chroma[a : max(b, a + 1)].mean(axis=0) for a, b in zip(spans, spans[1:], strict=False)])
    chroma /= np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-9)
    change = np.zeros(len(beats))
    change[1:] = 1 - (chroma[1:] * chroma[:-1]).sum(axis=1)
    evidence = _standard(near[1]) + 0.5 * _standard(near[0]) + 1.5 * _standard(change)
    return int(np.argmax([evidence[phase::BEATS_PER_BAR].mean() for phase in range(BEATS_PER_BAR)]))


def _standard(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    centred: np.ndarray = (values - values.mean()) / spread if spread > 1e-9 else np.zeros_like(values)
    return centred
