"""Colours and colour words: a perceptual space, the colours of a crop, and the colour words its caption may have.

Colours are compared in Oklab (Björn Ottosson, "A perceptual color space for image processing", 2020): lightness L from 0 to 1, and
a and b, whose angle is the hue and whose length is the chroma.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from PIL import Image

# colour names with example colours, sRGB
COLOURS = {
    "black": "#0c0c0e",
    "dark grey": "#3e3f42",
    "grey": "#808286",
    "pale grey": "#bcbec2",
    "white": "#f2f2f2",
    "dark red": "#5c1214",
    "crimson": "#a0142d",
    "red": "#d2241f",
    "orange": "#ef7a1a",
    "dark orange": "#a8501a",
    "amber": "#e2a02a",
    "gold": "#b98d2c",
    "yellow": "#f0d83a",
    "cream": "#f3e6c4",
    "beige": "#cbb08c",
    "brown": "#7a5233",
    "dark brown": "#38261a",
    "olive": "#67683a",
    "pale green": "#a9cf9a",
    "green": "#35923c",
    "dark green": "#173f24",
    "teal": "#17747a",
    "turquoise": "#38c2b4",
    "cyan": "#3fd0ea",
    "pale blue": "#a5cbea",
    "blue": "#2f63cf",
    "dark blue": "#14245c",
    "violet": "#6a3fd0",
    "dark violet": "#2c1650",
    "purple": "#82309a",
    "magenta": "#d42bb4",
    "pink": "#f0a2bf",
}
# the colours that a caption's colour word may stand for
MEANINGS = {
    "red": {"dark red", "crimson", "red", "dark orange"},
    "crimson": {"dark red", "crimson", "red"},
    "scarlet": {"crimson", "red"},
    "orange": {"orange", "dark orange", "amber"},
    "amber": {"amber", "orange", "gold", "dark orange"},
    "golden": {"gold", "amber", "yellow", "cream"},
    "gold": {"gold", "amber", "yellow"},
    "yellow": {"yellow", "amber", "gold", "cream"},
    "cream": {"cream", "beige", "white"},
    "beige": {"beige", "cream"},
    "tan": {"beige", "brown", "gold"},
    "brown": {"brown", "dark brown", "beige", "dark orange", "olive"},
    "olive": {"olive", "green"},
    "green": {"green", "dark green", "pale green", "olive", "teal"},
    "teal": {"teal", "turquoise"},
    "turquoise": {"turquoise", "teal", "cyan"},
    "cyan": {"cyan", "turquoise", "pale blue"},
    "blue": {"blue", "dark blue", "pale blue", "cyan", "teal"},
    "navy": {"dark blue", "blue"},
    "violet": {"violet", "dark violet", "purple"},
    "purple": {"purple", "violet", "dark violet", "magenta"},
    "magenta": {"magenta", "purple", "crimson"},
    "pink": {"pink", "magenta", "crimson"},
    "black": {"black", "dark grey", "dark brown", "dark blue", "dark green", "dark violet"},
    "grey": {"dark grey", "grey", "pale grey"},
    "gray": {"dark grey", "grey", "pale grey"},
    "silver": {"grey", "pale grey", "white"},
    "white": {"white", "pale grey", "cream", "pale blue"},
}
# share of pixels below which a crop does not show a colour
MIN_SHOWN_SHARE = 0.04
# share of pixels below which a colour is not named
MIN_NAMED_SHARE = 0.1
_FROM_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(picture: np.ndarray) -> np.ndarray:
    """Return Oklab float64 [..., 3] of sRGB uint8 [..., 3]."""
    display = picture.astype(float) / 255
    linear = np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _FROM_RGB.T) @ _TO_LAB.T)


def srgb(lab: np.ndarray) -> np.ndarray:
    """Return sRGB uint8 [..., 3] of Oklab [..., 3]; what lies outside is clipped."""
    linear = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_FROM_RGB).T
    linear = linear.clip(0, 1)
    display = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray((display * 255).round().astype(np.uint8))


@cache
def _samples() -> np.ndarray:
    values = [[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in COLOURS.values()]
    return oklab(np.array(values, np.uint8))


def shares(picture: np.ndarray) -> dict[str, float]:
    """Return each of `COLOURS` that a picture, uint8 [height, width, 3], has, with its share of pixels."""
    small = np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((32, 20), Image.Resampling.BOX))
    pixels = oklab(small).reshape(-1, 3)
    # a difference in hue counts more than one in lightness
    apart = (pixels[:, None] - _samples()[None]) * (0.7, 1.4, 1.4)
    counts = np.bincount(np.square(apart).sum(-1).argmin(1), minlength=len(COLOURS)) / len(pixels)
    return {name: float(share) for name, share in zip(COLOURS, counts, strict=True) if share > 0}


def phrase(found: dict[str, float]) -> str:
    """Return up to three colours as a phrase, such as "dark blue and amber": chromatic ones before greys."""
    chroma = {name: float(np.hypot(*lab[1:])) for name, lab in zip(COLOURS, _samples(), strict=True)}
    worth = {name: share * (0.5 + 6 * chroma[name]) for name, share in found.items() if share >= MIN_NAMED_SHARE}
    first = sorted(worth, key=lambda name: -worth[name])[:3]
    if not first:
        return ""
    selected = [name for name in first if worth[name] >= 0.25 * worth[first[0]]]
    return selected[0] if len(selected) == 1 else ", ".join(selected[:-1]) + " and " + selected[-1]


def only_shown(text: str, found: dict[str, float]) -> str:
    """Return a caption without the colour words for colours that are not in `found`."""

    def shown(word: str) -> bool:
        return sum(found.get(name, 0.0) for name in MEANINGS[word]) >= MIN_SHOWN_SHARE

    words = "|".join(MEANINGS)
    kept = re.sub(rf"\b({words})\b", lambda match: match[0] if shown(match[0]) else "", text)
    kept = re.sub(r"\s+", " ", kept).strip()
    return re.sub(r"^and |(?<=,) and(?=,)| and$", "", kept).strip(" ,")


def without_colours(text: str) -> str:
    """Return a caption without its colour words."""
    return only_shown(text, {})


def recoloured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the picture with all hues rotated by a random angle and a random saturation, uint8 [height, width, 3]."""
    lab = oklab(picture)
    angle, strength = rng.uniform(0.2, 0.8) * 2 * np.pi, rng.uniform(0.9, 1.8)
    cosine, sine = np.cos(angle) * strength, np.sin(angle) * strength
    a, b = lab[..., 1].copy(), lab[..., 2].copy()
    lab[..., 1], lab[..., 2] = cosine * a - sine * b, sine * a + cosine * b
    return srgb(lab)
