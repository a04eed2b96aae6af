"""Render the pieces of `ear_split.tsv`, whose beats are known, with a soundfont that is not used for training.

Kinds: pop (piano arrangements), band (the same arranged for a band with a drummer of the split), drummers (drums only),
sheets (lead sheets accompanied by MMA), games, rock, electronic (tracker modules), strings and classical. MIDI files are
rewritten with one tempo, since FluidSynth drifts over many tempo events (up to 51 ms after 350 of them).
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.ear_split import Named, named
from benchmarks.pieces import SOUNDFONT, gather
from training.ear.bands import arranged, instrument_swapped
from training.ear.drummers import Groove, groove_of
from training.ear.scores import DRUMS, Score, bars_of, read_score, score_of, to_midi

RATE = 44_100
KICKS, SNARES = (35, 36), (37, 38, 39, 40)


@dataclass(frozen=True)
class Known:
    """A rendered piece: its WAV, and the true times in seconds; times of drums are None if unknown."""

    kind: str
    name: str
    path: Path
    beats: np.ndarray
    downbeats: np.ndarray
    kicks: np.ndarray | None
    snares: np.ndarray | None


def render_split(split: str, hearing: Path, folder: Path, *, seconds: float, word: str = "") -> Iterator[Known]:
    """Yield the pieces of a split whose kind or name contains `word`; renders that exist in `folder` are reused."""
    for piece in named(split):
        if word in piece.kind or word in piece.name:
            yield (
                _module(piece, hearing, folder, seconds)
                if piece.kind == "electronic"
                else _score(piece, hearing, folder, seconds)
            )


def render_debian(held_out: Sequence[bool], folder: Path, *, seconds: float, word: str = "") -> Iterator[Known]:
    """Yield the MIDI files and drum songs of Debian's packages, see `pieces`."""
    for piece in gather():
        if piece.held_out in held_out and word in piece.name:
            yield _known(piece.name.split()[0], piece.name, score_of(piece.midi, piece.name), folder, seconds)


def _score(piece: Named, hearing: Path, folder: Path, seconds: float) -> Known:
    if piece.source == "debian":
        score = score_of(_debian()[piece.name], piece.name)
    else:
        score = read_score(hearing / piece.source / piece.name)
    if piece.kind == "strings":
        score = instrument_swapped(score, "strings", _rng(piece))
    elif piece.kind == "band":
        # enough bars for the seconds that are rendered
        score = bars_of(score, 0, round(1.3 * seconds * score.tempo / 60 / score.size))
        score = arranged(score, _drummers(piece.split, hearing), _rng(piece))
    return _known(piece.kind, f"{piece.source} {piece.name}", score, folder, seconds)


def _known(kind: str, name: str, score: Score, folder: Path, seconds: float) -> Known:
    wav = folder / f"{hashlib.sha256(f'{kind} {name} {seconds}'.encode()).hexdigest()[:16]}.wav"
    if not wav.exists():
        _synthesize(score, wav, seconds)
    first, last = score.notes[0, 0] - 0.07, min(score.notes[-1, 0] + 0.07, seconds)
    beats, bars = (marks[(marks >= first) & (marks <= last)] for marks in (score.beats, score.downbeats))
    drums = score.notes[(score.notes[:, 4] == DRUMS) & (score.notes[:, 0] < last)]
    kicks, snares = (drums[np.isin(drums[:, 2], pitches), 0] for pitches in (KICKS, SNARES))
    return Known(kind, name, wav, beats, bars, kicks, snares)


def _module(piece: Named, hearing: Path, folder: Path, seconds: float) -> Known:
    path = hearing / piece.source / piece.name
    wav = folder / f"{hashlib.sha256(f'{piece.name} {seconds}'.encode()).hexdigest()[:16]}.wav"
    if not wav.exists():
        command = [
            "openmpt123",
            "--batch",
            "--quiet",
            "--stdout",
            "--no-float",
            "--channels",
            "1",
            "--samplerate",
            str(RATE),
        ]
        done = subprocess.run([*command, "--end-time", str(seconds), str(path)], check=True, capture_output=True)
        _write(wav, np.frombuffer(done.stdout, "<i2"))
    table = np.loadtxt(path.with_suffix(".beats"))
    table = table[table[:, 0] <= seconds]
    return Known(piece.kind, f"{piece.source} {piece.name}", wav, table[:, 0], table[table[:, 1] == 1, 0], None, None)


def _synthesize(score: Score, wav: Path, seconds: float) -> None:
    import soundfile

    with tempfile.TemporaryDirectory() as scratch:
        midi, rendered = Path(scratch, "piece.mid"), Path(scratch, "piece.wav")
        cut = score.notes[score.notes[:, 0] < seconds]
        midi.write_bytes(to_midi(Score(cut, score.controls, score.beats, score.opens, score.name)))
        command = ["fluidsynth", "-ni", "-q", "-F", str(rendered), "-r", str(RATE), "-g", "0.4", SOUNDFONT, str(midi)]
        subprocess.run(command, check=True, capture_output=True)
        sound = soundfile.read(rendered, frames=round(seconds * RATE), dtype="int16", always_2d=True)[0]
    _write(wav, np.round(sound.astype(np.int32).mean(axis=1)).astype(np.int16))


def _write(wav: Path, samples: np.ndarray) -> None:
    import soundfile

    partial = wav.with_suffix(".part")
    soundfile.write(partial, samples, RATE, format="WAV", subtype="PCM_16")
    partial.replace(wav)


@cache
def _debian() -> dict[str, bytes]:
    return {piece.name: piece.midi for piece in gather()}


@cache
def _drummers(split: str, hearing: Path) -> tuple[Groove, ...]:
    """Return the grooves of a split's drummers."""
    kinds = {"held-out": ("drummers",), "validation": ("drummers", "drummers-validation")}[split]
    own = {piece.name.split("_")[0] for piece in named(split) if piece.kind in kinds}
    names = [piece.name for piece in named() if piece.source == "groove" and piece.name.split("_")[0] in own]
    found = []
    for name in names:
        try:
            found.append(groove_of(read_score(hearing / "groove" / name)))
        except ValueError:
            continue
    return tuple(found)


def _rng(piece: Named) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(piece.name.encode()).digest()[:8]))
