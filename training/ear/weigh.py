"""Fit the weights of `reactive.audio.levels`, which combine the evidence for each reading of a song's metre.

    python -m training.ear.weigh --work FOLDER [--count N] [--hearing FOLDER --renders FOLDER] [--weights FILE]

Analyses excerpts of `data` up to their readings, labels those that fit the truth best as right, and fits a conditional logit with
a quadratic penalty. Prints the weights, and for excerpts of kinds left out of the fit (with `--hearing`, for the validation split)
the fit of the first reading found, of the best reading, and of the reading selected with the old and with the new weights.
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
from reactive.audio.levels import (
    EVIDENCE,
    MIN_BARS,
    WEIGHTS,
    apply_reading,
    evidence,
    level_numbers,
    likeliest,
    readings,
)
from reactive.audio.onset import detect, onset_strength
from reactive.audio.rhythm import track_beats
from reactive.audio.spectrum import Spectra, loud_level, measure, scaled
from reactive.media.sound import open_track
from training.ear.examples import POWERS

# strength of the prior that keeps weights near their old values, in units of each evidence's spread. Of 20, 60 and 200 it chose best
# on kinds of music left out (509 excerpts)
PRIOR = 60.0
# readings within this of the best fit count as right too
AS_GOOD = 0.05


@dataclass(frozen=True)
class Table:
    """A song's evidence [readings, evidence], fit to the truth and level [readings], and the index of the reading found first."""

    evidence: np.ndarray
    fits: np.ndarray
    levels: np.ndarray
    found: int


def tabulate(spectra: Spectra, beats: np.ndarray, downbeats: np.ndarray) -> Table | None:
    """Return the evidence and the fit of each reading of a song; None if it is too short."""
    onsets = detect(spectra, onset_strength(spectra))["all"]
    activations = network.activations(spectra)
    rhythm = correct_downbeat_phase(track_beats(activations, onsets, len(spectra.mel)), spectra)
    every = readings(rhythm, onsets)
    if not every:
        return None
    fits = []
    for reading in every:
        as_counted = apply_reading(rhythm, reading)
        beat, level, _ = beat_scores(beats, as_counted.beats)
        fits.append(0.4 * beat + 0.6 * level + beat_scores(downbeats, as_counted.downbeats)[0])
    found = next(number for number, reading in enumerate(every) if reading.found_one)
    return Table(evidence(every, activations, spectra), np.nan_to_num(np.array(fits)), level_numbers(every), found)


def of_excerpt(path: Path) -> Table | None:
    """Return the table of an excerpt of `data`, its stems at their rendered level."""
    with np.load(path) as held:
        mel, chroma = (POWERS[held[name]].sum(axis=0) for name in ("mel", "chroma"))
        beats, downbeats = held["beats"].astype(float), held["beats"][held["opens"]].astype(float)
    if len(downbeats) < MIN_BARS:
        return None
    none = np.zeros(0, np.float32)
    return tabulate(Spectra(mel, none, mel.sum(axis=1), none, chroma, none, none), beats, downbeats)


def of_piece(piece: Known) -> Table | None:
    """Return the table of a piece of the benchmark."""
    measured = measure(open_track(piece.path))
    loud = loud_level(measured.power)
    spectra = scaled(measured, float(np.sqrt(COMMON_POWER / loud)) if loud > 0 else 1.0)
    return tabulate(spectra, piece.beats, piece.downbeats)


def fit(tables: Sequence[Table], start: np.ndarray) -> np.ndarray:
    """Return the weights that maximise the likelihood of the right readings, with a penalty on changes from `start`."""
    from scipy.optimize import minimize

    spread = np.concatenate([table.evidence for table in tables]).std(axis=0)

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        change = (weights - start) * spread
        total, slope = 0.5 * PRIOR * float(np.square(change).sum()), PRIOR * change * spread
        for table in tables:
            score = table.evidence @ weights
            right = table.fits >= table.fits.max() - AS_GOOD
            of_right, of_all = np.logaddexp.reduce(score[right]), np.logaddexp.reduce(score)
            total -= float(of_right - of_all)
            slope -= np.exp(score[right] - of_right) @ table.evidence[right] - np.exp(score - of_all) @ table.evidence
        return total, slope

    return np.asarray(minimize(cost, start, jac=True, method="L-BFGS-B").x)


def selected_fit(table: Table, weights: np.ndarray) -> float:
    """Return the fit of the reading that `levels.choose_reading` selects."""
    score = table.evidence @ weights
    share = np.exp(score - score.max())
    share /= share.sum()
    return float(table.fits[likeliest(share, table.levels, table.found)])


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="the folder of excerpts")
    parser.add_argument("--count", type=int, default=600, help="excerpts at most (default: 600)")
    parser.add_argument("--hearing", type=Path, help="the folder of scores, to measure on the validation split")
    parser.add_argument("--renders", type=Path, help="where rendered pieces are kept")
    parser.add_argument("--weights", type=Path, help="of one rhythm network, alone (default: both that ship)")
    options = parser.parse_args()
    if options.weights:
        network.NETWORKS = ((options.weights, 1.0),)
    # file numbers have mixed kinds
    paths = sorted(options.work.glob("*-[0-9]*.npz"), key=lambda path: path.stem[-5:])[: options.count]
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
    if options.hearing and options.renders:
        by_piece_kind: dict[str, list[Table]] = {}
        for piece in render_split("validation", options.hearing, options.renders, seconds=100.0):
            if (table := of_piece(piece)) is not None:
                by_piece_kind.setdefault(piece.kind, []).append(table)
        for kind, tables in sorted(by_piece_kind.items()):
            print(_line(f"validation, {kind}", tables, start, fitted))
        print(_line("validation, all", [table for tables in by_piece_kind.values() for table in tables], start, fitted))
    for name, value in zip(EVIDENCE, fitted, strict=True):
        print(f'    "{name}": {value:.2f},')


def _line(name: str, tables: Sequence[Table], before: np.ndarray, fitted: np.ndarray) -> str:
    figures = {
        "found": [table.fits[table.found] for table in tables],
        "best": [table.fits.max() for table in tables],
        "with the old weights": [selected_fit(table, before) for table in tables],
        "with the fitted weights": [selected_fit(table, fitted) for table in tables],
    }
    return f"{name}, {len(tables)}: " + ", ".join(f"{label} {np.mean(values):.3f}" for label, values in figures.items())


if __name__ == "__main__":
    main()
