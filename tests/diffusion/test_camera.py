"""Camera moves: zoom, rotation, shift and tilt in depth, combined in one resampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reactive.diffusion.motion.camera import PATH, inverse_map, move_between, resample, warp
from reactive.diffusion.motion.lens import overscan

ASPECT = 16 / 9


def smooth_picture(height: int = 90, width: int = 160) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([(x * 9).sin(), (y * 7).cos(), (x * 4 + y * 5).sin()])[None] * 100 + 128


def place(picture: torch.Tensor) -> tuple[int, int]:
    row, column = divmod(int(picture.argmax()), picture.shape[-1])
    return row, column


def spot(row: int, column: int) -> torch.Tensor:
    picture = torch.zeros(1, 1, 91, 161)
    picture[0, 0, row - 1 : row + 2, column - 1 : column + 2] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    return picture


def test_a_tilt_leans_the_top_away_and_a_turn_the_right_side() -> None:
    def across(row: int, move: list[float]) -> int:
        left, right = (
            place(warp(spot(row, column), np.array([move]), mode="bilinear")[0, 0])[1] for column in (40, 120)
        )
        return right - left

    tilted = [1.0, 0, 0, 0, 25.0, 0]
    assert across(20, tilted) < 80 < across(70, tilted)
    turned = [1.0, 0, 0, 0, 0, 25.0]
    left, right = (warp(spot(20, c), np.array([turned]), mode="bilinear")[0, 0] for c in (30, 130))
    # further from the horizon on the near side
    assert 45 - place(left)[0] > 25 > 45 - place(right)[0]
    # the centre stays in place
    for move in (tilted, turned):
        assert place(warp(spot(45, 80), np.array([move]), mode="bilinear")[0, 0]) == (45, 80)


def test_a_tilt_of_zero_is_the_flat_move_and_small_tilts_are_close_to_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        flat = [rng.uniform(0.7, 2), rng.uniform(-40, 40), *rng.uniform(-0.2, 0.2, 2)]
        assert np.array_equal(inverse_map(flat, ASPECT), inverse_map([*flat, 0, 0], ASPECT))
        nearly = inverse_map([*flat, 1e-5, -1e-5], ASPECT)
        assert nearly / nearly[2, 2] == pytest.approx(inverse_map(flat, ASPECT), abs=1e-5)


def test_no_border_is_visible_in_any_lens_position() -> None:
    rng = np.random.default_rng(1)
    count = 300
    moves = np.stack(
        [
            rng.uniform(1, 1.3, count),
            rng.uniform(-20, 20, count),
            *rng.uniform(-0.1, 0.1, (2, count)),
            *rng.uniform(-30, 30, (2, count)) * (rng.random(count) < 0.7),
        ],
        axis=1,
    )
    moves[:, 0] *= overscan(moves, ASPECT)
    corners = np.array([[x, y, 1] for x in (-1, 1) for y in (-1, 1)], float)
    tight = 0
    for move in moves:
        seen = corners @ inverse_map(move, ASPECT).T
        reach = np.abs(seen[:, :2] / seen[:, 2:]).max()
        assert reach <= 1 + 1e-9
        tight += reach > 1 - 1e-6
    # the zoom is not larger than necessary
    assert tight > count / 4


def test_one_resampling_equals_camera_then_lens() -> None:
    picture = smooth_picture()
    camera, lens = [1.1, 4, 0.03, -0.02, 6, 0], [1.15, -3, 0.01, 0.02, 0, 8]
    maps, through = (inverse_map(move, ASPECT)[None] for move in (camera, lens))
    once = resample(picture, maps, lens=through)
    twice = warp(warp(picture, np.array([camera])), np.array([lens]))
    assert float((once - twice)[..., 8:-8, 8:-8].abs().max()) < 1.0


def test_a_flow_moves_the_picture_and_keeps_it_sharp() -> None:
    picture = smooth_picture()
    still = inverse_map([1, 0, 0, 0], ASPECT)[None]
    flow = torch.stack([torch.full((90, 160), 8.0), torch.full((90, 160), -5.0)])
    moved = resample(picture, still, flows=[flow])
    assert torch.allclose(moved[..., 10:80, 10:140], picture[..., 5:75, 18:148], atol=0.5)
    # the flow of the picture before the lens, seen through the lens
    lens = inverse_map([1.3, 10, 0, 0], ASPECT)[None]
    both = resample(picture, still, lens=lens, flows=[flow])
    assert float((both - resample(moved, lens))[..., 20:-20, 20:-20].abs().max()) < 1.5


def test_an_item_does_not_depend_on_its_neighbours() -> None:
    pictures = smooth_picture().repeat(3, 1, 1, 1)
    maps = np.stack([inverse_map(m, ASPECT) for m in ([1.1, 2, 0, 0], [1.2, 0, 0, 0, 9, 0], [1, 0, 0.1, 0])])
    together = resample(pictures, maps)
    for number in range(3):
        assert torch.equal(resample(pictures[:1], maps[number : number + 1])[0], together[number])


def test_a_jumping_path_is_a_move_of_limited_size() -> None:
    columns = {name: np.zeros(4) for name in PATH} | {"camera_zoom": np.array([0.0, 1e6, -1e6, 0.1])}
    zooms = [move_between(columns, frame, frame + 1)[0] for frame in range(3)]
    assert zooms == [pytest.approx(1e4), pytest.approx(1e-4), pytest.approx(1e4)]
