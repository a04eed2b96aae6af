"""Read a photograph: any format Pillow reads safely, turned upright, as sRGB."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from reactive.errors import MediaError
from reactive.media.safe import regular_file

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MAX_PIXELS = 200_000_000


def check_picture(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return width and height that a photograph claims, without decoding it.

    Raises
    ------
    MediaError
        If it is not a picture of a known format, or claims more than 200 million pixels.
    """
    with _opened(path) as image:
        return image.width, image.height


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Return a photograph as uint8 [height, width, 3] sRGB, turned upright by its EXIF orientation.

    An embedded colour profile is heeded, what is transparent shows black, and 16 bits become 8.

    Raises
    ------
    MediaError
        If it is not a picture of a known format, is damaged, or claims more than 200 million pixels.
    """
    with _opened(path) as image:
        return np.asarray(_srgb(ImageOps.exif_transpose(image)))


def read_transparent(path: str | os.PathLike[str]) -> np.ndarray:
    """Return a drawing, for instance a logo, as uint8 [height, width, 4]: sRGB and how firm each point is.

    Raises
    ------
    MediaError
        As `read_picture` does.
    """
    with _opened(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    checked = regular_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(checked, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise MediaError(
                        f"has {image.width}x{image.height} pixels", where=str(path), remedy="scale it down first"
                    )
                yield image
    except UnidentifiedImageError:
        raise MediaError(
            "is not a picture that can be read", where=str(path), remedy="save it as JPEG, PNG or WebP"
        ) from None
    except Image.DecompressionBombError:
        raise MediaError("claims too many pixels", where=str(path), remedy="scale it down first") from None
    except (OSError, SyntaxError, ValueError) as problem:
        raise MediaError(f"is a damaged picture ({problem})", where=str(path), remedy="save it again") from None


def _srgb(image: Image.Image) -> Image.Image:
    """Return a picture as 8-bit sRGB."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        # 16 bits of grey, which Pillow would clip at 255
        deep = np.nan_to_num(np.asarray(image, np.float64))
        scale = 1.0 if deep.max(initial=0.0) <= 255 else 255 / 65535
        return Image.fromarray(np.clip(deep * scale, 0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, (0, 0, 0, 255)), seen).convert("RGB")
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            # a damaged profile: the numbers as they stand
            return image.convert("RGB")
    return image.convert("RGB")
