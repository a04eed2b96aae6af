"""The preview's two engines on a GPU, also when its memory runs out."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from reactive.diffusion.core import Core
from reactive.live.conductor import LiveFrame
from reactive.live.latest_frame import LatestFrameRenderer
from reactive.live.material import PreviewOptions, SongMaterial, Studio, load_material, load_studio
from reactive.live.session import Session
from reactive.timeline.timeline import CURVES, FEEDBACK, INTEGERS
from tests.toy import flat_timeline

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.fixture
def options(toy_model: Path, live_preset: Path) -> PreviewOptions:
    return PreviewOptions.of(
        preset=str(live_preset), model=str(toy_model), steps=1, threads=1, seed=5, fps=Fraction(24)
    )


@pytest.fixture
def material(cuda: str, beat_wav: Path, options: PreviewOptions) -> SongMaterial:
    return load_material(beat_wav, options.changed(device=cuda))


def until(check: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_engine_imagines_walk_and_feedback_on_a_card(material: SongMaterial, live_preset: Path) -> None:
    session = Session(material, lambda frames: None, (str(live_preset),))
    engine = session.engine
    engine.start()
    try:
        columns = engine.timeline.columns
        walk, fed = (int(np.flatnonzero(columns["source"] == kind)[0]) for kind in (-1, FEEDBACK))
        for frame in (walk, fed):
            session.seek(frame / 24, False)
            until(lambda frame=frame: frame in engine.store or engine.error is not None)
            assert engine.error is None
            assert frame in engine.store
    finally:
        session.close()


def test_out_of_memory_makes_the_engine_use_smaller_batches(
    material: SongMaterial, live_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Core.imagine

    def greedy(self, requests):
        if self.batch > room[0]:
            raise torch.OutOfMemoryError(FULL)
        return original(self, requests)

    room = [2]
    monkeypatch.setattr(Core, "imagine", greedy)
    session = Session(material, lambda frames: None, (str(live_preset),))
    engine = session.engine
    engine.start()
    try:
        until(lambda: len(engine.store) > 3 or engine.error is not None)
        assert engine.error is None
        session.seek(0.5, True)
        until(lambda: engine.note is not None or engine.error is not None)
        assert material.batch in (1, 2)
        assert f"batches of {material.batch}" in str(engine.note)
        # an edit keeps the smaller batch
        assert material.imaginer(engine.timeline).core.batch == material.batch
        room[0] = 0
        session.seek(4.0, True)
        until(lambda: engine.error is not None)
        assert "not enough memory to imagine it" in str(engine.error)
    finally:
        session.close()


def row(frame: int, source: int) -> LiveFrame:
    columns = {
        name: float(column[0]) for name, column in flat_timeline(1).columns.items() if name in (*INTEGERS, *CURVES)
    }
    columns |= {
        "source": float(source),
        "strength": 0.5,
        "walk": 0.3 * frame,
        "weight": 0.4,
        "lens_zoom": 1.2,
        "lens_tilt": 5.0,
        "camera_zoom": 0.01 * frame,
    }
    return LiveFrame(
        frame=frame,
        seconds=Fraction(frame, 12),
        columns=columns,
        prompts=("a sea", "a hill", "a fire"),
        negatives=("", "", ""),
        seed=3,
        shot=1,
        slerp=True,
        phase=0,
        fresh=0.5,
        rate=12.0,
    )


@pytest.fixture
def stage(cuda: str, options: PreviewOptions) -> Studio:
    return load_studio(options.changed(device=cuda))


def test_a_live_input_is_imagined_on_a_card(stage: Studio) -> None:
    imagining = LatestFrameRenderer(stage, lambda: None)
    pictures = []
    for frame, source in ((0, -1), (1, FEEDBACK), (2, FEEDBACK)):
        imagining.hear(row(frame, source))
        pictures.append(imagining._finished(row(frame, source)))
    assert all(picture is not None and picture[:2] == b"\xff\xd8" for picture in pictures)
    assert len(set(pictures)) == 3


def test_a_live_input_out_of_memory_is_one_line(stage: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self, requests):
        raise torch.OutOfMemoryError(FULL)

    imagining = LatestFrameRenderer(stage, lambda: None)
    imagining.hear(row(0, -1))
    imagining._prepared(row(0, -1))
    monkeypatch.setattr(Core, "imagine", full)
    imagining.start()
    imagining.set_wanted(True)
    imagining.request(row(0, -1), time.monotonic())
    until(lambda: imagining.error is not None)
    imagining.stop()
    assert "not enough memory to imagine it" in str(imagining.error)
