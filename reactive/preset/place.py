"""Places in a song by their usual names: ``drop 1``, ``last chorus``, ``part solo``, ``bloom 2``, ``start``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reactive.errors import PresetError
from reactive.preset.expression import closest_name

KINDS = ("drop", "section", "loop", "bar")
# parts of a song by the names that hearing gives them; others are written as "part solo"
PARTS = ("intro", "verse", "chorus", "bridge", "outro")
PART = "part "
START = "start"
_NUMBERED = re.compile(r"(?:(first|last) )?(.+?)(?: (\d{1,4}))?", re.ASCII)


@dataclass(frozen=True)
class Place:
    """One passage of a kind.

    `kind` is ``drop``, ``section``, ``loop``, ``bar``, ``start``, the name of a phase, or ``part`` and the name of a part of the song;
    `number` counts from 1, and -1 is the last.
    """

    kind: str
    number: int


def parse_place(text: str, phases: Sequence[str]) -> Place:
    """Parse a place's name, given the names of the preset's phases.

    Raises
    ------
    PresetError
        If there is no such place; similar names are suggested. The caller sets `where`.
    """
    wanted = " ".join(text.split())
    if wanted == START:
        return Place(START, 1)
    match = _NUMBERED.fullmatch(wanted)
    if not match or (match.group(1) and match.group(3)):
        raise PresetError("is no place in a song", remedy='write for instance "drop 1" or "last section"')
    kind = match.group(2)
    number = -1 if match.group(1) == "last" else int(match.group(3) or 1)
    if wanted in phases:
        return Place(wanted, 1)
    if kind in PARTS and kind not in phases:
        kind = PART + kind
    if kind not in (*KINDS, *phases) and not kind.startswith(PART):
        raise PresetError("is no place in a song", remedy=closest_name(kind, [*KINDS, START, *PARTS, *phases]))
    if number == 0:
        raise PresetError("counts from 1", remedy=f'the first is "{kind} 1"')
    return Place(kind, number)
