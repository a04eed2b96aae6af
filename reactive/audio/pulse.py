"""Follow the beat of music that is still being played: tempo and phase, at first from onset strength alone.

A hidden Markov model whose states are (rows in a beat, position in the beat): the position advances by one each row, the
tempo may change a little at each beat, and onsets are expected at the beat and not elsewhere (Whiteley, Cemgil and
Godsill, ISMIR 2006; states as in Krebs, Böck and Widmer, ISMIR 2015). Only the forward pass is computed, so its result
depends on the past alone. A clock that runs evenly and is pulled towards the result gives the position *now*, ahead of the
delay of the spectrum. After the first seconds, and while it hears a beat, the clock is pulled towards the path of the rhythm
network (`online_network`), which knows the "one" and keeps the level of the beat where onsets leave it open. Rows as in `spectrum`:
86 a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reactive.audio.online_network import Followed
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
# mean log odds of the network's beats from which its path is followed, below which it no longer is, and from which it may change
# the tempo, with what is added to that where the onsets are as clear as can be: songs reach 0 to 1.3, bare clicks -0.9 to 0.7
SURE_SCORE, LOST_SCORE, CONVINCING_SCORE, CLEAR_SCORE = -0.8, -2.3, 0.4, 0.6
# how near, in beats, the beats of the onsets are to those of the network where they are taken for the same
SAME_BEAT = 0.12
# natural logarithm of the ratio from which two tempi are different, and seconds that another tempo must last; the onsets' tempo may
# change at once until it was steady for some seconds
OTHER_TEMPO, OTHER_TEMPO_SECONDS, STEADY_SECONDS = 0.12, 4.0, 2.0
# by how much log odds a beat must be likelier to open the bar: than any other at first, than the one that did later on; and the
# share of these odds that each beat keeps
FIRST_MARGIN, ONE_MARGIN, ONE_FADE = 2.0, 6.0, 0.97
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
        # whether the network's path is followed, whether a person tapped the tempo, and for how many rows the network has heard
        # another tempo than that of the clock
        self._guided = self._tempo_is_set = False
        self._other_tempo_rows = 0
        # for how many rows the onsets' tempo has been steady, and another
        self._steady_rows = self._doubt_rows = 0
        # log odds that each beat of the bar is the first, and the row of the last beat that is in them
        self._one_odds = np.zeros(BEATS_PER_BAR)
        self._one_row = -np.inf
        # whether the network has said once which beat is the first
        self._one_is_heard = False
        # another clock that is followed while it returns a value: beats since its bar began, and beats a minute
        self.clock: Callable[[], tuple[float, float] | None] | None = None

    def update(self, strength: float, low: float = 0.0, followed: Followed | None = None) -> MetricalPosition:
        """Update with one row; return the position `lead` later.

        Parameters
        ----------
        strength, low
            Onset strength, 0 to 1, of the whole and of the low band.
        followed
            The position of the beat by the rhythm network, if there is one.
        """
        self._forward(min(max(strength, 0.0), 1.0))
        before, told = self._beats, self.position().beats
        if followed is not None and self._is_guide(followed):
            self._follow_network(followed)
        else:
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
        self.heard, self.clarity, self._support, self._tempo_is_set = True, 0.8, 2 * SUPPORT, True
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
        if not self.heard:
            self._steady_rows = 0
            self._advance(0.0)
            return
        length = float(mass[near] @ self.lengths[near]) / share
        other = abs(np.log(length / self._length)) > OTHER_TEMPO
        self._doubt_rows = self._doubt_rows + 1 if other else 0
        steady = self._steady_rows >= STEADY_SECONDS * FRAMES_PER_SECOND
        if steady and 0 < self._doubt_rows < OTHER_TEMPO_SECONDS * FRAMES_PER_SECOND:
            # a tempo that was steady gives way only to one that lasts
            self._advance(0.0)
            return
        self._steady_rows = 0 if other else self._steady_rows + 1
        self._length += 0.05 * (length - self._length)
        self._advance(_from_clock(float(np.angle(vector)) / (2 * np.pi), self._beats))

    def _advance(self, off: float) -> None:
        """Advance the clock by one row, pulled by a share of how far it is off, in beats."""
        # never backwards, and never twice as fast as the music
        self._beats += float(np.clip(1 / self._length + PULL * off, 0.0, 2 / self._length))

    def _is_guide(self, followed: Followed) -> bool:
        """Whether the clock follows the network's path: it is clear, and no person tapped another tempo."""
        other = abs(np.log(followed.interval / self._length)) > OTHER_TEMPO
        score = LOST_SCORE if self._guided else self._convincing() if other else SURE_SCORE
        if followed.score < score or (other and self._tempo_is_set):
            self._guided = False
        elif not self._guided:
            self._guided, self._other_tempo_rows = True, 0
            if other:
                self._set_length(followed.interval)
        return self._guided

    def _convincing(self) -> float:
        """Return the score from which the network may change the tempo: the clearer the onsets are, the higher."""
        return CONVINCING_SCORE + CLEAR_SCORE * self.clarity

    def _set_length(self, length: float) -> None:
        """Change the tempo at once; beats are then counted anew, since other beats are counted."""
        self._length = length
        self._one_odds[:] = 0.0
        self._one_row = -np.inf
        self._one_is_heard = False

    def _follow_network(self, followed: Followed) -> None:
        """Advance the clock by one row, pulled towards the network's path; another tempo must last to be taken."""
        self.heard, self.clarity = True, max(self.clarity, CLEAR)
        onsets = self._onset_offset()
        if abs(np.log(followed.interval / self._length)) > OTHER_TEMPO:
            self._other_tempo_rows += 1
            lasted = self._other_tempo_rows >= OTHER_TEMPO_SECONDS * FRAMES_PER_SECOND
            if followed.score < self._convincing() or not lasted:
                self._advance(onsets or 0.0)
                return
            self._set_length(followed.interval)
        self._other_tempo_rows = 0
        self._length += 0.05 * (followed.interval - self._length)
        # beats of the path that have passed at this row
        passed = (self.rows - followed.row) / followed.interval
        off = _from_clock(passed, self._beats)
        # the network knows which beat it is, onsets know when
        same = onsets is not None and abs(_from_clock(onsets, off)) < SAME_BEAT
        self._advance(onsets if onsets is not None and same else off)
        if abs(off) < 0.25:
            self._weigh_network(followed, round(self._beats - passed))

    def _weigh_network(self, followed: Followed, beat: int) -> None:
        """Add up how likely the network finds each beat of the bar to be the first; `beat` is the clock's number of the path's last.

        One bar says little, and while the network is undecided each new bar may say something else: the "one" moves only
        where all bars together speak for another beat.
        """
        new = min(len(followed.downbeats), max((followed.row - self._one_row) / followed.interval, 0.0))
        for back in range(round(new) - 1, -1, -1):
            self._one_odds *= ONE_FADE
            self._one_odds[(beat - back) % BEATS_PER_BAR] += followed.downbeats[-1 - back]
            self._one_row = followed.row
        best = int(self._one_odds.argmax())
        lead = self._one_odds[best] - np.delete(self._one_odds, best).max()
        ahead = self._one_odds[best] - self._one_odds[self._downbeat_phase]
        if self._downbeat_is_set:
            return
        if ahead > ONE_MARGIN or (not self._one_is_heard and lead > FIRST_MARGIN):
            self._downbeat_phase, self._one_is_heard = best, True

    def _onset_offset(self) -> float | None:
        """Return how far the clock is from the beats of the onsets, if these are clear at its tempo."""
        near = (np.abs(self.lengths / self._length - 1) < SAME_TEMPO)[self._of]
        vector = complex((self.belief[near] * self._around[near]).sum())
        if abs(vector) < CLEAR:
            return None
        return _from_clock(float(np.angle(vector)) / (2 * np.pi), self._beats)

    def _weigh(self, beat: int) -> None:
        """Learn which beat of the bar is the strongest: that is the first, unless a person set it or the network is followed."""
        if self._guided:
            return
        self._heavy[beat % BEATS_PER_BAR] = FADE * self._heavy[beat % BEATS_PER_BAR] + (1 - FADE) * self._low
        heaviest = int(self._heavy.argmax())
        if not self._downbeat_is_set and self._heavy[heaviest] > 1.25 * self._heavy[self._downbeat_phase] + 0.02:
            self._downbeat_phase = heaviest


def _from_clock(place: float, clock: float) -> float:
    """Return how far a clock must move to have the place in the beat of another, at least -0.5, less than 0.5."""
    return (place - clock + 0.5) % 1.0 - 0.5
