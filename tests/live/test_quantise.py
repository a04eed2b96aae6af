"""Actions on the next beat or bar, and loops of bars: exact in song time, whatever the machine does."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.audio.grid import Grid
from reactive.errors import TimelineError
from reactive.live.conductor import Conductor
from reactive.live.control.osc import action_of
from reactive.live.control.remote import target
from reactive.live.material import PreviewOptions, load_material
from reactive.live.online_analysis import LiveSignals
from reactive.live.picture_store import Picture
from reactive.live.quantise import bars_after, loop_of_bars, next_mark, next_played
from reactive.live.session import Session
from reactive.live.transport import Transport
from reactive.preset.schema import load_preset
from reactive.timeline.clock import nearest_frame
from reactive.timeline.perform import Change
from reactive.timeline.timeline import FEEDBACK
from tests.live.streams import RATE, beat_stream, blocks

# beats of half a second, bars of four and then of three beats
BEATS = np.arange(0.1, 20.1, 0.5)
GRID = Grid(BEATS, np.concatenate([BEATS[:16:4], BEATS[16::3]]), heard=True)


def playing(position: float, loop: tuple[float, float] | None = None) -> Transport:
    return Transport(20.0, position, playing=False, loop=loop)


@pytest.mark.parametrize(
    ("position", "unit", "mark"),
    [
        (1.0, "off", 1.0),
        (1.0, "beat", 1.1),
        (1.0, "bar", 2.1),
        (2.1, "bar", 2.1),
        (2.1004, "bar", 2.1),
        (19.9, "beat", 19.9),
    ],
)
def test_the_next_mark(position: float, unit: str, mark: float) -> None:
    assert next_mark(GRID, position, unit, 20.0) == pytest.approx(mark)


def test_the_end_of_a_loop_is_its_start() -> None:
    loop = (2.1, 6.1)
    assert next_played(GRID, playing(3.0, loop), 3.0, "bar") == (pytest.approx(4.1), False)
    assert next_played(GRID, playing(5.0, loop), 5.0, "bar") == (2.1, True)
    # before the loop the song plays into it; past its end it goes back, as soon as the page that plays is told
    assert next_played(GRID, playing(1.0, loop), 1.0, "bar") == (pytest.approx(2.1), False)
    assert next_played(GRID, playing(6.13, loop), 6.13, "beat") == (2.1, True)
    assert next_played(GRID, playing(7.0, loop), 7.0, "bar") == (2.1, True)
    # so does a playhead that is past a jump
    jumping = replace(playing(6.13), jump=(6.1, 12.1))
    assert next_played(GRID, jumping, 6.13, "beat") == (12.1, True)
    assert next_played(GRID, jumping, 5.0, "beat") == (pytest.approx(5.1), False)


def test_bars_are_counted_on_the_grid() -> None:
    assert bars_after(GRID, 0.1, 2, 20.0) == pytest.approx(4.1)
    # from the second beat of a bar to that of another
    assert bars_after(GRID, 0.6, 1, 20.0) == pytest.approx(2.6)
    # two bars of four beats and one of three
    assert bars_after(GRID, 4.1, 3, 20.0) == pytest.approx(4.1 + 11 * 0.5)
    assert bars_after(GRID, 19.6, 8, 20.0) == 20.0


def test_a_loop_begins_on_the_next_mark_and_a_shorter_one_holds_the_playhead() -> None:
    assert loop_of_bars(GRID, playing(3.0), 3.0, 2, "bar") == (pytest.approx(4.1), pytest.approx(8.1))
    assert loop_of_bars(GRID, playing(3.0), 3.0, 1, "beat") == (pytest.approx(3.1), pytest.approx(5.1))
    assert loop_of_bars(GRID, playing(3.0), 3.0, 1, "off") == (3.0, pytest.approx(5.0))
    longer = playing(7.0, (0.1, 8.1))
    assert loop_of_bars(GRID, longer, 7.0, 1, "bar") == (pytest.approx(6.1), pytest.approx(8.1))
    assert loop_of_bars(GRID, longer, 7.0, 2, "bar") == (pytest.approx(4.1), pytest.approx(8.1))
    with pytest.raises(TimelineError, match="too short"):
        loop_of_bars(GRID, playing(19.95), 19.95, 8, "bar")


@pytest.fixture
def session(beat_wav: Path, toy_model: Path, live_preset: Path) -> Iterator[Session]:
    """A session of the song of clicks, as if it played and no time passed."""
    options = PreviewOptions.of(preset=str(live_preset), model=str(toy_model), steps=1, threads=1, fps=Fraction(24))
    made = Session(load_material(beat_wav, options), lambda frames: None, (str(live_preset), "warehouse"))
    put(made, 3.3)
    yield made
    made.close()


def until(check: Callable[[], Any], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def brightness(picture: Picture | None) -> float:
    """Return the mean of a picture's values, 0 to 255."""
    assert picture is not None
    return float(np.asarray(Image.open(io.BytesIO(picture.jpeg))).mean())


