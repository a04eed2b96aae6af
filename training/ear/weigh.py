"""Fit the weights of `reactive.audio.levels`: which reading of a song is right, by all that speaks for it.

    python -m training.ear.weigh --hearing FOLDER --renders FOLDER [--weights FILE]

Renders the split ``validation`` and the older pieces that may be tuned on, hears each up to its readings, calls the reading right
that fits the truth best, and fits a conditional logit with a quadratic penalty. Prints the weights, and how often the right reading
wins before and after, each piece judged by weights that were fitted without its kind.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.beat_scores import beat_scores
from benchmarks.ear_pieces import Known, render_debian, render_split
from reactive.audio import network
from reactive.audio.analysis import COMMON_POWER
from reactive.audio.levels import EVIDENCE, WEIGHTS, counted, evidence, readings
from reactive.audio.ones import move_ones
from reactive.audio.onset import detect, onset_strength
from reactive.audio.rhythm import track_beats
from reactive.audio.spectrum import loud_level, measure, scaled
from reactive.media.sound import open_track

# standard deviation that a weight is believed to have around the one of before
LOOSE = 1.5
# readings that fit so much worse than the best are wrong; those between count as right too
AS_GOOD = 0.05


def weigh_up(piece: Known) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return evidence [readings, evidence], how well each fits the truth, and which was found; None for too short a song."""
    measured = measure(open_track(piece.path))
    loud = loud_level(measured.power)
    spectra = scaled(measured, float(np.sqrt(COMMON_POWER / loud)) if loud > 0 else 1.0)
    onsets = detect(spectra, onset_strength(spectra))["all"]
    heard = network.activations(spectra)
    rhythm = move_ones(track_beats(heard, onsets, len(spectra.mel)), spectra)
    every = readings(rhythm, onsets)
    if not every:
        return None
    fits = []
    for reading in every:
        as_counted = counted(rhythm, reading)
        beat, level, _ = beat_scores(piece.beats, as_counted.beats)
        fits.append(0.4 * beat + 0.6 * level + beat_scores(piece.downbeats, as_counted.downbeats)[0])
    found = np.array([reading.found_one for reading in every])
    return evidence(every, heard, spectra), np.array(fits), found


def fit(tables: list[np.ndarray], fits: list[np.ndarray], start: np.ndarray) -> np.ndarray:
    """Return weights that make the right readings likeliest, not far from `start`."""
    from scipy.optimize import minimize

    def cost(weights: np.ndarray) -> float:
        total = 0.5 * float(np.square((weights - start) / LOOSE).sum())
        for table, quality in zip(tables, fits, strict=True):
            score = table @ weights
            right = quality >= quality.max() - AS_GOOD
            total -= float(np.logaddexp.reduce(score[right]) - np.logaddexp.reduce(score))
        return total

    return np.asarray(minimize(cost, start, method="L-BFGS-B").x)


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearing", type=Path, required=True)
    parser.add_argument("--renders", type=Path, required=True, help="where rendered pieces are kept")
    parser.add_argument("--weights", type=Path, help="of the rhythm network (default: those that ship)")
    given = parser.parse_args()
    if given.weights:
        network.MODEL = given.weights
    pieces = [
        *render_split("validation", given.hearing, given.renders, seconds=100.0),
        *render_debian([False], given.renders, seconds=100.0),
    ]
    kinds: list[str] = []
    tables: list[np.ndarray] = []
    fits: list[np.ndarray] = []
    found: list[np.ndarray] = []
    for piece in pieces:
        if weighed := weigh_up(piece):
            kinds.append(piece.kind)
            for kept, value in zip((tables, fits, found), weighed, strict=True):
                kept.append(value)
            print(f"{piece.kind}: {piece.name}: {len(weighed[0])} readings, best {weighed[1].max():.2f}", flush=True)
    start = np.array([WEIGHTS[name] for name in EVIDENCE])
    ways: list[tuple[str, Callable[[str], np.ndarray] | None]] = [
        ("as found", None),
        ("by the weights of before", lambda _: start),
        ("by weights fitted without the kind", lambda kind: fit(*_without(kind, kinds, tables, fits), start)),
    ]
    for name, weights_of in ways:
        gained = []
        cached: dict[str, np.ndarray] = {}
        for kind, table, quality, was in zip(kinds, tables, fits, found, strict=True):
            if weights_of is None:
                chosen = int(np.flatnonzero(was)[0])
            else:
                if kind not in cached:
                    cached[kind] = weights_of(kind)
                chosen = int((table @ cached[kind]).argmax())
            gained.append((quality[chosen], quality[chosen] >= quality.max() - AS_GOOD))
        print(
            f"{name}: mean fit {np.mean([g[0] for g in gained]):.3f} of 2, right {np.mean([g[1] for g in gained]):.2f}"
        )
    for name, value in zip(EVIDENCE, fit(tables, fits, start), strict=True):
        print(f'    "{name}": {value:.2f},')


def _without(
    kind: str, kinds: list[str], tables: list[np.ndarray], fits: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    kept = [number for number, other in enumerate(kinds) if other != kind]
    return [tables[number] for number in kept], [fits[number] for number in kept]


if __name__ == "__main__":
    main()
