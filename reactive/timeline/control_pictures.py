"""Pictures whose shapes are kept: which ones a preset has, and how strongly each counts in every frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from reactive.errors import PresetError
from reactive.preset.schema import MAX_CONTROL_PICTURES, ControlPicture, Phase, Preset

# the columns of their weights, in the order of the timeline's names
CONTROLS = tuple(f"control_{number}" for number in range(1, MAX_CONTROL_PICTURES + 1))
# edges, found in a picture; a picture as it is; the others are ready pictures
FOUND, PLAIN = "canny", "tile"
# what another kind's network sees: ready pictures of edges
_SAME = {"edges": FOUND}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}:[^/\\]{0,255}")


def is_control_name(name: str) -> bool:
    """Return whether a text is a kind with the base name of a file, or without one: ``depth:depth.png``, ``canny:``."""
    return _NAME.fullmatch(name) is not None and name.partition(":")[2] not in (".", "..")


def network_kind(kind: str) -> str:
    """Return the kind of network for a kind of picture: ``edges`` are ready pictures for that of ``canny``."""
    return _SAME.get(kind, kind)


def control_kinds(preset: Preset) -> tuple[str, ...]:
    """Return the kinds of control networks that a preset needs, each once."""
    return tuple(dict.fromkeys(network_kind(name.partition(":")[0]) for name in control_names(preset)))


def control_names(preset: Preset) -> tuple[str, ...]:
    """Return kinds and files of all of a preset's pictures whose shapes are kept, each once, in the order they are written."""
    holders = [preset.control, *(phase.control or [] for phase in preset.phase)]
    return tuple(dict.fromkeys(_name(picture) for pictures in holders for picture in pictures))


def with_control_pictures(preset: Preset, pictures: Sequence[ControlPicture]) -> Preset:
    """Return a preset with more pictures whose shapes are kept, in all of its phases.

    Raises
    ------
    PresetError
        If there are too many, or two of one kind and name.
    """
    if not pictures:
        return preset
    names = [*control_names(preset), *map(_name, pictures)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        where = f"--control {twice.removesuffix(':')}"
        raise PresetError("is given twice, or is one of the preset's own", where=where, remedy="give it once")
    if len(names) > MAX_CONTROL_PICTURES:
        raise PresetError(
            f"there are {len(names)} pictures whose shapes are kept",
            where="--control",
            remedy=f"give at most {MAX_CONTROL_PICTURES}, the preset's own included",
        )

    def more(holder: Preset | Phase) -> dict[str, list[ControlPicture]]:
        return {} if holder.control is None else {"control": [*holder.control, *pictures]}

    phases = [phase.model_copy(update=more(phase)) for phase in preset.phase]
    return preset.model_copy(update={**more(preset), "phase": phases})


def control_expressions(preset: Preset, phase: Phase) -> dict[str, str]:
    """Return the expressions of the weights in a phase, by column; 0 for pictures that it does not have."""
    here = preset.control if phase.control is None else phase.control
    weights = {_name(picture): picture.weight for picture in here}
    texts = [weights.get(name, "0") for name in control_names(preset)]
    return dict(zip(CONTROLS, [*texts, *("0",) * (len(CONTROLS) - len(texts))], strict=True))


def controls_at(columns: Mapping[str, np.ndarray], frame: int, count: int) -> tuple[float, ...]:
    """Return the weights of `count` pictures whose shapes are kept in a frame."""
    return tuple(float(columns[name][frame]) for name in CONTROLS[:count])


def _name(picture: ControlPicture) -> str:
    return f"{picture.kind}:{picture.file}"
