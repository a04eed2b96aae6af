"""Find the "one" by where the music changes: parts of a song begin with a bar.

The rhythm network sees less than a minute to either side, in which a song that stresses its third beat may seem to
begin there. The parts of the whole song tell more: if nearly all strong changes fall on the same other beat of the bar, that
beat is the one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reactive.audio.rhythm import Rhythm
from reactive.audio.spectrum import FRAMES_PER_SECOND, Spectra
from reactive.audio.structure import features_between

# beats on either side that are compared for a change; least beats between two changes
REACH, MIN_BEATS_BETWEEN = 16, 8
# changes weaker than this share of the song's strongest are ignored
MIN_CHANGE_SHARE = 0.3
# how many changes, and which share of their weight, must agree on another beat; half a bar is the likeliest error
MIN_CHANGES, MIN_AGREEMENT = 4, 0.75
MIN_CHANGES_MIDDLE, MIN_AGREEMENT_MIDDLE = 3, 0.7
# the largest share of weight that may remain on the old "one"
MAX_REMAINING_SHARE = 0.3
# share of bars that must have one size: else there is no common beat to move to
MIN_STEADY_SHARE = 0.9


def correct_downbeat_phase(rhythm: Rhythm, spectra: Spectra) -> Rhythm:
    """Return the rhythm with its downbeats on the beat where the song's parts begin, or as it is.

    Parameters
    ----------
    rhythm
        Beats and bars as heard.
    spectra
        The song's spectra.
    """
    beats = rhythm.beats
    if len(rhythm.downbeats) < 2 or len(beats) < 2 * REACH:
        return rhythm
    size = int(np.bincount(rhythm.beats_per_bar).argmax())
    if (rhythm.beats_per_bar == size).mean() < MIN_STEADY_SHARE:
        return rhythm
    opened = np.searchsorted(beats, rhythm.downbeats)
    bar = np.searchsorted(opened, np.arange(len(beats)), side="right") - 1
    # a pickup counts back from the first bar
    place = (np.arange(len(beats)) - opened[np.maximum(bar, 0)]) % size
    edges = np.append(beats, min(beats[-1] + np.median(np.diff(beats)), len(spectra.mel) / FRAMES_PER_SECOND))
    change = change_strengths(features_between(spectra, edges))
    votes = np.bincount(place, weights=change, minlength=size)
    counts = np.bincount(place, weights=change > 0, minlength=size)
    to = int(votes.argmax())
    middle = 2 * to == size
    fewest, agreed = (MIN_CHANGES_MIDDLE, MIN_AGREEMENT_MIDDLE) if middle else (MIN_CHANGES, MIN_AGREEMENT)
    total = float(votes.sum())
    if to == 0 or counts.sum() < fewest or votes[to] < agreed * total or votes[0] > MAX_REMAINING_SHARE * total:
        return rhythm
    opens = np.flatnonzero(place == to)
    return replace(
        rhythm, downbeats=beats[opens], beats_per_bar=np.diff(opens, append=opens[-1] + size).astype(np.int64)
    )


def change_strengths(features: np.ndarray) -> np.ndarray:
    """Return how much lasting change begins with each row of features [n, d], float64 [n]; 0 but at the song's strong changes."""
    count = len(features)
    centred = features - features.mean(axis=0)
    total = np.concatenate([np.zeros((1, centred.shape[1])), np.cumsum(centred, axis=0)])
    novelty = np.zeros(count)
    for row in range(4, count - 4):
        first, last = max(row - REACH, 0), min(row + REACH, count)
        before, after = (total[row] - total[first]) / (row - first), (total[last] - total[row]) / (last - row)
        norm = max(float(np.linalg.norm(before) * np.linalg.norm(after)), 1e-9)
        novelty[row] = (1 - float(before @ after) / norm) * np.sqrt(min(row - first, last - row) / REACH)
    threshold = MIN_CHANGE_SHARE * float(np.percentile(novelty, 99))
    strongest = np.array(
        [
            novelty[row] == novelty[max(row - MIN_BEATS_BETWEEN, 0) : row + MIN_BEATS_BETWEEN + 1].max()
            for row in range(count)
        ]
    )
    kept: np.ndarray = np.where(strongest & (novelty > threshold), novelty, 0.0)
    return kept
