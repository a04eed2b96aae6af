"""Accuracy of sections: `python -m benchmarks structure [--songs N] [--seed N] [--modules FOLDER]`.

With `--modules`, a folder of tracker modules, each with a `.sections` file (seconds and name of each pattern in playing order):
real songs whose order of patterns is the truth. Patterns are shorter than a song's sections and often differ in one instrument
only, so the precision is printed too: the share of found boundaries that lie where a pattern begins.

Otherwise songs are assembled from parts in a known order, rendered with FluidSynth, analysed, and scored with mir_eval:
F-measure of boundaries within 0.5 s (without the song's start and end) and pairwise F-measure of labels. A part is a
four-bar loop played for eight or sixteen bars; repeats have other velocities and some notes missing. Half of the songs have
a separate groove for each letter, the others one groove whose instruments change (verse, chorus, break).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.pieces import SOUNDFONT, missing_tools, render
from training.ear.compose import DRUMS, Note, compose
from training.ear.scores import played_by

# no letter follows itself, since there would be no audible boundary
ORDERS = ("ABABCB", "ABCBD", "ABACAB", "ABCABC", "ABAC", "DABABCBD", "ABACABA", "ABCBA")
LOOP_BARS = 4
# for each letter, the channels that play (drums, bass, chords, melody, pad) and the transposition in semitones
LAYERS = {
    "A": ((DRUMS, 0, 1), 0),
    "B": ((DRUMS, 0, 1, 2, 3), 5),
    "C": ((1, 2, 3), -2),
    "D": ((0, 3), 0),
}
CHANNELS = [channel for channel in range(16) if channel != DRUMS]
SEED = 4_000
# tracker modules: file suffixes, seconds analysed, and the minimum number of patterns
MODULES = (".mod", ".s3m", ".xm", ".it")
MOST_SECONDS, FEWEST_PARTS = 240, 4


def loop(rng: np.random.Generator) -> tuple[list[Note], dict[int, int]]:
    """Return a four-bar groove in 4/4 with times in beats, and its programs by channel."""
    while True:
        piece = compose(rng, 30.0)
        steps = np.diff(piece.beats)
        if piece.metre.beats != 4 or len(piece.downbeats) <= LOOP_BARS or np.ptp(steps) > 1e-6:
            continue
        start, beat = piece.downbeats[0], steps[0]
        notes = [((at - start) / beat, length / beat, *rest) for at, length, *rest in piece.notes]
        inside = [note for note in notes if -0.05 <= note[0] < 4 * LOOP_BARS - 0.05]
        if len({note[4] for note in inside}) >= 3:
            return inside, piece.programs


def song(rng: np.random.Generator, order: str, *, layered: bool) -> tuple[bytes, np.ndarray, list[str]]:
    """Return a song as MIDI, the times where its parts begin and where it ends, and the parts' letters."""
    beat = 60 / rng.uniform(90, 150)
    loops = {letter: loop(rng) for letter in ("A" if layered else sorted(set(order)))}
    bars = {letter: int(rng.choice([8, 8, 16])) for letter in sorted(set(order))}
    notes: list[Note] = []
    programs: dict[int, int] = {}
    marks = [0.0]
    for letter in order:
        lines, sounds = loops["A" if layered else letter]
        playing, shift = LAYERS[letter] if layered else ((DRUMS, 0, 1, 2, 3), 0)
        base = 0 if layered else 4 * sorted(loops).index(letter)
        for turn in range(bars[letter] // LOOP_BARS):
            for at, length, pitch, velocity, channel in lines:
                if channel in playing and rng.random() < 0.96:
                    drum = channel == DRUMS
                    where = DRUMS if drum else CHANNELS[(base + channel) % len(CHANNELS)]
                    if not drum:
                        programs[where] = sounds[channel]
                    start = marks[-1] + beat * max(at + 4 * LOOP_BARS * turn, 0)
                    level = int(np.clip(velocity * rng.uniform(0.9, 1.1), 1, 127))
                    notes.append((start, beat * length, pitch + (0 if drum else shift), level, where))
        marks.append(marks[-1] + beat * 4 * bars[letter])
    return played_by(notes, programs), np.array(marks), list(order)


@dataclass(frozen=True)
class Measured:
    """Boundaries within 0.5 s: precision and F (`near`); F within 3 s (`wide`); pairwise F of labels (`alike`); labels found."""

    precision: float
    near: float
    wide: float
    alike: float
    heard: str


def compare(path: Path, marks: np.ndarray, letters: Sequence[str]) -> Measured:
    """Analyse a song and score its sections: `marks` are the true starts of parts and the end of the last one."""
    import mir_eval

    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track

    heard = analyze(open_track(path)).sections
    truth = np.stack([marks[:-1], marks[1:]], axis=1)
    found = np.array([[section.start, section.end] for section in heard])
    found[-1, 1] = truth[-1, 1] = max(found[-1, 1], truth[-1, 1])
    labels = [section.label for section in heard]
    precision, _, near = mir_eval.segment.detection(truth, found, window=0.5, trim=True)
    wide = mir_eval.segment.detection(truth, found, window=3.0, trim=True)[2]
    alike = mir_eval.segment.pairwise(truth, list(letters), found, labels)[2]
    return Measured(float(precision), float(near), float(wide), float(alike), "".join(labels))


def module_order(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the start and name of each pattern of a module; a pattern that follows itself is merged."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    kept = [row for number, row in enumerate(rows) if number == 0 or row[1] != rows[number - 1][1]]
    return np.array([float(start) for start, _ in kept]), [name for _, name in kept]


def measure_modules(folder: Path, scratch: Path) -> list[tuple[str, Measured]]:
    """Return the scores of each module in a folder and its subfolders, without those of fewer than four patterns."""
    import soundfile

    measured = []
    for order in sorted(folder.rglob("*.sections")):
        sources = [path for path in sorted(order.parent.glob(f"{order.stem}.*")) if path.suffix in MODULES]
        if not sources:
            continue
        sound = scratch / "module.wav"
        command = [
            "openmpt123",
            "--batch",
            "--quiet",
            "--force",
            "--end-time",
            str(MOST_SECONDS),
            "--output",
            str(sound),
        ]
        subprocess.run([*command, str(sources[0])], check=True, capture_output=True)
        end = soundfile.info(sound).duration
        starts, names = module_order(order)
        inside = starts < end - 1.0
        if inside.sum() < FEWEST_PARTS:
            continue
        letters = [name for name, kept in zip(names, inside, strict=True) if kept]
        measured.append(
            (f"{order.parent.name} {order.stem}"[-28:], compare(sound, np.append(starts[inside], end), letters))
        )
        print(_line(*measured[-1]), flush=True)
    return measured


def measure_assembled(songs: int, seed: int, scratch: Path) -> list[tuple[str, Measured]]:
    """Return the scores of songs assembled from parts."""
    measured = []
    for number in range(songs):
        order, layered = ORDERS[number // 2 % len(ORDERS)], number % 2 == 1
        midi, marks, letters = song(np.random.default_rng(seed + number), order, layered=layered)
        path = scratch / "song.wav"
        render(midi, path, seconds=float(marks[-1]))
        measured.append((f"{order} {'layers' if layered else 'grooves'}", compare(path, marks, letters)))
        print(_line(*measured[-1]), flush=True)
    return measured


def _line(name: str, row: Measured) -> str:
    figures = (row.precision, row.near, row.wide, row.alike)
    return f"{name:<30}" + "".join(f"{figure:>12.3f}" for figure in figures) + f"   {row.heard}"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks structure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=SEED, help="of the first song; each next song has the next seed")
    parser.add_argument(
        "--modules", type=Path, metavar="FOLDER", help="measure the tracker modules of this folder instead"
    )
    options = parser.parse_args(arguments)
    if options.modules:
        lacking = [] if shutil.which("openmpt123") else ["openmpt123 (Debian: apt-get install openmpt123)"]
    else:
        lacking = missing_tools(SOUNDFONT)
    if lacking:
        sys.exit("missing: " + "; ".join(lacking))
    columns = ("precision", "F 0.5 s", "F 3 s", "pairwise F")
    print(f"{'song':<30}" + "".join(f"{column:>12}" for column in columns) + "   heard")
    with tempfile.TemporaryDirectory() as scratch:
        if options.modules:
            measured = measure_modules(options.modules, Path(scratch))
        else:
            measured = measure_assembled(options.songs, options.seed, Path(scratch))
    if not measured:
        sys.exit(f"no module with a .sections file of {FEWEST_PARTS} patterns or more lies in {options.modules}")
    means = np.mean([(row.precision, row.near, row.wide, row.alike) for _, row in measured], axis=0)
    print(_line(f"mean of {len(measured)}", Measured(*(float(mean) for mean in means), "")))
