"""The knobs that every preset has: how intense, how fast and how colourful it is, and how much of photographs is seen.

Each changes the preset's own expressions, as the sliders of a preview do, so they work with every preset and every song. In the
middle, at 0.5, a preset stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reactive.preset.macros import KNOBS, REST, speed_factor
from reactive.preset.schema import Camera, Ground, Phase, Preset
from reactive.timeline.controls import apply_controls, moved, times

# at full photographs this share of what a phase imagines over them is left
_LEAST_IMAGINED = 0.2


def pace_of(values: Mapping[str, float]) -> float:
    """Return how many times as often prompts change: the power of two nearest to the speed, so that they stay on the grid."""
    return float(2.0 ** round(math.log2(speed_factor(values.get("speed", REST)))))


def with_knobs(preset: Preset, values: Mapping[str, float]) -> Preset:
    """Return a preset with the common knobs turned; at rest it is the preset itself.

    Parameters
    ----------
    values
        Where knobs stand, 0 to 1, as `macro_values` returns them; a preset's own macro of the same name is left to the preset.
    """
    own = {macro.name for macro in preset.macro}
    turned = {name: values[name] for name in KNOBS if name in values and name not in own and values[name] != REST}
    if not turned:
        return preset
    intensity, colour = 2 * turned.get("intensity", REST), 2 * turned.get("colour", REST)
    speed, photographs = speed_factor(turned.get("speed", REST)), turned.get("photographs", REST)
    controls = {"camera": intensity, "saturation": colour, "walk": speed, "rate": pace_of(turned)}
    made = apply_controls(preset, controls)
    phases = [_turned_phase(phase, made, intensity, speed, photographs) for phase in made.phase]
    return made.model_copy(
        update={
            "phase": phases,
            "camera": _hurried(made.camera, speed),
            "ground": _turned_ground(made.ground, speed, photographs),
        }
    )


def _turned_phase(phase: Phase, preset: Preset, intensity: float, speed: float, photographs: float) -> Phase:
    changes: dict[str, Any] = {
        "camera": None if phase.camera is None else _hurried(phase.camera, speed),
        "ground": _turned_ground(phase.ground, speed, photographs),
    }
    if intensity < 1:
        # a calm clip does not cut on single hits
        changes["switch"] = phase.switch.model_copy(update={"accent": times(phase.switch.accent, intensity)})
    if phase.mode in ("photo", "video") and photographs != REST:
        strength = phase.strength or preset.strength
        more = 2 * photographs - 1
        changes["strength"] = (
            times(strength, 1 - (1 - _LEAST_IMAGINED) * more) if more > 0 else f"1 - {1 + more:g} * (1 - ({strength}))"
        )
    return phase.model_copy(update=changes)


def _hurried(camera: Camera, speed: float) -> Camera:
    # shake and flow have no speed
    changes = {name: text for name, text in moved(camera, speed).items() if name != "shake"}
    return camera.model_copy(update=changes) if speed != 1 else camera


def _turned_ground(ground: Ground | None, speed: float, photographs: float) -> Ground | None:
    if ground is None:
        return None
    changes = {name: times(getattr(ground, name), speed) for name in ("push", "drift") if speed != 1}
    more = 2 * photographs - 1
    if more > 0:
        changes["detail"] = f"1 - {1 - more:g} * (1 - min({ground.detail}, 1))"
    elif more < 0:
        changes["detail"] = times(ground.detail, 1 + more)
    return ground.model_copy(update=changes)
