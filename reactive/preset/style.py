"""Reference pictures as a person names them: a file, and how strongly the model takes on its look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from reactive.errors import PresetError
from reactive.preset.schema import StylePicture

USUAL = "0.6"


def split_style(text: str) -> tuple[str, str]:
    """Return the file and the weight of ``cover.jpg:0.6``; the weight may be an expression, and is 0.6 if there is none."""
    if Path(text).is_file():
        return text, USUAL
    name, colon, weight = text.rpartition(":")
    # a drive letter's colon is followed by a path
    if not colon or len(name) < 2 or weight.startswith(("/", "\\")):
        return text, USUAL
    return name, weight.strip() or USUAL


def style_pictures(texts: Sequence[str]) -> list[StylePicture]:
    """Return what a person named as a preset has it: base names and weights.

    Raises
    ------
    PresetError
        If a weight is not an expression, or reads a knob of a preset.
    """
    found = []
    for text in texts:
        name, weight = split_style(text)
        try:
            picture = StylePicture.model_validate(
                {"file": Path(name).name, "weight": weight}, context={"macros": frozenset()}
            )
        except ValidationError as problem:
            what, _, remedy = problem.errors()[0]["msg"].removeprefix("Value error, ").partition("|")
            raise PresetError(
                f'"{weight}": {what}', where=f"--style {text}", remedy=remedy or "write for instance cover.jpg:0.6"
            ) from None
        found.append(picture)
    return found
