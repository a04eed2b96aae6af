"""The rhythm network on music that is still being played: beats and bars, heard a little later than they sound.

The networks need what comes before and after a moment. A stream has no after, so they are computed `DELAY_SECONDS` behind the
newest sound; the search of `bars` takes in what is new, and its path is continued at its own pace to the present. Measured by
`python -m benchmarks following`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.bars import OnlineBars
from reactive.audio.network import OUTPUTS, inputs, window_activations
from reactive.audio.spectrum import FRAMES_PER_SECOND, Spectra

# how far behind the newest sound the network is computed, and how often
DELAY_SECONDS, EVERY_SECONDS = 0.5, 0.25
DELAY, EVERY = round(DELAY_SECONDS * FRAMES_PER_SECOND / 2), round(EVERY_SECONDS * FRAMES_PER_SECOND / 2)
# rows of the past that the network gets, two rows of the spectrum each: 24 s
PAST = 1024
# seconds and beats until the first path is reported, and how many of its last beats a line is fitted to
FIRST_SECONDS, FEWEST_BEATS, LINE = 3.0, 5, 8


@dataclass(frozen=True)
class Followed:
    """The position of the beat.

    Attributes
    ----------
    row
        Of the path's last beat, a row of the spectrum, with a fraction.
    interval
        Rows from beat to beat.
    score
        Mean log odds of the beats of the last seconds.
    downbeats
        Log odds that each of the last beats opens a bar, the last beat last.
    """

    row: float
    interval: float
    score: float
    downbeats: np.ndarray


class OnlineNetwork:
    """Takes rows of the spectrum, follows beats and bars."""

    def __init__(self) -> None:
        self._mel: list[np.ndarray] = []
        self._chroma: list[np.ndarray] = []
        # rows of the spectrum so far; rows of the network that were dropped, and that were computed
        self.rows = 0
        self._dropped = 0
        self._computed = 0
        self._last = np.zeros(len(OUTPUTS))
        self._bars = OnlineBars()
        self.followed: Followed | None = None

    def feed(self, mel: np.ndarray, chroma: np.ndarray) -> Followed | None:
        """Take a row of the spectrum, its mel powers [64] and its chroma [24]; return the position of the beat, if it is known."""
        self._mel.append(mel)
        # one row of the chroma for four of the spectrum, as in training
        if self.rows % 4 == 0:
            self._chroma.append(chroma)
        self.rows += 1
        if self.rows % (2 * EVERY) == 0:
            self._compute()
        return self.followed

    def _compute(self) -> None:
        until = self.rows // 2 - DELAY
        if until <= self._computed:
            return
        none = np.zeros(0, np.float32)
        # levels are relative to the past that is kept
        given = inputs(Spectra(np.stack(self._mel), none, none, none, np.stack(self._chroma), none, none))
        new = window_activations(given)[self._computed - self._dropped : until - self._dropped]
        # the search takes two steps for each row; those between lie half way
        wide = np.concatenate([self._last[None], new])
        at = np.arange(2 * len(new)) / 2 + 0.75
        beat, downbeat = (
            np.interp(at, np.arange(len(wide)), wide[:, OUTPUTS.index(name)]) for name in ("beat", "downbeat")
        )
        self._bars.feed(beat, np.minimum(beat, downbeat))
        self._last, self._computed = new[-1], until
        self._drop()
        if self._bars.steps >= FIRST_SECONDS * FRAMES_PER_SECOND:
            self.followed = self._line()

    def _drop(self) -> None:
        """Drop what lies further back than the network gets; the chroma in whole rows."""
        surplus = (len(self._mel) // 2 - PAST) // EVERY * EVERY
        surplus -= surplus % 2
        if surplus > 0:
            del self._mel[: 2 * surplus]
            del self._chroma[: surplus // 2]
            self._dropped += surplus

    def _line(self) -> Followed | None:
        path = self._bars.path()
        if len(path.steps) < FEWEST_BEATS:
            return self.followed
        steps = path.steps[-LINE - 1 :]
        numbers = np.arange(len(steps)) - (len(steps) - 1)
        interval, last = np.polyfit(numbers, steps, 1)
        return Followed(float(last), float(interval), path.score, self._bars.downbeat_odds(steps))
