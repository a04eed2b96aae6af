"""Fonts that have the letters of a text: DejaVu, which comes with matplotlib, or installed ones.

A letter that a font lacks is drawn by the next font that has it. A chain begins with the chosen font; the default font
follows, then the installed ones.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# fonts with a box, or nothing, for every letter
_NO_LETTERS = ("lastresort", "adobeblank")
_FANCY = ("bold", "italic", "oblique", "light", "thin", "black", "mono", "condensed", "narrow", "serif")
# height in pixels at which a letter is tested
_TRIAL = 24
MOST_NAMED = 12


@cache
def usual_font() -> Path:
    """Return DejaVu Sans: Latin, Greek, Cyrillic, Hebrew, Arabic and signs."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@cache
def letters_of(font: Path) -> frozenset[int]:
    """Return the code points that a font has; none if it can't be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(font)).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def font_for(text: str) -> Path:
    """Return the usual font if it has all letters of a text, else the installed one that lacks fewest."""
    return _font_for(frozenset(needed(text)))


def font_with(letter: str, first: Path | None = None) -> Path | None:
    """Return the first font of a chain that can draw a letter; None if there is none.

    Parameters
    ----------
    first
        The first font of the chain. Default: DejaVu Sans.
    """
    code = ord(letter)
    if first is not None and code in letters_of(first):
        return first
    return usual_font() if code in letters_of(usual_font()) else _installed_with(letter)


def missing_letters(texts: Iterable[str], font: Path | None = None) -> str:
    """Return the letters of texts, each once, that no font of the chain has.

    Parameters
    ----------
    font
        The font that the chain of all texts begins with. Default: the usual one.
    """
    wanted: dict[str, None] = {}
    for text in texts:
        wanted |= {chr(code): None for code in sorted(needed(text))}
    return "".join(letter for letter in wanted if font_with(letter, font) is None)


def no_font_for(
    letters: str, remedy: str = "name a font that has them with `font` in [overlay], or install one"
) -> str:
    """Return the sentence about letters that no font has."""
    shown = ", ".join(f"{letter} (U+{ord(letter):04X})" for letter in letters[:MOST_NAMED])
    more = f" and {len(letters) - MOST_NAMED} more" if len(letters) > MOST_NAMED else ""
    return f"No font here has {shown}{more}; boxes stand in their places: {remedy}."


def needed(text: str) -> set[int]:
    """Return the code points of a text that are drawn."""
    return {
        ord(letter)
        for letter in text
        if not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Cc", "Mn", "Me")
    }


@cache
def _font_for(wanted: frozenset[int]) -> Path:
    usual = usual_font()
    if wanted <= letters_of(usual):
        return usual
    return min((usual, *_installed()), key=lambda font: len(wanted - letters_of(font)))


@cache
def _installed() -> tuple[Path, ...]:
    """Return the fonts that are installed, plain ones first."""
    from matplotlib.font_manager import findSystemFonts

    found = [Path(name) for name in findSystemFonts()]
    plain = [path for path in found if not any(word in path.stem.lower() for word in _NO_LETTERS)]
    return tuple(sorted(plain, key=lambda path: (sum(word in path.stem.lower() for word in _FANCY), str(path))))


@cache
def _installed_with(letter: str) -> Path | None:
    return next((font for font in _installed() if ord(letter) in letters_of(font) and _draws(font, letter)), None)


def _draws(font: Path, letter: str) -> bool:
    """Return whether Pillow can draw a letter by a font: it can't use bitmap or colour fonts."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(str(font), _TRIAL).getmask(letter).getbbox() is not None
    except OSError:
        return False
