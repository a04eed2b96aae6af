"""Flash detection, on synthetic pictures on both sides of each limit."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from reactive.score import flash
from reactive.score.flash import GRID, WHITE, Limits, count_flashes, first_state, next_state
from reactive.score.limit import STRICT_LIMITS, Limiter, mixed

FPS = Fraction(24)
GREY = (128, 128, 128)
RED = (255, 0, 0)


def level(luminance: float) -> tuple[int, int, int]:
    """Return the grey whose screen luminance is nearest to a value in cd/m2."""
    value = round(255 * (luminance / WHITE) ** (1 / 2.2))
    return value, value, value


def strobe(
    a: tuple[int, int, int],
    b: tuple[int, int, int],
    *,
    hertz: float,
    fps: Fraction = FPS,
    seconds: float = 3.0,
    area: float = 1.0,
) -> Iterator[np.ndarray]:
    """Yield pictures whose lower `area` alternates between a and b `hertz` times a second."""
    lit = round(area * GRID[1])
    for k in range(round(seconds * fps)):
        picture = np.full((GRID[1], GRID[0], 3), a, np.uint8)
        if int(2 * hertz * k / fps + 1e-9) % 2:
            picture[GRID[1] - lit :] = b
        yield picture


def passes(*args, **kwargs) -> bool:
    return count_flashes(strobe(*args, **kwargs), kwargs.get("fps", FPS)).passes


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60)])
def test_three_flashes_a_second_pass_and_four_do_not(fps: Fraction) -> None:
    assert passes(level(0), level(100), hertz=3, fps=fps)
    assert not passes(level(0), level(100), hertz=4, fps=fps)


def test_the_swing_counts_from_20_cd() -> None:
    assert passes(level(40), level(58.5), hertz=6)
    assert not passes(level(40), level(61.5), hertz=6)


def test_only_a_darker_picture_below_160_cd_counts() -> None:
    assert passes(level(162), level(200), hertz=6)
    assert not passes(level(157), level(200), hertz=6)


def test_only_more_than_a_quarter_of_the_screen_counts() -> None:
    assert passes(level(0), level(100), hertz=6, area=13 / 54)
    assert not passes(level(0), level(100), hertz=6, area=14 / 54)


def test_saturated_red_counts_whatever_its_luminance() -> None:
    # of equal luminance, so that only the hue flashes
    grey = level(WHITE * 0.2126)
    found = count_flashes(strobe(grey, RED, hertz=6), FPS)
    assert found.red.stretches != ()
    assert found.general.stretches == ()
    assert found.red.flashes == 6.0
    assert not passes(grey, RED, hertz=4)
    assert passes(grey, RED, hertz=3)
    assert passes(grey, RED, hertz=6, area=13 / 54)
    # an unsaturated red, and a hue that is too close
    assert count_flashes(strobe(grey, (200, 110, 110), hertz=6), FPS).red.flashes == 0
    assert count_flashes(strobe((255, 100, 60), RED, hertz=6), FPS).red.flashes == 0


def test_a_fade_counts_like_a_jump() -> None:
    saw = [np.full((GRID[1], GRID[0], 3), 40 * abs((k % 6) - 3), np.uint8) for k in range(72)]
    found = count_flashes(saw, FPS)
    assert found.general.flashes == pytest.approx(4, abs=0.5)
    assert not found.passes


def test_the_position_of_flashes_is_reported() -> None:
    calm = [np.full((GRID[1], GRID[0], 3), 90, np.uint8)] * 48
    found = count_flashes([*calm, *strobe(level(0), level(150), hertz=6, seconds=2), *calm], FPS)
    ((start, end),) = found.general.stretches
    assert start == pytest.approx(2.0, abs=0.1)
    assert end == pytest.approx(4.4, abs=0.7)
    assert found.general.area == 1.0
    assert "flashes a second over 100%" in found.sentence()
    assert found.to_dict()["passes"] is False


def test_cuts_between_pictures_are_one_transition_each() -> None:
    rng = np.random.default_rng(0)
    block = np.kron(rng.integers(0, 2, (6, 8)) * 200, np.ones((9, 12))).astype(np.uint8)
    scenes = [np.repeat(one[..., None], 3, axis=2) for one in (block, 200 - block)]
    six, eight = ([scenes[k // hold % 2] for k in range(96)] for hold in (4, 3))
    assert count_flashes(six, FPS).general.flashes == 3
    assert count_flashes(six, FPS).passes
    assert not count_flashes(eight, FPS).passes


def test_alternating_halves_count_as_flashing() -> None:
    halves = np.zeros((GRID[1], GRID[0], 3), np.uint8)
    halves[: GRID[1] // 2] = 200
    assert not count_flashes([halves if (k // 2) % 2 else halves[::-1] for k in range(48)], FPS).passes


def test_checking_does_not_change_the_pictures() -> None:
    first, second = list(strobe(level(0), level(100), hertz=12, seconds=0.2))[:2]
    state = first_state(first)
    once, again = next_state(state, second, FPS, Limits()), next_state(state, second, FPS, Limits())
    assert once.general.events == again.general.events != ()
    assert state.general.events == ()


def limited(pictures: list[np.ndarray], fps: Fraction = FPS) -> tuple[list[np.ndarray], list[float]]:
    limiter, shown, shares = Limiter(fps), [], []
    for picture in pictures:
        shares.append(limiter.share(picture))
        shown.append(mixed(shown[-1], picture, shares[-1]) if shown else picture)
    return shown, shares


@pytest.mark.parametrize("hertz", [4, 6, 8, 12])
@pytest.mark.parametrize("pair", [(level(0), level(200)), (level(WHITE * 0.2126), RED), ((0, 0, 120), RED)])
def test_limited_pictures_pass(hertz: float, pair: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    pictures = list(strobe(*pair, hertz=hertz, seconds=2))
    assert not count_flashes(pictures, FPS).passes
    shown, shares = limited(pictures)
    assert count_flashes(shown, FPS).passes
    assert 0 <= min(shares) < 1
    # before the limit is reached nothing is changed
    assert shares[:4] == [1.0] * 4


def test_limited_noise_and_cuts_pass() -> None:
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (60, 6, 8, 3)).astype(np.uint8)
    pictures = [np.kron(small[k // (1 + k % 3)], np.ones((9, 12, 1), np.uint8)) for k in range(60)]
    assert not count_flashes(pictures, FPS).passes
    assert count_flashes(limited(pictures)[0], FPS).passes


def test_a_clip_within_the_limits_is_unchanged() -> None:
    assert set(limited(list(strobe(level(0), level(200), hertz=2)))[1]) == {1.0}


def test_a_limited_change_is_complete_after_a_second() -> None:
    pictures = list(strobe(level(0), level(150), hertz=12, seconds=1))
    pictures += [np.full_like(pictures[0], 200)] * 48
    shown, _ = limited(pictures)
    assert np.array_equal(shown[-1], pictures[-1])


def test_colours_that_need_no_comparison_are_near_every_saturated_red() -> None:
    steps = np.arange(0, 256, 3)
    green, blue = (each.reshape(-1) for each in np.meshgrid(steps, steps))
    bright = np.stack([np.full_like(green, 255), green, blue]).astype(np.uint8)
    # dark colours too, which the added white pulls towards grey
    colours = np.concatenate([bright, bright // 2, bright // 4, bright // 10], 1)
    _, share = flash._light_and_share(colours)
    hues = np.stack(flash._hue(colours))
    reds, near = hues[:, share >= flash.SATURATED], hues[:, share >= flash._NEAR_RED]
    farthest = max(np.hypot(*(reds - one[:, None])).max() for one in near.T)
    assert farthest < STRICT_LIMITS.hue
    assert near.shape[1] > reds.shape[1] > 1000
