"""How well structure is heard: `python -m benchmarks structure [--songs N] [--seed N]`.

Assembles songs from parts in a known order, renders them by fluidsynth, hears them, and compares by mir_eval: F-measure
of boundaries within 0.5 s (the song's own ends not counted) and pairwise F-measure of labels. A part is eight or
sixteen bars of a loop of four; it comes back with other velocities and some notes missing. Half of the songs have a
groove of its own for each letter, the others one groove whose instruments come and go (verse, chorus, break).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.pieces import SOUNDFONT, missing_tools, render
from training.ear.compose import DRUMS, Note, compose
from training.ear.scores import played_by

# no letter follows itself: where a part ends and begins again nothing changes
ORDERS = ("ABABCB", "ABCBD", "ABACAB", "ABCABC", "ABAC", "DABABCBD", "ABACABA", "ABCBA")
LOOP_BARS = 4
# which channels of a groove play in each letter: drums, bass, chords, tune, pad; and the shift of its chords in semitones
LAYERS = {
    "A": ((DRUMS, 0, 1), 0),
    "B": ((DRUMS, 0, 1, 2, 3), 5),
    "C": ((1, 2, 3), -2),
    "D": ((0, 3), 0),
}
CHANNELS = [channel for channel in range(16) if channel != DRUMS]
SEED = 4_000


def loop(rng: np.random.Generator) -> tuple[list[Note], dict[int, int]]:
    """Return four bars of a groove in 4/4, counted in beats, and its programs by channel."""
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


def measure(midi: bytes, marks: np.ndarray, letters: list[str], folder: Path) -> tuple[float, float, str]:
    """Return boundary F, pairwise F, and the letters that were heard."""
    import mir_eval

    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track

    path = folder / "song.wav"
    render(midi, path, seconds=float(marks[-1]))
    heard = analyze(open_track(path)).sections
    truth = np.stack([marks[:-1], marks[1:]], axis=1)
    found = np.array([[section.start, section.end] for section in heard])
    found[-1, 1] = truth[-1, 1] = max(found[-1, 1], truth[-1, 1])
    labels = [section.label for section in heard]
    boundaries = mir_eval.segment.detection(truth, found, window=0.5, trim=True)[2]
    alike = mir_eval.segment.pairwise(truth, letters, found, labels)[2]
    return float(boundaries), float(alike), "".join(labels)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks structure", description=__doc__)
    parser.add_argument("--songs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=SEED, help="of the first song; each song has a seed of its own")
    given = parser.parse_args(arguments)
    if lacking := missing_tools(SOUNDFONT):
        sys.exit("missing: " + "; ".join(lacking))
    rows = []
    print(f"{'song':<24}{'boundary F':>12}{'pairwise F':>12}   heard")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.songs):
            order, layered = ORDERS[number // 2 % len(ORDERS)], number % 2 == 1
            midi, marks, letters = song(np.random.default_rng(given.seed + number), order, layered=layered)
            boundaries, alike, heard = measure(midi, marks, letters, Path(folder))
            rows.append((boundaries, alike))
            name = f"{order} {'layers' if layered else 'grooves'}"
            print(f"{name:<24}{boundaries:>12.3f}{alike:>12.3f}   {heard}", flush=True)
    mean = np.mean(rows, axis=0)
    print(f"{f'mean of {len(rows)}':<24}{mean[0]:>12.3f}{mean[1]:>12.3f}")
