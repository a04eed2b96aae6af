"""The rhythm network on music that is still being played: beats and bars as it hears them a little later than they sound.

The network answers from what lies before and after a moment. A stream has no after, so an answer waits until `DELAY_SECONDS` have
followed; the search of `bars` goes on with each answer, and its path is continued at its own pace to the present. Measured by
`python -m benchmarks following`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.bars import OnlineBars
from reactive.audio.network import OUTPUTS, forward, inputs, weights
from reactive.audio.spectrum import FRAMES_PER_SECOND, MELS, Spectra

# an answer waits so long; new ones are asked for so often
DELAY_SECONDS, EVERY_SECONDS = 0.5, 0.25
DELAY, EVERY = round(DELAY_SECONDS * FRAMES_PER_SECOND / 2), round(EVERY_SECONDS * FRAMES_PER_SECOND / 2)
# so much of the past the network is given, in its rows: 24 s
PAST = 1024
# the beats of so many seconds must have come before a path is told, and so many beats of it are drawn a line through
FIRST_SECONDS, LINE = 3.0, 8


@dataclass(frozen=True)
class Followed:
    """Where the beat lies.

    Attributes
    ----------
    row
        Of the last beat of the path, a row of the spectrum, not whole.
    interval
        Rows from beat to beat.
    place, size
        The last beat's place in its bar from 0, and the beats of that bar.
    score
        Mean log odds of the beats of the last seconds.
    """

    row: float
    interval: float
    place: int
    size: int
    score: float


class OnlineNetwork:
    """Takes rows of the spectrum in, follows beats and bars."""

    def __init__(self) -> None:
        self._mel = np.zeros((0, MELS), np.float32)
        self._chroma = np.zeros((0, 24), np.float32)
        # rows that came, rows of the network that lie before those kept, and rows that were answered
        self.rows = 0
        self._gone = 0
        self._answered = 0
        self._before = np.zeros(len(OUTPUTS))
        self._bars = OnlineBars()
        self.followed: Followed | None = None

    def feed(self, mel: np.ndarray, chroma: np.ndarray) -> Followed | None:
        """Take in a row of the spectrum, its mel powers [64] and its chroma [24]; return where the beat lies, if it is known."""
        self._mel = np.concatenate([self._mel, mel[None]])
        # a row of the chroma for four of the spectrum, as the network is taught
        if self.rows % 4 == 0:
            self._chroma = np.concatenate([self._chroma, chroma[None]])
        self.rows += 1
        if self.rows % (2 * EVERY) == 0:
            self._answer()
        return self.followed

    def _answer(self) -> None:
        heard = self.rows // 2
        until = heard - DELAY
        if until <= self._answered:
            return
        none = np.zeros(0, np.float32)
        # loud is what has been loud in the past that is kept
        given = inputs(Spectra(self._mel, none, none, none, self._chroma, none, none))
        new = forward(given, weights())[self._answered - self._gone : until - self._gone]
        # twice as many steps as answers: those between lie half way
        wide = np.concatenate([self._before[None], new])
        at = np.arange(2 * len(new)) / 2 + 0.75
        beat, downbeat = (
            np.interp(at, np.arange(len(wide)), wide[:, OUTPUTS.index(name)]) for name in ("beat", "downbeat")
        )
        self._bars.feed(beat, np.minimum(beat, downbeat))
        self._before, self._answered = new[-1], until
        self._forget()
        if self._bars.steps >= FIRST_SECONDS * FRAMES_PER_SECOND:
            self.followed = self._line()

    def _forget(self) -> None:
        """Let go of what lies further back than the network is given; whole rows of the chroma go."""
        surplus = (len(self._mel) // 2 - PAST) // EVERY * EVERY
        surplus -= surplus % 2
        if surplus > 0:
            self._mel = self._mel[2 * surplus :]
            self._chroma = self._chroma[surplus // 2 :]
            self._gone += surplus

    def _line(self) -> Followed | None:
        path = self._bars.path()
        if len(path.steps) < 3:
            return self.followed
        steps = path.steps[-LINE - 1 :]
        numbers = np.arange(len(steps)) - (len(steps) - 1)
        interval, last = np.polyfit(numbers, steps, 1)
        return Followed(float(last), float(interval), int(path.places[-1]), int(path.metres[-1]), path.score)
