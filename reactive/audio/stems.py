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
from reactive.media.midi import DRUM_CHANNEL, Midi, read_midi
from reactive.media.safe import regular_file
from reactive.media.sound import open_track

STEM_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
# General MIDI's drums by role
DRUM_ROLES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hat": (42, 44, 46, 49, 51, 52, 53, 54, 55, 57, 59, 69, 70),
}
LONGEST_LABEL = 24
# usual names of tracks of one drum, and of several
ROLE_NAMES = {
    "kick": re.compile(r"\b(kick|kik|bass ?drum|bd)", re.IGNORECASE),
    "snare": re.compile(r"\b(snare|snr|sd\b|clap|rim ?shot)", re.IGNORECASE),
    "hat": re.compile(r"\b(hi-?hats?|hats?\b|hh\b|cymbals?|ride|crash|shaker)", re.IGNORECASE),
}
DRUM_NAMES = re.compile(
    r"drum|percussion|\bperc\b|\bbeats?\b|\bkit\b|schlagzeug|batterie|batería|ударные", re.IGNORECASE
)


def with_stem(analysis: Analysis, name: str, path: Path) -> tuple[Analysis, str]:
    """Return the analysis with a stem's onsets and level under ``stem.<name>``, and a sentence about what it replaces.

    A stem called kick, snare or hat replaces that role's onsets, if it has any.

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
    taken = name in ROLES and len(found.times) > 0
    onsets = analysis.onsets | {f"stem.{name}": found} | ({name: found} if taken else {})
    envelopes = analysis.envelopes | {f"stem.{name}": np.pad(level, (0, rows - len(level)))}
    told = ""
    if name in ROLES:
        told = (
            f"{path.name}: {name} comes from this stem."
            if taken
            else f"{path.name}: nothing begins in this stem, so {name} stays as it was heard."
        )
    return replace(analysis, onsets=onsets, envelopes=envelopes), told


def with_midi(analysis: Analysis, path: Path) -> tuple[Analysis, str]:
    """Return the analysis with a MIDI file's notes, all as ``midi.<channel>``, and a sentence about what they replace.

    Drums replace those roles that they have notes of; the other roles stay as analysed.

    Raises
    ------
    MediaError
        If the file can't be read.
    """
    midi = read_midi(path)
    onsets = dict(analysis.onsets)
    for channel in sorted({int(channel) for channel in midi.notes[:, 3]}):
        onsets[f"midi.{channel + 1}"] = _inside(_hits(midi.notes[midi.notes[:, 3] == channel]), analysis.duration)
    drums, source = _drums(midi)
    roles: dict[str, Onsets] = {}
    for role, played in drums.items():
        hits = _inside(_hits(midi.notes[played]), analysis.duration)
        if len(hits.times):
            roles[role] = hits
    return replace(analysis, onsets=onsets | roles), f"{path.name}: {_summary(list(roles), source)}" + (
        " The file is cut short." if midi.cut else ""
    )


def _summary(roles: list[str], source: str) -> str:
    left = [role for role in ROLES if role not in roles]
    if not left:
        return f"{_and(roles)} come from {source}."
    stay = f"{_and(left)} {'stay' if len(left) > 1 else 'stays'} as {'they were' if len(left) > 1 else 'it was'} heard"
    if not roles:
        return f"no drums were found on channel 10 nor in tracks named as drums, so {stay}."
    taken = f"{_and(roles)} {'come' if len(roles) > 1 else 'comes'} from {source}"
    return f"{taken}; {stay}."


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _drums(midi: Midi) -> tuple[dict[str, np.ndarray], str]:
    """Return for each role which notes are its drum (bool [n]), and where they were found.

    Channel 10 is that of drums. Programs that export each track to channel 1 name the tracks: one named after a role is
    that role, one named as drums is read by its pitches; and with such tracks, one of a single drum's pitch is that drum.
    """
    pitches, channels = midi.notes[:, 1], midi.notes[:, 3]
    on_ten = channels == DRUM_CHANNEL
    by_pitch = {role: np.isin(pitches, known) for role, known in DRUM_ROLES.items()}
    if on_ten.any():
        return {role: on_ten & fits for role, fits in by_pitch.items()}, "its notes on channel 10"
    found = {role: np.zeros(len(pitches), bool) for role in DRUM_ROLES}
    named: list[str] = []
    single: list[tuple[str, np.ndarray, str]] = []
    for number in sorted(set(midi.tracks.tolist())):
        here, name = midi.tracks == number, midi.names.get(number, "")
        role = next((role for role, words in ROLE_NAMES.items() if words.search(name)), None)
        if role:
            found[role] |= here
        elif DRUM_NAMES.search(name):
            for role, fits in by_pitch.items():
                found[role] |= here & fits
        else:
            if len(set(pitches[here].tolist())) == 1:
                shown = f'"{name[:LONGEST_LABEL]}"'
                single += [(role, here, shown) for role, fits in by_pitch.items() if fits[here].all()]
            continue
        named.append(f'"{name[:LONGEST_LABEL]}"')
    if named:
        for role, here, shown in single:
            found[role] |= here
            named.append(shown)
    return found, f"{'tracks' if len(named) > 1 else 'the track'} {_and(named)}" if named else ""


def with_markers(analysis: Analysis, path: Path) -> Analysis:
    """Return the analysis with its sections where the markers of a MIDI, WAV or AIFF file are, labelled as they are.

    Raises
    ------
    MediaError
        If the file can't be read.
    GridError
        If it has no markers within the song.
    """
    # the contents decide, not the name
    with regular_file(path).open("rb") as handle:
        head = handle.read(12)
    sound = head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE"
    midi = (
        head[:4] == b"MThd" or head[8:] == b"RMID" or path.suffix.lower() in (".mid", ".midi", ".smf", ".rmi", ".kar")
    )
    markers = read_midi(path).markers if midi and not sound else read_cues(path)
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
