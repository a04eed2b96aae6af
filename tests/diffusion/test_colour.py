"""Colour coherence: conversions against their definition, and the effect of the correction."""

from __future__ import annotations

import pytest
import torch

from reactive.diffusion.colour import MAX_SHIFT, MAX_STRETCH, from_lab, led_to, palette, to_lab


def picture(seed: int, mean: tuple[float, float, float] = (0.0, 0.0, 0.0), spread: float = 0.25) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(1, 3, 9, 16, generator=generator) * spread
    smooth = torch.nn.functional.interpolate(small, (72, 128), mode="bicubic")
    return (smooth + torch.tensor(mean).view(1, 3, 1, 1)).clamp(-1, 1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((128, 128, 128), (53.59, 0, 0)),
        ((10, 10, 10), (2.74, 0, 0)),
    ],
)
def test_lab_is_that_of_the_cie(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    given = (torch.tensor(rgb, dtype=torch.float32) / 127.5 - 1).view(1, 3, 1, 1)
    assert to_lab(given).flatten().tolist() == pytest.approx(lab, abs=0.02)


def test_there_and_back() -> None:
    given = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(from_lab(to_lab(given)), given, atol=2e-3)


def test_one_tick_corrects_only_partly() -> None:
    start, goal = picture(0, (-0.6, -0.5, -0.4), 0.1), palette(picture(1, (0.5, 0.2, -0.3), 0.3))
    moved = palette(led_to(start, goal, 1.0)) - palette(start)
    assert float(moved[0, 0].abs().max()) <= MAX_SHIFT + 0.3
    ratio = palette(led_to(start, goal, 1.0))[0, 1] / palette(start)[0, 1]
    assert float(ratio.max()) <= MAX_STRETCH + 0.02
    gently = palette(led_to(start, goal, 0.02)) - palette(start)
    assert 0 < float(gently[0, 0, 0]) < float(moved[0, 0, 0])


def test_many_ticks_converge() -> None:
    current, goal = picture(0, (-0.5, -0.4, -0.3), 0.15), palette(picture(1, (0.2, 0.1, -0.1), 0.25))
    for _ in range(60):
        current = led_to(current, goal, 0.6)
    assert float((palette(current)[0, 0] - goal[0, 0]).abs().max()) < 2.0
    assert float((palette(current)[0, 1] / goal[0, 1] - 1).abs().max()) < 0.15
    again = led_to(current, palette(current), 1.0)
    assert torch.allclose(again, current, atol=2e-3)


def test_a_flat_picture_stays_finite() -> None:
    flat = torch.zeros(1, 3, 16, 16)
    led = led_to(flat, palette(picture(1)), 1.0)
    assert torch.isfinite(led).all()
    assert float(led.abs().max()) <= 1.0
