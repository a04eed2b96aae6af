"""The actions that OSC and MIDI can trigger, and the queue that carries them out one after another.

A fader sends hundreds of values a second, and each change takes time: so only the newest value of each fader is queued,
while presses of buttons are queued in order.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from reactive.errors import ReactiveError
from reactive.live.quantise import GLIDES, LOOP_BARS, QUANTISE
from reactive.preset.vocabulary import MACRO
from reactive.timeline.controls import CONTROLS

SWITCHES = {"blackout": "black", "hold": "hold", "freeze": "freeze"}
PRESSED = (
    *("next", "tap", "one", "next-song", "previous-song", "crossfade", "cue", "reset"),
    *("loop", "loop-in", "loop-out", "loop-off"),
)
NUMBERED = ("phase", "song", "loop", "cue", "snapshot", "store", "glide")
NAMED = {"quantise": QUANTISE}
CHOICES = {"loop": LOOP_BARS, "glide": GLIDES}
# of a cross-fade by a controller or a key
CROSSFADE_SECONDS = 4.0
MAX_WAITING = 256
LONGEST_NAME = 64


@dataclass(frozen=True)
class Action:
    """One action.

    Attributes
    ----------
    kind
        ``control`` (name: a control, or ``macro.NAME``), ``phase`` (value: its number from 0), ``preset`` (name; value:
        seconds of crossfade), ``prompt`` (text), ``black``, ``hold``, ``freeze`` (value: 1 on, 0 off, below 0 to toggle),
        ``next``, ``tap``, ``one``; ``play`` (value as of the switches);
        ``next-song``, ``previous-song``, ``song`` (value: its number from 0); ``crossfade`` (to the next preset; value: seconds);
        ``loop`` (value: its bars, or 0 for the section at the playhead), ``loop-in``, ``loop-out``, ``loop-off``;
        ``cue`` (value: its number from 1, or 0 to set one), ``snapshot`` and ``store`` (value: its slot from 1), ``glide`` (value:
        beats over which a snapshot is recalled), ``reset`` (everything as the preset has it);
        ``quantise`` (name: a unit of `QUANTISE`, or an empty text for the next one).
    share
        Whether a control's value is a share, 0 to 1, of its range.
    """

    kind: str
    name: str = ""
    value: float = 0.0
    text: str = ""
    share: bool = False


@dataclass
class Counts:
    """Counts of messages: accepted, with an unknown address, not understood, too many at once, too long, refused by the performance."""

    taken: int = 0
    unknown: int = 0
    wrong: int = 0
    flood: int = 0
    long: int = 0
    refused: int = 0


def target(text: str) -> Action | None:
    """Return the action of a name: ``macro.storm``, ``walk``, ``phase.2``, ``blackout``, ``next``; None if there is none."""
    name = text.strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        return None
    if name.startswith(MACRO) and len(name) > len(MACRO):
        return Action("control", name, share=True)
    if name in CONTROLS:
        return Action("control", name, share=True)
    if name in SWITCHES:
        return Action(SWITCHES[name], value=-1.0)
    if name == "crossfade":
        return Action(name, value=CROSSFADE_SECONDS)
    if name in PRESSED or name in NAMED:
        return Action(name)
    if name == "play":
        return Action(name, value=-1.0)
    kind, _, number = name.partition(".")
    if kind in NAMED and number in NAMED[kind]:
        return Action(kind, number)
    if kind in NUMBERED and number.isdecimal() and len(number) < 4:
        return Action(kind, value=float(number)) if int(number) in CHOICES.get(kind, (int(number),)) else None
    return None


def placed(action: Action) -> Action:
    """Return a control's action with its value on the control's own scale."""
    if not action.share or action.name.startswith(MACRO):
        return replace(action, share=False)
    control = CONTROLS[action.name]
    return replace(
        action, value=control.low + min(max(action.value, 0.0), 1.0) * (control.high - control.low), share=False
    )


@dataclass
class Remote:
    """The queue of actions.

    Attributes
    ----------
    act
        Carries out one action.
    counts
        Counts of messages.
    """

    act: Callable[[Action], Awaitable[None]]
    counts: Counts = field(default_factory=Counts)
    _waiting: OrderedDict[tuple[object, ...], Action] = field(default_factory=OrderedDict)
    _number: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, action: Action) -> None:
        """Queue an action; call it from the event loop."""
        if not math.isfinite(action.value):
            self.counts.wrong += 1
            return
        if len(self._waiting) >= MAX_WAITING:
            self.counts.flood += 1
            return
        self._number += 1
        key: tuple[object, ...] = ("control", action.name) if action.kind == "control" else (self._number,)
        self._waiting[key] = placed(action)
        self.counts.taken += 1
        self._wake.set()

    async def run(self) -> None:
        """Carry out actions as they come, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                _, action = self._waiting.popitem(last=False)
                try:
                    await self.act(action)
                except ReactiveError:
                    self.counts.refused += 1
