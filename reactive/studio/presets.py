"""The presets for the page: description, poster, and an animation if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reactive.errors import ReactiveError
from reactive.preset.gallery import ANIMATIONS, POSTERS, picture_in
from reactive.preset.library import find_preset, names, open_preset, shipped_names
from reactive.preset.photographs import fed_phases


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
        "knobs": [
            {"name": macro.name, "words": macro.description, "default": macro.default} for macro in preset.macros
        ],
    }
