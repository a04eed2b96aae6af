"""Hear a whole song: the one function that the rest of the program calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reactive.audio.onset import Onsets, detect, onset_strength
from reactive.audio.rhythm import NONE, Rhythm, extended, track_beats
from reactive.audio.spectrum import HOP, RATE, Spectra, measure
from reactive.audio.structure import Section, find_sections
from reactive.media.sound import Track

# 60 dB below full scale: what never rises above it is silence
SILENCE_POWER = 1e-6
# bars of songs without a beat: a slow, even pulse
PULSE_SECONDS = 2.0


@dataclass(frozen=True)
class Analysis:
    """What was heard. Times in seconds from the first sample.

    Attributes
    ----------
    sha256, duration, sample_rate, channels
        Which song, and how it is stored.
    tempo
        Beats a minute, 0 if there is no beat.
    beats, downbeats
        Times, rising; empty if there is no beat.
    onsets
        By band: all, low, mid, high.
    sections
        Passages that cover the song without gaps.
    envelopes
        float32 curves at `envelope_rate` a second: rms, low, mid, high (amplitude), centroid (Hz), flux.
    fine
        Peak envelope at 22050 / 64 a second, for drawing.
    silent
        Whether nothing in the song rises above -60 dBFS.
    """

    sha256: str
    duration: float
    sample_rate: int
    channels: int
    tempo: float
    beats: np.ndarray
    downbeats: np.ndarray
    onsets: dict[str, Onsets]
    sections: tuple[Section, ...]
    envelopes: dict[str, np.ndarray]
    fine: np.ndarray
    silent: bool

    envelope_rate = RATE / HOP

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis as plain data for JSON, times rounded to a tenth of a millisecond."""
        return {
            "version": 1,
            "sha256": self.sha256,
            "duration": round(self.duration, 6),
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "silent": self.silent,
            "tempo": round(self.tempo, 3),
            "beats": _rounded(self.beats),
            "downbeats": _rounded(self.downbeats),
            "onsets": {band: _rounded(onsets.times) for band, onsets in self.onsets.items()},
            "onset_strengths": {band: _rounded(onsets.strengths) for band, onsets in self.onsets.items()},
            "sections": [
                {"start": round(s.start, 4), "end": round(s.end, 4), "label": s.label, "energy": round(s.energy, 4)}
                for s in self.sections
            ],
        }


def analyze(track: Track) -> Analysis:
    """Hear a song from end to end: one short-time spectrum answers every question."""
    spectra = measure(track)
    silent = bool(spectra.power.max(initial=0.0) < SILENCE_POWER)
    strength = onset_strength(spectra)
    if silent:
        strength = np.zeros_like(strength)
    onsets = detect(spectra, strength)
    rhythm: Rhythm = NONE if silent else track_beats(spectra, strength, onsets)
    bars = (
        extended(rhythm.downbeats, track.duration)
        if len(rhythm.downbeats) > 1
        else np.arange(0.0, track.duration, PULSE_SECONDS)
    )
    return Analysis(
        sha256=track.sha256,
        duration=track.duration,
        sample_rate=track.sample_rate,
        channels=track.channels,
        tempo=rhythm.tempo,
        beats=rhythm.beats[rhythm.beats < track.duration],
        downbeats=rhythm.downbeats[rhythm.downbeats < track.duration],
        onsets=onsets,
        sections=tuple(find_sections(spectra, bars, track.duration)),
        envelopes=_envelopes(spectra, strength),
        fine=spectra.fine,
        silent=silent,
    )


def _envelopes(spectra: Spectra, strength: np.ndarray) -> dict[str, np.ndarray]:
    amplitude = np.sqrt(spectra.bands)
    return {
        "rms": np.sqrt(spectra.power),
        "low": amplitude[:, 0],
        "mid": amplitude[:, 1],
        "high": amplitude[:, 2],
        "centroid": spectra.centroid,
        "flux": strength[0],
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
