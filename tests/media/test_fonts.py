"""Coverage of fonts: letters are drawn, or named before rendering starts."""

from __future__ import annotations

from PIL import ImageFont

from reactive.media.fonts import font_for, letters_of, missing_letters, usual_font
from reactive.render.overlay import load_font


def test_the_default_font_covers_european_languages() -> None:
    words = "Café – Größe ñ ø ç ł — £ € • ’ Ελλάδα Москва"
    assert font_for(words) == usual_font()
    assert missing_letters([words]) == ""
    font = load_font(None, 40, text=words)
    assert isinstance(font, ImageFont.FreeTypeFont)
    box = font.getmask("\ue123").getbbox(), bytes(font.getmask("\ue123"))
    for letter in words.replace(" ", ""):
        assert (font.getmask(letter).getbbox(), bytes(font.getmask(letter))) != box, letter


def test_a_letter_that_no_font_has_is_named_once() -> None:
    # private use area: in no font
    assert missing_letters(["a \ue123\ue123", "b \ue123"], usual_font()) == "\ue123"
    assert ord("a") in letters_of(usual_font())
    assert letters_of(usual_font().with_name("gone.ttf")) == frozenset()
