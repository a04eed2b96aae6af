"""A preview whose picture never stands still: something is always imagined, and its messages are correct."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.live.engine import MAX_LOOKAHEAD, MAX_SKIPPED_SHARE, Engine
from reactive.live.estimate import HALF_LIFE, Estimate
from reactive.live.material import PreviewOptions, load_material
from reactive.live.picture_store import Picture
from reactive.live.session import Session
from reactive.live.stride import STRIDES, StrideControl
from reactive.live.transport import Transport
from reactive.timeline.timeline import FEEDBACK, Timeline


@pytest.fixture(scope="module")
def session(beat_wav: Path, toy_model: Path, live_preset: Path) -> Session:
    """A session whose engine thread is not started."""
    options = PreviewOptions.of(preset=str(live_preset), model=str(toy_model), steps=1, threads=1, fps=Fraction(24))
    return Session(load_material(beat_wav, options), lambda frames: None, (str(live_preset),))


@pytest.fixture
def engine(session: Session) -> Engine:
    """A separate engine without pictures."""
    preset = session.material.options.preset
    return Session(session.material, lambda frames: None, (preset,)).engine


def play(engine: Engine, frame: int) -> None:
    engine.transport = Transport(engine.transport.duration, frame / 24, True, time.monotonic())


def calm(engine: Engine) -> int:
    """Return a frame of which the next 80 are independent."""
    free = engine.timeline.columns["source"] != FEEDBACK
    return next(n for n in range(engine.timeline.frames - 80) if free[n : n + 80].all())


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the song at the position set by `play`, however long a picture takes on this machine."""
    now = time.monotonic()
    monkeypatch.setattr("reactive.live.transport.time.monotonic", lambda: now)


def fed(engine: Engine) -> tuple[int, int]:
    first = int(np.flatnonzero(engine.timeline.columns["source"] == FEEDBACK)[0])
    shot = engine._feedback_shot(first)
    assert shot is not None
    return shot


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_estimate_decays_with_time() -> None:
    clock = Time()
    estimate = Estimate(0.2, clock)
    for _ in range(40):
        estimate.took(6.0)
    assert estimate.seconds == pytest.approx(6.0, rel=0.01)
    # not longer than the work itself takes
    clock.now += 6.0
    assert estimate.seconds == pytest.approx(6.0, rel=0.01)
    clock.now += HALF_LIFE
    assert estimate.seconds == pytest.approx(0.2 + 5.8 / 2, rel=0.01)
    clock.now += 20 * HALF_LIFE
    assert estimate.seconds == pytest.approx(0.2, rel=0.01)


def test_a_single_delay_changes_the_estimate_little() -> None:
    estimate = Estimate(0.2, Time())
    estimate.took(300.0)
    assert estimate.seconds < 1.0


@pytest.mark.parametrize("seconds", [0.1, 2.0, 2.6, 5.0, 20.0, 400.0])
@pytest.mark.parametrize("edited", [False, True])
def test_something_is_imagined_however_long_a_picture_takes(engine: Engine, seconds: float, edited: bool) -> None:
    frame = calm(engine)
    play(engine, frame)
    engine._batch_time, engine._tick_time = Estimate(seconds), Estimate(seconds)
    engine._fresh = -1 if edited else engine.epoch
    assert engine._next() is not None
    window = engine.window()[0]
    assert len(window) <= MAX_LOOKAHEAD * 24 + 2
    # skipped frames end well within the examined range
    lead = min(seconds, MAX_SKIPPED_SHARE * engine._lookahead()) * 24
    assert lead < 0.6 * MAX_LOOKAHEAD * 24


def test_if_no_picture_can_be_in_time_only_one_late_one_is_made(engine: Engine) -> None:
    # at the song's last frames every new picture is late
    last = engine.timeline.frames - 12
    if engine.timeline.columns["source"][last] == FEEDBACK:
        pytest.skip("the song ends in a feedback shot")
    play(engine, last)
    engine._batch_time, engine._fresh = Estimate(1.2), engine.epoch
    work = engine._next()
    assert work is not None
    made = work()
    assert len(made) == 1
    engine._keep(engine._scene, made)
    assert engine._next() is None


def test_a_feedback_shot_that_is_too_slow_continues_late(engine: Engine) -> None:
    start, stop = fed(engine)
    engine._tick_time = Estimate(50.0)
    middle = start + 8
    # more than a second of it remains
    assert stop - middle > 30
    engine._fresh = engine.epoch
    for _ in range(2):
        play(engine, middle)
        work = engine._next()
        assert work is not None
        engine._keep(engine._scene, work())
    # it is shown although it is late, because there is no newer one
    play(engine, middle)
    late = engine.late_picture()
    assert late is not None
    assert start <= late.frame <= middle


def test_a_late_picture_of_another_shot_is_shown_only_if_it_was_made_late(engine: Engine) -> None:
    start, stop = fed(engine)
    play(engine, stop + 5)
    engine.store.put(Picture(stop - 1, b"jpeg"))
    assert engine.late_picture() is None
    engine._overdue = stop - 1
    assert engine.late_picture() == Picture(stop - 1, b"jpeg")
    engine.store.put(Picture(stop + 3, b"jpeg"))
    assert engine.late_picture() == Picture(stop + 3, b"jpeg")
    assert start < stop


