"""Photographs at imagine-size, never stretched: cropped around people and what stands out, or whole between bars."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from reactive.media.picture import BLACK, read_picture
from reactive.sources.saliency import best_window, saliency, window_at, with_people

# of the frame's longer side: how far the copy behind a whole photograph is blurred
BLUR = 0.03
# the light that is left of it
DIMMED = 0.6


def load_photo(
    path: str | os.PathLike[str],
    *,
    width: int,
    height: int,
    background: tuple[int, int, int] = BLACK,
    fit: str = "cover",
    focus: tuple[float, float] | None = None,
) -> np.ndarray:
    """Return a photograph as uint8 [height, width, 3].

    Transparent parts, and bars, show `background`: red, green and blue, 0 to 255.

    Parameters
    ----------
    fit
        ``cover`` crops it to the shape, ``contain`` shows all of it between bars, ``blur`` over a blurred copy.
    focus
        What matters in it, as shares of width and height: the crop is as near to it as it can be. Default: people, and what stands out.

    Raises
    ------
    MediaError
        If it can't be read as a picture.
    """
    picture = read_picture(path, background=background)
    return framed(picture, crop_of(picture, width / height, focus), width, height, fit, background)


def crop_of(
    picture: np.ndarray, aspect: float, focus: tuple[float, float] | None, *, people: bool = True
) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the window of an aspect ratio that a photograph is cropped to."""
    size = picture.shape[1], picture.shape[0]
    if focus is not None:
        return window_at(focus, size, aspect)
    found = saliency(picture)
    return best_window(with_people(found, picture) if people else found, size, aspect)


def framed(
    picture: np.ndarray,
    crop: tuple[int, int, int, int],
    width: int,
    height: int,
    fit: str,
    background: tuple[int, int, int] = BLACK,
) -> np.ndarray:
    """Return a photograph uint8 [rows, columns, 3] in a frame, uint8 [height, width, 3]."""
    left, top, across, down = crop
    window = Image.fromarray(picture[top : top + down, left : left + across])
    filled = (width, height)
    if fit == "cover" or (across, down) == picture.shape[1::-1]:
        return np.asarray(window.resize(filled, Image.Resampling.LANCZOS))
    scale = min(width / picture.shape[1], height / picture.shape[0])
    whole = Image.fromarray(picture).resize(
        (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)), Image.Resampling.LANCZOS
    )
    behind = (
        _blurred(window.resize(filled, Image.Resampling.BOX)) if fit == "blur" else Image.new("RGB", filled, background)
    )
    behind.paste(whole, ((width - whole.width) // 2, (height - whole.height) // 2))
    return np.asarray(behind)


def _blurred(picture: Image.Image) -> Image.Image:
    from PIL import ImageEnhance, ImageFilter

    soft = picture.filter(ImageFilter.GaussianBlur(BLUR * max(picture.size)))
    return ImageEnhance.Brightness(soft).enhance(DIMMED)
