"""A feedback shot that is too slow for real time is reported, and can be made beforehand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.diffusion.imaginer import Imaginer
from reactive.live.engine import CATCH_UP
from reactive.live.estimate import Estimate
from reactive.live.material import PreviewOptions, load_material
from reactive.live.preview import DEFAULT_PORT, _listener
from reactive.live.session import Session

TICK = 0.12
# while it is set, each tick waits for its release
STEPS: threading.Semaphore | None = None


@pytest.fixture
def slow(beat_wav: Path, toy_model: Path, live_preset: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session whose feedback is slower than real time."""
    real = Imaginer.feedback

    def dawdling(*arguments: Any, **more: Any) -> Iterator[Any]:
        for step in real(*arguments, **more):
            time.sleep(TICK)
            if STEPS is not None:
                assert STEPS.acquire(timeout=240)
            yield step

    monkeypatch.setattr(Imaginer, "feedback", dawdling)
    options = PreviewOptions.of(preset=str(live_preset), model=str(toy_model), steps=1, threads=1, fps=Fraction(24))
    session = Session(load_material(beat_wav, options), lambda frames: None, (str(live_preset),))
    session.engine.start()
    yield session
    session.close()


def test_it_is_reported_and_can_be_made_beforehand(slow: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = slow.engine
    fed = engine.timeline.columns["source"] == -2
    first = int(np.flatnonzero(fed)[0])
    shot = engine._feedback_shot(first)
    assert shot is not None
    # long enough that its ticks arrive later than the music
    assert (shot[1] - shot[0]) / 24 < (shot[1] - shot[0]) / 2 * TICK
    slow.seek(first / 24, True)
    end = time.monotonic() + 240
    while not engine.status().late:
        assert time.monotonic() < end
        now = slow.engine.transport.at()
        slow.clock(now if now < shot[1] / 24 - 0.2 else first / 24 + 0.5, True)
        time.sleep(0.05)
    assert engine.status().shot == shot
    slow.clock(first / 24, False)
    # it continues although no page takes pictures
    engine.set_wanted(False)
    steps = threading.Semaphore(0)
    monkeypatch.setattr("tests.live.test_late.STEPS", steps)
    assert engine.prepare(first) == shot
    shares = set()
    end = time.monotonic() + 240
    while (share := engine.status().prepared) is not None:
        assert time.monotonic() < end
        # checked before each step, so it does not depend on the speed of the steps
        shares.add(round(share, 2))
        steps.release()
        time.sleep(0.05)
    assert len(shares) > 2
    assert all(frame in engine.store for frame in range(*shot))
    assert not engine.status().late
    assert engine.prepare(0) is None
    # after preparation it is available at once at any position
    assert engine.seek_target(shot[1] - 1) == shot[1] - 1


def test_a_shot_larger_than_the_store_ends_too(slow: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.live.test_late.TICK", 0.0)
    engine = slow.engine
    engine.set_wanted(False)
    first = int(np.flatnonzero(engine.timeline.columns["source"] == -2)[0])
    engine.store.limit = 1
    assert engine.prepare(first) is not None
    end = time.monotonic() + 240
    while engine.status().prepared is not None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(engine.store) == 1


def test_a_seek_restarts_a_shot_sooner_while_the_music_plays(slow: Session) -> None:
    # a second engine on the same material, whose thread is not started
    engine = Session(slow.material, lambda frames: None, (slow.material.options.preset,)).engine
    first = int(np.flatnonzero(engine.timeline.columns["source"] == -2)[0])
    rate = float(engine.timeline.feedback_rate)
    # half of the time is needed to keep up, so catching up takes twice as long
    engine._tick_time = Estimate(0.5 / rate)
    near = first + int(0.5 * CATCH_UP * engine.timeline.fps)
    far = first + int(1.5 * CATCH_UP * engine.timeline.fps)
    assert engine._feedback_shot(far) == engine._feedback_shot(first)
    assert [engine.seek_target(frame) for frame in (near, far)] == [near, far]
    assert [engine.seek_target(frame, playing=True) for frame in (near, far)] == [near, first]


def test_a_free_port_is_used_if_the_default_is_taken() -> None:
    first = _listener("127.0.0.1", None)
    try:
        second = _listener("127.0.0.1", None)
        try:
            assert second.getsockname()[1] not in (DEFAULT_PORT, first.getsockname()[1])
        finally:
            second.close()
    finally:
        first.close()