def test_the_delay_is_reported(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    frame = calm(engine)
    engine.set_transport(Transport(engine.transport.duration, frame / 24, False, now), jumped=True)
    assert engine.status().behind == 0
    engine.transport = Transport(engine.transport.duration, (frame + 48) / 24, True, now)
    engine._since = now - 1.5
    # the song is pinned there, however long the test takes
    monkeypatch.setattr("reactive.live.transport.time.monotonic", lambda: now)
    assert engine._behind(now) == pytest.approx(1.5)
    engine.store.put(Picture(frame + 24, b"jpeg"))
    assert engine._behind(now) == pytest.approx(1.0)
    engine.store.put(Picture(frame + 48, b"jpeg"))
    assert engine._behind(now) == pytest.approx(0.0)


def test_estimates_recover_within_seconds_after_load() -> None:
    pace = StrideControl(24.0)
    for number in range(20):
        pace.imagined(4, 20.0, now=20.0 * number)
    assert pace.stride == STRIDES[-1]
    now = 400.0
    while pace.stride > 3:
        now += 0.2
        pace.imagined(4, 0.2, now=now)
        assert now < 406.0


def test_an_edit_reports_where_it_becomes_visible(session: Session) -> None:
    session.change({"kind": "control", "time": 2.0, "name": "seed", "value": 9.0})
    changed = session.engine.changed
    session.forget()
    assert 0.9 * 48 <= changed <= 48 + 24


def test_the_loop_s_end_is_known() -> None:
    assert Transport(20.0, 12.0, True, 100.0, (10.0, 14.0)).until_turn(101.0) == pytest.approx(1.0)
    assert Transport(20.0, 12.0, True, 100.0, (10.0, 14.0)).until_turn(109.0) == 0
    assert Transport(20.0, 15.0, True, 100.0, (10.0, 14.0)).until_turn(100.0) == 0
    assert Transport(20.0, 12.0, False, 100.0, (10.0, 14.0)).until_turn(101.0) is None
    assert Transport(20.0, 12.0, True, 100.0).until_turn(101.0) is None


def work(engine: Engine) -> list[int]:
    """Do the next piece of work of an engine whose thread is not started; return the new frames."""
    piece = engine._next()
    if piece is None:
        return []
    pictures = piece()
    engine._keep(engine._scene, pictures)
    return [frame for frame, _ in pictures]


def pictures_of(engine: Engine, frames: range) -> list[bytes]:
    """Return the pictures of frames; missing ones are imagined from the start of their shot."""
    assert engine.prepare(frames.start) is not None
    while engine.status().prepared is not None:
        work(engine)
    return [picture.jpeg for frame in frames if (picture := engine.store.get(frame))]


def changed(timeline: Timeline, name: str, first: int) -> Timeline:
    """Return a timeline with a changed column from a frame on."""
    columns = {**timeline.columns, name: timeline.columns[name].copy()}
    columns[name][first:] = 0.31
    return replace(timeline, columns=columns)


@pytest.mark.usefixtures("standing")
def test_a_change_within_a_feedback_shot_continues_from_the_picture_at_the_playhead(engine: Engine) -> None:
    start, stop = fed(engine)
    engine.wanted = True
    at = start + 20
    play(engine, start)
    while at + 6 not in engine.store:
        assert work(engine)
    play(engine, at)
    # a slider that changes all of the shot
    engine.set_timeline(changed(engine.timeline, "strength", start))
    assert not any(frame in engine.store for frame in range(start, stop))
    made = work(engine) + work(engine)
    assert made
    assert at - 6 < min(made) <= at + 1
    # the song plays on, and the shot continues
    play(engine, at + 10)
    while at + 20 not in engine.store:
        assert (new := work(engine))
        assert min(new) > at - 6
    # when it is shown again, it matches the clip
    shown = range(at + 1, at + 20)
    assert pictures_of(engine, shown) == pictures_of(another(engine), shown)


@pytest.mark.usefixtures("standing")
def test_a_change_later_in_a_feedback_shot_keeps_earlier_pictures(engine: Engine) -> None:
    start, _ = fed(engine)
    engine.wanted = True
    at = start + 20
    play(engine, start)
    while at + 6 not in engine.store:
        assert work(engine)
    before = engine.store.get(at)
    assert before is not None
    play(engine, at)
    engine.set_timeline(changed(engine.timeline, "strength", at + 6))
    assert engine.store.get(at) is before
    while at + 24 not in engine.store:
        assert (new := work(engine))
        assert min(new) > at
    after = [engine.store.get(frame) for frame in range(start, at + 24)]
    assert [picture.jpeg for picture in after if picture] == pictures_of(another(engine), range(start, at + 24))


def another(engine: Engine) -> Engine:
    """Return another engine with the same timeline and no pictures."""
    session = Session(engine.material, lambda frames: None, (engine.material.options.preset,))
    session.engine.set_timeline(engine.timeline)
    return session.engine
