"""Lines of text in several fonts and both directions: the order of runs, with and without Raqm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from reactive.media import fonts
from reactive.media.fonts import font_with, missing_letters, no_font_for, usual_font
from reactive.video import lettering
from reactive.video.lettering import is_plain, length_of, runs_of, write_line
from reactive.video.overlay import text_patch

# DejaVu's serif and mono fonts stand in for installed ones
DATA = usual_font().parent
HEBREW, ARABIC = "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> ImageFont.FreeTypeFont:
    """A font with Latin letters only; DejaVu Sans has the missing ones."""
    path = DATA / "cmr10.ttf"
    own = frozenset(range(32, 127))
    original = fonts.letters_of
    monkeypatch.setattr(lettering, "letters_of", lambda font: own if font == path else original(font))
    return ImageFont.truetype(str(path), 30)


@pytest.fixture
def no_raqm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "shapes", lambda: False)


def drawn(text: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    image = Image.new("L", (400, 60))
    write_line(ImageDraw.Draw(image), (5, 5), text, font, fill=255)
    return np.asarray(image)


def test_each_letter_is_drawn_by_a_font_that_has_it(narrow: ImageFont.FreeTypeFont) -> None:
    runs = runs_of("light \u0416\u00e9x", narrow)
    assert [(run.text, Path(str(run.font.path)).stem) for run in runs] == [
        ("light ", "cmr10"),
        ("\u0416\u00e9", "DejaVuSans"),
        ("x", "cmr10"),
    ]
    assert is_plain("light", narrow)
    assert length_of("light \u0416", narrow) > length_of("light ", narrow)
    # a combining mark stays with its letter, a space with the text before it
    assert [run.text for run in runs_of("a\u0301b \u0416\u0301 c", narrow)] == ["a\u0301b ", "\u0416\u0301 ", "c"]


def test_a_patch_in_two_fonts_shows_both(narrow: ImageFont.FreeTypeFont) -> None:
    options = {"place": "bottom", "size": 0.15, "colour": "#ffffff", "picture": (320, 180)}
    plain = text_patch("abc", font=narrow, **options)
    mixed = text_patch("abc \u0416\u0416\u0416", font=narrow, **options)
    broken = text_patch("abc \u0416\u0416\u0416 " * 9, font=narrow, **options)
    assert mixed.pixels.shape[1] > 1.5 * plain.pixels.shape[1]
    assert broken.pixels.shape[0] > 2 * mixed.pixels.shape[0]
    right = mixed.pixels[:, plain.pixels.shape[1] :]
    assert (right[..., :3].min(axis=2)[right[..., 3] > 250] > 200).any()
    for patch in (mixed, broken):
        assert patch.left + patch.pixels.shape[1] <= 320
        assert patch.top + patch.pixels.shape[0] <= 180


def words(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """Return the texts of a line's runs; spaces may be separate runs."""
    return [stripped for run in runs_of(text, font) if (stripped := run.text.strip())]


def test_right_to_left_runs_are_in_reading_order(narrow: ImageFont.FreeTypeFont) -> None:
    # a Latin line that quotes Hebrew, and a Hebrew line that quotes Latin
    assert words(f"say {HEBREW} now", narrow) == ["say", HEBREW, "now"]
    assert words(f"{HEBREW} now {HEBREW[::-1]}", narrow) == [
        HEBREW[::-1],
        "now",
        HEBREW,
    ]


def test_without_raqm_letters_are_reversed(no_raqm: None) -> None:
    font = ImageFont.truetype(str(usual_font()), 30, layout_engine=ImageFont.Layout.BASIC)
    assert not is_plain(HEBREW, font)
    assert [run.text for run in runs_of(HEBREW, font)] == [HEBREW[::-1]]
    # marks stay on their letters, brackets are mirrored, numbers are read from the left
    assert [run.text for run in runs_of("(\u05e9\u05b8\u05dc)", font)] == ["(\u05dc\u05e9\u05b8)"]
    assert next(run.text for run in runs_of(f"{HEBREW} 120", font)).strip() == "120"
    assert [run.text for run in runs_of("abc", font)] == ["abc"]


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow has no Raqm here")
def test_raqm_and_the_fallback_agree_on_hebrew(monkeypatch: pytest.MonkeyPatch) -> None:
    shaped = drawn(HEBREW, ImageFont.truetype(str(usual_font()), 30))
    monkeypatch.setattr(lettering, "shapes", lambda: False)
    plain = drawn(HEBREW, ImageFont.truetype(str(usual_font()), 30, layout_engine=ImageFont.Layout.BASIC))
    columns = [np.flatnonzero(picture.max(axis=0) > 100) for picture in (shaped, plain)]
    assert abs(columns[0][0] - columns[1][0]) <= 2
    assert abs(columns[0][-1] - columns[1][-1]) <= 2
    # shin, the first letter, is on the right: it is the widest
    assert np.corrcoef(shaped.max(axis=0).astype(float), plain.max(axis=0).astype(float))[0, 1] > 0.8


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow has no Raqm here")
def test_arabic_letters_are_joined() -> None:
    font = ImageFont.truetype(str(usual_font()), 30)
    apart = sum(font.getlength(letter) for letter in ARABIC)
    assert length_of(ARABIC, font) < 0.95 * apart


def test_missing_letters_are_named_with_their_code_points() -> None:
    assert font_with("a") == usual_font()
    assert font_with("\ue123") is None
    # a selected font that lacks a letter is no reason to name it
    assert missing_letters(["\u0416 \ue123"], DATA / "cmr10.ttf") == "\ue123"
    said = no_font_for("\ue123" + "".join(map(chr, range(0xE200, 0xE220))))
    assert "U+E123" in said
    assert "21 more" in said
    assert "\n" not in said
