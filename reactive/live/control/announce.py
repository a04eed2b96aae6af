"""The OSC messages that are sent while the music plays: beats, bars, sections, phases, prompts and tempo.

`/reactive/beat N` (its number in the bar, from 1), `/reactive/bar N` (counted from 1), `/reactive/section I LABEL`,
`/reactive/phase I NAME`, `/reactive/prompt TEXT`, `/reactive/tempo BPM`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reactive.audio.grid import grid_of
from reactive.audio.rhythm import BEATS_PER_BAR
from reactive.live.control.link import StartStop, bar_place, lead_session, poll, session_place
from reactive.live.control.remote import Action
from reactive.live.live_session import LiveSession
from reactive.live.session import Session
from reactive.timeline.clock import frames_in

Cue = tuple[str, tuple[float | int | str, ...]]
# seconds; a playhead that moved by more has jumped, and the beats in between were not heard
JUMP_SECONDS = 0.35


class SongCues:
    """Finds what a song's playhead has passed since the last call."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._last: float | None = None
        self._state: dict[str, Cue] = {}

    def show(self, session: Session) -> None:
        """Announce another song from now on."""
        self.session = session
        self._last = None
        self._state = {}

    def cues(self) -> Iterator[Cue]:
        """Yield what is new; after a jump or while paused, only what has changed."""
        transport = self.session.engine.transport
        now = transport.at()
        analysis = self.session.material.analysis
        yield from self._changed(now)
        before, self._last = self._last, now
        if not transport.playing or before is None or not 0 < now - before < JUMP_SECONDS:
            return
        grid = grid_of(analysis)
        if not grid.heard:
            return
        first, last = np.searchsorted(grid.beats, [before, now], side="right")
        for beat in grid.beats[first:last].tolist():
            bar = int(np.searchsorted(grid.bars, beat + 1e-3, side="right")) - 1
            opened = grid.bars[max(bar, 0)]
            number = int(np.sum((grid.beats >= opened - 1e-3) & (grid.beats <= beat + 1e-3)))
            if number == 1:
                yield "bar", (bar + 1,)
            yield "beat", (number,)

    async def join(self, link: Any, put: Callable[[Action], None]) -> None:
        """Lead a Link session by the song's tempo and bars while it plays; start and stop go both ways."""
        both = StartStop(link)

        def lead() -> None:
            transport = self.session.engine.transport
            both.turn(transport.playing, put)
            if transport.playing:
                lead_session(link, bar_place(grid_of(self.session.material.analysis), transport.at()))

        await poll(lead)

    def _changed(self, now: float) -> Iterator[Cue]:
        timeline, analysis = self.session.performance.timeline, self.session.material.analysis
        frame = min(int(frames_in(now, timeline.fps)), timeline.frames - 1)
        phase = int(timeline.columns["phase"][frame])
        starts = [section.start for section in analysis.sections]
        section = max(int(np.searchsorted(starts, now, side="right")) - 1, 0)
        found: list[Cue] = [
            ("tempo", (round(float(analysis.tempo), 2),)),
            ("phase", (phase, timeline.phases[phase])),
            ("prompt", (self.session.prompt_at(frame),)),
        ]
        if analysis.sections:
            found.append(("section", (section, analysis.sections[section].label)))
        yield from _news(self._state, found)


class LiveCues:
    """Finds what is new of a live input since the last call."""

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        self._last: tuple[float, float] | None = None
        self._state: dict[str, Cue] = {}

    def cues(self) -> Iterator[Cue]:
        """Yield what is new."""
        heard, row = self.session.signals.now, self.session.row
        if row is not None:
            names = self.session.conductor.preset.phase
            name = names[min(row.phase, len(names) - 1)].name
            text = row.prompts[1 if row.columns["weight"] >= 0.5 else 0]
            # a stream has no sections; a phase is the nearest to one
            found: list[Cue] = [
                ("phase", (row.phase, name)),
                ("section", (self.session.conductor.phases_begun, name)),
                ("prompt", (text,)),
            ]
            yield from _news(self._state, found)
        if heard is None:
            return
        place = heard.position
        before, self._last = self._last, (place.beats, place.bars)
        if before is None or not place.heard:
            return
        yield from _news(self._state, [("tempo", (round(place.tempo),))])
        if math.floor(place.beats) > math.floor(before[0]):
            number = math.floor((place.bars % 1.0) * BEATS_PER_BAR + 1e-6) % BEATS_PER_BAR + 1
            if number == 1:
                yield "bar", (max(math.floor(place.bars) + 1, 1),)
            yield "beat", (number,)

    async def join(self, link: Any, put: Callable[[Action], None]) -> None:
        """Follow a Link session's beat and tempo as long as anybody else is in it; the picture is held while it is stopped."""
        both = StartStop(link)
        tracker = self.session.signals.analyzer.beat_tracker

        def place() -> tuple[float, float] | None:
            found = session_place(link)
            return None if found is None else (found.phase, found.tempo)

        tracker.clock = place
        try:
            await poll(lambda: both.turn(None, put))
        finally:
            tracker.clock = None


def _news(known: dict[str, Cue], found: list[Cue]) -> Iterator[Cue]:
    for cue in found:
        if known.get(cue[0]) != cue:
            known[cue[0]] = cue
            yield cue
