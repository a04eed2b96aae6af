"""Find the path of beats and bars through a song that agrees best with the rhythm network's activations.

A path is a sequence of beats, each with its place in a bar and the interval that led to it. Its score adds up, for each
beat, the log odds of a beat (or downbeat) there, minus the costs of changes of tempo and metre. The best path of
all is found exactly, by dynamic programming over (time, place in the bar, interval): a semi-Markov form of the
bar-pointer model (Whiteley, Cemgil and Godsill 2006; Krebs, Böck and Widmer 2015). Times count in steps of HOP / RATE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.spectrum import FRAMES_PER_SECOND

# intervals between beats, in steps: 258 to 49 beats a minute
SHORTEST, LONGEST = 20, 105
METRES = (4, 3, 2, 5, 7)
# costs of a metre rarer than 4/4, once for the song and for each bar, and of each change of metre
METRE_COST = {4: 0.0, 3: 2.0, 2: 8.0, 5: 6.0, 7: 6.0}
BAR_COST = {4: 0.0, 3: 0.3, 2: 1.2, 5: 1.0, 7: 1.0}
CHANGE_COST = 12.0
# standard deviation of the logarithm of successive intervals; a leap of any size costs LEAP_COST, as much as about a dozen
# clear beats: at 9 the quiet beginnings of three real songs of steady tempo were counted half as fast as the rest
TEMPO_SPREAD = 0.035
LEAP_COST = 45.0
NEIGHBOURS = 3
# the usual tempo, the spread around it in octaves, and the weight of that at each beat
USUAL_TEMPO, TEMPO_OCTAVES = 115.0, 1.0
TEMPO_WEIGHT = 0.25
# odds are clipped to these, so that no single beat decides a song
MIN_LOG_ODDS, MAX_LOG_ODDS = -3.5, 3.5
# of music that is still being played so much of the search is kept
MEMORY = round(6 * FRAMES_PER_SECOND)
# longer songs are decoded in passages; each begins where the one before was certain
PASSAGE, UNSURE = round(150 * FRAMES_PER_SECOND), round(30 * FRAMES_PER_SECOND)


@dataclass(frozen=True)
class BeatPath:
    """Beats as steps (rising), each one's position in its bar from 0, the beats of that bar, and the mean score of a beat."""

    steps: np.ndarray
    places: np.ndarray
    metres: np.ndarray
    score: float


def best_path(beat: np.ndarray, downbeat: np.ndarray) -> BeatPath:
    """Return the best path through activations in [0, 1], one value a step.

    Songs shorter than three short beats (0.7 s) give an empty path.
    """
    steps: list[np.ndarray] = []
    states: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    begin, given = 0, None
    while True:
        stop = min(begin + PASSAGE, len(beat))
        found, state, score, intervals = _passage(beat[begin:stop], downbeat[begin:stop], given)
        last = stop == len(beat)
        keep = len(found) if last else max(int(np.searchsorted(found, stop - begin - UNSURE)), 1)
        steps.append(found[:keep] + begin)
        states.append(state[:keep])
        scores.append(score[:keep])
        if last or not len(found):
            break
        # the next passage begins with the last beat that is kept
        given = (int(state[keep - 1]), int(intervals[keep - 1]))
        begin += int(found[keep - 1])
        for kept in (steps, states, scores):
            kept[-1] = kept[-1][:-1]
    beats, state, score = np.concatenate(steps), np.concatenate(states), np.concatenate(scores)
    return BeatPath(beats, _PLACES[state], _SIZES[state], float(score.mean()) if len(score) else MIN_LOG_ODDS)


_SIZES = np.concatenate([np.full(metre, metre) for metre in METRES])
_PLACES = np.concatenate([np.arange(metre) for metre in METRES])
_FIRSTS = np.flatnonzero(_PLACES == 0)
_LASTS = _FIRSTS + np.array(METRES) - 1
_BEFORE = np.where(
    _PLACES > 0, np.arange(len(_SIZES)) - 1, _LASTS[np.searchsorted(_FIRSTS, np.arange(len(_SIZES)), side="right") - 1]
)
_INTERVALS = np.arange(SHORTEST, LONGEST + 1)


