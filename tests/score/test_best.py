"""The best picture and the best loop, on pictures with a known answer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from reactive.score.best import ClipScan, Loop, appeal_of, best_frame, best_loop, closed

FPS = Fraction(24)


def turning(frames: int, period: int) -> np.ndarray:
    """Return tiny pictures of a bright spot that circles once each `period` frames."""
    y, x = np.mgrid[0:9, 0:16]
    angle = 2 * np.pi * np.arange(frames) / period
    cx, cy = 8 + 5 * np.cos(angle), 4.5 + 3 * np.sin(angle)
    spot = 255 * np.exp(-((x - cx[:, None, None]) ** 2 + (y - cy[:, None, None]) ** 2) / 6)
    return np.repeat(spot[..., None], 3, axis=3).astype(np.uint8)


def test_the_loop_is_the_period() -> None:
    small = turning(400, 84)
    loop = best_loop(ClipScan(FPS, np.ones(400), small))
    assert loop.stop - loop.start == 84


def test_a_turning_point_is_not_a_loop() -> None:
    small = turning(300, 400)
    found = best_loop(ClipScan(FPS, np.ones(300), small))
    assert 48 <= found.stop - found.start <= 120
    assert best_loop(ClipScan(FPS, np.ones(20), small[:20])) == Loop(0, 20)


def test_a_loop_is_closed_by_its_fade() -> None:
    rise = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.full((20, 2, 2, 3), 10, np.uint8)
    loop = closed(rise[6:], rise[:6])
    assert len(loop) == 14
    assert np.array_equal(loop[:8], rise[6:14])
    assert abs(int(loop[-1].mean()) - int(loop[0].mean())) <= 40
    assert np.array_equal(closed(rise, rise[:0]), rise)


def test_colour_contrast_and_detail_appeal() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((90, 160, 3), 120, np.uint8)
    grey = np.repeat(rng.integers(0, 256, (90, 160, 1)), 3, axis=2).astype(np.uint8)
    colour = rng.integers(0, 256, (90, 160, 3)).astype(np.uint8)
    assert appeal_of(flat) == 0
    assert 0 < appeal_of((grey // 4 + 90).astype(np.uint8)) < appeal_of(grey)
    assert appeal_of(grey) < appeal_of(colour) * 2


def test_the_best_frame_is_away_from_cuts_and_ends() -> None:
    small = np.zeros((100, 9, 16, 3), np.uint8)
    small[50:] = 200
    appeal = np.ones(100)
    appeal[[0, 50, 99]] = 9
    appeal[70] = 5
    assert best_frame(ClipScan(FPS, appeal, small)) == 70
    assert best_frame(ClipScan(FPS, np.array([1.0]), small[:1])) == 0
