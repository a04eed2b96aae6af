"""What a band can add to its song: stems, drums as MIDI, and markers. Each becomes onsets, curves or sections."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.onset import Onsets, detect, onset_strength
from reactive.audio.roles import ROLES
from reactive.audio.spectrum import measure
from reactive.audio.structure import Section, level_ranks
from reactive.errors import GridError
from reactive.media.markers import read_cues
from reactive.media.midi import DRUM_CHANNEL, read_midi
from reactive.media.sound import open_track

STEM_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
# General MIDI's drums by role
DRUM_ROLES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hat": (42, 44, 46, 49, 51, 52, 53, 54, 55, 57, 59, 69, 70),
}
LONGEST_LABEL = 24


def with_stem(analysis: Analysis, name: str, path: Path) -> Analysis:
    """Return the analysis with a stem's onsets and level under ``stem.<name>``; kick, snare and hat replace the guess.

    Raises
    ------
    GridError
        If the name can't be a signal's.
    MediaError
        If the file can't be read as sound.
    """
    if not STEM_NAME.fullmatch(name):
        raise GridError(
            f'"{name}" is no name for a stem', where="--stem", remedy="use small letters, digits and _: vocals=voc.wav"
        )
    spectra = measure(open_track(path))
    found = detect(spectra, onset_strength(spectra))["all"]
    found = _inside(found, analysis.duration)
    rows = len(analysis.envelopes["rms"])
    level = np.sqrt(spectra.power[:rows])
    onsets = analysis.onsets | {f"stem.{name}": found} | ({name: found} if name in ROLES else {})
    envelopes = analysis.envelopes | {f"stem.{name}": np.pad(level, (0, rows - len(level)))}
    return replace(analysis, onsets=onsets, envelopes=envelopes)


def with_midi(analysis: Analysis, path: Path) -> Analysis:
    """Return the analysis with a MIDI file's notes: drums in place of kick, snare and hat, others as ``midi.<channel>``.

    Raises
    ------
    MediaError
        If the file can't be read.
    """
    notes = read_midi(path).notes
    onsets = dict(analysis.onsets)
    for channel in sorted({int(channel) for channel in notes[:, 3]}):
        played = notes[notes[:, 3] == channel]
        onsets[f"midi.{channel + 1}"] = _inside(_hits(played), analysis.duration)
        if channel == DRUM_CHANNEL:
            for role, pitches in DRUM_ROLES.items():
                onsets[role] = _inside(_hits(played[np.isin(played[:, 1], pitches)]), analysis.duration)
    return replace(analysis, onsets=onsets)


def with_markers(analysis: Analysis, path: Path) -> Analysis:
    """Return the analysis with its sections where the markers of a MIDI or WAV file are, labelled as they are.

    Raises
    ------
    MediaError
        If the file can't be read.
    GridError
        If it holds no markers within the song.
    """
    midi = path.suffix.lower() in (".mid", ".midi", ".smf")
    markers = read_midi(path).markers if midi else read_cues(path)
    starts: dict[float, str] = {}
    for time, text in markers:
        if 0 <= time < analysis.duration:
            starts.setdefault(time, text)
    if not starts:
        raise GridError("holds no markers within the song", where=str(path), remedy="export it with its markers")
    if min(starts) > 0:
        starts[0.0] = ""
    edges = [*sorted(starts), analysis.duration]
    rms = analysis.envelopes["rms"]
    rows = np.round(np.array(edges) * analysis.envelope_rate).astype(int).clip(0, len(rms) - 1)
    levels = [
        float(10 * np.log10(np.square(rms[a : max(b, a + 1)]).mean() + 1e-12))
        for a, b in zip(rows, rows[1:], strict=False)
    ]
    labels = ["".join(filter(str.isprintable, starts[edge]))[:LONGEST_LABEL] or "-" for edge in edges[:-1]]
    sections = [
        Section(start, end, label, energy)
        for start, end, label, energy in zip(edges, edges[1:], labels, level_ranks(levels), strict=False)
    ]
    return replace(analysis, sections=tuple(sections))


def _hits(notes: np.ndarray) -> Onsets:
    times, first = np.unique(notes[:, 0], return_index=True)
    return Onsets(times, notes[first, 2])


def _inside(onsets: Onsets, duration: float) -> Onsets:
    inside = onsets.times < duration
    return Onsets(onsets.times[inside], onsets.strengths[inside])
