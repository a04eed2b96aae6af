"""The engine shows the frames of the final clip, and computes first what is shown soonest."""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reactive.diffusion.core import Core
from reactive.diffusion.frames import independent_frames
from reactive.diffusion.models.conditioning import PromptBank
from reactive.diffusion.models.load import default_batch
from reactive.diffusion.scene import scene_inputs
from reactive.errors import PresetError, TimelineError
from reactive.live.estimate import Estimate
from reactive.live.material import PreviewOptions, load_material
from reactive.live.openmp import run_and_release_openmp_pool
from reactive.live.picture_store import Picture, PictureStore, changed_frames
from reactive.live.session import Session
from reactive.live.stride import STRIDES, StrideControl
from reactive.live.transport import Transport
from reactive.live.web.protocol import number, pack_picture, unpack_picture
from reactive.render.take import load_take, perform_take
from reactive.timeline.timeline import FEEDBACK


@pytest.fixture(scope="module")
def session(
    beat_wav: Path, toy_model: Path, live_preset: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    own = tmp_path_factory.mktemp("own") / "preset.toml"
    own.write_text(live_preset.read_text())
    options = PreviewOptions.of(preset=str(own), model=str(toy_model), steps=1, threads=1, seed=5, fps=Fraction(24))
    made = Session(load_material(beat_wav, options), lambda frames: None, (str(own),))
    made.engine.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(request: Any) -> None:
    if "session" in request.fixturenames:
        request.getfixturevalue("session").forget()


def until(check: Any, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_final_clip_shows_what_the_preview_showed(session: Session, tmp_path: Path) -> None:
    session.change({"kind": "control", "time": 1.0, "name": "walk", "value": 2.0})
    session.change({"kind": "control", "time": 2.0, "name": "seed", "value": 4.0})
    session.change({"kind": "prompt", "time": 3.0, "name": session.prompt_at(80), "text": "a blue house"})
    session.save_take(tmp_path / "song.take.json")
    material = session.material
    final = perform_take(tmp_path / "song.take.json", material.track, material.analysis, (), ()).timeline
    live = session.performance.timeline
    assert final.prompts == live.prompts
    assert all(np.array_equal(final.columns[name], column) for name, column in live.columns.items())

    # like `run`: its own prompt bank and batch
    width, height = material.imagined
    core = Core(
        material.model,
        PromptBank(material.model, final.prompts),
        batch=default_batch("cpu", width, height),
        width=width,
        height=height,
    )
    frames = np.flatnonzero(live.columns["source"] == -1)[::9]
    theirs = [
        picture
        for _, pictures in independent_frames(core, scene_inputs(final, core, {}), frames)
        for picture in pictures.numpy()
    ]
    imaginer = material.imaginer(live)
    assert imaginer.core.batch != core.batch
    ours = [picture for _, pictures in imaginer.independent(frames) for picture in pictures.numpy()]
    assert len(ours) == len(theirs) > 10
    assert np.abs(np.stack(ours).astype(int) - np.stack(theirs)).max() <= 2
    assert np.abs(ours[0].astype(int) - ours[-1]).mean() > 2


def test_the_engine_works_ahead_and_a_seek_sends_finished_pictures(session: Session) -> None:
    session.seek(2.0, False)
    until(lambda: 48 in session.engine.store)
    session.seek(4.0, True)
    until(lambda: any(frame in session.engine.store for frame in range(97, 97 + 48)))
    session.clock(4.0, False)
    fed = int(np.flatnonzero(session.engine.timeline.columns["source"] == -2)[0])
    _, landed = session.seek(float(fed / 24), False)
    assert landed == pytest.approx(fed / 24, abs=0.03)
    until(lambda: fed in session.engine.store)


def test_an_edit_keeps_earlier_pictures(session: Session) -> None:
    session.seek(0.5, False)
    until(lambda: 12 in session.engine.store and any(frame in session.engine.store for frame in range(26, 40)))
    before = session.engine.store.get(12)
    epoch = session.engine.epoch
    assert session.change({"kind": "control", "time": 1.0, "name": "seed", "value": 9.0}) > epoch
    assert session.engine.store.get(12) == before
    assert session.engine.store.get(30) is None or session.state()["changes"] == 1


def test_going_back_overwrites_recorded_changes_of_the_same_slider(session: Session) -> None:
    session.change({"kind": "control", "time": 4.0, "name": "walk", "value": 2.0})
    session.change({"kind": "control", "time": 5.0, "name": "camera", "value": 2.0})
    session.change({"kind": "control", "time": 3.0, "name": "walk", "value": 0.5})
    assert [(change.time, change.name) for change in session.changes] == [(3.0, "walk"), (5.0, "camera")]
    session.forget(back=True)
    assert len(session.changes) == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "control"},
        {"kind": "control", "time": "x", "name": "walk"},
        {"kind": "control", "time": 1, "name": "none", "value": 1},
        {"kind": "prompt", "time": 1, "name": "a", "text": ""},
        {"kind": "prompt", "time": 1, "name": "a", "text": "b\x00"},
        {"kind": "phase", "time": 1, "value": 77},
        {"kind": "preset", "time": 1, "name": "/etc/passwd"},
        {"kind": "control", "time": 1, "name": "macro.none", "value": 1},
        {"kind": "prompt", "time": 1, "name": "a", "text": "x" * 5000},
    ],
)
def test_an_invalid_change_changes_nothing(session: Session, data: dict[str, Any]) -> None:
    before = session.performance
    with pytest.raises((TimelineError, PresetError)):
        session.change(data)
    assert session.performance is before
    assert session.changes == []


