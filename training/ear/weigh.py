"""Fit the weights of `reactive.audio.levels`: which reading of a song is right, by all that speaks for it.

    python -m training.ear.weigh --work FOLDER [--count N] [--hearing FOLDER --renders FOLDER] [--weights FILE]

Hears excerpts of `data` up to their readings, calls those right that fit the truth best, and fits a conditional logit with a
quadratic penalty. Prints the weights, and on excerpts of kinds left out (and, with `--hearing`, on the validation split) how well
the reading that was found fits, how well the best one would, and how well the chosen one does by the weights of before and by those
fitted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.beat_scores import beat_scores
from benchmarks.ear_pieces import Known, render_split
from reactive.audio import network
from reactive.audio.analysis import COMMON_POWER
from reactive.audio.downbeat_phase import correct_downbeat_phase
from reactive.audio.levels import EVIDENCE, MIN_BARS, TO_CHANGE, WEIGHTS, apply_reading, evidence, readings
from reactive.audio.onset import detect, onset_strength
from reactive.audio.rhythm import track_beats
from reactive.audio.spectrum import Spectra, loud_level, measure, scaled
from reactive.media.sound import open_track
from training.ear.examples import POWERS

# standard deviation that a weight is believed to have around the one of before
LOOSE = 1.5
# readings that fit so much worse than the best are wrong; those between count as right too
AS_GOOD = 0.05


@dataclass(frozen=True)
class Table:
    """Evidence [readings, evidence] and fit to the truth [readings] of a song, and which reading was found."""

    evidence: np.ndarray
    fits: np.ndarray
    found: int


def weigh_up(spectra: Spectra, beats: np.ndarray, downbeats: np.ndarray) -> Table | None:
    """Return what speaks for each reading of a song and how well it fits the truth; None for too short a song."""
    onsets = detect(spectra, onset_strength(spectra))["all"]
    heard = network.activations(spectra)
    rhythm = correct_downbeat_phase(track_beats(heard, onsets, len(spectra.mel)), spectra)
    every = readings(rhythm, onsets)
    if not every:
        return None
    fits = []
    for reading in every:
        as_counted = apply_reading(rhythm, reading)
        beat, level, _ = beat_scores(beats, as_counted.beats)
        fits.append(0.4 * beat + 0.6 * level + beat_scores(downbeats, as_counted.downbeats)[0])
    found = next(number for number, reading in enumerate(every) if reading.found_one)
    return Table(evidence(every, heard, spectra), np.nan_to_num(np.array(fits)), found)


def of_excerpt(path: Path) -> Table | None:
    """Weigh an excerpt of `data`, its stems at the level they were rendered at."""
    with np.load(path) as held:
        mel, chroma = (POWERS[held[name]].sum(axis=0) for name in ("mel", "chroma"))
        beats, downbeats = held["beats"].astype(float), held["beats"][held["opens"]].astype(float)
    if len(downbeats) < MIN_BARS:
        return None
    none = np.zeros(0, np.float32)
    return weigh_up(Spectra(mel, none, mel.sum(axis=1), none, chroma, none, none), beats, downbeats)


def of_piece(piece: Known) -> Table | None:
    """Weigh a piece of the benchmark."""
    measured = measure(open_track(piece.path))
    loud = loud_level(measured.power)
    spectra = scaled(measured, float(np.sqrt(COMMON_POWER / loud)) if loud > 0 else 1.0)
    return weigh_up(spectra, piece.beats, piece.downbeats)


def fit(tables: Sequence[Table], start: np.ndarray) -> np.ndarray:
    """Return weights that make the right readings likeliest, not far from `start`."""
    from scipy.optimize import minimize

    def cost(weights: np.ndarray) -> float:
        total = 0.5 * float(np.square((weights - start) / LOOSE).sum())
        for table in tables:
            score = table.evidence @ weights
            right = table.fits >= table.fits.max() - AS_GOOD
            total -= float(np.logaddexp.reduce(score[right]) - np.logaddexp.reduce(score))
        return total

    return np.asarray(minimize(cost, start, method="L-BFGS-B").x)


def chosen(table: Table, weights: np.ndarray) -> float:
    """Return how well the reading fits that `levels.weighed` would choose."""
    score = table.evidence @ weights
    share = np.exp(score - score.max())
    share /= share.sum()
    best = int(share.argmax())
    return float(table.fits[best if share[best] > TO_CHANGE else table.found])


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder of excerpts")
    parser.add_argument("--count", type=int, default=600, help="excerpts at most (default: 600)")
    parser.add_argument("--hearing", type=Path, help="the folder of scores, to measure on the validation split")
    parser.add_argument("--renders", type=Path, help="where rendered pieces are kept")
    parser.add_argument("--weights", type=Path, help="of the rhythm network (default: those that ship)")
    given = parser.parse_args()
    if given.weights:
        network.MODEL = given.weights
    # numbers are in mixed order of kinds
    paths = sorted(given.work.glob("*-[0-9]*.npz"), key=lambda path: path.stem[-5:])[: given.count]
    by_kind: dict[str, list[Table]] = {}
    for path in paths:
        if (table := of_excerpt(path)) is not None:
            by_kind.setdefault(path.stem.rsplit("-", 1)[0], []).append(table)
    start = np.array([WEIGHTS[name] for name in EVIDENCE])
    every = [table for tables in by_kind.values() for table in tables]
    fitted = fit(every, start)
    for kind, tables in sorted(by_kind.items()):
        others = [table for other, more in by_kind.items() if other != kind for table in more]
        print(_line(kind, tables, start, fit(others, start)), flush=True)
    if given.hearing and given.renders:
        heard: dict[str, list[Table]] = {}
        for piece in render_split("validation", given.hearing, given.renders, seconds=100.0):
            if (table := of_piece(piece)) is not None:
                heard.setdefault(piece.kind, []).append(table)
        for kind, tables in sorted(heard.items()):
            print(_line(f"validation, {kind}", tables, start, fitted))
        print(_line("validation, all", [table for tables in heard.values() for table in tables], start, fitted))
    for name, value in zip(EVIDENCE, fitted, strict=True):
        print(f'    "{name}": {value:.2f},')


def _line(name: str, tables: Sequence[Table], before: np.ndarray, fitted: np.ndarray) -> str:
    figures = {
        "found": [table.fits[table.found] for table in tables],
        "best": [table.fits.max() for table in tables],
        "by the weights of before": [chosen(table, before) for table in tables],
        "by those fitted": [chosen(table, fitted) for table in tables],
    }
    return f"{name}, {len(tables)}: " + ", ".join(f"{label} {np.mean(values):.3f}" for label, values in figures.items())


if __name__ == "__main__":
    main()
