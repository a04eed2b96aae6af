"""One Imaginer for clips, previews and the library: frames come in order, and memory is bounded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from reactive.diffusion import imaginer as imaginer_module
from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.lanes import FeedbackRange
from reactive.diffusion.models.load import Model, load_model
from reactive.diffusion.scene import Sources, as_source
from reactive.timeline.edges import shot_around, shot_edges
from reactive.timeline.timeline import FEEDBACK, NO_SOURCE, Timeline
from tests.toy import flat_timeline

SIZE = (64, 64)
# a walk, three feedback shots around it, a photograph and own frames
SHOTS = (NO_SOURCE, FEEDBACK, FEEDBACK, NO_SOURCE, FEEDBACK, 0, 1)
EACH = 6


class OwnFrames:
    """Own frames that get brighter with song time."""

    def at(self, seconds: Fraction) -> np.ndarray:
        return self.picture(self.number_at(seconds))

    def number_at(self, seconds: Fraction) -> int:
        return int(seconds * 24)

    def picture(self, number: int) -> np.ndarray:
        return np.full((SIZE[1], SIZE[0], 3), min(5 * number, 255), np.uint8)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model(toy_model: Path) -> Model:
    return load_model(str(toy_model), steps=1)


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    source = np.repeat(SHOTS, EACH)
    return flat_timeline(
        len(source),
        source=source,
        shot=np.repeat(np.arange(len(SHOTS)), EACH),
        strength=0.4,
        seed=np.repeat(np.arange(len(SHOTS)), EACH),
        walk=np.arange(len(source)) * 0.1,
        lens_zoom=1.1,
        photos=("a.png",),
        videos=("own",),
    )


@pytest.fixture(scope="module")
def sources() -> Sources:
    photo = np.random.default_rng(1).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    return Sources({0: as_source(photo)}, {1: OwnFrames()})


@pytest.fixture(scope="module")
def made(model: Model, timeline: Timeline, sources: Sources) -> np.ndarray:
    imaginer = Imaginer(model, timeline, sources, size=SIZE, batch=3, pace=1.0)
    frames = np.stack(list(imaginer.frames()))
    assert imaginer.pictures > 0
    assert imaginer.retried == 0
    return frames


def test_all_frames_come_in_order(made: np.ndarray, timeline: Timeline) -> None:
    assert made.shape == (timeline.frames, 3, SIZE[1], SIZE[0])
    assert made.dtype == np.uint8
    # every shot moves, so a misplaced frame would differ
    assert all((a != b).any() for a, b in itertools.pairwise(made))


def test_frames_are_the_same_when_requested_in_pieces(
    made: np.ndarray, model: Model, timeline: Timeline, sources: Sources
) -> None:
    imaginer = Imaginer(model, timeline, sources, size=SIZE, batch=3, pace=1.0)
    edges = shot_edges(timeline.columns)
    shots = list(itertools.pairwise(edges))
    fed_back = [shot for shot, source in zip(shots, SHOTS, strict=True) if source == FEEDBACK]
    seen: dict[int, torch.Tensor] = {}
    # from the last shot to the first: the order changes no bit
    for shot in reversed(fed_back):
        for numbers, pictures in imaginer.feedback([FeedbackRange(*shot, *shot)]):
            seen |= zip(numbers.tolist(), pictures, strict=True)
    alone = np.array([frame for frame in range(timeline.frames) if frame not in seen])[::-1].copy()
    for numbers, pictures in imaginer.independent(alone):
        seen |= zip(numbers.tolist(), pictures, strict=True)
    assert all(np.array_equal(seen[frame].numpy(), made[frame]) for frame in range(timeline.frames))


def test_a_small_buffer_changes_no_frame(
    made: np.ndarray, model: Model, timeline: Timeline, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imaginer_module, "_WAITING", 0)
    frames = Imaginer(model, timeline, sources, size=SIZE, batch=3, pace=1.0).frames()
    assert all(np.array_equal(frame, known) for frame, known in zip(frames, made, strict=True))


def test_an_excerpt_has_the_same_frames_as_the_full_clip(
    made: np.ndarray, model: Model, timeline: Timeline, sources: Sources
) -> None:
    frames = Imaginer(model, timeline, sources, size=SIZE, batch=3, pace=1.0).frames(9, 29)
    assert np.array_equal(np.stack(list(frames)), made[9:29])


def test_frames_are_imagined_lazily(model: Model, timeline: Timeline, sources: Sources) -> None:
    imaginer = Imaginer(model, timeline, sources, size=SIZE, batch=3, pace=1.0)
    frames = imaginer.frames()
    assert isinstance(frames, Iterator)
    assert imaginer.pictures == 0
    next(frames)
    assert 0 < imaginer.pictures <= 3


def test_black_frames_are_black_in_every_mode(
    made: np.ndarray, model: Model, timeline: Timeline, sources: Sources
) -> None:
    black = np.arange(timeline.frames) % 5 == 0
    frames = np.stack(list(Imaginer(model, timeline, sources, size=SIZE, batch=3, pace=1.0, black=black).frames()))
    assert not frames[black].any()
    assert np.array_equal(frames[~black], made[~black])


def test_shots_of_a_timeline() -> None:
    shot, source = np.array([0, 0, 0, 1, 1, 2]), np.array([-1, -1, 0, 0, 0, 0])
    columns = {"shot": shot, "source": source}
    assert shot_edges(columns) == [0, 2, 3, 5, 6]
    assert shot_edges(columns, by_source=False) == [0, 3, 5, 6]
    assert [shot_around(columns, frame) for frame in (0, 4, 5)] == [(0, 3), (3, 5), (5, 6)]
