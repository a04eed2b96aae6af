"""A preview on a machine that is far too slow, with a simulated clock: pictures keep coming however often somebody edits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.diffusion.imaginer import Imaginer
from reactive.live.engine import MAX_STOPGAPS, Engine
from reactive.live.estimate import Estimate
from reactive.live.material import PreviewOptions, SongMaterial, load_material
from reactive.live.picture_store import Picture
from reactive.live.session import Session
from reactive.live.thread_choice import IDLE_PICTURES, ThreadChoice
from reactive.timeline.timeline import FEEDBACK
from tests.toy import beat_song, write_song

SECONDS = 120.0
# seconds after which the page reports its clock and looks for pictures
LOOK = 0.1


@pytest.fixture(scope="module")
def material(toy_model: Path, live_preset: Path, tmp_path_factory: pytest.TempPathFactory) -> SongMaterial:
    song = write_song(tmp_path_factory.mktemp("long") / "long.wav", beat_song(SECONDS))
    options = PreviewOptions.of(preset=str(live_preset), model=str(toy_model), steps=1, threads=1, fps=Fraction(24))
    return load_material(song, options)


class Show:
    """Simulates a song played to a page, with a clock that only the engine's work advances.

    Parameters
    ----------
    seconds
        Seconds for each picture.
    edits
        Seconds between edits; 0: none.
    decides
        Seconds until an edit has become a timeline.
    """

    def __init__(self, session: Session, seconds: float, *, edits: float = 0.0, decides: float = 0.0) -> None:
        self.session, self.seconds, self.edits, self.decides = session, seconds, edits, decides
        self.now = 1000.0
        self.edited = 0
        self.seen: list[tuple[float, int]] = []
        self._last: tuple[int, int] = (-1, -1)
        self._picture: Picture | None = None
        self._next_edit = edits
        self._begun = self.now

    @property
    def engine(self) -> Engine:
        return self.session.engine

    @property
    def passed(self) -> float:
        return self.now - self._begun

    def advance(self, seconds: float) -> None:
        """Advance the clock: the page reports its position, looks for a picture, and an edit may be due."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + LOOK, end)
            self.session.clock(min(self.passed, SECONDS), True)
            if self.edits and self.passed >= self._next_edit + self.decides:
                self.session.change(
                    {"kind": "control", "time": self._next_edit, "name": "walk", "value": 1 + self.edited % 7 / 10}
                )
                self.edited += 1
                self._next_edit += self.edits
            picture, epoch = self.engine.current_picture(), self.engine.epoch
            # as in the page, no older picture is shown, except after an edit
            if picture is not None and (epoch, picture.frame) > self._last and picture is not self._picture:
                self.seen.append((self.passed, picture.frame))
                self._last, self._picture = (epoch, picture.frame), picture

    def play(self, seconds: float) -> None:
        """Let the engine work for some seconds."""
        self.session.seek(0.0, True)
        while self.passed < seconds:
            with self.engine._condition:
                work = self.engine._begin()
            if work is None:
                self.advance(0.02)
            else:
                self.engine._carry_out(work)

    def longest(self, first: float, last: float) -> float:
        """Return the longest time without a new picture between two times."""
        times = [first, *(at for at, _ in self.seen if first < at < last), last]
        return float(np.diff(times).max())


@pytest.fixture
def show(material: SongMaterial, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Show]]:
    """A function that makes a `Show` whose pictures cost only simulated time."""
    current: list[Show] = []

    def picture() -> torch.Tensor:
        return torch.zeros(3, 16, 16, dtype=torch.uint8)

    def independent(imaginer: Imaginer, frames: Any, *, alone: bool = False) -> Iterator[Any]:
        # a partly filled batch takes as long as a full one
        current[0].advance(current[0].seconds * (1 if alone else imaginer.core.batch))
        yield np.array(frames), torch.stack([picture()] * len(frames))

    def feedback(imaginer: Imaginer, ranges: Any, *, on_tick: Any = None) -> Iterator[Any]:
        (wanted,) = ranges
        step = round(imaginer.timeline.fps / Fraction(imaginer.timeline.feedback_rate))
        number, first = wanted.tick + 1, wanted.first
        while first < wanted.until:
            current[0].advance(current[0].seconds)
            on_tick(wanted, number, picture())
            numbers = np.arange(first, min(first + step, wanted.until))
            number, first = number + 1, int(numbers[-1]) + 1
            yield numbers, torch.stack([picture()] * len(numbers))

    monkeypatch.setattr(Imaginer, "independent", independent)
    monkeypatch.setattr(Imaginer, "feedback", feedback)
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: current[0].now if current else real())

    def make(seconds: float, **more: float) -> Show:
        session = Session(material, lambda frames: None, (material.options.preset,))
        current[:] = [Show(session, seconds, **more)]
        session.engine._batch_time, session.engine._tick_time = Estimate(0.3), Estimate(0.1)
        session.engine._since = current[0].now
        return current[0]

    yield make
    current.clear()


