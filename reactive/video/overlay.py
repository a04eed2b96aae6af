"""Texts and logos drawn once by Pillow, then laid over pictures."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from reactive.video.lettering import Font, Run, is_plain, length_of, metrics, runs_of

# distance from the picture's edge, in picture heights
MARGIN = 0.06
# largest share of the picture's width before a text is broken
WIDEST = 0.86
OUTLINE = 14


@dataclass(frozen=True)
class Patch:
    """A small transparent picture, uint8 [height, width, 4], and where its left upper corner lies."""

    pixels: np.ndarray
    left: int
    top: int


def text_patch(text: str, *, place: str, size: float, font: Font, colour: str, picture: tuple[int, int]) -> Patch:
    """Return a text as a patch with a dark outline, broken into lines where it is too wide.

    Parameters
    ----------
    place
        Where in the picture: ``bottom left``, ``centre``, ...
    size
        Height of its letters in picture heights; `font` has to be of that size.
    colour
        ``#rrggbb``.
    picture
        Width and height of the pictures that it is laid over.
    """
    outline = max(1, round(size * picture[1] / OUTLINE))
    align = "left" if "left" in place else "right" if "right" in place else "center"
    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    lines = _broken(text, font, WIDEST * picture[0] - 2 * outline)
    look: dict[str, Any] = {"stroke_width": outline}
    ink = look | {"fill": colour, "stroke_fill": (0, 0, 0, 160)}
    if all(is_plain(line, font) for line in lines.split("\n")):
        box = probe.multiline_textbbox((0, 0), lines, font=font, align=align, **look)
        image = _canvas(box, picture)
        ImageDraw.Draw(image).multiline_text((1 - box[0], 1 - box[1]), lines, font=font, align=align, **ink)
        return _placed(np.asarray(image), place, picture)
    placed = _laid_out(lines, font, align, outline)
    boxes = [probe.textbbox(at, run.text, font=run.font, anchor="ls", **look) for at, run in placed]
    box = tuple(edge(side) for edge, side in zip((min, min, max, max), zip(*boxes, strict=True), strict=True))
    image = _canvas(box, picture)
    draw = ImageDraw.Draw(image)
    for (left, down), run in placed:
        draw.text((left + 1 - box[0], down + 1 - box[1]), run.text, font=run.font, anchor="ls", **ink)
    return _placed(np.asarray(image), place, picture)


def _canvas(box: tuple[float, ...], picture: tuple[int, int]) -> Image.Image:
    width, height = min(int(box[2] - box[0]) + 2, picture[0]), min(int(box[3] - box[1]) + 2, picture[1])
    return Image.new("RGBA", (width, height), (0, 0, 0, 0))


def _laid_out(text: str, font: Font, align: str, outline: int) -> list[tuple[tuple[float, float], Run]]:
    """Return the runs of a text's lines, each with the left end of its baseline."""
    rows = [runs_of(line, font) for line in text.split("\n")]
    widths = [sum(float(run.font.getlength(run.text)) for run in row) for row in rows]
    share = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
    placed, down = [], 0.0
    for row, width in zip(rows, widths, strict=True):
        above, below = (max(metrics(run.font)[side] for run in row) for side in (0, 1))
        left, down = share * (max(widths) - width), down + above
        for run in row:
            placed.append(((left, down), run))
            left += float(run.font.getlength(run.text))
        down += below + outline
    return placed


def logo_patch(logo: np.ndarray, *, place: str, size: float, strength: float, picture: tuple[int, int]) -> Patch:
    """Return a logo, uint8 [height, width, 4], as a patch: `size` high in picture heights, `strength` 0 to 1."""
    height = max(1, round(size * picture[1]))
    width = max(1, round(logo.shape[1] * height / logo.shape[0]))
    if width > WIDEST * picture[0]:
        width, height = round(WIDEST * picture[0]), max(1, round(height * WIDEST * picture[0] / width))
    pixels = np.array(Image.fromarray(logo).resize((width, height), Image.Resampling.LANCZOS))
    pixels[..., 3] = np.round(pixels[..., 3] * strength)
    return _placed(pixels, place, picture)


def lay_over(picture: np.ndarray, patch: Patch, share: float) -> None:
    """Lay a patch over a picture, uint8 [height, width, 3], in place; `share` 0 to 1 fades it in."""
    height, width = patch.pixels.shape[:2]
    under = picture[patch.top : patch.top + height, patch.left : patch.left + width]
    over = patch.pixels[: under.shape[0], : under.shape[1]].astype(np.float32)
    alpha = over[..., 3:] * (share / 255)
    under[:] = np.round(under + (over[..., :3] - under) * alpha).astype(np.uint8)


def _broken(text: str, font: Font, width: float) -> str:
    letters = len(text)
    while letters > 1 and max(length_of(line, font) for line in textwrap.wrap(text, letters) or [""]) > width:
        letters -= 1
    return "\n".join(textwrap.wrap(text, letters))


def _placed(pixels: np.ndarray, place: str, picture: tuple[int, int]) -> Patch:
    free = picture[0] - pixels.shape[1], picture[1] - pixels.shape[0]
    margin = round(MARGIN * picture[1])
    across = margin if "left" in place else free[0] - margin if "right" in place else free[0] // 2
    down = margin if "top" in place else free[1] - margin if "bottom" in place else free[1] // 2
    return Patch(pixels, max(0, min(across, free[0])), max(0, min(down, free[1])))
