"""Photographs: colour management, and cropping to the salient area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from reactive.errors import MediaError
from reactive.media.picture import read_picture
from reactive.sources.photo import load_photo
from reactive.sources.saliency import best_window, saliency


def scene(left: int) -> np.ndarray:
    """Return a wide, smooth picture with fine even grain and one small figure."""
    rng = np.random.default_rng(0)
    picture = np.linspace(90, 150, 400)[None, :, None] + rng.normal(0, 6, (200, 400, 1))
    picture = np.repeat(picture, 3, axis=2)
    picture[70:130, left : left + 30] = (200, 40, 30)
    picture[85:100, left + 8 : left + 22] = (240, 230, 220)
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("left", [10, 60, 180, 300, 365])
def test_the_crop_contains_the_figure(left: int) -> None:
    picture = scene(left)
    found = saliency(picture)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0
    x, y, width, height = best_window(found, (400, 200), 1.0)
    assert (width, height, y) == (200, 200, 0)
    assert x <= left
    assert x + width >= left + 30


def test_an_even_picture_is_cropped_in_the_middle() -> None:
    flat = np.full((200, 400, 3), 128, np.uint8)
    x, _, width, _ = best_window(saliency(flat), (400, 200), 1.0)
    assert abs(x + width / 2 - 200) <= 1


def test_a_photograph_is_never_stretched(tmp_path: Path) -> None:
    picture = np.zeros((300, 500, 3), np.uint8)
    y, x = np.mgrid[0:300, 0:500]
    picture[(x - 250) ** 2 + (y - 150) ** 2 < 60**2] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    shown = load_photo(tmp_path / "a.png", width=128, height=128)
    rows, columns = np.nonzero(shown[..., 0] > 128)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1


def test_colour_profiles_are_applied(tmp_path: Path) -> None:
    plain = Image.new("RGB", (8, 8), (200, 120, 60))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain.save(tmp_path / "same.png", icc_profile=profile)
    assert np.abs(read_picture(tmp_path / "same.png").astype(int) - (200, 120, 60)).max() <= 1
    plain.save(tmp_path / "bad.png", icc_profile=b"not a profile")
    assert np.array_equal(read_picture(tmp_path / "bad.png")[0, 0], (200, 120, 60))
    lab = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    lab.save(tmp_path / "print.jpg")
    red, green, blue = read_picture(tmp_path / "print.jpg")[4, 4].tolist()
    assert red > 150 > green
    assert blue < 100


def test_transparent_and_deep_pictures(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png").max() == 0
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    shown = read_picture(tmp_path / "deep.png")
    assert shown.shape == (8, 8, 3)
    assert np.abs(shown[..., 0].astype(int) - (ramp / 257).round()).max() <= 1


def test_a_phone_s_orientation_is_applied(tmp_path: Path) -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95)
    shown = read_picture(tmp_path / "a.jpg")
    assert shown.shape == (40, 20, 3)
    assert shown[:, 15:].mean() > 240
    assert shown[:, :5].mean() < 15


def test_a_file_that_is_not_a_photograph_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"a\.jpg: is not a picture"):
        load_photo(tmp_path / "a.jpg", width=64, height=64)
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:1500])
    with pytest.raises(MediaError, match=r"b\.png: is a damaged picture"):
        load_photo(tmp_path / "b.png", width=64, height=64)
