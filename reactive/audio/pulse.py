"""Follow the beat of music that is still being played: tempo and phase, from onset strength alone.

A hidden Markov model whose states are (rows in a beat, position in the beat): the position advances by one each row, the
tempo may change a little at each beat, and onsets are expected at the beat and not elsewhere (Whiteley, Cemgil and
Godsill, ISMIR 2006; states as in Krebs, Böck and Widmer, ISMIR 2015). Only the forward pass is computed, so its result
depends on the past alone. A clock that runs evenly and is pulled towards the result gives the position *now*, ahead of the
delay of the spectrum. Rows as in `spectrum`: 86 a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reactive.audio.rhythm import BEATS_PER_BAR, PULSE_SECONDS
from reactive.audio.spectrum import FRAMES_PER_SECOND

SLOWEST, FASTEST = 55.0, 215.0
# how stable the tempo is from beat to beat
STEADY = 200.0
# onsets belong to the first 1/16 of a beat
SHARE = 16
# prior of the tempo: its centre in beats a minute, and its spread in octaves
LIKELY, SPREAD = 118.0, 0.5
# the weight of the prior at each beat
USUAL = 0.3
# likelihood of a beat without an onset, and its increase with the strongest onset. The first is hardly less than
# that of no onset elsewhere, since beats are often silent
SILENT_BEAT, SURE = 0.05, 0.6
# how fast the clock is pulled to the result at each row, and how far around the likeliest tempo it looks
PULL, SAME_TEMPO = 0.06, 0.06
# clarity at which following a beat begins, and below which it ends
CLEAR, LOST = 0.4, 0.22
CLEAR_SECONDS = 1.2
# seconds over which onsets support a beat, and the least support
SUPPORT_SECONDS, SUPPORT = 3.0, 1.5
# share of the beliefs that is forgotten at each row
DOUBT = 1e-3
# share of the memory of each beat's weight that is kept
FADE = 0.88
FEWEST_TAPS, TAP_PAUSE = 3, 2.5


@dataclass(frozen=True)
class MetricalPosition:
    """The position in the metre.

    Attributes
    ----------
    beats
        How many beats have passed, as a float that never falls.
    bars
        How many bars have passed, as a float.
    tempo
        Beats a minute.
    heard
        Whether there is a beat to follow; else an even pulse goes on.
    """

    beats: float
    bars: float
    tempo: float
    heard: bool


class OnlineBeatTracker:
    """Follows the beat, row by row.

    Parameters
    ----------
    lead
        By how many seconds the clock is ahead of the rows: their own delay.
    """

    def __init__(self, lead: float = 0.0) -> None:
        shortest = int(np.ceil(60 * FRAMES_PER_SECOND / FASTEST))
        longest = int(60 * FRAMES_PER_SECOND / SLOWEST)
        self.lengths = np.arange(shortest, longest + 1)
        self._first = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self._last = self._first + self.lengths - 1
        self._of = np.repeat(np.arange(len(self.lengths)), self.lengths)
        place = np.arange(len(self._of)) - self._first[self._of]
        self._turn = place / self.lengths[self._of]
        self._at_beat = self._turn < 1 / SHARE
        # the beat is in the middle of its rows
        centre = (np.ceil(self.lengths / SHARE) - 1) / 2 / self.lengths
        self._around = np.exp(2j * np.pi * (self._turn - centre[self._of]))
        ratio = self.lengths[None, :] / self.lengths[:, None]
        change = np.exp(-STEADY * np.abs(ratio - 1))
        octaves = np.log2(60 * FRAMES_PER_SECOND / self.lengths / LIKELY)
        self._prior = np.exp(-0.5 * (octaves / SPREAD) ** 2)
        self._prior /= self._prior.sum()
        change *= self._prior**USUAL
        self._change = change / change.sum(axis=1, keepdims=True)
        self._unknown = np.repeat(self._prior / self.lengths, self.lengths)
        self.belief = self._unknown
        self._support = 0.0
        self.lead = lead * FRAMES_PER_SECOND
        self.heard = False
        self.clarity = 0.0
        self.rows = 0
        self._length = PULSE_SECONDS / BEATS_PER_BAR * FRAMES_PER_SECOND
        # beats that have passed at the last row
        self._beats = 0.0
        self._heavy = np.zeros(BEATS_PER_BAR)
        self._downbeat_phase = 0
        self._downbeat_is_set = False
        self._low = 0.0
        self._taps: list[float] = []
        # another clock that is followed while it returns a value: beats since its bar began, and beats a minute
        self.clock: Callable[[], tuple[float, float] | None] | None = None

    def update(self, strength: float, low: float = 0.0) -> MetricalPosition:
        """Update with the onset strength of one row, 0 to 1, and of its low band; return the position `lead` later."""
        self._forward(min(max(strength, 0.0), 1.0))
        before, told = self._beats, self.position().beats
        self._follow()
        if self.clock is not None and (place := self.clock()) is not None:
            self._take_over(told, *place)
        self._low = max(self._low * 0.7, low)
        if np.floor(self._beats - 0.08) > np.floor(before - 0.08):
            # just after the beat, so that its own stroke is included
            self._weigh(int(np.floor(self._beats)))
        self.rows += 1
        return self.position()

    def position(self) -> MetricalPosition:
        """Return the position now."""
        beats = self._beats + self.lead / self._length
        bars = (beats - self._downbeat_phase) / BEATS_PER_BAR
        return MetricalPosition(beats, bars, 60 * FRAMES_PER_SECOND / self._length, self.heard)

    def _take_over(self, told: float, phase: float, tempo: float) -> None:
        """Follow another clock: `told` are the beats that were reported at the last row, so that none is counted twice."""
        self._length = 60 * FRAMES_PER_SECOND / tempo
        lead = self.lead / self._length
        # the position of that phase in a bar that is nearest to the last one
        place = phase + self._downbeat_phase
        bar = round((self._beats + lead - place) / BEATS_PER_BAR)
        beats = place + BEATS_PER_BAR * bar
        if beats < told - 0.5:
            beats += BEATS_PER_BAR
        self._beats = max(beats, told) - lead
        self.heard, self.clarity, self._downbeat_is_set = True, CLEAR, True

    def tap(self, seconds: float) -> bool:
        """Register a tap on the beat, at a time on any steady clock; True once taps set the tempo."""
        if self._taps and not 60 / FASTEST * 0.8 < seconds - self._taps[-1] < TAP_PAUSE:
            self._taps = []
        self._taps = [*self._taps, seconds][-8:]
        if len(self._taps) < FEWEST_TAPS:
            return False
        length = (self._taps[-1] - self._taps[0]) / (len(self._taps) - 1) * FRAMES_PER_SECOND
        length = float(np.clip(length, self.lengths[0], self.lengths[-1]))
        # the beat is now; the rows are older
        place = np.mod(self._turn + self.lead / length + 0.5, 1.0) - 0.5
        near = np.abs(self.lengths[self._of] / length - 1)
        self.belief = np.exp(-0.5 * (place / 0.04) ** 2 - 0.5 * (near / 0.02) ** 2) + 1e-9
        self.belief /= self.belief.sum()
        self._length = length
        self._beats = round(self._beats + self.lead / length) - self.lead / length
        self.heard, self.clarity, self._support = True, 0.8, 2 * SUPPORT
        return True

    def set_downbeat(self) -> None:
        """Make the nearest beat the first of its bar."""
        self._downbeat_phase = round(self.position().beats) % BEATS_PER_BAR
        self._downbeat_is_set = True

    def _forward(self, strength: float) -> None:
        """Advance all beliefs by one row and weigh them by the onset strength."""
        belief = self.belief
        ends = belief[self._last] @ self._change
        belief = np.roll(belief, 1)
        belief[self._first] = ends
        sure = SILENT_BEAT + SURE * strength
        belief *= np.where(self._at_beat, sure, (1 - sure) / (SHARE - 1))
        belief = belief / belief.sum()
        self._support *= 1 - 1 / (SUPPORT_SECONDS * FRAMES_PER_SECOND)
        self._support += strength * float(belief[self._at_beat].sum())
        self.belief = (1 - DOUBT) * belief + DOUBT * self._unknown

    def _follow(self) -> None:
        """Advance the clock by one row, pulled towards the estimated beat."""
        mass = np.add.reduceat(self.belief, self._first)
        # neighbouring lengths count as one tempo
        smooth = np.convolve(mass, [0.5, 1, 1, 1, 0.5], mode="same")
        best = self.lengths[int(smooth.argmax())]
        near = np.abs(self.lengths / best - 1) < SAME_TEMPO
        share = float(mass[near].sum())
        vector = complex((self.belief * self._around)[near[self._of]].sum())
        clear = abs(vector) * min(self._support / SUPPORT, 1.0)
        self.clarity += (clear - self.clarity) / (CLEAR_SECONDS * FRAMES_PER_SECOND)
        self.heard = self.clarity > (LOST if self.heard else CLEAR)
        if self.heard:
            self._length += 0.05 * (float(mass[near] @ self.lengths[near]) / share - self._length)
            off = (np.angle(vector) / (2 * np.pi) - self._beats) % 1.0
            off -= off >= 0.5
            # never backwards, and never twice as fast as the music
            self._beats += float(np.clip(1 / self._length + PULL * off, 0.0, 2 / self._length))
        else:
            self._beats += 1 / self._length

    def _weigh(self, beat: int) -> None:
        """Learn which beat of the bar is the strongest: that is the first, unless a person set it."""
        self._heavy[beat % BEATS_PER_BAR] = FADE * self._heavy[beat % BEATS_PER_BAR] + (1 - FADE) * self._low
        heaviest = int(self._heavy.argmax())
        if not self._downbeat_is_set and self._heavy[heaviest] > 1.25 * self._heavy[self._downbeat_phase] + 0.02:
            self._downbeat_phase = heaviest
