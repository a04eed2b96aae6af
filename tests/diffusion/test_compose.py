"""Composing: a photograph under the painting, lit by the painting."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reactive.diffusion.compose import (
    ROOM,
    Ground,
    Terms,
    bend,
    canvas_size,
    compose,
    compose_on_device,
    ground_map,
    prepare_ground,
    shares,
)
from reactive.diffusion.motion.camera import inverse_map

SIZE, FRAME = (256, 144), (128, 80)
STILL = np.eye(3)
PHOTO = Terms(detail=1, colour=1, light=0)


@cache
def photograph(seed: int) -> Image.Image:
    """Return a synthetic photograph: a bright sky, dark rough ground, a tower with windows."""
    rng = np.random.default_rng(seed)
    width, height = 640, 400
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    sky = np.stack([0.55 + 0.3 * y, 0.6 + 0.2 * y, 0.9 - 0.2 * y], axis=-1)
    land = 0.12 + 0.12 * rng.random((height, width, 1)) * np.array([1.0, 0.8, 0.5])
    picture = np.where((y > 0.65)[..., None], land, sky)
    tower = (np.abs(x - 0.6) < 0.08) & (y > 0.2) & (y < 0.9)
    lit = ((x * width // 8 + y * height // 10) % 3 == 0)[..., None] * np.array([0.8, 0.6, 0.2])
    return Image.fromarray(np.round(255 * np.where(tower[..., None], 0.06 + lit, picture)).astype(np.uint8))


def scene(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return the synthetic photograph in a given size, uint8 [height, width, 3]."""
    return np.asarray(photograph(seed).resize((width, height), Image.Resampling.LANCZOS))


