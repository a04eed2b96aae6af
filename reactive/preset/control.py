"""Pictures whose shapes are kept, as a person names them: what a control network sees, a file, and how strongly it counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from reactive.errors import PresetError
from reactive.preset.schema import ControlPicture

USUAL = "1"
# what pictures and films end in; no signal does
_SUFFIX = re.compile(
    r"\.(jpe?g|png|webp|tiff?|bmp|heic|heif|avif|mp4|mov|mkv|webm|m4v|avi|mts|m2ts|ts|mpe?g|3gp|wmv)$", re.IGNORECASE
)


def split_control(text: str) -> tuple[str, str, str]:
    """Return kind, file and weight of ``depth:depth.png:0.5``, ``canny:0.5``, ``canny::0.5``, ``depth:depth.png`` or ``canny``.

    The weight may be an expression, and is 1 if there is none; the file is empty if there is none.
    """
    kind, _, rest = text.partition(":")
    kind = kind.strip()
    if Path(rest).is_file():
        return kind, rest, USUAL
    name, colon, weight = rest.rpartition(":")
    # a drive letter's colon is followed by a path
    if colon and not (len(name) == 1 and name.isalpha()):
        return kind, name, weight.strip() or USUAL
    if _SUFFIX.search(rest):
        return kind, rest, USUAL
    return kind, "", rest.strip() or USUAL


def joined_control(kind: str, file: str, weight: str) -> str:
    """Return what `split_control` divides, in its longest form."""
    return f"{kind}:{file}:{weight}"


def control_pictures(texts: Sequence[str]) -> list[ControlPicture]:
    """Return what a person named as a preset has it: kinds, base names and weights.

    Raises
    ------
    PresetError
        If a kind is none, or a weight is not an expression, or reads a knob of a preset.
    """
    found = []
    for text in texts:
        kind, name, weight = split_control(text)
        where = f"--control {text}"
        try:
            told = {"kind": kind, "file": Path(name).name, "weight": weight}
            found.append(ControlPicture.model_validate(told, context={"macros": frozenset()}))
        except ValidationError as problem:
            error = problem.errors()[0]
            if error["loc"] == ("kind",):
                raise PresetError(
                    f'"{kind}" is no kind of picture',
                    where=where,
                    remedy="write for instance canny:0.8 or depth:depth.png:0.8",
                ) from None
            what, _, remedy = error["msg"].removeprefix("Value error, ").partition("|")
            raise PresetError(
                f'"{weight}": {what}', where=where, remedy=remedy or "write for instance canny:0.8"
            ) from None
    return found
