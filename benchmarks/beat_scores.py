"""Beat tracking scores of one piece and of many: F-measure, continuity, wrong level or phase, bootstrap intervals."""

from __future__ import annotations

import warnings

import numpy as np

# seconds; earlier beats are not scored, as is usual in beat tracking evaluation
TRIM = 5.0
# a piece was heard on another level or phase if that one's CMLt is above FITS and exceeds the true one's by BETTER
FITS, BETTER = 0.5, 0.15
# the downbeat is on a wrong beat if beat F is above the first figure and downbeat F below the second
BEATS_RIGHT, DOWNBEATS_WRONG = 0.8, 0.4
RESAMPLES = 2000


def beat_scores(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Return F-measure, CMLt and AMLt of beats; nan if the truth has fewer than two."""
    import mir_eval

    truth, found = (mir_eval.beat.trim_beats(np.asarray(times, float), TRIM) for times in (truth, found))
    if len(truth) < 2:
        return float("nan"), float("nan"), float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, correct, _, any_level = mir_eval.beat.continuity(truth, found)
        return mir_eval.beat.f_measure(truth, found), correct, any_level


def onset_f(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the F-measure of onsets within 50 ms; nan if the truth has fewer than five."""
    import mir_eval

    truth = np.unique(np.round(truth, 3))
    if len(truth) < 5:
        return float("nan")
    return float(mir_eval.onset.f_measure(truth, found)[0]) if len(found) else 0.0


def bias_ms(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the median delay in ms of the beats that lie within 70 ms of a true one."""
    if not len(truth) or not len(found):
        return float("nan")
    nearest = truth[np.abs(found[:, None] - truth[None]).argmin(axis=1)]
    late = (found - nearest)[np.abs(found - nearest) < 0.07]
    return 1000 * float(np.median(late)) if len(late) else float("nan")


def misheard(
    beats: np.ndarray, downbeats: np.ndarray, found: np.ndarray, found_downbeats: np.ndarray
) -> tuple[bool, bool, bool]:
    """Return whether a piece was heard on a wrong level, off the beat, and with the bar on a wrong beat."""
    right = beat_scores(beats, found)[1]
    middle = (beats[1:] + beats[:-1]) / 2
    thirds = [beats[:-1] + np.diff(beats) * share for share in (1 / 3, 2 / 3)]
    levels = [np.sort(np.concatenate([beats, middle])), np.sort(np.concatenate([beats, *thirds]))]
    levels += [beats[first::step] for step in (2, 3, 4) for first in range(step)]
    # three beats in the time of two: a frequent error on dotted or swung rhythms
    levels.append(
        np.sort(
            np.concatenate(
                [beats[::2], *[beats[:-2:2] + (beats[2::2] - beats[:-2:2]) * share for share in (1 / 3, 2 / 3)]]
            )
        )
    )
    best = max(beat_scores(level, found)[1] for level in levels)
    off = beat_scores(middle, found)[1]
    level = bool(best > max(FITS, right + BETTER) and best >= off)
    phase = bool(off > max(FITS, right + BETTER) and off > best)
    downbeat = (
        beat_scores(beats, found)[0] > BEATS_RIGHT and beat_scores(downbeats, found_downbeats)[0] < DOWNBEATS_WRONG
    )
    return level, phase, bool(downbeat)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean over pieces; nan without values. The random seed is fixed."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
