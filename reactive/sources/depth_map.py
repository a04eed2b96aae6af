"""Depth maps of photographs: ``tower.depth.png`` beside ``tower.jpg`` says what is near (white) and what is far (black).

`reactive depth` estimates them; a map drawn by hand, or exported by another program, is read as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reactive.media.picture import read_picture

ENDING = ".depth.png"


def map_path(photo: Path) -> Path:
    """Return where a photograph's depth map lies, whether or not it is there."""
    return photo.with_name(photo.stem + ENDING)


def is_map(path: Path) -> bool:
    """Return whether a file is a depth map, by its name."""
    return path.name.lower().endswith(ENDING)


def depth_map_of(photo: Path) -> Path | None:
    """Return a photograph's depth map, or None if it has none."""
    found = map_path(photo)
    return found if not is_map(photo) and found.is_file() else None


def read_depth_map(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return a depth map as uint8 [height, width, 3], all channels the same, at the width and height of its photograph.

    Raises
    ------
    MediaError
        If it can't be read as a picture.
    """
    from PIL import Image

    grey = Image.fromarray(read_picture(path)).convert("L").resize(size, Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)