def put(session: Session, position: float) -> None:
    """Put the playhead somewhere: it plays, and stays there."""

    class Standing(Transport):
        def at(self, now: float | None = None) -> float:
            return self.position

    before = session.engine.transport
    session.engine.transport = Standing(before.duration, position, playing=True, loop=before.loop)


@pytest.mark.parametrize("unit", ["beat", "bar"])
@pytest.mark.parametrize(
    "data",
    [
        {"kind": "black", "value": 1},
        {"kind": "phase", "value": 1},
        {"kind": "preset", "name": "warehouse", "value": 2},
        {"kind": "hold", "value": 1},
    ],
)
def test_an_action_begins_at_the_frame_of_the_next_mark(session: Session, unit: str, data: dict[str, Any]) -> None:
    session.quantise_by(unit)
    marks = session.grid.beats if unit == "beat" else session.grid.bars
    mark = float(marks[np.searchsorted(marks, 3.3)])
    session.change(data | {"time": 3.3})
    assert [change.time for change in session.changes] == [mark]
    # frames before the mark stay as they were, bit for bit
    assert session.engine.changed >= nearest_frame(mark, session.engine.timeline.fps)
    if data["kind"] == "black":
        assert int(np.argmax(session.performance.black)) == nearest_frame(mark, session.engine.timeline.fps)
    assert session.state()["waiting"] == [
        {"kind": data["kind"], "name": data.get("name", ""), "value": data["value"], "time": mark}
    ]
    put(session, mark + 0.1)
    assert session.state()["waiting"] == []


def test_sliders_and_prompts_and_a_paused_song_wait_for_nothing(session: Session) -> None:
    session.quantise_by("bar")
    session.change({"kind": "control", "name": "walk", "value": 2, "time": 3.3})
    session.engine.transport = Transport(session.engine.transport.duration, 5.3)
    session.change({"kind": "black", "value": 1, "time": 5.3})
    assert [change.time for change in session.changes] == [3.3, 5.3]


def test_of_two_presses_before_a_mark_the_later_one_counts(session: Session) -> None:
    session.quantise_by("bar")
    session.change({"kind": "phase", "value": 1, "time": 3.3})
    session.change({"kind": "phase", "value": 0, "time": 3.4})
    assert [(change.kind, change.value) for change in session.changes] == [("phase", 0)]
    session.change({"kind": "black", "value": 1, "time": 3.4})
    session.change({"kind": "black", "value": 0, "time": 3.5})
    assert not session.performance.black.any()


def test_in_a_loop_an_action_waits_for_its_next_turn(session: Session) -> None:
    session.quantise_by("bar")
    bars = session.grid.bars
    loop = (float(bars[1]), float(bars[2]))
    session.loop(loop)
    put(session, loop[1] - 0.3)
    session.change({"kind": "black", "value": 1, "time": loop[1] - 0.3})
    assert session.changes == []
    assert not session.performance.black.any()
    assert session.state()["waiting"][0]["time"] is None
    with pytest.raises(TimelineError, match="no phase 7"):
        session.change({"kind": "phase", "value": 7, "time": loop[1] - 0.3})
    # the page's jump comes a little late, the action does not
    session.seek(loop[0] + 0.02, True)
    assert [change.time for change in session.changes] == [loop[0]]
    assert int(np.argmax(session.performance.black)) == nearest_frame(loop[0], session.engine.timeline.fps)


