"""The form of a song by its score: which passages of its tune come again.

Two bars are alike if the same pitch classes of the tune begin in the same sixteenths. A passage of eight bars or more that comes again
later is a repeat; where repeats begin and end a part does, and parts made of the same bars have the same letter. Two parts that always
come together are one here, so a listener may hear more boundaries than these.
"""

from __future__ import annotations

import string
from collections import Counter

import numpy as np

from training.ear.scores import Score

# the channel of the tune in pop909, and the parts of a bar in which notes are compared
TUNE, SLOTS = 0, 16
# least cosine similarity of two bars that are alike; bars of a repeat; bars of a part; bars between edges that are the same
ALIKE, FEWEST, SHORTEST_PART, NEAR = 0.7, 8, 4, 2
# of a repeat so many bars in a row may differ
HOLE = 1
# parts that share so many of their bars have one letter
SHARED = 0.5


def song_form(score: Score, *, tune: int = TUNE) -> tuple[np.ndarray, list[str]]:
    """Return when each part begins and the last one ends, float64 [n + 1] in seconds, and the parts' letters [n].

    A part that does not come again has a letter of its own.
    """
    bars = score.downbeats
    repeats = find_repeats(alike_bars(score, tune=tune))
    edges, groups = _edges(repeats, len(bars)), _groups(repeats, len(bars))
    parts = [set(groups[first:stop]) for first, stop in zip(edges, edges[1:], strict=False)]
    letters: list[str] = []
    for number, part in enumerate(parts):
        shared = [len(part & other) / max(len(part), len(other)) for other in parts[:number]]
        best = int(np.argmax(shared)) if shared else 0
        known = shared and shared[best] >= SHARED
        letters.append(letters[best] if known else string.ascii_uppercase[len(set(letters)) % 26])
    # where a part follows itself nothing changes
    kept = [number for number, letter in enumerate(letters) if number == 0 or letter != letters[number - 1]]
    end = max(score.notes[:, 0].max(), bars[-1]) + 0.5
    return np.append(bars[[edges[number] for number in kept]], end), [letters[number] for number in kept]


def alike_bars(score: Score, *, tune: int = TUNE) -> np.ndarray:
    """Return which bars have the same tune, bool [bars, bars]; those without a tune are like none."""
    bars, notes = score.downbeats, score.notes[score.notes[:, 4] == tune]
    lengths = np.diff(bars, append=2 * bars[-1] - bars[-2])
    bar = np.searchsorted(bars, notes[:, 0] + lengths.min() / (2 * SLOTS), side="right") - 1
    kept = bar >= 0
    bar, notes = bar[kept], notes[kept]
    slot = np.clip(np.round((notes[:, 0] - bars[bar]) / lengths[bar] * SLOTS), 0, SLOTS - 1).astype(int)
    table = np.zeros((len(bars), SLOTS, 12))
    table[bar, slot, notes[:, 2].astype(int) % 12] = 1.0
    rows = table.reshape(len(bars), -1)
    size = np.linalg.norm(rows, axis=1)
    alike: np.ndarray = rows @ rows.T >= ALIKE * np.maximum(size[:, None] * size[None], 1e-9)
    return alike


def find_repeats(alike: np.ndarray) -> list[tuple[int, int, int]]:
    """Return passages that come again: first bar, first bar of the repeat, and how many bars they are."""
    found = []
    for lag in range(FEWEST, len(alike)):
        same = np.diagonal(alike, lag)
        start = stop = -1
        for bar in [*np.flatnonzero(same).tolist(), len(same) + HOLE + 1]:
            if start >= 0 and bar - stop > HOLE:
                if stop - start >= FEWEST:
                    found.append((start, start + lag, stop - start))
                start = bar
            start, stop = (bar if start < 0 else start), bar + 1
    return found


def _edges(repeats: list[tuple[int, int, int]], count: int) -> list[int]:
    """Return the bars, rising from 0 to `count`, where parts begin and end: of near ones the one of most repeats."""
    votes = Counter(bar for first, again, bars in repeats for bar in (first, first + bars, again, again + bars))
    chosen = [0, count]
    for bar, _ in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
        if all(abs(bar - other) >= (SHORTEST_PART if other else NEAR) for other in chosen):
            chosen.append(bar)
    return sorted(chosen)


def _groups(repeats: list[tuple[int, int, int]], count: int) -> list[int]:
    """Return a number for each bar, the same for bars that are repeats of each other."""
    group = list(range(count))
    for first, again, bars in repeats:
        for number in range(bars):
            old, new = group[again + number], group[first + number]
            group = [new if other == old else other for other in group]
    return group
