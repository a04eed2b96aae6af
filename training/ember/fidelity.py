"""Colour fidelity: whether what is painted has the hue and the lightness that its prompt names.

Forty prompts with a colour, or with a substance whose colour everybody knows. A picture is right if the mean of its pixels in
Oklab (see `colours`) lies where the prompt says: its hue in degrees, its chroma, its lightness. For comparison in Oklab: sRGB red
stands at 29 degrees, orange at about 57, yellow at 110, green at 142, cyan at 195, blue at 264, violet at about 295, magenta at 328.
Who paints everything in one dark orange is right for 14 of the forty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.ember import colours

# below this chroma a mean is grey to the eye, above the other it is plainly coloured
GREY, PLAIN = 0.035, 0.045


@dataclass(frozen=True)
class Asked:
    """A prompt and where the mean of its picture must lie.

    Attributes
    ----------
    hues
        From and to, in degrees, through 0 where the first is larger; None: little colour is right.
    lightness
        From and to, in Oklab's L.
    tint
        For prompts without hues: the hues that a chroma beyond `PLAIN` may have up to twice that (snow may be bluish, ash brown).
    """

    prompt: str
    hues: tuple[float, float] | None
    lightness: tuple[float, float] = (0.2, 0.9)
    tint: tuple[float, float] | None = None


RED, ORANGE, YELLOW, GREEN = (355.0, 48.0), (30.0, 85.0), (65.0, 120.0), (105.0, 175.0)
TEAL, BLUE, VIOLET, MAGENTA = (160.0, 235.0), (210.0, 285.0), (270.0, 335.0), (310.0, 25.0)
FIRE, EARTH, COLD = (20.0, 95.0), (25.0, 105.0), (200.0, 285.0)
ASKED = (
    # a colour, on things that may have any
    Asked("crimson smoke over a broken city", RED, (0.15, 0.7)),
    Asked("red light in a cave of soot", RED, (0.15, 0.75)),
    Asked("canyon walls glowing orange", ORANGE, (0.3, 0.9)),
    Asked("giants of rock in amber haze", (45.0, 100.0), (0.3, 0.9)),
    Asked("walls of an old fortress in golden light", (50.0, 110.0), (0.35, 0.95)),
    Asked("a field of yellow flowers", YELLOW, (0.4, 0.95)),
    Asked("green fog between tall trees", GREEN, (0.25, 0.9)),
    Asked("emerald crystal", (120.0, 190.0), (0.15, 0.8)),
    Asked("turquoise water over sand", TEAL, (0.3, 0.9)),
    Asked("one star over teal mist", TEAL, (0.25, 0.8)),
    Asked("blue ice under a pale sky", BLUE, (0.35, 0.95)),
    Asked("a tower in a dark blue night", BLUE, (0.03, 0.45)),
    Asked("a wet street under violet neon", VIOLET, (0.1, 0.75)),
    Asked("stars in a purple nebula", VIOLET, (0.1, 0.7)),
    Asked("a stage in magenta light", MAGENTA, (0.2, 0.8)),
    Asked("pink clouds at dawn", (325.0, 50.0), (0.45, 0.95)),
    Asked("columns of white marble", None, (0.65, 1.0), (30.0, 110.0)),
    Asked("a gate of black stone", None, (0.0, 0.42)),
    Asked("towers of grey concrete", None, (0.35, 0.8)),
    Asked("ploughed brown earth", EARTH, (0.15, 0.65)),
    # a substance of known colour
    Asked("fire", FIRE, (0.15, 0.85)),
    Asked("flames in the dark", FIRE, (0.1, 0.6)),
    Asked("lava running through black rock", FIRE, (0.1, 0.7)),
    Asked("glowing embers", FIRE, (0.1, 0.65)),
    Asked("a sunset", (10.0, 95.0), (0.2, 0.85)),
    Asked("rust on old machines", (25.0, 85.0), (0.2, 0.7)),
    Asked("autumn leaves on a forest path", (20.0, 100.0), (0.25, 0.8)),
    Asked("desert dunes", EARTH, (0.35, 0.9)),
    Asked("a forest in summer", (90.0, 165.0), (0.1, 0.65)),
    Asked("moss on old stones", (95.0, 160.0), (0.15, 0.75)),
    Asked("a green meadow under the sun", (95.0, 160.0), (0.3, 0.9)),
    Asked("the sea", (175.0, 275.0), (0.2, 0.85)),
    Asked("deep water", (175.0, 275.0), (0.05, 0.6)),
    Asked("a glacier", (190.0, 275.0), (0.45, 1.0)),
    Asked("a clear sky", (215.0, 275.0), (0.45, 0.95)),
    Asked("snow on the roofs of a village", None, (0.65, 1.0), COLD),
    Asked("fog", None, (0.45, 0.98), COLD),
    Asked("ash and coal", None, (0.05, 0.6), EARTH),
    Asked("starry night", None, (0.0, 0.4), COLD),
    Asked("lavender field", VIOLET, (0.25, 0.85)),
)


def between(angle: float, limits: tuple[float, float]) -> bool:
    """Return whether an angle in degrees lies from the first limit on to the second, through 0 where that is smaller."""
    low, high = limits
    return (angle - low) % 360 <= (high - low) % 360


def is_right(asked: Asked, picture: np.ndarray) -> bool:
    """Return whether a picture, uint8 [height, width, 3] sRGB, has the mean hue and lightness that were asked for."""
    lightness, a, b = colours.oklab(picture).reshape(-1, 3).mean(0)
    if not asked.lightness[0] <= lightness <= asked.lightness[1]:
        return False
    chroma, hue = float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a))) % 360
    if asked.hues is not None:
        return chroma >= GREY and between(hue, asked.hues)
    return chroma <= PLAIN or (asked.tint is not None and chroma <= 2 * PLAIN and between(hue, asked.tint))


def judge(painted: np.ndarray) -> dict[str, float]:
    """Return for each prompt of `ASKED` the share of its pictures, uint8 [prompts, seeds, height, width, 3], that are right."""
    return {
        asked.prompt: float(np.mean([is_right(asked, picture) for picture in pictures]))
        for asked, pictures in zip(ASKED, painted, strict=True)
    }
