"""Colour settings of a whole clip, combined with the preset's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reactive.preset.bounds import LIMITS
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class Colours:
    """The settings for all frames.

    Attributes
    ----------
    palette
        Colours ``#rrggbb`` in place of the preset's own palettes; empty leaves those.
    strength
        How strongly pictures are moved towards the palette, 0 to 1; multiplied by the preset's own if the palette is the preset's.
    saturation, contrast
        Multiplied by the preset's own.
    temperature, tint, brightness
        Added to the preset's own.
    """

    palette: tuple[str, ...] = ()
    strength: float = 1.0
    saturation: float = 1.0
    contrast: float = 1.0
    temperature: float = 0.0
    tint: float = 0.0
    brightness: float = 0.0


def recoloured(timeline: Timeline, colours: Colours) -> Timeline:
    """Return a timeline with changed colours, or the timeline itself if nothing changes."""
    if colours == Colours():
        return timeline
    columns = dict(timeline.columns)
    palettes = timeline.palettes
    if colours.palette:
        palettes = (colours.palette,)
        columns["palette_from"] = columns["palette_to"] = np.zeros(timeline.frames, np.int64)
        columns["colour_strength"] = np.full(timeline.frames, colours.strength)
    else:
        columns["colour_strength"] = columns["colour_strength"] * colours.strength
    columns["colour_saturation"] = columns["colour_saturation"] * colours.saturation
    columns["colour_contrast"] = columns["colour_contrast"] * colours.contrast
    for name in ("temperature", "tint", "brightness"):
        columns[f"colour_{name}"] = columns[f"colour_{name}"] + getattr(colours, name)
    for name in ("strength", "saturation", "contrast", "temperature", "tint", "brightness"):
        columns[f"colour_{name}"] = np.clip(columns[f"colour_{name}"], *LIMITS[f"colour.{name}"])
    return replace(timeline, columns=columns, palettes=palettes)