def test_a_saved_preset_is_reloaded_and_an_error_names_its_line(session: Session) -> None:
    loaded = session.loaded[session.first]
    text = loaded.path.read_text()
    assert session.reload() is None
    loaded.path.write_text(text.replace("a sea", "a lake"))
    assert session.reload() is not None
    assert "a lake" in session.performance.timeline.prompts
    loaded.path.write_text(text.replace('title = "Live"', 'title = "Live'))
    with pytest.raises(PresetError, match="line"):
        session.reload()
    assert session.reload() is None
    assert "a lake" in session.performance.timeline.prompts
    loaded.path.write_text(text)
    assert session.reload() is not None


def test_a_take_of_another_song_is_refused(session: Session, tmp_path: Path) -> None:
    session.save_take(tmp_path / "t.json")
    track = replace(session.material.track, sha256="0" * 64, file_sha256="1" * 64)
    with pytest.raises(TimelineError, match="another song"):
        perform_take(tmp_path / "t.json", track, session.material.analysis, (), ())
    with pytest.raises(TimelineError, match="photographs"):
        perform_take(tmp_path / "t.json", session.material.track, session.material.analysis, ("a.jpg",), ())
    for wrong in ("no", "[]", '{"version": 1, "changes": 3}'):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(TimelineError):
            load_take(tmp_path / "wrong.json")


def test_unchanged_frames_are_known(session: Session) -> None:
    timeline = session.engine.timeline
    assert not changed_frames(timeline, timeline).any()
    walk = timeline.columns["walk"].copy()
    walk[30:40] += 0.1
    other = replace(timeline, columns=timeline.columns | {"walk": walk})
    assert set(range(30, 40)) <= set(np.flatnonzero(changed_frames(timeline, other)).tolist())
    assert not changed_frames(timeline, other)[:30].any()


def test_the_store_holds_no_more_than_its_limit() -> None:
    store = PictureStore(limit=1000)
    for frame in range(100):
        store.put(Picture(frame, bytes(100)))
    assert len(store) == 10
    assert store.bytes == 1000
    assert 99 in store
    store.drop(np.arange(100) >= 95)
    assert (94 in store, 95 in store, store.bytes) == (True, False, 500)


