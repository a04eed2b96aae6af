"""Which presets take photographs and videos, and notes for a user who gives some, or none."""

from __future__ import annotations

from reactive.errors import ReactiveError
from reactive.preset.library import get_preset, names
from reactive.preset.schema import Phase, Preset

FED = ("photo", "video")


def taking_photographs() -> list[str]:
    """Return the names of the presets that take photographs, sorted; presets that can't be read are left out."""
    found = []
    for name in names():
        try:
            preset = get_preset(name)
        except ReactiveError:
            continue
        if fed_phases(preset):
            found.append(name)
    return found


def fed_phases(preset: Preset) -> list[str]:
    """Return the names of the phases that show photographs or videos that are fed in; either can replace the other."""
    return [phase.name for phase in preset.phase if phase.mode in FED or _own_ground(preset, phase)]


def source_notes(preset: Preset, *, photos: int, videos: int) -> list[str]:
    """Return a sentence if sources are given to a preset that takes none, or none to one that needs them."""
    if (photos or videos) and not fed_phases(preset):
        what = "photographs" if photos else "videos"
        others = ", ".join(taking_photographs())
        return [f'"{preset.title}" shows no {what}; presets that do: {others}. A phase does with mode = "photo".']
    bare = [phase.name for phase in preset.phase if phase.mode in FED and (phase.ground or preset.ground) is None]
    if bare and not photos and not videos:
        which = f"phases {', '.join(bare)} are" if len(bare) > 1 else f"phase {bare[0]} is"
        return [f'"{preset.title}" takes photographs, and none are given (--photo): its {which} painted from noise.']
    return []


def _own_ground(preset: Preset, phase: Phase) -> bool:
    ground = phase.ground or preset.ground
    return ground is not None and ground.own
