"""Accuracy of sections: `python -m benchmarks structure [--songs N] [--seed N] [--modules FOLDER] [--pop FOLDER] [--drops N]`.

With `--modules`, a folder of tracker modules, each with a `.sections` file (seconds and name of each pattern in playing order):
real songs whose order of patterns is the truth. Patterns are shorter than a song's sections and often differ in one instrument
only, so the precision is printed too: the share of found boundaries that lie where a pattern begins.

With `--pop`, the folder of scores that `ear_split.tsv` names: its complete pop songs for tuning. Their parts are the passages whose
melody is repeated (`song_repeats`), which are longer than a song's sections, so the recall matters. With `--drops`, songs with builds
whose end must be found within one beat of the first loud bar.

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

from benchmarks.ear_split import named
from benchmarks.pieces import SOUNDFONT, missing_tools, render
from benchmarks.song_repeats import song_form
from training.ear.compose import DRUMS, Note, compose
from training.ear.scores import played_by, read_score, to_midi

# no letter follows itself, since there would be no audible boundary
ORDERS = ("ABABCB", "ABCBD", "ABACAB", "ABCABC", "ABAC", "DABABCBD", "ABACABA", "ABCBA")
LOOP_BARS = 4
# for each letter, the channels that play (drums, bass, chords, melody, pad) and the transposition in semitones
LAYERS = {
    "A": ((DRUMS, 0, 1), 0),
    "B": ((DRUMS, 0, 1, 2, 3), 5),
    "C": ((1, 2, 3), -2),
    "D": ((0, 3), 0),
    "E": ((1, 3), 5),
}
# songs with builds: E is one, softer than the rest, its last four bars with a snare roll; the next part is loud
DROP_ORDERS = ("ABEBAEB", "DAEBCEB", "ABCEBA", "EBACEB")
SNARE, ROLL_BARS, SOFT = 38, 4, 0.6
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
                    level = int(np.clip(velocity * rng.uniform(0.9, 1.1) * (SOFT if letter == "E" else 1), 1, 127))
                    notes.append((start, beat * length, pitch + (0 if drum else shift), level, where))
        marks.append(marks[-1] + beat * 4 * bars[letter])
        if letter == "E":
            steps = 16 * ROLL_BARS
            for step in range(steps):
                at = marks[-1] - beat * (steps - step) / 4
                notes.append((at, 0.1, SNARE, round(30 + 60 * step / steps), DRUMS))
    return played_by(notes, programs), np.array(marks), list(order)


@dataclass(frozen=True)
class Measured:
    """Boundaries within 0.5 s: precision, recall, F (`near`); F within 3 s (`wide`); pairwise F of labels (`alike`); labels found."""

    precision: float
    recall: float
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
    precision, recall, near = mir_eval.segment.detection(truth, found, window=0.5, trim=True)
    wide = mir_eval.segment.detection(truth, found, window=3.0, trim=True)[2]
    alike = mir_eval.segment.pairwise(truth, list(letters), found, labels)[2]
    return Measured(float(precision), float(recall), float(near), float(wide), float(alike), "".join(labels))


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


@dataclass(frozen=True)
class Drops:
    """Drops of a song: how many there are, how many builds and drops are within one beat of one, and other drops heard."""

    true: int
    builds: int
    drops: int
    others: int


def measure_drops(songs: int, seed: int, scratch: Path) -> list[tuple[str, Drops]]:
    """Return which drops are heard in songs with builds."""
    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track

    measured = []
    for number in range(songs):
        order = DROP_ORDERS[number % len(DROP_ORDERS)]
        midi, marks, letters = song(np.random.default_rng(seed + number), order, layered=True)
        path = scratch / "song.wav"
        render(midi, path, seconds=float(marks[-1]))
        heard = analyze(open_track(path))
        beat = 60 / heard.tempo if heard.tempo else 0.5
        loud = np.array([marks[at + 1] for at, letter in enumerate(letters[:-1]) if letter == "E"])
        # all instruments come in after a break too
        entries = np.array([marks[at + 1] for at, letter in enumerate(letters[:-1]) if letter in "CDE"])
        builds = np.array([moment.end for moment in heard.moments if moment.kind == "build"])
        drops = np.array([moment.start for moment in heard.moments if moment.kind == "drop"])
        row = Drops(
            len(loud), _near(loud, builds, beat), _near(loud, drops, beat), len(drops) - _near(drops, entries, beat)
        )
        measured.append((order, row))
    return measured


def print_drops(measured: list[tuple[str, Drops]]) -> None:
    """Print a line for each song and one for all."""
    print(f"{'song':<30}" + "".join(f"{column:>8}" for column in ("true", "builds", "drops", "others")))
    for order, row in measured:
        print(f"{order:<30}{row.true:>8}{row.builds:>8}{row.drops:>8}{row.others:>8}")
    rows = [row for _, row in measured]
    true, others = (sum(getattr(row, name) for row in rows) for name in ("true", "others"))
    builds, drops = (sum(getattr(row, name) for row in rows) / max(true, 1) for name in ("builds", "drops"))
    print(f"within one beat: builds {builds:.0%}, drops {drops:.0%} of {true}; {others} other drops")


def _near(times: np.ndarray, others: np.ndarray, within: float) -> int:
    """Return how many times have another within so many seconds."""
    return int((np.abs(times[:, None] - others[None]) <= within).any(axis=1).sum()) if len(others) else 0


def measure_pop(folder: Path, scratch: Path) -> list[tuple[str, Measured]]:
    """Return what is heard in the pop songs of the split for tuning, whole."""
    measured = []
    for name in sorted({piece.name for piece in named("validation") if piece.source == "pop909"}):
        score = read_score(folder / "pop909" / name)
        marks, letters = song_form(score)
        if len(set(letters)) == len(letters):
            continue
        path = scratch / "song.wav"
        render(to_midi(score), path, seconds=float(marks[-1]))
        measured.append((f"{name} {''.join(letters)}", compare(path, marks, letters)))
        print(_line(*measured[-1]), flush=True)
    return measured


def _line(name: str, row: Measured) -> str:
    figures = (row.precision, row.recall, row.near, row.wide, row.alike)
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
    parser.add_argument(
        "--pop", type=Path, metavar="FOLDER", help="measure the pop songs of this folder of scores instead"
    )
    parser.add_argument("--drops", type=int, metavar="N", help="measure the drops of N songs with builds instead")
    options = parser.parse_args(arguments)
    if options.modules:
        lacking = [] if shutil.which("openmpt123") else ["openmpt123 (Debian: apt-get install openmpt123)"]
    else:
        lacking = missing_tools(SOUNDFONT)
    if options.pop and not (options.pop / "pop909").is_dir():
        lacking.append(f"the folder pop909 in {options.pop}")
    if lacking:
        sys.exit("missing: " + "; ".join(lacking))
    with tempfile.TemporaryDirectory() as scratch:
        if options.drops:
            print_drops(measure_drops(options.drops, options.seed, Path(scratch)))
            return
        columns = ("precision", "recall", "F 0.5 s", "F 3 s", "pairwise F")
        print(f"{'song':<30}" + "".join(f"{column:>12}" for column in columns) + "   heard")
        if options.modules:
            measured = measure_modules(options.modules, Path(scratch))
        elif options.pop:
            measured = measure_pop(options.pop, Path(scratch))
        else:
            measured = measure_assembled(options.songs, options.seed, Path(scratch))
    if not measured:
        sys.exit(f"no song with {FEWEST_PARTS} parts or more lies in {options.modules or options.pop}")
    means = np.mean([(row.precision, row.recall, row.near, row.wide, row.alike) for _, row in measured], axis=0)
    print(_line(f"mean of {len(measured)}", Measured(*(float(mean) for mean in means), "")))
