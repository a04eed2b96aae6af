"""Ableton Link: a live input follows the session, a song leads it, and start and stop go both ways without an echo."""

from __future__ import annotations

import asyncio
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from reactive.audio.grid import Grid
from reactive.audio.pulse import OnlineBeatTracker
from reactive.audio.spectrum import FRAMES_PER_SECOND
from reactive.cli import main
from reactive.live.control.announce import LiveCues, SongCues
from reactive.live.control.link import BarPlace, StartStop, bar_place, joined_session, lead_session, session_place
from reactive.live.control.osc import action_of
from reactive.live.control.remote import Action, target


class Session:
    """Imitates aalink's attributes, with a clock that a test moves."""

    def __init__(self, tempo: float = 120.0) -> None:
        self.tempo, self.beat, self.quantum = tempo, 0.0, 4.0
        self.playing, self.enabled, self.start_stop_sync_enabled = False, False, False
        self.num_peers = 1
        self.forced: list[float] = []

    @property
    def phase(self) -> float:
        return self.beat % self.quantum

    def force_beat(self, beat: float) -> None:
        self.forced.append(beat)
        self.beat = beat

    def passed(self, seconds: float) -> None:
        self.beat += seconds * self.tempo / 60


GRID = Grid(np.arange(0.5, 20.0, 0.5), np.arange(0.5, 20.0, 2.0), heard=True)
WALTZ = Grid(np.arange(0.0, 18.0, 0.4), np.arange(0.0, 18.0, 1.2), heard=True)


def test_a_songs_position_in_its_bar() -> None:
    assert bar_place(GRID, 0.75) == BarPlace(pytest.approx(0.5), 4.0, pytest.approx(120))
    assert bar_place(GRID, 4.0) == BarPlace(pytest.approx(3.0), 4.0, pytest.approx(120))
    assert bar_place(WALTZ, 1.4) == BarPlace(pytest.approx(0.5), 3.0, pytest.approx(150))
    assert bar_place(GRID, 0.2) is None
    assert bar_place(GRID, 19.9) is None
    assert bar_place(Grid(GRID.beats, GRID.bars, heard=False), 3.0) is None


def test_a_song_sets_the_sessions_tempo_and_bar_once() -> None:
    link = Session(100.0)
    link.beat = 17.3
    seconds = 5.1
    for _ in range(200):
        lead_session(link, bar_place(GRID, seconds))
        seconds += 0.02
        link.passed(0.02)
    assert link.tempo == pytest.approx(120)
    place = bar_place(GRID, seconds)
    assert place is not None
    assert link.phase == pytest.approx(place.phase, abs=0.01)
    # set once, not every time: other programs hear each change
    assert len(link.forced) == 1
    lead_session(link, None)
    assert len(link.forced) == 1


def test_a_song_in_three_leads_in_three() -> None:
    link = Session()
    lead_session(link, bar_place(WALTZ, 4.9))
    assert (link.quantum, link.tempo) == (3.0, pytest.approx(150))
    assert link.phase == pytest.approx(0.25, abs=1e-6)


def test_start_and_stop_go_both_ways_without_an_echo() -> None:
    link, heard = Session(), []
    both = StartStop(link)
    both.turn(False, heard.append)
    # another program starts: the page gets a message, and answers later
    link.playing = True
    both.turn(False, heard.append)
    both.turn(False, heard.append)
    assert heard == [Action("play", value=1.0)]
    assert link.playing
    both.turn(True, heard.append)
    assert link.playing
    # the page pauses: the session is stopped, which is not reported back to the page
    both.turn(False, heard.append)
    assert not link.playing
    both.turn(False, heard.append)
    assert len(heard) == 1
    both.turn(True, heard.append)
    assert link.playing
    link.playing = False
    both.turn(True, heard.append)
    assert heard[-1] == Action("play", value=0.0)


def test_a_page_that_can_not_play_stops_the_session_again() -> None:
    link, heard = Session(), []
    both = StartStop(link)
    both.turn(False, heard.append)
    link.playing = True
    for _ in range(1200):
        both.turn(False, heard.append)
    assert len(heard) == 1
    assert not link.playing