def test_the_estimate_falls_at_once_and_rises_slowly() -> None:
    pace = StrideControl(24.0)
    pace.imagined(4, 1.0, now=0.0)
    assert pace.stride >= 6
    low = pace.level
    pace.imagined(40, 0.5, now=0.1)
    assert pace.level == low
    for step in range(200):
        pace.imagined(8, 0.1, now=0.2 + step * 0.1)
    assert pace.stride == 1


def test_the_strides_frames_do_not_depend_on_the_start() -> None:
    pace = StrideControl(24.0)
    for level, stride in enumerate(STRIDES):
        pace.level = level
        whole = pace.frames(0, 240)
        assert whole[0] == 0
        assert len(whole) == math.ceil(240 / stride)
        assert whole == [*pace.frames(0, 101), *pace.frames(101, 102), *pace.frames(102, 240)]
        assert {b - a for a, b in itertools.pairwise(whole)} <= {math.floor(stride), math.ceil(stride)}


def test_a_batch_is_filled_first_if_there_is_time(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    # the playhead does not move during this test
    monkeypatch.setattr(Transport, "at", lambda transport, now=None: transport.position)
    # its thread is not started
    engine = Session(session.material, lambda frames: None, (session.material.options.preset,)).engine
    calm = engine.timeline.columns["source"] != FEEDBACK
    first = next(n for n in range(engine.timeline.frames - 80) if calm[n : n + 80].all())
    at = float(first / engine.timeline.fps)
    engine._fresh, engine._batch_time, engine.stride_control.level = engine.epoch, Estimate(0.1), 0
    engine.transport = Transport(engine.transport.duration, at, True, time.monotonic())
    everything = engine.shown_frames(first, first + 80)
    for frame in everything:
        engine.store.put(Picture(frame, b"jpeg"))
    assert engine._next() is None
    # one picture is missing: near the playhead it is urgent, late in the window it is not
    near, far = first + 12, first + 50
    engine.store.drop(np.isin(np.arange(engine.timeline.frames), [far]))
    assert engine._next() is None
    engine.store.drop(np.isin(np.arange(engine.timeline.frames), [near]))
    assert engine._next() is not None


def test_short_lived_threads_leave_no_openmp_pool() -> None:
    def compute() -> float:
        return float((torch.ones(2_000_000) * 2).sum())

    def helpers() -> set[str]:
        return set(os.listdir("/proc/self/task"))

    def alone() -> None:
        torch.set_num_threads(2)
        before = helpers()
        assert run_and_release_openmp_pool(compute) == 4_000_000
        # threads of other tests may end meanwhile, so only new ones count
        counts.append(len(helpers() - before))
        compute()
        counts.append(len(helpers() - before))

    if not sys.platform.startswith("linux"):
        pytest.skip("helpers are counted in /proc")
    counts: list[int] = []
    threads = torch.get_num_threads()
    for _ in range(3):
        thread = threading.Thread(target=alone)
        thread.start()
        thread.join()
    torch.set_num_threads(threads)
    assert counts[::2] == [0, 0, 0]
    # without the release a helper remains, unless an ending pool lends one
    assert 1 in counts[1::2]
    with pytest.raises(ZeroDivisionError):
        run_and_release_openmp_pool(divmod, 7, 0)


def test_the_playhead_advances_and_loops() -> None:
    assert Transport(10.0, 2.0, False, 100.0).at(105.0) == 2.0
    assert Transport(10.0, 2.0, True, 100.0).at(101.5) == 3.5
    assert Transport(10.0, 9.5, True, 100.0).at(101.5) == 10.0
    assert Transport(10.0, 3.5, True, 100.0, (2.0, 4.0)).at(101.0) == pytest.approx(2.5)


def test_messages_are_encoded_and_decoded() -> None:
    assert unpack_picture(pack_picture(3, 77, 1.25, b"jpeg")) == (3, 77, 1.25, b"jpeg")
    assert number({"a": 5}, "a", 0, 3) == 3
    for wrong in ({"a": True}, {"a": "1"}, {}, {"a": float("inf")}):
        with pytest.raises(ValueError, match="no number"):
            number(wrong, "a")
