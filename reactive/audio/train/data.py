"""Compose, render and measure what the network learns from; one file of features and targets an excerpt.

    python -m reactive.audio.train.data --work FOLDER --soundfonts A.sf2 B.sf2 [--midi FOLDER] [--grooves N] [--styles N]

Grooves are composed by rule, styles played by MMA if it is installed. `--midi` names a folder of MIDI files whose grid
is right (`python -m benchmarks rhythm --export FOLDER` writes those of the benchmark that may be learnt from). Each is
rendered several times: transposed, at other tempos, with other instruments.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from reactive.audio.network import FRAME_SECONDS, OUTPUTS, inputs
from reactive.audio.spectrum import RATE, fold
from reactive.audio.train.accompany import accompany, available
from reactive.audio.train.compose import DRUMS, compose
from reactive.audio.train.render import electric_drums, spoiled, synthesize, to_midi, varied
from reactive.media.midi import parse_midi

SECONDS = 24.0
ROLES = {"kick": (35, 36), "snare": (37, 38, 39, 40), "hat": (42, 44, 46, 49, 51, 52, 53, 54, 55, 57, 59, 69, 70)}
LONGEST = 150.0


def targets(rows: int, events: dict[str, np.ndarray]) -> np.ndarray:
    """Return float32 [rows, outputs]: a triangle two rows to each side around every event."""
    wanted = np.zeros((rows, len(OUTPUTS)), np.float32)
    for column, name in enumerate(OUTPUTS):
        at = events[name] / FRAME_SECONDS - 0.25
        for step in range(-2, 4):
            index = np.floor(at).astype(int) + step
            inside = (index >= 0) & (index < rows)
            height = np.maximum(0.0, 1 - np.abs(index - at) / 2)
            np.maximum.at(wanted[:, column], index[inside], height[inside])
    return wanted


def save(path: Path, sound: np.ndarray, events: dict[str, np.ndarray]) -> None:
    """Measure a sound and write what the network takes and what it shall give."""
    given = inputs(fold([sound]))
    np.savez(path, x=given.astype(np.float16), y=targets(len(given), events).astype(np.float16))


def groove(number: int, soundfonts: list[Path], path: Path) -> None:
    """Compose, render and measure one groove; its number is its seed."""
    rng = np.random.default_rng([number, 77])
    piece = compose(rng, SECONDS)
    drums = np.array([note[:3] for note in piece.notes if note[4] == DRUMS]).reshape(-1, 3)
    electric = rng.random() < 0.45 and len(drums) > 0
    sound = synthesize(
        to_midi(piece, drums=not electric), soundfonts[rng.integers(len(soundfonts))], reverb=rng.random() < 0.6
    )
    if electric:
        beat = electric_drums(piece, max(len(sound), round(SECONDS * RATE)), rng)
        sound = np.pad(sound, (0, len(beat) - len(sound))) / max(float(np.abs(sound).max(initial=0)), 1e-3)
        sound = rng.uniform(0.2, 1.2) * sound + beat / max(float(np.abs(beat).max()), 1e-3)
    sound = spoiled(sound[: round(SECONDS * RATE)], rng)
    events = {role: drums[np.isin(drums[:, 2], pitches), 0] for role, pitches in ROLES.items()}
    save(path, sound, events | {"beat": piece.beats, "downbeat": piece.downbeats})


def style(number: int, soundfonts: list[Path], path: Path) -> None:
    """Render and measure one piece that MMA plays; its number is its seed."""
    rng = np.random.default_rng([number, 79])
    piece = accompany(rng, SECONDS)
    changed, pace = varied(piece.midi, rng)
    notes = parse_midi(changed).notes
    if len(notes) < 20:
        raise ValueError("next to nothing is played")
    sound = synthesize(changed, soundfonts[rng.integers(len(soundfonts))], reverb=rng.random() < 0.6)
    events = _drums(notes)
    for name, marks in (("beat", piece.beats * pace), ("downbeat", piece.downbeats * pace)):
        events[name] = marks[(marks > notes[0, 0] - 0.07) & (marks < notes[-1, 0] + 0.07)]
    save(path, spoiled(sound[: round(SECONDS * RATE)], rng), events)


def _drums(notes: np.ndarray) -> dict[str, np.ndarray]:
    """Return by role when drums are struck, of notes as `parse_midi` gives them."""
    drums = notes[notes[:, 3] == DRUMS]
    return {role: drums[np.isin(drums[:, 1], pitches), 0] for role, pitches in ROLES.items()}


def known(data: bytes, number: int, soundfonts: list[Path], path: Path) -> None:
    """Render and measure one variation of a MIDI file; its number is its seed."""
    rng = np.random.default_rng([number, 78])
    changed, _ = varied(data, rng)
    heard = parse_midi(changed)
    sound = synthesize(changed, soundfonts[rng.integers(len(soundfonts))], reverb=rng.random() < 0.6)
    sound = spoiled(sound[: round(LONGEST * RATE)], rng)
    sounding = heard.notes[:, 0]
    events = _drums(heard.notes)
    for name, marks in (("beat", heard.beats), ("downbeat", heard.downbeats)):
        events[name] = marks[(marks > sounding[0] - 0.07) & (marks < sounding[-1] + 0.07)]
    save(path, sound, events)


def main() -> None:
    """Write what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--soundfonts", type=Path, nargs="+", required=True)
    parser.add_argument("--midi", type=Path)
    parser.add_argument("--grooves", type=int, default=1200)
    parser.add_argument("--styles", type=int, default=1500)
    parser.add_argument("--variations", type=int, default=4)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.work.mkdir(parents=True, exist_ok=True)
    files = sorted(arguments.midi.glob("*.mid")) if arguments.midi else []
    counts = {"piece": len(files) * arguments.variations, "groove": arguments.grooves, "style": arguments.styles}
    if not available():
        logging.warning("mma is not installed: no styles (Debian: apt-get install mma)")
        counts["style"] = 0
    jobs = [(kind, number) for kind, count in counts.items() for number in range(count)]
    # in mixed order, so that a run broken off has some of everything
    for done, turn in enumerate(np.random.default_rng(0).permutation(len(jobs))):
        kind, number = jobs[turn]
        path = arguments.work / f"{kind}-{number:05d}.npz"
        if path.exists():
            continue
        try:
            if kind == "groove":
                groove(number, arguments.soundfonts, path)
            elif kind == "style":
                style(number, arguments.soundfonts, path)
            else:
                known(files[number % len(files)].read_bytes(), number, arguments.soundfonts, path)
        except (ValueError, IndexError) as problem:
            logging.warning("%s left out: %s", path.name, problem)
        if done % 50 == 0:
            logging.info("%d of %d", done, len(jobs))


if __name__ == "__main__":
    main()
