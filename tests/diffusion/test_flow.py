"""Optical flow: known motion is found, and interpolated pictures lie on the path."""

from __future__ import annotations

import numpy as np
import pytest
import torch


def texture(seed: int = 0, height: int = 120, width: int = 200) -> np.ndarray:
    """Return a detailed picture with margins, uint8 [height, width, 3]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, height // 8, width // 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    return (smooth * 45 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy()


def window(picture: np.ndarray, right: int, down: int) -> np.ndarray:
    return np.ascontiguousarray(picture[20 - down : 100 - down, 30 - right : 170 - right])


@pytest.mark.parametrize(("right", "down"), [(6, 0), (-4, 5), (0, -8)])
def test_a_known_motion_is_found(right: int, down: int) -> None:
    from reactive.diffusion.motion.flow import flow_between

    first, second = window(texture(), 0, 0), window(texture(), right, down)
    inner = flow_between(first, second)[:, 12:-12, 12:-12]
    assert inner.flatten(1).median(dim=1).values.tolist() == pytest.approx([right, down], abs=0.5)
    assert torch.equal(flow_between(first, second), flow_between(first, second))


def test_the_interpolated_picture_is_half_way() -> None:
    from reactive.diffusion.motion.flow import Between

    whole = texture()
    first, middle, last = (torch.from_numpy(window(whole, x, 0)).permute(2, 0, 1) for x in (0, 5, 10))
    way = Between(first, last)
    inner = (slice(None), slice(10, -10), slice(14, -14))
    error = (way.at(0.5)[inner].float() - middle[inner].float()).abs().mean()
    mixed = ((first[inner].float() + last[inner].float()) / 2 - middle[inner].float()).abs().mean()
    assert float(error) < 0.25 * float(mixed)
    assert torch.equal(way.at(0.0), first)
    assert torch.equal(way.at(1.0), last)


def test_unrelated_pictures_dissolve() -> None:
    from reactive.diffusion.motion.flow import Between

    first, last = (torch.from_numpy(texture(seed)).permute(2, 0, 1) for seed in (0, 1))
    way = Between(first, last)
    shares = np.linspace(0, 1, 9)
    pictures = torch.stack([way.at(float(share)) for share in shares]).float()
    steps = pictures.diff(dim=0).abs().mean(dim=(1, 2, 3))
    # no step is larger than the others
    assert float(steps.max()) < 2.5 * float(steps.median())
