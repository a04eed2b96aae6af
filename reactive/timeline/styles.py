"""Reference pictures, whose look the model takes on: which ones a preset has, and how strongly each counts in every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reactive.errors import PresetError
from reactive.preset.schema import MAX_STYLE_PICTURES, Phase, Preset, StylePicture

# the columns of their weights, in the order of the timeline's names
STYLES = tuple(f"style_{number}" for number in range(1, MAX_STYLE_PICTURES + 1))


def style_names(preset: Preset) -> tuple[str, ...]:
    """Return the files of all of a preset's reference pictures, each once, in the order in which they are written."""
    holders = [preset.style_picture, *(phase.style_picture or [] for phase in preset.phase)]
    return tuple(dict.fromkeys(picture.file for pictures in holders for picture in pictures))


def with_styles(preset: Preset, pictures: Sequence[StylePicture]) -> Preset:
    """Return a preset with more reference pictures, in all of its phases.

    Raises
    ------
    PresetError
        If there are too many, or two of one name.
    """
    if not pictures:
        return preset
    names = [*style_names(preset), *(picture.file for picture in pictures)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise PresetError(
            "is given twice, or is the name of one of the preset's own", where=f"--style {twice}", remedy="rename it"
        )
    if len(names) > MAX_STYLE_PICTURES:
        raise PresetError(
            f"there are {len(names)} pictures that steer the style",
            where="--style",
            remedy=f"give at most {MAX_STYLE_PICTURES}, the preset's own included",
        )

    def more(holder: Preset | Phase) -> dict[str, list[StylePicture]]:
        return {} if holder.style_picture is None else {"style_picture": [*holder.style_picture, *pictures]}

    phases = [phase.model_copy(update=more(phase)) for phase in preset.phase]
    return preset.model_copy(update={**more(preset), "phase": phases})


def style_expressions(preset: Preset, phase: Phase) -> dict[str, str]:
    """Return the expressions of the weights in a phase, by column; 0 for pictures that it does not have."""
    here = preset.style_picture if phase.style_picture is None else phase.style_picture
    weights = {picture.file: picture.weight for picture in here}
    names = style_names(preset)
    texts = [weights.get(name, "0") for name in names]
    return dict(zip(STYLES, [*texts, *("0",) * (len(STYLES) - len(texts))], strict=True))


def styles_at(columns: Mapping[str, np.ndarray], frame: int, count: int) -> tuple[float, ...]:
    """Return the weights of `count` reference pictures in a frame."""
    return tuple(float(columns[name][frame]) for name in STYLES[:count])


def renumbered(
    columns: Mapping[str, np.ndarray], places: Sequence[int], names: Sequence[str] = STYLES
) -> dict[str, np.ndarray]:
    """Return columns with the weights of the pictures at other places: that of picture i in the column of ``places[i]``.

    `names` are the columns of the weights, if they are not those of pictures.
    """
    empty = np.zeros_like(columns[names[0]])
    weights = {names[place]: columns[name] for place, name in zip(places, names, strict=False)}
    return {name: weights.get(name, empty) if name in names else column for name, column in columns.items()}
