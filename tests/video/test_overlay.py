"""Texts and logos as patches over pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from reactive.video.overlay import MARGIN, Patch, lay_over, logo_patch, text_patch

SIZE = (320, 180)


def words(text: str, place: str = "bottom", size: float = 0.1) -> Patch:
    font = ImageFont.load_default(round(size * SIZE[1]))
    return text_patch(text, place=place, size=size, font=font, colour="#ff0000", picture=SIZE)


@pytest.mark.parametrize(
    "place", ["top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right"]
)
def test_a_text_is_at_its_position(place: str) -> None:
    patch = words("a word", place)
    height, width = patch.pixels.shape[:2]
    margin = round(MARGIN * SIZE[1])
    right, below = SIZE[0] - patch.left - width, SIZE[1] - patch.top - height
    assert (
        patch.left == margin
        if "left" in place
        else right == margin
        if "right" in place
        else abs(patch.left - right) <= 1
    )
    assert (
        patch.top == margin if "top" in place else below == margin if "bottom" in place else abs(patch.top - below) <= 1
    )


def test_letters_are_coloured_with_a_dark_outline() -> None:
    patch = words("HHH")
    solid = patch.pixels[patch.pixels[..., 3] == 255]
    assert (solid == (255, 0, 0, 255)).all(axis=1).any()
    assert patch.pixels[..., :3].min() == 0
    assert 0.05 * SIZE[1] < patch.pixels.shape[0] < 0.25 * SIZE[1]


def test_a_long_text_is_broken_and_stays_inside() -> None:
    short, long = (
        words("a word"),
        words("many words of a long line that no picture could ever hold in one row of letters"),
    )
    assert long.pixels.shape[0] > 1.8 * short.pixels.shape[0]
    for patch in (long, words("x" * 300), words("W" * 200, size=0.5)):
        height, width = patch.pixels.shape[:2]
        assert width <= SIZE[0]
        assert height <= SIZE[1]
        assert patch.left >= 0
        assert patch.top >= 0


def test_a_logo_keeps_its_shape_and_its_transparency() -> None:
    logo = np.zeros((50, 100, 4), np.uint8)
    logo[:, 50:] = (0, 255, 0, 255)
    patch = logo_patch(logo, place="top right", size=0.2, strength=0.5, picture=SIZE)
    assert patch.pixels.shape == (36, 72, 4)
    assert patch.pixels[:, -10:, 3].tolist() == np.full((36, 10), 128).tolist()
    assert not patch.pixels[:, :10, 3].any()
    wide = logo_patch(np.full((10, 900, 4), 255, np.uint8), place="top", size=0.5, strength=1, picture=SIZE)
    assert wide.pixels.shape[1] <= SIZE[0]


def test_an_overlay_fades_and_changes_nothing_else() -> None:
    patch = Patch(np.full((10, 20, 4), 255, np.uint8), 5, 7)
    for share, value in ((0.0, 100), (0.5, 178), (1.0, 255)):
        picture = np.full((180, 320, 3), 100, np.uint8)
        lay_over(picture, patch, share)
        assert (picture[7:17, 5:25] == value).all()
        picture[7:17, 5:25] = 100
        assert (picture == 100).all()
