"""Grounds under the Imaginer's frames: only where they are visible, in the clip's size, independent of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reactive.diffusion.compose import exposed_twice, exposed_twice_on_device
from reactive.diffusion.grounds import Grounds, load_grounds
from reactive.diffusion.imaginer import Imaginer
from reactive.diffusion.models.load import Model, load_model
from reactive.errors import MediaError
from reactive.timeline.timeline import FEEDBACK, NO_SOURCE, Timeline
from tests.toy import flat_timeline

IMAGINED, SIZE = (64, 64), (160, 90)
# no ground, a ground without detail, two walks over a photograph, a feedback shot over another
GROUND = np.repeat([-1, 0, 0, 0, 1], 4)
DETAIL = np.repeat([0.0, 0.0, 0.5, 1.0, 0.8], 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("grounds")
    rng = np.random.default_rng(2)
    for name in ("one.png", "two.png"):
        small = rng.integers(0, 255, (9, 16, 3), np.uint8)
        Image.fromarray(small).resize((320, 180), Image.Resampling.BICUBIC).save(found / name)
    return found


@pytest.fixture(scope="module")
def model(toy_model: Path) -> Model:
    return load_model(str(toy_model), steps=1)


def a_timeline(**columns: object) -> Timeline:
    source = np.repeat([NO_SOURCE, NO_SOURCE, NO_SOURCE, NO_SOURCE, FEEDBACK], 4)
    chosen = {
        "source": source,
        "shot": np.repeat(np.arange(5), 4),
        "strength": np.where(source == FEEDBACK, 0.5, 1.0),
        "walk": np.arange(20) * 0.1,
        "ground": GROUND,
        "detail": DETAIL,
        "ground_colour": 0.4,
        "ground_light": 1.0,
        "grounds": ("one.png", "two.png"),
    }
    return flat_timeline(20, **(chosen | columns))


@pytest.fixture
def grounds(folder: Path) -> Iterator[Grounds]:
    found = load_grounds(a_timeline(), (), (), [folder], imagined=IMAGINED, size=SIZE)
    assert found is not None
    yield found
    found.close()


def made(model: Model, timeline: Timeline, grounds: Grounds | None, *, batch: int = 4) -> list[np.ndarray]:
    return list(Imaginer(model, timeline, size=IMAGINED, batch=batch, pace=1.0, grounds=grounds).frames())


def test_frames_without_visible_ground_are_unchanged_and_others_have_the_clips_size(
    model: Model, grounds: Grounds
) -> None:
    plain, composed = made(model, a_timeline(), None), made(model, a_timeline(), grounds)
    assert all(np.array_equal(plain[frame], composed[frame]) for frame in range(8))
    assert {frame.shape for frame in composed[8:]} == {(3, SIZE[1], SIZE[0])}


def test_a_frame_does_not_depend_on_its_batch(model: Model, grounds: Grounds) -> None:
    # batches of one shape that start at another frame
    whole = made(model, a_timeline(), grounds)
    imaginer = Imaginer(model, a_timeline(), size=IMAGINED, batch=4, pace=1.0, grounds=grounds)
    found = {
        frame: picture.numpy()
        for numbers, pictures in imaginer.independent(np.array([14, 3, 9]))
        for frame, picture in zip(numbers.tolist(), pictures, strict=True)
    }
    assert sorted(found) == [3, 9, 14]
    assert all(np.array_equal(found[frame], whole[frame]) for frame in found)


def test_without_motion_nothing_flickers(model: Model, grounds: Grounds) -> None:
    frames = made(model, a_timeline(walk=0.5), grounds)
    assert all(np.array_equal(frames[8], frame) for frame in frames[9:12])
    assert all(np.array_equal(frames[12], frame) for frame in frames[13:16])
    assert not np.array_equal(frames[8], frames[12])


def test_the_lens_moves_the_ground_too(model: Model, folder: Path) -> None:
    photo = {
        "detail": 1.0,
        "ground": 0,
        "ground_colour": 1.0,
        "ground_light": 0.0,
        "source": NO_SOURCE,
        "strength": 1.0,
    }
    still = a_timeline(**photo)
    moved = a_timeline(**photo, lens_x=0.1, lens_zoom=1.3)
    pictures = []
    for timeline in (still, moved):
        grounds = load_grounds(timeline, (), (), [folder], imagined=IMAGINED, size=SIZE)
        assert grounds is not None
        pictures.append(made(model, timeline, grounds)[0].astype(float))
        grounds.close()
    # a point 0.1 widths from the centre is now 1.3 times as far away
    centre = pictures[1][:, 45, 80]
    assert np.abs(centre - pictures[0][:, 45, round(80 - 0.1 * 160 / 1.3)]).max() < 12


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(MediaError, match=r"gone\.png"):
        load_grounds(a_timeline(grounds=("one.png", "gone.png")), (), (), [folder], imagined=IMAGINED, size=SIZE)
    assert load_grounds(a_timeline(ground=-1), (), (), [], imagined=IMAGINED, size=SIZE) is None


def test_a_photograph_read_ahead_is_the_one_that_is_shown(grounds: Grounds, folder: Path) -> None:
    black = torch.zeros(1, 3, IMAGINED[1], IMAGINED[0], dtype=torch.uint8)
    later = np.array([16])
    plain = next(iter(grounds.beneath(later, black)))[1]
    other = load_grounds(a_timeline(), (), (), [folder], imagined=IMAGINED, size=SIZE)
    assert other is not None
    # the first photograph is expected, and another place is shown; then the rest
    other.read_ahead(0)
    assert torch.equal(next(iter(other.beneath(later, black)))[1], plain)
    shown = [next(iter(other.beneath(np.array([frame]), black)))[1] for frame in (8, 12)]
    fresh = [next(iter(grounds.beneath(np.array([frame]), black)))[1] for frame in (8, 12)]
    assert all(torch.equal(one, two) for one, two in zip(shown, fresh, strict=True))
    other.close()


def test_a_photograph_that_is_gone_is_reported_where_it_is_shown(folder: Path, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    found = load_grounds(a_timeline(), (), (), [tmp_path], imagined=IMAGINED, size=SIZE)
    assert found is not None
    (tmp_path / "two.png").unlink()
    black = torch.zeros(1, 3, IMAGINED[1], IMAGINED[0], dtype=torch.uint8)
    found.read_ahead(16)
    next(iter(found.beneath(np.array([8]), black)))
    with pytest.raises(MediaError, match=r"two\.png"):
        next(iter(found.beneath(np.array([16]), black)))
    found.close()


def test_a_double_exposure_mixes_the_light_of_two_grounds(model: Model, folder: Path) -> None:
    columns = {"ground": np.repeat([0, 1, 1, 0, 1], 4), "detail": 1.0, "ground_light": 0.0, "source": NO_SOURCE}

    def shown(double: float) -> list[np.ndarray]:
        timeline = a_timeline(**columns, ground_double=double)
        grounds = load_grounds(timeline, (), (), [folder], imagined=IMAGINED, size=SIZE)
        assert grounds is not None
        frames = made(model, timeline, grounds)
        grounds.close()
        return frames

    plain, both, other = shown(0.0), shown(0.5), shown(1.0)
    # the first ground has none before it
    assert np.array_equal(plain[0], both[0])
    # afterwards all of the light can be the other's
    assert np.array_equal(other[4], plain[0])
    assert np.array_equal(other[12], plain[4])
    wanted = np.sqrt((plain[0].astype(float) ** 2 + plain[4].astype(float) ** 2) / 2)
    assert np.abs(both[4] - wanted).max() <= 1


def test_a_double_exposure_is_the_same_where_a_device_makes_it() -> None:
    rng = np.random.default_rng(3)
    first, second = (rng.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(2))
    there = exposed_twice_on_device(*(torch.from_numpy(one).permute(2, 0, 1) for one in (first, second)), 0.3)
    assert np.abs(exposed_twice(first, second, 0.3).astype(int) - there.permute(1, 2, 0).numpy()).max() <= 1
