"""Onsets by role: kick, snare, and hats and the like, from the network's activations. Times in seconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reactive.audio.network import FRAME_SECONDS
from reactive.audio.onset import Onsets
from reactive.audio.spectrum import FRAMES_PER_SECOND

# the band of onset strength that gives each role's strength: all, low, mid, high
ROLES = {"kick": 1, "snare": 2, "hat": 3}
# a peak must reach half of the song's clear peaks, within these limits
THRESHOLDS = (0.2, 0.45)
# an onset of any kind this near is the same event, with a more exact time
SAME_SECONDS = 0.03
WEAKEST = 0.1


def find_roles(heard: Mapping[str, np.ndarray], strength: np.ndarray, onsets: Onsets) -> dict[str, Onsets]:
    """Return the onsets of each role.

    Parameters
    ----------
    heard
        Activations of `network.activations`.
    strength
        Onset strength [4, t] of `onset.onset_strength`.
    onsets
        Onsets of the whole spectrum with refined times.
    """
    return {role: _hits(heard[role], strength[band], onsets) for role, band in ROLES.items()}


def _hits(curve: np.ndarray, strength: np.ndarray, onsets: Onsets) -> Onsets:
    padded = np.pad(curve, 2)
    near = np.stack([padded[shift : shift + len(curve)] for shift in range(5)])
    peaks = np.flatnonzero((curve >= near.max(axis=0)) & (curve > THRESHOLDS[0]))
    if not len(peaks):
        return Onsets(np.zeros(0), np.zeros(0))
    peaks = peaks[curve[peaks] >= np.clip(0.5 * np.percentile(curve[peaks], 90), *THRESHOLDS)]
    # a parabola through the peak and its neighbours
    before, here, after = near[1, peaks], curve[peaks], near[3, peaks]
    shift = 0.5 * (before - after) / np.minimum(before - 2 * here + after, -1e-6)
    seconds = np.maximum((peaks + 0.25 + np.clip(shift, -0.5, 0.5)) * FRAME_SECONDS, 0.0)
    for number, time in enumerate(seconds):
        first, last = np.searchsorted(onsets.times, (time - SAME_SECONDS, time + SAME_SECONDS))
        if last > first:
            seconds[number] = onsets.times[first + int(np.abs(onsets.times[first:last] - time).argmin())]
    rows = np.round(seconds * FRAMES_PER_SECOND).astype(int)
    level = np.stack([strength[np.clip(rows + step, 0, len(strength) - 1)] for step in range(-2, 3)]).max(axis=0)
    seconds, first_of = np.unique(seconds, return_index=True)
    return Onsets(seconds, np.clip(level[first_of], WEAKEST, 1.0).astype(np.float64))