def painted(seed: int = 1, *, level: float = 0.5, patch: int = 8) -> np.ndarray:
    """Return a soft painting with the block patterns of a small model, uint8 [rows, columns, 3]."""
    rng = np.random.default_rng(seed)
    wide, fine = rng.random((3, 4, 3)), rng.random((FRAME[1] // patch, FRAME[0] // patch, 3))
    field = np.kron(np.kron(wide, np.ones((4, 4, 1)))[:10, :16], np.ones((patch, patch, 1)))
    patches = np.kron(fine, np.ones((patch, patch, 1)))
    return np.asarray(np.round(255 * np.clip(level * (0.4 + field + 0.4 * (patches - 0.5)), 0, 1)), np.uint8)


def made_ground(seed: int = 0, size: tuple[int, int] = SIZE) -> Ground:
    width, height = canvas_size(FRAME, size)
    return prepare_ground(scene(round(width * ROOM), round(height * ROOM), seed), scene(width, height, seed))


def window(ground: Ground, size: tuple[int, int] = SIZE) -> np.ndarray:
    top = (ground.exact.shape[0] - size[1]) // 2
    return ground.exact[top : top + size[1], : size[0], :3]


def light_of(picture: np.ndarray) -> np.ndarray:
    return np.asarray((picture / 255.0) ** 2.2 @ [0.2126, 0.7152, 0.0722])


def edges(picture: np.ndarray) -> float:
    """Return the edge energy over the mean luminance, both of display values."""
    grey = picture @ [0.2126, 0.7152, 0.0722]
    return float(np.hypot(np.diff(grey, axis=0)[:, :-1], np.diff(grey, axis=1)[:-1]).mean() / grey.mean())


def test_with_full_detail_and_colour_and_without_light_the_frame_is_the_photograph() -> None:
    ground = made_ground()
    assert np.array_equal(compose(ground, painted(), PHOTO, SIZE, STILL), window(ground))


def test_the_exact_window_and_the_resampled_one_match_at_their_transition() -> None:
    ground = made_ground()
    still, moved = (compose(ground, painted(), Terms(1, 1, 0, zoom=zoom), SIZE, STILL) for zoom in (1.0, 1.001))
    difference = still.astype(float) - moved
    assert 0 < np.abs(difference).mean() < 6


@pytest.mark.parametrize("seed", range(4))
def test_at_a_detail_of_seven_tenths_edges_are_as_strong_as_the_photographs(seed: int) -> None:
    ground = made_ground(seed)
    frame = compose(ground, painted(seed, level=0.2 + 0.2 * seed), Terms(0.7), SIZE, STILL)
    assert edges(frame) >= 0.85 * edges(window(ground))


def test_the_painting_appears_gradually_as_detail_falls() -> None:
    ground, painting = made_ground(), painted()
    alone = compose(ground, painting, Terms(0.0), SIZE, STILL).astype(float)
    distances = [
        np.abs(compose(ground, painting, Terms(detail), SIZE, STILL) - alone).mean()
        for detail in (0.0, 0.02, 0.1, 0.3, 0.6, 1.0)
    ]
    assert distances == sorted(distances)
    assert distances[1] < 0.5 * distances[-1]
    # at detail 0 it is the enlarged painting
    top, bottom = (FRAME[1] - 72) // 2, (FRAME[1] + 72) // 2
    assert np.abs(alone[::2, ::2].mean(axis=(0, 1)) - painting[top:bottom].mean(axis=(0, 1))).max() < 2


@given(st.floats(0, 1), st.floats(0, 1))
def test_every_scale_of_the_ground_grows_with_detail_and_the_finest_most(one: float, other: float) -> None:
    less, more = shares(min(one, other)), shares(max(one, other))
    assert all(a <= b for a, b in zip(less, more, strict=True))
    assert all(a >= b for a, b in zip(less, less[1:], strict=False))
    assert shares(0.0) == [0.0] * len(less)
    assert shares(1.0) == [1.0] * len(less)


def test_black_stays_black_and_a_painting_without_light_does_not_turn_the_picture_black() -> None:
    ground = made_ground()
    dark = window(ground).max(axis=-1) < 30
    frame = compose(ground, painted(level=0.9), Terms(1.0), SIZE, STILL)
    assert light_of(frame)[dark].mean() < 0.03
    night = compose(ground, np.full((FRAME[1], FRAME[0], 3), 10, np.uint8), Terms(1.0), SIZE, STILL)
    assert light_of(night).mean() > 0.3 * light_of(window(ground)).mean()


def test_light_has_the_paintings_colour_at_its_position() -> None:
    painting = np.zeros((FRAME[1], FRAME[0], 3), np.uint8)
    painting[:, : FRAME[0] // 2] = [220, 40, 30]
    painting[:, FRAME[0] // 2 :] = [30, 60, 220]
    frame = compose(made_ground(), painting, Terms(1.0, colour=0.0), SIZE, STILL).astype(float)
    left, right = frame[:80, :60].mean(axis=(0, 1)), frame[:80, -40:].mean(axis=(0, 1))
    assert left[0] > 1.5 * left[2]
    assert right[2] > 1.5 * right[0]


def test_colours_that_would_clip_keep_their_shapes() -> None:
    # a bright ramp under a saturated light
    ramp = np.tile(np.linspace(180, 255, SIZE[0]).round().astype(np.uint8)[None, :, None], (160, 1, 3))
    ground = prepare_ground(ramp)
    painting = np.full((FRAME[1], FRAME[0], 3), 90, np.uint8)
    painting[20:60, 40:90] = [255, 30, 200]
    frame = compose(ground, painting, Terms(1.0, light=1.3), SIZE, STILL)
    row = frame[72].astype(float).max(axis=-1)
    assert (row >= 255).mean() < 0.02
    # the order of brightness is kept, also within that light
    assert frame[72, 150:170, 1].mean() > frame[72, 100:120, 1].mean() + 1


def test_a_flat_sky_does_not_show_the_paintings_block_pattern() -> None:
    flat = np.full((160, 256, 3), 150, np.uint8)
    rng = np.random.default_rng(4)
    # in ember's size: an eighth of a picture that is 48 latents wide
    patches = np.kron(rng.integers(90, 170, (20, 32, 1)), np.ones((4, 4, 3))).astype(np.uint8)
    frame = compose(prepare_ground(flat), patches, Terms(1.0), SIZE, STILL).astype(float)
    painting = compose(prepare_ground(flat), patches, Terms(0.0), SIZE, STILL).astype(float)
    assert np.abs(np.diff(frame[..., 1], axis=1)).max() < 0.15 * np.abs(np.diff(painting[..., 1], axis=1)).max()


def test_a_frame_is_reproducible_and_the_light_follows_the_painting_smoothly() -> None:
    ground = made_ground()
    first, again = (compose(ground, painted(), Terms(0.6), SIZE, STILL) for _ in range(2))
    assert np.array_equal(first, again)
    # a small change in the painting's brightness gives a small change in the frame's
    levels = [light_of(compose(ground, painted(level=level), Terms(0.8), SIZE, STILL)).mean() for level in (0.5, 0.51)]
    assert abs(levels[1] / levels[0] - 1) < 0.05


@pytest.mark.parametrize(
    ("terms", "move"),
    [
        (PHOTO, None),
        (Terms(1.0), None),
        (Terms(0.5, zoom=1.2, x=0.05, parallax=0.5), None),
        (Terms(0.05), [1.1, 2.0, 0.01, 0.02, 0, 0]),
        (Terms(0.8, light=2.0), [1.2, 0, 0, 0, 12.0, -8.0]),
    ],
)
def test_torch_makes_the_same_picture_as_opencv(terms: Terms, move: list[float] | None) -> None:
    ground, painting = made_ground(), painted()
    lens = STILL if move is None else inverse_map(move, FRAME[0] / FRAME[1])
    one = compose(ground, painting, terms, SIZE, lens).astype(float)
    other = compose_on_device(ground, torch.from_numpy(painting).permute(2, 0, 1), terms, SIZE, lens)
    difference = np.abs(one - other.permute(1, 2, 0).numpy())
    assert difference.mean() < 0.5
    assert (difference > 2).mean() < 0.01


def test_a_larger_frame_shows_the_same_picture() -> None:
    small = compose(made_ground(), painted(), Terms(0.5), SIZE, STILL).astype(float)
    double = (2 * SIZE[0], 2 * SIZE[1])
    large = compose(made_ground(size=double), painted(), Terms(0.5), double, STILL).astype(float)
    reduced = large.reshape(SIZE[1], 2, SIZE[0], 2, 3).mean(axis=(1, 3))
    # grain and blur windows, which are in pixels, differ
    assert np.abs(reduced[:90, :130] - small[:90, :130]).mean() < 4


@given(
    st.floats(1, 4),
    st.floats(-0.3, 0.3),
    st.floats(-0.3, 0.3),
    st.floats(-1, 1),
    st.floats(-0.7, 0.7),
    st.floats(-0.7, 0.7),
)
def test_no_edge_of_a_ground_is_ever_visible(
    zoom: float, x: float, y: float, parallax: float, across: float, down: float
) -> None:
    places = ground_map(Terms(zoom=zoom, x=x, y=y, parallax=parallax), (across, down))
    corners = np.array([[a, b, 1.0] for a in (-1, 1) for b in (-1, 1)])
    assert np.abs(corners @ places[:2].T).max() <= 1 + 1e-9


# -- depth maps --------------------------------------------------------------------------------------------------------
def in_depth(near: np.ndarray | None, size: tuple[int, int] = SIZE) -> Ground:
    """Return a ground of two bright posts on grey, one left and one right of the middle, with a depth map."""
    width, height = canvas_size(FRAME, size)
    parts = []
    for scale in (ROOM, 1.0):
        columns, rows = round(width * scale), round(height * scale)
        x = (np.arange(columns) + 0.5) / columns
        post = (np.abs(x - 0.35) < 0.02) | (np.abs(x - 0.65) < 0.02)
        parts.append(np.repeat(np.where(post, 220, 60).astype(np.uint8)[None, :, None], rows, axis=0).repeat(3, axis=2))
    return prepare_ground(*parts, near=near)


def posts(frame: np.ndarray) -> list[float]:
    """Return where the two posts are seen, as shares of the width."""
    row = frame[frame.shape[0] // 2, :, 1].astype(float) - 60
    half = len(row) // 2
    places = (np.arange(len(row)) + 0.5) / len(row)
    return [float((row[part] * places[part]).sum() / row[part].sum()) for part in (slice(half), slice(half, None))]


# left half far, right half near
HALVES = np.repeat(np.repeat(np.array([[0, 255]], np.uint8), 90, axis=0), 160, axis=1)


@pytest.mark.parametrize("terms", [Terms(1, 1, 0, x=0.04), Terms(1, 1, 0, zoom=1.2)])
def test_what_is_near_moves_further_than_what_is_far(terms: Terms) -> None:
    still = posts(compose(in_depth(HALVES), painted(), PHOTO, SIZE, STILL))
    flat = posts(compose(in_depth(None), painted(), terms, SIZE, STILL))
    deep = posts(compose(in_depth(HALVES), painted(), terms, SIZE, STILL))
    far, near = (
        abs(seen - before) / abs(plain - before) for seen, plain, before in zip(deep, flat, still, strict=True)
    )
    assert 0.68 < far < 0.82
    assert 1.18 < near < 1.32
    # `parallax` is added to how deep it is
    none = posts(compose(in_depth(HALVES), painted(), replace(terms, parallax=-0.25), SIZE, STILL))
    assert none == pytest.approx(flat, abs=2e-3)


def test_an_even_depth_map_moves_nothing_apart_and_a_still_ground_is_the_photograph() -> None:
    even = np.full((90, 160), 127, np.uint8)
    terms = Terms(1, 1, 0, x=0.04, zoom=1.2)
    plain, deep = (compose(in_depth(near), painted(), terms, SIZE, STILL).astype(int) for near in (None, even))
    assert np.abs(plain - deep).mean() < 0.5
    ground = in_depth(HALVES)
    assert np.array_equal(compose(ground, painted(), PHOTO, SIZE, STILL), window(ground))


def test_depth_is_the_same_by_torch() -> None:
    rng = np.random.default_rng(3)
    near = np.asarray(Image.fromarray(rng.integers(0, 255, (5, 8), np.uint8)).resize((160, 100)))
    width, height = canvas_size(FRAME, SIZE)
    ground = prepare_ground(scene(round(width * ROOM), round(height * ROOM)), scene(width, height), near=near)
    terms, painting = Terms(0.7, x=0.03, zoom=1.15, parallax=0.3), painted()
    one = compose(ground, painting, terms, SIZE, STILL).astype(float)
    other = compose_on_device(ground, torch.from_numpy(painting).permute(2, 0, 1), terms, SIZE, STILL)
    difference = np.abs(one - other.permute(1, 2, 0).numpy())
    assert difference.mean() < 0.5
    assert (difference > 2).mean() < 0.01


@given(st.floats(1, 1.5), st.floats(-0.16, 0.16), st.floats(-0.1, 0.1), st.floats(-1, 1), st.integers(0, 99))
def test_no_edge_of_a_deep_ground_is_ever_visible(zoom: float, x: float, y: float, parallax: float, seed: int) -> None:
    near = np.random.default_rng(seed).integers(0, 255, (9, 16), np.uint8)
    ground = prepare_ground(np.zeros((100, 160, 3), np.uint8), near=near)
    terms = Terms(zoom=zoom, x=x, y=y, parallax=parallax)
    places, still = (ground_map(one, (0.0, 0.0), deep=True) for one in (terms, Terms()))
    found = bend(ground, terms, places, still, SIZE)
    if found is None:
        return
    rows, columns = found.shape[:2]
    across, down = ((2 * np.arange(count) + 1) / count - 1 for count in (columns, rows))
    at = np.stack(np.broadcast_arrays(across[None, :], down[:, None], 1.0), axis=-1)
    assert np.abs((at @ places.T)[..., :2] + found).max() <= 1 + 1e-3
