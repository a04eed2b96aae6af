"""The presets for the page: description, poster, and an animation if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reactive.errors import ReactiveError
from reactive.preset.expression import Call, Node, Number, Operation, Signal, parse
from reactive.preset.gallery import ANIMATIONS, POSTERS, picture_in
from reactive.preset.library import find_preset, names, open_preset, shipped_names
from reactive.preset.photographs import FED, fed_phases
from reactive.preset.schema import Preset

# shares of a photograph's detail from which on it is strong, or half hidden
STRONG, HALF = 0.65, 0.35


def presets_for_page() -> list[dict[str, Any]]:
    """Return all presets, sorted by name; those that can't be used have a `problem`."""
    shipped = set(shipped_names())
    return [_facts(name, name in shipped) for name in names()]


def picture_of(name: str, *, moving: bool = False) -> Path | None:
    """Return a preset's poster, or its animation; None if there is none."""
    if name not in names():
        return None
    return picture_in(find_preset(name).parent, ANIMATIONS if moving else POSTERS)


def _facts(name: str, ships: bool) -> dict[str, Any]:
    try:
        preset = open_preset(name).preset
    except ReactiveError as problem:
        return {"name": name, "title": name, "problem": str(problem), "ships": ships}
    return {
        "name": name,
        "title": preset.title,
        "words": preset.description,
        "music": preset.music,
        "author": preset.author,
        "licence": preset.licence,
        "ships": ships,
        "problem": "",
        "poster": picture_of(name) is not None,
        "moving": picture_of(name, moving=True) is not None,
        "own": bool(fed_phases(preset)),
        "photographs": photographs_shown(preset),
        "knobs": [
            {"name": macro.name, "words": macro.description, "default": macro.default} for macro in preset.macros
        ],
    }


def photographs_shown(preset: Preset) -> str:
    """Return how strongly a preset shows photographs that are fed in: ``strong``, ``half hidden``, ``faint``, or empty for not at all.

    Of each phase that takes them it is the detail of its ground, or what a photograph keeps that is painted anew, in the middle
    between silence and the loudest beat.
    """
    fed = set(fed_phases(preset))
    if not fed:
        return ""
    usual = {f"macro.{macro.name}": macro.default for macro in preset.macros}
    shares = []
    for phase in preset.phase:
        if phase.name not in fed:
            shares.append(0.0)
        elif (ground := phase.ground or preset.ground) is not None and ground.own:
            shares.append(_middle(parse(ground.detail), usual))
        elif phase.mode in FED:
            shares.append(1 - _middle(parse(phase.strength or preset.strength), usual))
    share = sum(min(max(one, 0.0), 1.0) for one in shares) / len(shares)
    return "strong" if share >= STRONG else "half hidden" if share >= HALF else "faint"


def _middle(node: Node, macros: Mapping[str, float]) -> float:
    """Return about what an expression is worth on average, if each signal and function of signals is at half of its range."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Operation):
        left, right = _middle(node.left, macros), _middle(node.right, macros)
        quotient = left / right if node.operator == "/" and right else 0.0
        return {"+": left + right, "-": left - right, "*": left * right, "/": quotient}[node.operator]
    if isinstance(node, Call) and node.function in ("max", "min"):
        return (max if node.function == "max" else min)(_middle(curve, macros) for curve in node.curves)
    return macros.get(node.name, 0.5) if isinstance(node, Signal) else 0.5
