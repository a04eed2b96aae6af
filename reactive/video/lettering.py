"""Lines of text in several fonts and both directions of writing, drawn by Pillow.

Pillow draws a line that one font can write (with Raqm, if it is there: shaping and the order of letters). Any other line is
cut into runs of one font and one direction each, which are placed side by side in reading order.
"""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from PIL import ImageDraw, ImageFont, features

from reactive.media.fonts import font_with, letters_of

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_RIGHT, _LEFT = ("R", "AL", "RLE", "RLO", "RLI"), ("L", "EN", "AN", "LRE", "LRO", "LRI")
_BRACKETS = str.maketrans("()[]{}<>\u00ab\u00bb", ")(][}{><\u00bb\u00ab")
# characters that belong to the letter before: marks, joiners, variation selectors, skin tones
_FOLLOWING = ("Mn", "Me", "Mc", "Cf", "Sk")
_own: WeakKeyDictionary[ImageFont.FreeTypeFont, frozenset[int]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Run:
    """A part of a line that is drawn at once, and whether it is read from right to left."""

    text: str
    font: Font
    rightward: bool


@cache
def shapes() -> bool:
    """Return whether Pillow orders and joins letters itself (Raqm)."""
    return bool(features.check("raqm"))


def is_plain(text: str, font: Font) -> bool:
    """Return whether Pillow can draw a line with one font in the right order."""
    return len(_fonts(text, font)) <= 1 and (shapes() or not any(map(_is_right, text)))


def runs_of(text: str, font: Font) -> list[Run]:
    """Return a line's runs from left to right."""
    if is_plain(text, font):
        return [Run(text, font, False)]
    right = _directions(text)
    chosen = _chosen(text, font)
    parts: list[Run] = []
    for (rightward, _), group in groupby(
        zip(text, right, chosen, strict=True), key=lambda item: (item[1], id(item[2]))
    ):
        letters = list(group)
        parts.append(Run(_visual("".join(item[0] for item in letters), rightward), letters[0][2], rightward))
    # runs of one direction in a row keep their order within it; the line's own direction orders these rows
    rows = [list(group) for _, group in groupby(parts, key=lambda run: run.rightward)]
    rows = [row[::-1] if row[0].rightward else row for row in rows]
    return [run for row in (rows[::-1] if _begins_right(text) else rows) for run in row]


def length_of(text: str, font: Font) -> float:
    """Return the width of a line in pixels."""
    return sum(float(run.font.getlength(run.text)) for run in runs_of(text, font))


def write_line(draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, font: Font, **options: Any) -> None:
    """Draw a line with its left upper corner at a point; `options` are those of ImageDraw.text."""
    runs = runs_of(text, font)
    if len(runs) == 1 and runs[0].font is font:
        draw.text(corner, runs[0].text, font=font, **options)
        return
    left, baseline = corner[0], corner[1] + max(metrics(run.font)[0] for run in runs)
    for run in runs:
        draw.text((left, baseline), run.text, font=run.font, anchor="ls", **options)
        left += run.font.getlength(run.text)


def metrics(font: Font) -> tuple[int, int]:
    """Return a font's ascent and descent in pixels."""
    if isinstance(font, ImageFont.FreeTypeFont):
        return font.getmetrics()
    return int(font.getbbox("A")[3]), 0


def _fonts(text: str, font: Font) -> set[int]:
    return {id(chosen) for letter, chosen in zip(text, _chosen(text, font), strict=True) if not letter.isspace()}


def _chosen(text: str, font: Font) -> list[Font]:
    """Return the font of each letter; combining characters have that of their letter."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return [font] * len(text)
    known = _letters(font)
    found: list[Font] = []
    for letter in text:
        if found and (letter.isspace() or unicodedata.category(letter) in _FOLLOWING):
            found.append(found[-1])
        elif ord(letter) in known or letter.isspace() or (other := font_with(letter)) is None:
            found.append(font)
        else:
            found.append(_loaded(other, int(font.size)))
    return found


@cache
def _loaded(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


def _letters(font: ImageFont.FreeTypeFont) -> frozenset[int]:
    """Return the code points of an opened font, whether it came of a file or of bytes."""
    if font not in _own:
        if isinstance(font.path, str | bytes | Path):
            _own[font] = letters_of(Path(font.path.decode() if isinstance(font.path, bytes) else font.path))
        else:
            from matplotlib.ft2font import FT2Font

            _own[font] = frozenset(FT2Font(io.BytesIO(font.font_bytes)).get_charmap())
    return _own[font]


def _is_right(letter: str) -> bool:
    return unicodedata.bidirectional(letter) in _RIGHT


def _begins_right(text: str) -> bool:
    """Return whether a line is read from right to left, by its first letter with a direction."""
    return next((_is_right(letter) for letter in text if unicodedata.bidirectional(letter) in ("L", "R", "AL")), False)


def _directions(text: str) -> list[bool]:
    """Return for each letter whether it is read from right to left; neutral ones follow their neighbours, or the line."""
    base = _begins_right(text)
    said: list[bool | None] = []
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        before = said[-1] if said else None
        said.append(True if kind in _RIGHT else False if kind in _LEFT else before if kind == "NSM" else None)
    found: list[bool] = []
    for place, value in enumerate(said):
        if value is None:
            after = next((later for later in said[place + 1 :] if later is not None), base)
            value = after if found and found[-1] == after else base
        found.append(value)
    return found


def _visual(text: str, rightward: bool) -> str:
    """Return a run as Pillow needs it: without Raqm, in visual order from left to right."""
    if not rightward or shapes():
        return text
    clusters: list[str] = []
    for letter in text:
        if clusters and unicodedata.category(letter) in _FOLLOWING:
            clusters[-1] += letter
        else:
            clusters.append(letter.translate(_BRACKETS))
    return "".join(reversed(clusters))
