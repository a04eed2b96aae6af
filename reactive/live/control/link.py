"""Ableton Link (extra [link]): tempo, beat, and start and stop, shared with the other programs and machines of a network.

A live input follows the session. A song can't be stretched, so it leads: the session takes its tempo and its bars, and start and
stop go both ways.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reactive.audio.grid import Grid
from reactive.errors import OutputError, install_line
from reactive.live.control.remote import Action

POLL_SECONDS = 0.02
# the session is moved only if it is off by more than this; the page's position is known to a few milliseconds
NEAR_SECONDS, NEAR_TEMPO = 0.03, 0.05
SLOWEST, FASTEST = 20.0, 999.0
QUANTUM = 4.0
# how many polls a page has to answer a start or stop: two seconds
ANSWER_TURNS = 100


@dataclass(frozen=True)
class BarPlace:
    """A position in a bar: `phase` in beats since the bar began, `quantum` beats of the bar, `tempo` in beats a minute."""

    phase: float
    quantum: float
    tempo: float


def check_link() -> None:
    """Check that aalink is installed.

    Raises
    ------
    OutputError
        If not.
    """
    if "aalink" not in sys.modules and importlib.util.find_spec("aalink") is None:
        raise OutputError(
            "Ableton Link needs aalink", where="--link", remedy=f"install it with `{install_line('[link]')}`"
        )


def joined_session(tempo: float) -> Any:
    """Join a Link session and return aalink's object; call it in a running event loop. It leaves when nothing refers to it."""
    import aalink

    link = aalink.Link(min(max(tempo, SLOWEST), FASTEST))
    link.quantum = QUANTUM
    link.start_stop_sync_enabled = True
    link.enabled = True
    return link


def bar_place(grid: Grid, seconds: float) -> BarPlace | None:
    """Return a song's position in its bar; None if no beat was heard, before the first one and after the last."""
    beats, bars = grid.beats, grid.bars
    if not grid.heard or len(beats) < 2 or not beats[0] <= seconds < beats[-1]:
        return None
    here = int(np.searchsorted(beats, seconds, side="right")) - 1
    length = float(beats[here + 1] - beats[here])
    opened = int(np.searchsorted(bars, seconds + 1e-6, side="right")) - 1
    first = int(np.searchsorted(beats, bars[max(opened, 0)] - 1e-3)) if len(bars) else 0
    next_bar = bars[opened + 1] if 0 <= opened < len(bars) - 1 else None
    quantum = QUANTUM if next_bar is None else float(np.searchsorted(beats, next_bar - 1e-3) - first)
    phase = (here - first + (seconds - float(beats[here])) / length) % max(quantum, 1.0)
    return BarPlace(phase, max(quantum, 1.0), 60 / length)


def session_place(link: Any) -> BarPlace | None:
    """Return the session's position in its bar; None while nobody else is in it."""
    if link.num_peers < 1:
        return None
    return BarPlace(float(link.phase), float(link.quantum), float(link.tempo))


class StartStop:
    """Keeps start and stop of the session and of the preview in step; the one that changed last counts."""

    def __init__(self, link: Any) -> None:
        self.link = link
        self._session = bool(link.playing)
        self._own: bool | None = None
        self._waiting = 0

    def turn(self, own: bool | None, put: Callable[[Action], None]) -> None:
        """Pass changes on.

        Parameters
        ----------
        own
            Whether the preview plays; None where it has no start and stop of its own.
        put
            Called with ``play`` if another program started or stopped the session.
        """
        session = bool(self.link.playing)
        if session != self._session:
            self._session = session
            if session != own:
                put(Action("play", value=float(session)))
                self._own, self._waiting = own, ANSWER_TURNS
                return
        if own is None or own == self._own:
            # the page's state is old until it has answered
            self._waiting = max(0, self._waiting - 1)
            if self._waiting == 1 and own is not None and own != session:
                # a browser may refuse to play before anybody has clicked in it
                self.link.playing = self._session = own
            return
        known, self._own, self._waiting = self._own is not None, own, 0
        if known and own != session:
            self.link.playing = self._session = own


def lead_session(link: Any, place: BarPlace | None) -> None:
    """Set a session to a song's tempo and bar if it is not there yet."""
    if place is None:
        return
    tempo = min(max(place.tempo, SLOWEST), FASTEST)
    if abs(link.tempo - tempo) > NEAR_TEMPO:
        link.tempo = tempo
    if link.quantum != place.quantum:
        link.quantum = place.quantum
    off = (place.phase - float(link.phase) + place.quantum / 2) % place.quantum - place.quantum / 2
    if abs(off) * 60 / tempo > NEAR_SECONDS:
        beat = float(link.beat) + off
        # by phase: time passes between reading and setting
        link.force_beat(math.floor(beat / place.quantum) * place.quantum + place.phase)


async def poll(work: Callable[[], None]) -> None:
    """Call a function again and again until cancelled."""
    while True:
        work()
        await asyncio.sleep(POLL_SECONDS)
