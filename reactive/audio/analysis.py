"""Analyse a whole song: `analyze`, the one function that the rest of the program calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reactive.audio.downbeat_phase import correct_downbeat_phase
from reactive.audio.harmony import chroma_curves, find_key, separate
from reactive.audio.levels import SURE, Doubt, choose_reading
from reactive.audio.loudness import LOUDNESS_RATE
from reactive.audio.network import activations
from reactive.audio.onset import Onsets, detect, onset_strength
from reactive.audio.rhythm import NO_RHYTHM, PULSE_SECONDS, Rhythm, extend_beats, track_beats
from reactive.audio.roles import find_roles
from reactive.audio.spectrum import FRAMES_PER_SECOND, HOP, RATE, Spectra, loud_level, measure, scaled
from reactive.audio.structure import Moment, Section, find_moments, find_sections
from reactive.media.sound import Track

# 60 dB below full scale: a song that never rises above it is silent
SILENCE_POWER = 1e-6
# every song is scaled to one level first, so that a quiet master gives the result of a loud one
COMMON_POWER = 0.05


@dataclass(frozen=True)
class Analysis:
    """The analysis of a song. Times in seconds from the first sample.

    Attributes
    ----------
    sha256, duration, sample_rate, channels
        The song's hash and format.
    tempo
        Beats a minute, 0 if there is no beat.
    beats, downbeats
        Times, rising; empty if there is no beat.
    onsets
        By band (all, low, mid, high), by role (kick, snare, hat), and by the names of stems and MIDI tracks.
    sections
        Passages that cover the song without gaps.
    envelopes
        float32 curves at `envelope_rate` a second: rms, low, mid, high (amplitude), centroid (Hz), flux, loudness
        (momentary, LUFS), harmonic, percussive, sustain.low, sustain.mid, sustain.high (amplitude of what lasts).
    fine
        Peak envelope at 22050 / 64 a second, for drawing.
    silent
        Whether nothing in the song rises above -60 dBFS.
    beats_per_bar
        Beats of the bar that each downbeat opens, int64.
    metre
        The most frequent metre as ``4/4``, or an empty text.
    confidence
        How clearly the beat was heard, in [0, 1].
    key
        As ``A minor``, or an empty text.
    moments
        Builds, drops, breaks and silences, by start.
    chroma
        float32 [n, 12], how strongly each pitch class from C sounds, at `envelope_rate` / 4 a second.
    corrected
        Whether a person corrected the grid.
    doubt
        How certain the level of the beat and the "one" are, and the second best answer.
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
    beats_per_bar: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    metre: str = ""
    confidence: float = 0.0
    key: str = ""
    moments: tuple[Moment, ...] = ()
    chroma: np.ndarray = field(default_factory=lambda: np.zeros((0, 12), np.float32))
    corrected: bool = False
    doubt: Doubt = SURE
    file_sha256: str = ""

    envelope_rate = RATE / HOP

    @property
    def samples(self) -> int:
        """Length of the song in samples of each channel."""
        return round(self.duration * self.sample_rate)

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis as plain data for JSON, times rounded to a tenth of a millisecond."""
        loudness = self.envelopes.get("loudness", np.zeros(0))
        return {
            "version": 1,
            "sha256": self.sha256,
            "file_sha256": self.file_sha256,
            "duration": round(self.duration, 6),
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "silent": self.silent,
            "tempo": round(self.tempo, 3),
            "metre": self.metre,
            "beat_confidence": round(self.confidence, 3),
            "level_confidence": round(self.doubt.level, 3),
            "one_confidence": round(self.doubt.one, 3),
            "second_best": self.doubt.other,
            "second_best_option": self.doubt.option,
            "third_best": self.doubt.further,
            "third_best_option": self.doubt.further_option,
            "grid_corrected": self.corrected,
            "key": self.key,
            "loudest_lufs": round(float(loudness.max()), 1) if len(loudness) else None,
            "beats": _rounded(self.beats),
            "downbeats": _rounded(self.downbeats),
            "beats_per_bar": [int(size) for size in self.beats_per_bar],
            "onsets": {band: _rounded(onsets.times) for band, onsets in self.onsets.items()},
            "onset_strengths": {band: _rounded(onsets.strengths) for band, onsets in self.onsets.items()},
            "sections": [
                {"start": round(s.start, 4), "end": round(s.end, 4), "label": s.label, "energy": round(s.energy, 4)}
                | ({"part": s.part} if s.part else {})
                for s in self.sections
            ],
            "moments": [
                {"kind": m.kind, "start": round(m.start, 4), "end": round(m.end, 4), "strength": round(m.strength, 4)}
                for m in self.moments
            ],
        }


def analyze(track: Track) -> Analysis:
    """Analyse a song; everything is computed from one short-time spectrum.

    Raises
    ------
    MediaError
        If the song can no longer be read.

    Examples
    --------
    >>> import reactive
    >>> analysis = reactive.analyze(reactive.open_track("song.wav"))
    >>> round(analysis.tempo)
    120
    >>> analysis.silent
    False
    """
    measured = measure(track)
    silent = bool(measured.power.max(initial=0.0) < SILENCE_POWER)
    loud = loud_level(measured.power)
    envelopes, fine = _envelopes(measured), measured.fine
    spectra = scaled(measured, float(np.sqrt(COMMON_POWER / loud)) if loud > 0 else 1.0)
    del measured
    strength = onset_strength(spectra)
    if silent:
        strength = np.zeros_like(strength)
    onsets = detect(spectra, strength)
    rhythm: Rhythm = NO_RHYTHM
    doubt = SURE
    if not silent:
        heard = activations(spectra)
        rhythm = correct_downbeat_phase(track_beats(heard, onsets["all"], len(spectra.mel)), spectra)
        rhythm, doubt = choose_reading(rhythm, heard, onsets["all"], spectra)
        onsets |= find_roles(heard, strength, onsets["all"])
    else:
        onsets |= dict.fromkeys(("kick", "snare", "hat"), onsets["all"])
    bars = (
        extend_beats(rhythm.downbeats, track.duration)
        if len(rhythm.downbeats) > 1
        else np.arange(0.0, track.duration, PULSE_SECONDS)
    )
    sections = [replace(s, energy=round(s.energy, 4)) for s in find_sections(spectra, bars, track.duration)]
    inside = rhythm.downbeats < track.duration
    return Analysis(
        sha256=track.sha256,
        duration=track.duration,
        sample_rate=track.sample_rate,
        channels=track.channels,
        tempo=rhythm.tempo,
        beats=rhythm.beats[rhythm.beats < track.duration],
        downbeats=rhythm.downbeats[inside],
        onsets=onsets,
        sections=tuple(sections),
        envelopes=envelopes | {"flux": strength[0]},
        fine=fine,
        silent=silent,
        beats_per_bar=rhythm.beats_per_bar[inside],
        metre=metre_of(rhythm.beats_per_bar[inside]),
        confidence=rhythm.confidence,
        key="" if silent else find_key(spectra),
        moments=() if silent else tuple(find_moments(spectra, bars, sections, track.duration)),
        chroma=chroma_curves(spectra),
        doubt=doubt,
        file_sha256=track.file_sha256,
    )


def metre_of(beats_per_bar: np.ndarray) -> str:
    """Return the most frequent metre; bars of two beats are 6/8, which is counted in two."""
    if not len(beats_per_bar):
        return ""
    size = int(np.bincount(beats_per_bar).argmax())
    return "6/8" if size == 2 else f"{size}/4"


def _envelopes(spectra: Spectra) -> dict[str, np.ndarray]:
    amplitude = np.sqrt(spectra.bands)
    rows = len(spectra.power)
    harmonic, percussive = separate(spectra)
    lasting, striking = (np.repeat(part, 2, axis=0)[:rows] for part in (harmonic, percussive))
    at = np.arange(rows) * (LOUDNESS_RATE / FRAMES_PER_SECOND)
    loudness = (
        np.interp(at, np.arange(len(spectra.loudness)), spectra.loudness) if len(spectra.loudness) else np.zeros(rows)
    )
    return {
        "rms": np.sqrt(spectra.power),
        "low": amplitude[:, 0],
        "mid": amplitude[:, 1],
        "high": amplitude[:, 2],
        "centroid": spectra.centroid,
        "loudness": loudness.astype(np.float32),
        "harmonic": np.sqrt(np.square(lasting).sum(axis=1)),
        "percussive": np.sqrt(np.square(striking).sum(axis=1)),
        "sustain.low": lasting[:, 0],
        "sustain.mid": lasting[:, 1],
        "sustain.high": lasting[:, 2],
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
