"""Write pictures and short silent loops: JPEG, PNG, WebP and GIF. Each appears under its name only when it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

from reactive.errors import OutputError
from reactive.files import replacing
from reactive.video.segment import output_error

PICTURES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
LOOPS = {".gif": "GIF", ".webp": "WEBP"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 92, "subsampling": 0, "optimize": True},
    "PNG": {"optimize": True},
    "WEBP": {"quality": 88, "method": 4},
}
# steps of a GIF's delays
CENTISECOND = Fraction(1, 100)


def picture_format(path: Path, formats: dict[str, str] = PICTURES) -> str:
    """Return Pillow's name of a file name's format.

    Raises
    ------
    OutputError
        If it is none of `formats`.
    """
    kind = formats.get(path.suffix.lower())
    if kind is None:
        raise OutputError(
            f"{path.suffix or 'a nameless file'} is not a format for it",
            where=str(path),
            remedy=f"name it with {' or '.join(formats)}",
        )
    return kind


def fit_within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return a size of the same shape whose longer side is at most `longest`."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def write_picture(path: Path, picture: np.ndarray, *, longest: int | None = None, xmp: str = "") -> tuple[int, int]:
    """Write a picture, uint8 [height, width, 3] sRGB, scaled down to `longest` if given; return its width and height.

    `xmp` is the clip's mark of generative AI, which its pictures carry too.

    Raises
    ------
    OutputError
        If it can't be written, or reads back as something else.
    """
    kind = picture_format(path)
    image = Image.fromarray(picture)
    if longest is not None:
        image = image.resize(fit_within(image.size, longest), Image.Resampling.LANCZOS)
    _save(path, image, kind, _OPTIONS[kind] | _marked(kind, xmp))
    with Image.open(path) as back:
        back.load()
        if back.size != image.size:
            raise OutputError("did not read back as it was written", where=str(path), remedy="write it again")
    return image.size


def _marked(kind: str, xmp: str) -> dict[str, Any]:
    if not xmp:
        return {}
    if kind != "PNG":
        return {"xmp": xmp.encode("utf-8")}
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    return {"pnginfo": info}


def write_loop(path: Path, pictures: Sequence[np.ndarray], *, fps: Fraction) -> None:
    """Write pictures, uint8 [height, width, 3] each, as a GIF or WebP that loops for ever.

    A GIF counts hundredths of a second, WebP thousandths: the pictures' durations differ by one such step if that keeps
    the loop's total exact.

    Raises
    ------
    OutputError
        If it can't be written, or reads back with another length.
    """
    kind = picture_format(path, LOOPS)
    step = CENTISECOND if kind == "GIF" else Fraction(1, 1000)
    edges = [round(k / fps / step) for k in range(len(pictures) + 1)]
    lengths = [int((b - a) * step * 1000) for a, b in zip(edges, edges[1:], strict=False)]
    images = [Image.fromarray(picture) for picture in pictures]
    options: dict[str, Any] = {"quality": 80, "method": 4} if kind == "WEBP" else {"disposal": 1}
    if kind == "GIF":
        images = [image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
    options |= {"save_all": True, "append_images": images[1:], "duration": lengths, "loop": 0}
    _save(path, images[0], kind, options)
    with Image.open(path) as back:
        total = 0
        for frame in ImageSequence.Iterator(back):
            frame.load()
            total += int(frame.info.get("duration", 0))
        if total != sum(lengths) or back.info.get("loop") != 0:
            raise OutputError("did not read back as it was written", where=str(path), remedy="write it again")


def _save(path: Path, image: Image.Image, kind: str, options: dict[str, Any]) -> None:
    try:
        with replacing(path) as partial:
            image.save(partial, format=kind, **options)
    except OSError as problem:
        raise output_error(path, problem) from None
