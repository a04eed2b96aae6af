"""Fonts that have the letters of a text: DejaVu, which travels with matplotlib, or one that is installed here."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path


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
    return _font_for(frozenset(_needed(text)))


def missing_letters(texts: Iterable[str], font: Path | None = None) -> str:
    """Return the letters, each once, that are in none of the fonts which the texts would be written in.

    Parameters
    ----------
    texts
        What is written, one font each.
    font
        The font of all texts. Default: `font_for` of each.
    """
    found: dict[str, None] = {}
    for text in texts:
        known = letters_of(font or font_for(text))
        found |= {chr(letter): None for letter in sorted(_needed(text)) if letter not in known}
    return "".join(found)


@cache
def _font_for(needed: frozenset[int]) -> Path:
    usual = usual_font()
    if needed <= letters_of(usual):
        return usual
    return min((usual, *_installed()), key=lambda font: len(needed - letters_of(font)))


@cache
def _installed() -> tuple[Path, ...]:
    from matplotlib.font_manager import findSystemFonts

    return tuple(sorted(Path(name) for name in findSystemFonts()))


def _needed(text: str) -> set[int]:
    return {
        ord(letter)
        for letter in text
        if not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Cc", "Mn")
    }
