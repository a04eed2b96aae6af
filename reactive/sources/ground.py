"""Photographs as grounds: at the output's size and larger, cropped as a source is, and where one comes closer to."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reactive.media.picture import BLACK, read_picture
from reactive.sources.saliency import best_window, saliency

# one never comes closer to a very corner
_CORNER = 0.7


@dataclass(frozen=True)
class GroundPicture:
    """A photograph cropped to a frame's shape.

    Attributes
    ----------
    exact
        uint8 [height, width, 3] in the size that was asked for.
    larger
        The same, larger.
    focus
        What stands out, in half widths and half heights from the centre.
    """

    exact: np.ndarray
    larger: np.ndarray
    focus: tuple[float, float]


def load_ground(
    path: str | os.PathLike[str],
    *,
    width: int,
    height: int,
    room: float,
    focus: tuple[float, float] | None = None,
    background: tuple[int, int, int] = BLACK,
) -> GroundPicture:
    """Return a photograph as a ground, cropped by the very window that `load_photo` takes.

    Parameters
    ----------
    room
        How much larger than `width` and `height` the larger copy is.
    focus
        What matters in the photograph, as shares of its width and height from the upper left corner. Default: what stands out.

    Raises
    ------
    MediaError
        If it can't be read as a picture.
    """
    picture = read_picture(path, background=background)
    size = picture.shape[1], picture.shape[0]
    salience = saliency(picture)
    left, top, across, down = best_window(salience, size, width / height)
    window = Image.fromarray(picture[top : top + down, left : left + across])
    exact, larger = (
        np.asarray(window.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS))
        for scale in (1.0, room)
    )
    place = _standing_out(salience) if focus is None else focus
    inside = (place[0] * size[0] - left) / across * 2 - 1, (place[1] * size[1] - top) / down * 2 - 1
    kept = min(max(inside[0], -_CORNER), _CORNER), min(max(inside[1], -_CORNER), _CORNER)
    return GroundPicture(exact, larger, kept)


def _standing_out(salience: np.ndarray) -> tuple[float, float]:
    """Return the middle of what stands out most, as shares of width and height."""
    weight = salience**2
    rows, columns = (np.arange(count) + 0.5 for count in salience.shape)
    total = float(weight.sum())
    x = float((weight.sum(axis=0) * columns).sum()) / total / salience.shape[1]
    y = float((weight.sum(axis=1) * rows).sum()) / total / salience.shape[0]
    return x, y