@pytest.mark.parametrize(
    ("seconds", "edits", "decides"),
    [(0.5, 10, 1), (3, 10, 5), (3, 2, 1), (8, 0, 0), (8, 10, 5), (14, 10, 5), (14, 0, 0)],
)
def test_pictures_keep_coming(show: Callable[..., Show], seconds: float, edits: float, decides: float) -> None:
    shown = show(seconds, edits=edits, decides=decides)
    shown.play(110)
    assert shown.edited >= (100 // edits if edits else 0)
    # both kinds of shots were played
    source = shown.engine.timeline.columns["source"]
    assert (source == FEEDBACK).any()
    assert (source != FEEDBACK).any()
    # the first pieces of work, among them a batch, measure the speed; after that each gives a picture in time, except right after an
    # edit
    assert shown.longest(10 + 5 * seconds, 110) <= 2.5 * seconds + 2, shown.seen


def test_a_seek_resets_lateness_and_outdated_pictures(show: Callable[..., Show]) -> None:
    shown = show(3.0, edits=2.0, decides=1.0)
    shown.play(40)
    engine = shown.engine
    assert engine._stopgaps
    assert engine.late_picture() is not None
    shown.session.seek(80.0, True)
    assert not engine._stopgaps
    assert engine.late_picture() is None
    assert engine.current_picture() is None


def test_outdated_pictures_are_few_and_are_replaced(show: Callable[..., Show]) -> None:
    shown = show(0.4, edits=0.5)
    shown.play(30)
    engine = shown.engine
    assert shown.edited > 50
    assert len(engine._stopgaps) <= MAX_STOPGAPS
    # pictures before the playhead are dropped, except the last one
    here = shown.passed * 24
    assert sum(frame <= here for frame in engine._stopgaps) <= 1
    # without further edits it shows the current timeline
    shown.edits = 0.0
    shown.play(45)
    found = engine.current_picture()
    assert found is not None
    assert found is engine.store.get(found.frame)


def test_a_feedback_shot_continues_although_each_tick_is_outdated(show: Callable[..., Show]) -> None:
    shown = show(3.0, edits=2.0, decides=0.5)
    shown.play(110)
    source = shown.engine.timeline.columns["source"]
    fed = [frame for _, frame in shown.seen if source[frame] == FEEDBACK]
    # the first ticks of shots are not repeated again and again
    assert len(fed) > 5
    assert len(set(fed)) > 0.6 * len(fed)


def test_single_pictures_use_one_thread_on_a_busy_machine() -> None:
    choice = ThreadChoice()
    for _ in range(IDLE_PICTURES):
        assert choice.one
        choice.took(0.09, 0.085)
    for _ in range(20):
        assert not choice.one
        choice.took(0.07, 0.05)
    choice.took(4.8, 0.7)
    assert choice.one
    # it stays so as long as this thread is interrupted
    for _ in range(50):
        choice.took(0.25, 0.09)
    for _ in range(IDLE_PICTURES - 1):
        choice.took(0.09, 0.085)
    choice.took(0.25, 0.09)
    assert choice.one
    for _ in range(IDLE_PICTURES):
        choice.took(0.09, 0.085)
    assert not choice.one


def test_the_single_thread_applies_only_to_the_picture() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        choice = ThreadChoice(clock=lambda: 0.0, processor=lambda: 0.0)
        with choice.computing():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        choice.one = False
        with choice.computing():
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
