"""TIFF files with more than 8 bits a channel: floats, in colour too, 32 and 64 bits, white as zero.

Pillow reads some of them wrongly and refuses others; OpenCV decodes them. What their numbers mean is decided here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from reactive.errors import MediaError

# decoded as floats they take up to 16 bytes a pixel
_LARGEST = 25_000_000
# light beyond white, as float pictures may hold it, goes up to about here; beyond, 8 or 16 bits were written as floats
_BRIGHTEST = 16.0
# tags of TIFF 6.0
_WIDTH, _HEIGHT, _BITS, _MEANING, _ORIENTATION, _SAMPLE = 256, 257, 258, 262, 274, 339
_WHITE_IS_ZERO = 0
_FLOAT = 3
# OpenCV decodes floats of these sizes
_FLOAT_BITS = (32, 64)


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as a TIFF does."""
    with path.open("rb") as raw:
        return raw.read(4) in (b"II*\0", b"MM\0*")


def read_deep_tiff(path: Path) -> Image.Image | None:
    """Return a TIFF of more than 8 bits a channel as an 8-bit picture; None where it is of another kind or very large.

    Raises
    ------
    MediaError
        If it holds floats of a size that can't be read, or is too large for floats.
    """
    tags = _tags(path)
    bits, sample = _first(tags.get(_BITS)), _first(tags.get(_SAMPLE))
    pixels = int(_first(tags.get(_WIDTH))) * int(_first(tags.get(_HEIGHT)))
    if bits <= 8 or pixels < 1:
        return None
    if sample == _FLOAT:
        if bits not in _FLOAT_BITS:
            raise MediaError(
                f"is a TIFF of {bits}-bit floats", where=str(path), remedy="save it with 16 bits or 32-bit floats"
            )
        if pixels > _LARGEST:
            raise MediaError(
                f"is a TIFF of {pixels:,} pixels of floats", where=str(path), remedy="save it with 16 bits"
            )
    elif pixels > _LARGEST:
        return None
    import cv2

    # it would print its own lines about damaged files
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(before)
    if found is None or found.dtype == np.uint8:
        return None
    if found.ndim == 3:
        # OpenCV's channels stand backwards
        found = found[..., [2, 1, 0, 3][: found.shape[2]]]
    small = eight_bits(found)
    if _first(tags.get(_MEANING), 1) == _WHITE_IS_ZERO:
        small = 255 - small
    made = Image.fromarray(small)
    if orientation := tags.get(_ORIENTATION):
        made.getexif()[_ORIENTATION] = orientation
    return made


def eight_bits(picture: np.ndarray) -> np.ndarray:
    """Return a picture of any numbers as uint8, by their own range; what is not a number is black.

    Whole numbers range to the most that their type holds; of 32 bits only 16 may be used. Floats range to 1, with light beyond
    white clipped, or to 255 or 65535 where whole numbers were written as floats.
    """
    finite = picture if picture.dtype.kind != "f" else np.nan_to_num(picture, posinf=0.0, neginf=0.0)
    top = float(finite.max(initial=0))
    if picture.dtype.kind == "f":
        full = next(
            (limit for limit, most in ((1.0, _BRIGHTEST), (255.0, 255.0), (65535.0, 65535.0)) if top <= most), top
        )
        finite = np.where(np.isposinf(picture), full, finite)
    else:
        full = float(np.iinfo(picture.dtype).max)
        full = 65535.0 if full > 65535 and top <= 65535 else full
    small: np.ndarray = np.clip(finite * (255 / full), 0, 255).round().astype(np.uint8)
    return small


def _tags(path: Path) -> Any:
    """Return the tags of a TIFF's first picture; none if they can't be read."""
    try:
        with path.open("rb") as raw:
            tags = TiffImagePlugin.ImageFileDirectory_v2(raw.read(8))
            raw.seek(tags.next or 0, os.SEEK_SET)
            tags.load(raw)
            return dict(tags)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, RuntimeError):
        return {}


def _first(value: Any, default: int = 0) -> int:
    """Return a tag's number, or its first one."""
    value = value[0] if isinstance(value, tuple) and value else value
    return int(value) if isinstance(value, int) else default