def test_without_other_programs_nothing_is_followed() -> None:
    link = Session()
    link.num_peers = 0
    assert session_place(link) is None


@given(
    tempo=st.floats(60, 180), start=st.floats(0, 4, exclude_max=True), warm=st.integers(0, 400), jump=st.floats(0, 4)
)
def test_a_followed_clock_gives_its_own_phase_and_never_counts_a_beat_twice(
    tempo: float, start: float, warm: int, jump: float
) -> None:
    tracker = OnlineBeatTracker(0.05)
    for _ in range(warm):
        tracker.update(0.1)
    row, moved = 0, 0.0

    def clock() -> tuple[float, float]:
        return (start + moved + row / FRAMES_PER_SECOND * tempo / 60) % 4, tempo

    tracker.clock = clock
    places = []
    for _ in range(600):
        row += 1
        # another program moves the session's beat
        moved = jump if row > 300 else 0.0
        places.append(tracker.update(0.0))
    beats = np.array([place.beats for place in places])
    assert np.all(np.diff(beats) >= -1e-9)
    assert all(place.heard for place in places)
    assert places[-1].tempo == pytest.approx(tempo)
    # after at most half a beat the phase matches the session's
    off = (places[-1].bars * 4 - clock()[0] + 2) % 4 - 2
    assert off == pytest.approx(0, abs=1e-6)
    tracker.clock = None
    after = tracker.update(0.0)
    assert abs(after.beats - beats[-1]) < 0.2


def test_a_live_input_follows_while_it_is_joined() -> None:
    link, heard = Session(140.0), []
    tracker = OnlineBeatTracker()
    analyzer = types.SimpleNamespace(beat_tracker=tracker)
    session: Any = types.SimpleNamespace(signals=types.SimpleNamespace(analyzer=analyzer))

    async def whole() -> None:
        work = asyncio.create_task(LiveCues(session).join(link, heard.append))
        while tracker.clock is None:
            await asyncio.sleep(0)
        assert tracker.update(0.0).tempo == pytest.approx(140)
        link.playing = True
        while not heard:
            await asyncio.sleep(0.001)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(whole())
    assert heard == [Action("play", value=1.0)]
    assert tracker.clock is None


def test_a_playing_song_leads(beat_analysis: Any) -> None:
    link = Session(90.0)
    transport = types.SimpleNamespace(playing=True, at=lambda: 5.0)
    session: Any = types.SimpleNamespace(
        engine=types.SimpleNamespace(transport=transport), material=types.SimpleNamespace(analysis=beat_analysis)
    )

    async def whole() -> None:
        work = asyncio.create_task(SongCues(session).join(link, lambda action: None))
        while not link.forced:
            await asyncio.sleep(0.001)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(whole())
    assert link.tempo == pytest.approx(120, abs=2)


def test_two_real_sessions_on_this_machine_agree() -> None:
    pytest.importorskip("aalink")

    async def whole() -> bool:
        one, other = joined_session(120.0), joined_session(90.0)
        for _ in range(1200):
            if one.num_peers and other.num_peers:
                break
            await asyncio.sleep(0.05)
        else:
            return False
        lead_session(one, BarPlace(2.5, 4.0, 137.0))
        for _ in range(1200):
            off = (one.phase - other.phase + 2) % 4 - 2
            if abs(other.tempo - 137) < 0.1 and abs(off) < 0.05:
                return True
            await asyncio.sleep(0.05)
        raise AssertionError((one.tempo, other.tempo, one.phase, other.phase))

    if not asyncio.run(whole()):
        pytest.skip("this machine's network has no multicast")


def test_osc_and_midi_have_an_action_play() -> None:
    assert target("play") == Action("play", value=-1.0)
    assert action_of("/reactive/play", [1]) == Action("play", value=1.0)
    assert action_of("/reactive/play", [0.0]) == Action("play", value=0.0)
    assert action_of("/reactive/play", []) == Action("play", value=-1.0)


def test_a_missing_library_is_one_line(beat_wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aalink", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    done = CliRunner().invoke(main, ["preview", str(beat_wav), "--no-open", "--link"])
    assert done.exit_code == 1
    assert "[link]" in done.output
