"""Read a photograph: any format Pillow reads safely, turned upright, as RGB."""

from __future__ import annotations

import os
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reactive.errors import MediaError
from reactive.media.safe import regular_file

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MAX_PIXELS = 200_000_000


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Return a photograph as uint8 [height, width, 3] sRGB, turned upright by its EXIF orientation.

    Raises
    ------
    MediaError
        If it is not a picture of a known format, is damaged, or claims more than 200 million pixels.
    """
    checked = regular_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(checked, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise MediaError(
                        f"has {image.width}x{image.height} pixels", where=str(path), remedy="scale it down first"
                    )
                upright = ImageOps.exif_transpose(image)
                return np.asarray(upright.convert("RGB"))
    except UnidentifiedImageError:
        raise MediaError(
            "is not a picture that can be read", where=str(path), remedy="save it as JPEG, PNG or WebP"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise MediaError(f"is a damaged picture ({problem})", where=str(path), remedy="save it again") from None
