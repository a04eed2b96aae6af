"""Pieces with known beats: MIDI of Debian's `freedoom` and `openttd-openmsx`, drum songs of its `hydrogen-data`.

Half of the first and last kind, by the hash of the piece's name, may be used for tuning and training ("tuned"); the rest,
and all of `openttd-openmsx`, are held out. Files whose notes lie on their written grid no more often than by chance (their
tempo is a player's clock rate, or they were played freely) are left out.
"""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reactive.media.midi import parse_midi

WADS = ("/usr/share/games/doom/freedoom1.wad", "/usr/share/games/doom/freedoom2.wad")
HYDROGEN = "/usr/share/hydrogen/data/demo_songs"
OPENMSX = "/usr/share/games/openttd/baseset/openmsx"
# General MIDI drums of Hydrogen's instruments, by words in their names; the first match counts
GM_DRUMS = (
    ("kick", 36),
    ("rimshot", 37),
    ("stick", 37),
    ("clap", 39),
    ("snare", 38),
    ("floor tom", 43),
    ("tom low", 43),
    ("tom mid", 47),
    ("tom", 48),
    ("pedal", 44),
    ("open", 46),
    ("hat", 42),
    ("cowbell", 56),
    ("ride", 51),
    ("bell", 53),
    ("crash", 49),
    ("cymbal", 49),
    ("splash", 55),
    ("shaker", 70),
    ("conga", 63),
    ("clave", 75),
)
TICKS_A_QUARTER = 48
MIN_SECONDS = 60.0
MIN_ON_GRID = 0.67


@dataclass(frozen=True)
class Piece:
    """A MIDI file with its name; `held_out` if it was not used for tuning."""

    name: str
    midi: bytes
    held_out: bool


def missing() -> list[str]:
    """Return what this machine lacks for the benchmark `rhythm`, each with how to install it."""
    found = missing_tools(SOUNDFONT)
    if not any(Path(wad).exists() for wad in WADS):
        found.append("Freedoom's music (Debian: apt-get install freedoom)")
    if not Path(HYDROGEN).exists():
        found.append("Hydrogen's drum songs (Debian: apt-get install hydrogen-data)")
    return found


def missing_tools(soundfont: str) -> list[str]:
    """Return the rendering and scoring tools that this machine lacks, each with how to install it."""
    import importlib.util
    import shutil

    found = []
    if not shutil.which("fluidsynth"):
        found.append("fluidsynth (Debian: apt-get install fluidsynth)")
    if not Path(soundfont).exists():
        found.append(f"{soundfont} (Debian: apt-get install timgm6mb-soundfont)")
    found += [f"{name} (pip install {name})" for name in ("mido", "mir_eval") if importlib.util.find_spec(name) is None]
    return found


SOUNDFONT = "/usr/share/sounds/sf2/TimGM6mb.sf2"


def gather() -> list[Piece]:
    """Return all installed pieces, sorted by name, without duplicates."""
    found: dict[bytes, str] = {}
    for wad in WADS:
        if Path(wad).exists():
            for name, data in _lumps(Path(wad)):
                found.setdefault(data, f"freedoom {name}")
    for path in sorted(Path(HYDROGEN).glob("*.h2song")):
        found.setdefault(_hydrogen(path), f"hydrogen {path.stem}")
    for path in sorted(Path(OPENMSX).glob("*.mid")):
        found.setdefault(path.read_bytes(), f"openmsx {path.stem}")
    pieces = [Piece(name, data, held_out(name)) for data, name in found.items() if on_grid(data) >= MIN_ON_GRID]
    return sorted(pieces, key=lambda piece: piece.name)


def on_grid(midi: bytes) -> float:
    """Return the share of notes that lie within 0.045 beats of a sixteenth or triplet of the written grid.

    Random notes reach 0.54.
    """
    known = parse_midi(midi)
    inside = np.interp(known.notes[:, 0], known.beats, np.arange(len(known.beats))) % 1
    distance = np.abs(inside[:, None] - np.array([0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1])).min(axis=1)
    return float((distance < 0.045).mean())


def held_out(name: str) -> bool:
    """Return whether a piece of this name must not be used for tuning or training."""
    return name.startswith("openmsx") or hashlib.sha256(name.encode()).digest()[0] % 2 == 0


def render(midi: bytes, path: Path, *, seconds: float) -> None:
    """Render the beginning of a MIDI file to a stereo WAV at 44100 Hz with FluidSynth."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        score, rendered = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        score.write_bytes(midi)
        command = ["fluidsynth", "-ni", "-q", "-F", str(rendered), "-r", "44100", "-g", "0.4", SOUNDFONT, str(score)]
        subprocess.run(command, check=True, capture_output=True)
        with soundfile.SoundFile(rendered) as handle:
            soundfile.write(path, handle.read(round(seconds * 44100), dtype="int16"), 44100)


def _lumps(wad: Path) -> list[tuple[str, bytes]]:
    """Return the MIDI files in a WAD by name."""
    data = wad.read_bytes()
    count, directory = struct.unpack_from("<ii", data, 4)
    lumps = []
    for number in range(count):
        start, size, name = struct.unpack_from("<ii8s", data, directory + 16 * number)
        if name.startswith(b"D_") and data[start : start + 4] == b"MThd":
            lumps.append((name.rstrip(b"\0").decode()[2:], data[start : start + size]))
    return lumps


def _hydrogen(path: Path) -> bytes:
    """Return a Hydrogen drum song as MIDI, repeated for a minute, without its swing and random variation."""
    import mido

    root = ElementTree.parse(path).getroot()
    tempo = float(root.findtext("bpm", "120"))
    drums = {
        node.findtext("id"): _drum(node.findtext("name", "")) for node in root.iterfind("instrumentList/instrument")
    }
    patterns = {}
    for node in root.iterfind("patternList/pattern"):
        notes = [
            (float(n.findtext("position", "0")), drums[n.findtext("instrument")], float(n.findtext("velocity", "0.8")))
            for n in node.iterfind("noteList/note")
        ]
        patterns[node.findtext("name")] = (int(node.findtext("size", "192")), notes)
    events: list[tuple[float, int, int]] = []
    now = 0
    while now / TICKS_A_QUARTER * 60 / tempo < MIN_SECONDS:
        for group in root.iterfind("patternSequence/group"):
            group_patterns = [patterns[name.text] for name in group.iterfind("patternID")]
            for _, notes in group_patterns:
                events += [(now + at, note, max(1, min(127, round(127 * level)))) for at, note, level in notes]
            now += max(size for size, _ in group_patterns)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(6e7 / tempo))])
    before = 0.0
    for at, note, velocity in sorted(events):
        track.append(mido.Message("note_on", channel=9, note=note, velocity=velocity, time=round(at) - round(before)))
        before = at
    file = mido.MidiFile(ticks_per_beat=TICKS_A_QUARTER, tracks=[track])
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _drum(name: str) -> int:
    return next((note for word, note in GM_DRUMS if word in name.lower()), 56)
