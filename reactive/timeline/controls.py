"""The sliders of a preview: each control changes the preset itself, so it can be saved into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reactive.errors import PresetError
from reactive.preset.schema import Camera, Colour, Lens, Phase, Preset, Switch, parse_length


@dataclass(frozen=True)
class Control:
    """A slider: its label, its rest position, its range, and what it does."""

    label: str
    rest: float
    low: float
    high: float
    step: float
    meaning: str


CONTROLS: dict[str, Control] = {
    "walk": Control("walk speed", 1.0, 0.0, 4.0, 0.01, "times the preset's own"),
    "strength": Control("strength", 0.0, -0.5, 0.5, 0.01, "added where a picture is fed in or back"),
    "camera": Control("camera", 1.0, 0.0, 3.0, 0.01, "how far camera and lens move, times the preset's own"),
    "rate": Control("prompt rate", 1.0, 0.25, 4.0, 0.25, "prompts change so many times as often"),
    "palette": Control(
        "palette", 1.0, 0.0, 1.0, 0.01, "how far pictures are led to the preset's palettes, times its own"
    ),
    "saturation": Control("saturation", 1.0, 0.0, 4.0, 0.01, "times the preset's own; 0 is grey"),
    "contrast": Control("contrast", 1.0, 0.0, 4.0, 0.01, "times the preset's own"),
    "brightness": Control("brightness", 0.0, -1.0, 1.0, 0.01, "darker or lighter than the preset's own"),
    "temperature": Control("temperature", 0.0, -1.0, 1.0, 0.01, "colder or warmer than the preset's own"),
    "tint": Control("tint", 0.0, -1.0, 1.0, 0.01, "greener or more magenta than the preset's own"),
    "seed": Control("seed", 0.0, 0.0, 999.0, 1.0, "added to the seed: another clip of the same kind"),
}


# the forms that an expression has after it was turned
_TIMES = re.compile(r"\((.*)\) \* ([0-9.]+)", re.DOTALL)
_PLUS = re.compile(r"\((.*)\) \+ (?:([0-9.]+)|\(0 - ([0-9.]+)\))", re.DOTALL)


def check_control(name: str, value: float) -> float:
    """Return a control's value, kept within its range.

    Raises
    ------
    PresetError
        If there is no such control, or the value is no number.
    """
    control = CONTROLS.get(name)
    if control is None:
        raise PresetError(f'there is no control "{name[:40]}"', remedy=f"there are {', '.join(CONTROLS)}")
    if not -1e9 < value < 1e9:
        raise PresetError(f"{name} = {value} is no place for a slider", remedy="give a plain number")
    kept = min(max(value, control.low), control.high)
    return float(round(kept)) if name == "seed" else kept


def apply_controls(preset: Preset, controls: Mapping[str, float]) -> Preset:
    """Return a preset with its controls applied; at rest it is the preset itself.

    `seed` is not part of a preset and is ignored.
    """
    changes = changed_keys(preset, controls)
    if not changes:
        return preset
    phases = []
    for number, phase in enumerate(preset.phase):
        own: dict[str, Any] = changes.get(f"phase.{number}", {})
        tables = {
            key: getattr(phase, key).model_copy(update=value) for key, value in own.items() if isinstance(value, dict)
        }
        phases.append(phase.model_copy(update={k: v for k, v in own.items() if not isinstance(v, dict)} | tables))
    whole: dict[str, Any] = changes.get("", {})
    tables = {
        key: getattr(preset, key).model_copy(update=value) for key, value in whole.items() if isinstance(value, dict)
    }
    plain = {key: value for key, value in whole.items() if not isinstance(value, dict)}
    return preset.model_copy(update={**plain, **tables, "phase": phases})


def changed_keys(preset: Preset, controls: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Return the keys that controls change: ``""`` for the preset's own tables, ``phase.N`` for those of a phase."""
    values = {name: controls.get(name, control.rest) for name, control in CONTROLS.items()}
    changed: dict[str, dict[str, Any]] = {}
    holders: list[tuple[str, Preset | Phase]] = [("", preset)]
    holders += [(f"phase.{number}", phase) for number, phase in enumerate(preset.phase)]
    for place, holder in holders:
        keys: dict[str, Any] = {}
        if values["walk"] != 1 and holder.walk is not None:
            keys["walk"] = times(holder.walk, values["walk"])
        if values["strength"] != 0 and holder.strength is not None:
            keys["strength"] = _plus(holder.strength, values["strength"])
        if values["camera"] != 1:
            for table in ("lens", "camera"):
                if (moves := getattr(holder, table)) is not None:
                    keys[table] = moved(moves, values["camera"])
        if holder.colour is not None and (colours := _coloured(holder.colour, values)):
            keys["colour"] = colours
        switch: Switch | None = getattr(holder, "switch", None)
        if values["rate"] != 1 and switch is not None:
            keys["switch"] = {"every": _hurried(switch.every, values["rate"])}
        if keys:
            changed[place] = keys
    return changed


def times(text: str, by: float) -> str:
    """Return an expression times a number; an earlier factor is replaced, not wrapped again."""
    if (match := _inside(_TIMES, text)) is not None:
        text, by = match[1], by * float(match[2])
    return f"({text}) * {by:g}"


def _plus(text: str, more: float) -> str:
    """Return an expression plus a number, which may be below 0."""
    if (match := _inside(_PLUS, text)) is not None:
        text, more = match[1], round(more + float(match[2] or 0) - float(match[3] or 0), 6)
    return f"({text}) + " + (f"{more:g}" if more >= 0 else f"(0 - {-more:g})")


def _inside(form: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return the match of a form whose first bracket closes where its inner expression ends."""
    match = form.fullmatch(text)
    depth = 0
    for letter in match[1] if match else "":
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return None
    return match


def moved(moves: Lens | Camera, by: float) -> dict[str, str]:
    """Return the expressions of a lens or camera, with their distance from rest multiplied by `by`."""
    keys = {}
    for name in type(moves).model_fields:
        text = getattr(moves, name)
        if name == "zoom" and text != "1":
            # the distance from 1, the rest position of a zoom
            scaled = text.startswith("1 + ") and _inside(_TIMES, text[4:])
            keys[name] = "1 + " + times(text[4:] if scaled else f"({text}) - 1", by)
        elif name in ("rotate", "x", "y", "shake", "tilt", "turn") and text != "0":
            keys[name] = times(text, by)
    return keys


def _coloured(colour: Colour, values: Mapping[str, float]) -> dict[str, str]:
    """Return the expressions of colours that controls change."""
    keys = {}
    for key, control in (("strength", "palette"), ("saturation", "saturation"), ("contrast", "contrast")):
        if values[control] != 1:
            keys[key] = times(getattr(colour, key), values[control])
    for key in ("brightness", "temperature", "tint"):
        if values[key] != 0:
            keys[key] = _plus(getattr(colour, key), values[key])
    return keys


def _hurried(length: str, rate: float) -> str:
    parsed = parse_length(length)
    return f"{min(max(parsed.count / rate, 1 / 16), 1024.0):.6g} {parsed.unit}s"
