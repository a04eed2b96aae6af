"""Colour fidelity: whether a painting has the hue and lightness that its prompt names.

Forty prompts with a colour, or with a substance of a well-known colour. A picture is right if the mean of its pixels in Oklab
(see `colours`) lies within the prompt's limits: hue in degrees, chroma, lightness. Reference hues in Oklab: sRGB red 29 degrees,
orange about 57, yellow 110, green 142, cyan 195, blue 264, violet about 295, magenta 328. A model that paints everything in one
dark orange is right for 14 of the forty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.ember import colours

# chroma below which a mean looks grey, and above which it is clearly coloured
GREY, COLOURFUL = 0.035, 0.045


@dataclass(frozen=True)
class ColourPrompt:
    """A prompt and the limits of its picture's mean.

    Attributes
    ----------
    hues
        From and to, in degrees, through 0 where the first is larger; None: little colour is right.
    lightness
        From and to, in Oklab's L.
    tint
        For prompts without hues: hues for which the chroma may be up to twice `COLOURFUL` (snow may be bluish, ash brown).
    """

    prompt: str
    hues: tuple[float, float] | None
    lightness: tuple[float, float] = (0.2, 0.9)
    tint: tuple[float, float] | None = None


RED, ORANGE, YELLOW, GREEN = (355.0, 48.0), (30.0, 85.0), (65.0, 120.0), (105.0, 175.0)
TEAL, BLUE, VIOLET, MAGENTA = (160.0, 235.0), (210.0, 285.0), (270.0, 335.0), (310.0, 25.0)
FIRE, EARTH, COLD = (20.0, 95.0), (25.0, 105.0), (200.0, 285.0)
COLOUR_PROMPTS = (
    # a colour, on things without a typical colour
    ColourPrompt("crimson smoke over a broken city", RED, (0.15, 0.7)),
    ColourPrompt("red light in a cave of soot", RED, (0.15, 0.75)),
    ColourPrompt("canyon walls glowing orange", ORANGE, (0.3, 0.9)),
    ColourPrompt("giants of rock in amber haze", (45.0, 100.0), (0.3, 0.9)),
    ColourPrompt("walls of an old fortress in golden light", (50.0, 110.0), (0.35, 0.95)),
    ColourPrompt("a field of yellow flowers", YELLOW, (0.4, 0.95)),
    ColourPrompt("green fog between tall trees", GREEN, (0.25, 0.9)),
    ColourPrompt("emerald crystal", (120.0, 190.0), (0.15, 0.8)),
    ColourPrompt("turquoise water over sand", TEAL, (0.3, 0.9)),
    ColourPrompt("one star over teal mist", TEAL, (0.25, 0.8)),
    ColourPrompt("blue ice under a pale sky", BLUE, (0.35, 0.95)),
    ColourPrompt("a tower in a dark blue night", BLUE, (0.03, 0.45)),
    ColourPrompt("a wet street under violet neon", VIOLET, (0.1, 0.75)),
    ColourPrompt("stars in a purple nebula", VIOLET, (0.1, 0.7)),
    ColourPrompt("a stage in magenta light", MAGENTA, (0.2, 0.8)),
    ColourPrompt("pink clouds at dawn", (325.0, 50.0), (0.45, 0.95)),
    ColourPrompt("columns of white marble", None, (0.65, 1.0), (30.0, 110.0)),
    ColourPrompt("a gate of black stone", None, (0.0, 0.42)),
    ColourPrompt("towers of grey concrete", None, (0.35, 0.8)),
    ColourPrompt("ploughed brown earth", EARTH, (0.15, 0.65)),
    # a substance of known colour
    ColourPrompt("fire", FIRE, (0.15, 0.85)),
    ColourPrompt("flames in the dark", FIRE, (0.1, 0.6)),
    ColourPrompt("lava running through black rock", FIRE, (0.1, 0.7)),
    ColourPrompt("glowing embers", FIRE, (0.1, 0.65)),
    ColourPrompt("a sunset", (10.0, 95.0), (0.2, 0.85)),
    ColourPrompt("rust on old machines", (25.0, 85.0), (0.2, 0.7)),
    ColourPrompt("autumn leaves on a forest path", (20.0, 100.0), (0.25, 0.8)),
    ColourPrompt("desert dunes", EARTH, (0.35, 0.9)),
    ColourPrompt("a forest in summer", (90.0, 165.0), (0.1, 0.65)),
    ColourPrompt("moss on old stones", (95.0, 160.0), (0.15, 0.75)),
    ColourPrompt("a green meadow under the sun", (95.0, 160.0), (0.3, 0.9)),
    ColourPrompt("the sea", (175.0, 275.0), (0.2, 0.85)),
    ColourPrompt("deep water", (175.0, 275.0), (0.05, 0.6)),
    ColourPrompt("a glacier", (190.0, 275.0), (0.45, 1.0)),
    ColourPrompt("a clear sky", (215.0, 275.0), (0.45, 0.95)),
    ColourPrompt("snow on the roofs of a village", None, (0.65, 1.0), COLD),
    ColourPrompt("fog", None, (0.45, 0.98), COLD),
    ColourPrompt("ash and coal", None, (0.05, 0.6), EARTH),
    ColourPrompt("starry night", None, (0.0, 0.4), COLD),
    ColourPrompt("lavender field", VIOLET, (0.25, 0.85)),
)


def between(angle: float, limits: tuple[float, float]) -> bool:
    """Return whether an angle in degrees lies between the limits, through 0 if the first is larger."""
    low, high = limits
    return (angle - low) % 360 <= (high - low) % 360


def is_right(asked: ColourPrompt, picture: np.ndarray) -> bool:
    """Return whether a picture, uint8 [height, width, 3] sRGB, has the prompt's mean hue and lightness."""
    lightness, a, b = colours.oklab(picture).reshape(-1, 3).mean(0)
    if not asked.lightness[0] <= lightness <= asked.lightness[1]:
        return False
    chroma, hue = float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a))) % 360
    if asked.hues is not None:
        return chroma >= GREY and between(hue, asked.hues)
    return chroma <= COLOURFUL or (asked.tint is not None and chroma <= 2 * COLOURFUL and between(hue, asked.tint))


def judge(painted: np.ndarray) -> dict[str, float]:
    """Return for each prompt of `COLOUR_PROMPTS` the share of right pictures among uint8 [prompts, seeds, height, width, 3]."""
    return {
        asked.prompt: float(np.mean([is_right(asked, picture) for picture in pictures]))
        for asked, pictures in zip(COLOUR_PROMPTS, painted, strict=True)
    }