def _odds(beat: np.ndarray, downbeat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log odds of a beat that opens a bar and of one that does not, against none."""
    none = np.maximum(1 - beat, 1e-3)
    opens = np.log(np.maximum(downbeat, 1e-4) / none)
    inside = np.log(np.maximum(beat - downbeat, 1e-4) / none)
    return np.clip(opens, MIN_LOG_ODDS, MAX_LOG_ODDS), np.clip(inside, MIN_LOG_ODDS, MAX_LOG_ODDS)


def _gain(beat: np.ndarray, downbeat: np.ndarray) -> np.ndarray:
    """Return what a beat on each place of each bar gains, float32 [steps, places]."""
    opens, inside = _odds(beat, downbeat)
    return np.where((_PLACES == 0)[None], opens[:, None], inside[:, None]).astype(np.float32)


class _Search:
    """The search up to a step: the best score of a path by the interval and the place of its last beat."""

    def __init__(self, *, begun: bool = True) -> None:
        sizes, places = len(_INTERVALS), len(_SIZES)
        self.bend = _bends()
        self._cost = _tempo_cost()[None, :, None]
        self._toll = np.array([BAR_COST[size] / size for size in _SIZES], np.float32)
        # the best score of a path whose next beat comes `interval` after a beat at t, kept for the last steps only;
        # before the song's start any place and interval is as good as any other
        self._reach = np.full((LONGEST + SHORTEST, sizes, places), -np.inf, np.float32)
        if begun:
            self._reach[:] = -np.array([METRE_COST[size] for size in _SIZES], np.float32)
        self.steps = 0

    def advance(self, gain: np.ndarray, given: tuple[int, int] | None = None) -> np.ndarray:
        """Return the scores, float32 [n, intervals, places], of a beat at each of the next n <= SHORTEST steps.

        With `given` (state, interval) the first of them is that beat.
        """
        ring, sizes = len(self._reach), len(_INTERVALS)
        rows = np.arange(self.steps, self.steps + len(gain))
        came = self._reach[(rows[:, None] - _INTERVALS) % ring, np.arange(sizes)]
        now = came[:, :, _BEFORE]
        anywhere = came[:, :, _LASTS].max(axis=2) - np.float32(CHANGE_COST)
        now[:, :, _FIRSTS] = np.maximum(now[:, :, _FIRSTS], anywhere[:, :, None])
        now += (gain - self._toll)[:, None, :] - self._cost
        if given is not None:
            now[0] = -np.inf
            now[0, given[1], given[0]] = 0.0
        ahead = np.repeat(now.max(axis=1, keepdims=True) - np.float32(LEAP_COST), sizes, axis=1)
        for row, shift in enumerate(range(-NEIGHBOURS, NEIGHBOURS + 1)):
            low, high = max(0, -shift), sizes - max(0, shift)
            candidate = now[:, low + shift : high + shift] - self.bend[row, low:high, None]
            np.maximum(ahead[:, low:high], candidate, out=ahead[:, low:high])
        self._reach[rows % ring] = ahead
        self.steps += len(rows)
        return now


class OnlineBars:
    """The best path through activations that are still coming: the same search, of which the last seconds are kept."""

    def __init__(self) -> None:
        self._search = _Search()
        self._value = np.full((0, len(_INTERVALS), len(_SIZES)), -np.inf, np.float32)
        self._gain = np.zeros((0, len(_SIZES)), np.float32)

    @property
    def steps(self) -> int:
        """How many steps were taken in."""
        return self._search.steps

    def feed(self, beat: np.ndarray, downbeat: np.ndarray) -> None:
        """Take in activations in [0, 1], one value a step."""
        gain = _gain(beat, downbeat)
        found = [self._search.advance(gain[first : first + SHORTEST]) for first in range(0, len(gain), SHORTEST)]
        self._value = np.concatenate([self._value, *found])[-MEMORY:]
        self._gain = np.concatenate([self._gain, gain])[-MEMORY:]

    def path(self) -> BeatPath:
        """Return the end of the best path so far, as far as it is kept; empty in the first seconds."""
        if len(self._value) < 3 * SHORTEST:
            none = np.zeros(0, int)
            return BeatPath(none, none, none, MIN_LOG_ODDS)
        steps, state, score, _ = _trace(self._value, self._gain, self._search.bend, None)
        steps = steps + self.steps - len(self._value)
        return BeatPath(steps, _PLACES[state], _SIZES[state], float(score.mean()) if len(score) else MIN_LOG_ODDS)

    def downbeat_odds(self, steps: np.ndarray) -> np.ndarray:
        """Return the log odds that a beat at each of some of the last steps opens a bar, against that it does not."""
        gain = self._gain[steps - self.steps]
        return (gain[:, _FIRSTS[0]] - gain[:, _FIRSTS[0] + 1]).astype(float)


def _passage(
    beat: np.ndarray, downbeat: np.ndarray, given: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return steps, states, scores and interval numbers of the best path; begun with `given` (state, interval) at step 0."""
    count, places, sizes = len(beat), len(_SIZES), len(_INTERVALS)
    none = np.zeros(0, int)
    if count < 3 * SHORTEST and given is None:
        return none, none, np.zeros(0), none
    gain = _gain(beat, downbeat)
    search = _Search(begun=given is None)
    # value[t, interval, place]: the best score of a path with a beat at t, `interval` after the one before
    value = np.full((count, sizes, places), -np.inf, np.float32)
    for first in range(0, count, SHORTEST):
        rows = slice(first, min(first + SHORTEST, count))
        value[rows] = search.advance(gain[rows], given if first == 0 else None)
    return _trace(value, gain, search.bend, given)


def _tempo_cost() -> np.ndarray:
    octaves = np.log2(60 * FRAMES_PER_SECOND / _INTERVALS / USUAL_TEMPO) / TEMPO_OCTAVES
    return (TEMPO_WEIGHT * octaves**2).astype(np.float32)


def _bends() -> np.ndarray:
    """Return the cost, float32 [shifts, intervals], of each shift from the interval before."""
    shifts = np.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    before = _INTERVALS + shifts[:, None]
    bend = 0.5 * (np.log(np.maximum(before, 1) / _INTERVALS) / TEMPO_SPREAD) ** 2
    return np.where((before >= SHORTEST) & (before <= LONGEST), bend, np.inf).astype(np.float32)


def _trace(
    value: np.ndarray, gain: np.ndarray, bend: np.ndarray, given: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Follow the best path back from the song's last beat, which is somewhere in its last long interval."""
    count, sizes = value.shape[:2]
    tail = value[max(count - LONGEST, 0) :]
    step, interval, state = (int(i) for i in np.unravel_index(int(tail.argmax()), tail.shape))
    step += max(count - LONGEST, 0)
    path = [(step, state, interval)]
    while (step := step - int(_INTERVALS[interval])) >= 0 and not (given is not None and path[-1][0] == 0):
        low, high = max(interval - NEIGHBOURS, 0), min(interval + NEIGHBOURS + 1, sizes)
        candidates = value[step].max(axis=0) - LEAP_COST
        best = value[step].argmax(axis=0)
        near = value[step, low:high] - bend[low - interval + NEIGHBOURS : high - interval + NEIGHBOURS, interval, None]
        better = near.max(axis=0) > candidates
        candidates = np.where(better, near.max(axis=0), candidates)
        best = np.where(better, near.argmax(axis=0) + low, best)
        before = int(_BEFORE[state])
        if _PLACES[state] == 0:
            other = int(_LASTS[candidates[_LASTS].argmax()])
            before = other if candidates[other] - CHANGE_COST > candidates[before] else before
        state, interval = before, int(best[before])
        path.append((step, state, interval))
    found = np.array(path[::-1])
    return found[:, 0], found[:, 1], gain[found[:, 0], found[:, 1]].astype(float), found[:, 2]
