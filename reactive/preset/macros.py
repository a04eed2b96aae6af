"""Values for a preset's macros: ``storm=0.8``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from reactive.errors import PresetError
from reactive.preset.expression import closest_name
from reactive.preset.schema import Knobs, Preset

# the names of the knobs that every preset has, and where they stand if nobody turns them
KNOBS, REST = tuple(Knobs.model_fields), 0.5
# from one end to the other a preset gets 2^4 times as fast
_OCTAVES = 4
# where `--calm` puts knobs
CALM = {"intensity": 0.2, "speed": 0.25}
_SHARE = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?")


def parse_macros(texts: Iterable[str]) -> dict[str, float]:
    """Parse ``NAME=VALUE`` texts.

    Raises
    ------
    PresetError
        If one is not such a text, or its value not within 0 to 1.
    """
    turned: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name.strip() and _SHARE.fullmatch(value.strip()) and 0 <= float(value) <= 1):
            raise PresetError(
                f'"{text}" is not a macro and its value, 0 to 1', where="--macro", remedy="write NAME=0.5"
            )
        turned[name.strip()] = float(value)
    return turned


def speed_factor(knob: float) -> float:
    """Return how many times as fast a preset is where its knob `speed` stands, 1/4 to 4."""
    return float(2.0 ** (_OCTAVES * (knob - REST)))


def speed_knob(factor: float) -> float:
    """Return where the knob `speed` stands for a preset that is so many times as fast, 1/4 to 4."""
    return round(REST + math.log2(factor) / _OCTAVES, 6)


def macro_values(preset: Preset, turned: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the value of each of the preset's macros: its default, unless it is in `turned`.

    Raises
    ------
    PresetError
        If a turned macro is not the preset's, or its value not in 0..1.
    """
    values = {macro.name: macro.default for macro in preset.macros}
    for name, value in (turned or {}).items():
        if name not in values:
            remedy = closest_name(name, list(values))
            raise PresetError(f'"{preset.title}" has no macro "{name}"', where="--macro", remedy=remedy)
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise PresetError(f"{name} = {value:g} is not within 0 to 1", where="--macro", remedy=f"write {name}=0.5")
        values[name] = float(value)
    return values