class PretendedClock:
    """The time of session and transport, which passes only when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("unit", ["beat", "bar"])
@pytest.mark.parametrize("pressed", [-0.4, -0.011, -0.0004, 0.0, 0.03])
def test_an_action_at_a_loops_seam_comes_with_the_very_next_round(
    session: Session, monkeypatch: pytest.MonkeyPatch, unit: str, pressed: float
) -> None:
    clock = PretendedClock()
    monkeypatch.setattr("reactive.live.transport.time", clock)
    monkeypatch.setattr("reactive.live.session.time", clock)
    transport = session.engine.transport
    session.engine.transport = Transport(transport.duration, 3.3, playing=True, updated_at=0.0)
    session.quantise_by(unit)
    bars = session.grid.bars
    loop = (float(bars[1]), float(bars[3]))
    session.loop(loop)
    # round after round, of which the page that plays tells where it is; it goes back 40 ms late
    length, late = loop[1] - loop[0], 0.04
    for turn in range(3):
        at = loop[1] + pressed
        clock.now = turn * length + pressed
        session.clock(at, True)
        if turn == 1:
            session.change({"kind": "black", "value": 1, "time": at})
            assert session.changes == []
        clock.now = turn * length + late
        session.clock(loop[1] + late, True)
        assert session.engine.transport.until_turn() == 0
        session.seek(loop[0] + late, True)
        assert [change.time for change in session.changes] == ([loop[0]] if turn else [])
        black = session.performance.black
        assert black[nearest_frame(loop[0], session.engine.timeline.fps) :].all() == bool(turn)


def test_a_phase_that_is_pressed_in_a_loop_stays_in_all_its_rounds(session: Session) -> None:
    bars = session.grid.bars
    loop = (float(bars[1]), float(bars[4]))
    # of an earlier round, within the loop and after it
    session.change({"kind": "phase", "value": 1, "time": float(bars[2])})
    session.change({"kind": "phase", "value": 0, "time": float(bars[5])})
    session.quantise_by("bar")
    session.loop(loop)
    put(session, loop[1] - 0.3)
    session.change({"kind": "phase", "value": 0, "time": loop[1] - 0.3})
    session.seek(loop[0], True)
    assert [change.time for change in session.changes] == [loop[0], float(bars[5])]


def test_what_comes_with_a_jump_is_imagined_before_it(session: Session) -> None:
    engine, fps = session.engine, session.engine.timeline.fps
    # a bar of the walk, whose pictures do not depend on each other
    walked = engine.timeline.columns["source"] != FEEDBACK
    bars = [float(bar) for bar in session.grid.bars if 0 <= bar < engine.transport.duration]
    loop = next(
        (start, end)
        for start, end in pairwise(bars)
        if walked[nearest_frame(start, fps) : nearest_frame(end, fps) + 1].all()
    )
    session.quantise_by("bar")
    session.loop(loop)
    put(session, loop[1] - 0.3)
    session.change({"kind": "black", "value": 1, "time": loop[1] - 0.3})
    engine.start()
    first = nearest_frame(loop[0], fps)
    until(lambda: engine._ahead is not None and first in engine._ahead.store and len(engine.store))
    engine.stop()
    # what is still played stays as it is
    assert min(brightness(picture) for picture in engine.store.all()) > 1
    session.seek(loop[0] + 0.02, True)
    assert brightness(engine.store.get(first)) < 1
    assert engine._ahead is None


def test_a_slider_that_is_moved_meanwhile_counts_after_the_jump_too(session: Session) -> None:
    bars = session.grid.bars
    loop = (float(bars[1]), float(bars[2]))
    session.quantise_by("bar")
    session.loop(loop)
    put(session, loop[1] - 0.3)
    session.change({"kind": "black", "value": 1, "time": loop[1] - 0.3})
    session.change({"kind": "control", "name": "walk", "value": 2.0, "time": loop[1] - 0.2})
    assert session.engine._ahead is not None
    ahead = session.engine._ahead.scene.timeline
    session.seek(loop[0], True)
    assert session.engine.timeline is ahead
    assert dict(session.performance.state.controls) == {"walk": 2.0}
    assert session.performance.black[-1]


def test_a_loop_that_ends_lets_go_of_what_waits_for_it(session: Session) -> None:
    session.quantise_by("bar")
    bars = session.grid.bars
    session.loop((float(bars[1]), float(bars[2])))
    put(session, float(bars[2]) - 0.3)
    session.change({"kind": "black", "value": 1, "time": float(bars[2]) - 0.3})
    session.loop(None)
    put(session, float(bars[2]) - 0.2)
    session.settle()
    assert [change.time for change in session.changes] == [float(bars[2])]


def test_loops_are_set_by_actions(session: Session) -> None:
    session.quantise_by("bar")
    bars = [float(bar) for bar in session.grid.bars]
    first = next(number for number, bar in enumerate(bars) if bar >= 3.3)
    session.loop_bars(2)
    assert session.state()["loop"] == pytest.approx([bars[first], bars[first + 2]])
    put(session, bars[first] + 0.1)
    # the same again ends it
    session.loop_bars(2)
    assert session.state()["loop"] is None
    with pytest.raises(TimelineError, match="no start"):
        session.loop_to()
    session.loop_from()
    assert session.state()["loop_start"] == bars[first + 1]
    put(session, bars[first + 1] + 0.4)
    session.loop_to()
    assert session.state()["loop"] == [bars[first + 1], bars[first + 2]]
    assert session.state()["loop_start"] is None
    session.loop_section()
    assert session.state()["loop"] is None
    session.loop_section()
    sections = [[s.start, s.end] for s in session.material.analysis.sections]
    assert session.state()["loop"] in sections
    with pytest.raises(TimelineError, match="no such quantisation"):
        session.quantise_by("sixteenth")


def test_names_of_actions() -> None:
    assert target("loop.4") == replace(target("loop"), value=4.0)  # type: ignore[type-var]
    assert target("loop.3") is None
    assert target("quantise.bar").name == "bar"  # type: ignore[union-attr]
    assert target("quantise.tick") is None
    assert action_of("/reactive/loop", [8]) == target("loop.8")
    assert action_of("/reactive/loop", []) == target("loop")
    assert action_of("/reactive/loop_in", [1]) == target("loop-in")
    assert action_of("/reactive/quantise", ["beat"]) == target("quantise.beat")
    assert action_of("/reactive/crossfade", []) == target("crossfade")
    with pytest.raises(ValueError, match="loop"):
        action_of("/reactive/loop", [5])
    with pytest.raises(ValueError, match="name"):
        action_of("/reactive/quantise", ["tick"])


@pytest.mark.parametrize("unit", ["beat", "bar"])
def test_a_live_input_waits_for_its_own_beats(live_preset: Path, unit: str) -> None:
    signals = LiveSignals(RATE, Fraction(24))
    conductor = Conductor({"p": load_preset(live_preset)}, signals, seed=3)
    rows, places = [], []
    try:
        for block in blocks(beat_stream(8)[0]):
            for frame in signals.steps(block):
                if frame == 110:
                    conductor.change_on(Change(0.0, "black", value=1.0), unit)
                rows.append(conductor.step(frame))
                places.append((signals.beats, signals.bars)[unit == "bar"])
    finally:
        signals.analyzer.spectrum.close()
    black = [row.black for row in rows]
    first = black.index(True)
    assert first >= 110
    assert all(black[first:])
    # it is the first frame of a beat or bar, and none begins between the press and it
    begun = [number for number in range(110, len(rows)) if np.floor(places[number]) > np.floor(places[number - 1])]
    assert first == begun[0]
    assert conductor.waited == 1
    assert conductor.waiting == []


def test_a_live_input_refuses_the_impossible_at_once(live_preset: Path) -> None:
    signals = LiveSignals(RATE, Fraction(24))
    conductor = Conductor({"p": load_preset(live_preset)}, signals)
    try:
        with pytest.raises(TimelineError, match="no phase 9"):
            conductor.change_on(Change(0.0, "phase", value=9.0), "bar")
        with pytest.raises(TimelineError, match="not loaded"):
            conductor.change_on(Change(0.0, "preset", "other"), "bar")
        # the second press takes the first one back
        conductor.change_on(Change(0.0, "black", value=1.0), "bar")
        conductor.change_on(Change(0.0, "black", value=1.0), "bar")
        assert conductor.waiting == []
        conductor.change_on(Change(0.0, "phase", value=0.0), "bar")
        conductor.change_on(Change(0.0, "phase", value=1.0), "bar")
        assert [change.value for change, _ in conductor.waiting] == [1.0]
    finally:
        signals.analyzer.spectrum.close()
