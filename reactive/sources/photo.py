"""Photographs at imagine-size: cropped to the frame's shape around its salient part, never stretched."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from reactive.media.picture import BLACK, read_picture
from reactive.sources.saliency import best_window, saliency


def load_photo(
    path: str | os.PathLike[str], *, width: int, height: int, background: tuple[int, int, int] = BLACK
) -> np.ndarray:
    """Return a photograph as uint8 [height, width, 3], cropped to the shape around its most salient part.

    Transparent parts show `background`: red, green and blue, 0 to 255.

    Raises
    ------
    MediaError
        If it can't be read as a picture.
    """
    picture = read_picture(path, background=background)
    size = picture.shape[1], picture.shape[0]
    left, top, crop_width, crop_height = best_window(saliency(picture), size, width / height)
    window = Image.fromarray(picture[top : top + crop_height, left : left + crop_width])
    return np.asarray(window.resize((width, height), Image.Resampling.LANCZOS))
