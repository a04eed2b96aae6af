"""A picture with a title, as thumbnails have it: large letters on a darkened lower edge."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reactive.media.fonts import font_for
from reactive.video.lettering import length_of, write_line

# shares of the picture's height: largest and smallest letters, and the gap to the edges
_LARGEST, _SMALLEST, _GAP = 0.17, 0.06, 0.06
LINES = 2
INK = (255, 255, 255)


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3], with a title at its lower edge, as large as fits in at most two lines."""
    height, width = picture.shape[:2]
    gap = round(_GAP * height)
    lines, font, size = _fitted(title, width - 2 * gap, height)
    image = Image.fromarray(_darkened(picture, round(1.25 * size * len(lines)) + 2 * gap))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(reversed(lines)):
        top = height - gap - round(1.2 * size * (number + 1))
        write_line(draw, (gap, top), line, font, fill=INK)
    return np.asarray(image)


def _fitted(title: str, width: int, height: int) -> tuple[list[str], ImageFont.FreeTypeFont, int]:
    """Return the lines of a title, the font in which they fit, and its size in pixels; letters that don't fit are left out."""
    path = str(font_for(title))
    for share in np.linspace(_LARGEST, _SMALLEST, 12):
        size = max(round(share * height), 6)
        font = ImageFont.truetype(path, size)
        lines = _wrapped(title, width, font)
        if len(lines) <= LINES:
            return lines, font, size
    filled = [line for line in lines if line]
    kept = filled[:LINES]
    for number, line in enumerate(kept):
        lost = number == len(kept) - 1 and len(filled) > LINES
        if lost or length_of(line, font) > width:
            while line and length_of(line + "...", font) > width:
                line = line[:-1]
            kept[number] = line + "..."
    return kept, font, size


def _wrapped(title: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    lines: list[str] = []
    for word in title.split() or [""]:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and length_of(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    # a single word that is too wide counts as too many lines, so that smaller letters are tried
    return lines if all(length_of(line, font) <= width for line in lines) else [*lines, *[""] * LINES]


def _darkened(picture: np.ndarray, band: int) -> np.ndarray:
    """Return a picture whose lower edge gets darker downwards, so that white letters can be read on anything."""
    height = picture.shape[0]
    # from nothing at twice the band to its full depth at the letters' middle, without an edge that shows
    depth = np.clip((np.arange(height) - (height - 2 * band)) / (1.5 * band), 0, 1)
    depth = depth * depth * (3 - 2 * depth)
    return np.rint(picture * (1 - 0.75 * depth)[:, None, None]).astype(np.uint8)
