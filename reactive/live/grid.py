"""The page's corrections of the grid: nudge, tap, half, double, downbeat, metre, second best reading, names of parts.

They are saved like those of `reactive analyze`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.corrections import NO_CORRECTIONS, Corrections, apply_corrections, load_corrections
from reactive.audio.levels import Doubt
from reactive.audio.parts import song_parts
from reactive.audio.taps import MAX_TAPS, grid_from_taps
from reactive.errors import GridError
from reactive.live.web.protocol import number
from reactive.media.sound import Track

ACTIONS = ("nudge", "half", "double", "one", "tap", "meter", "second best", "part", "as heard")
METRES = ("2/4", "3/4", "4/4", "5/4", "6/8", "7/4")
# the second best reading of a song is offered from this probability on
OFFERED = 0.05


def saved_grid(track: Track, raw: Analysis) -> tuple[Corrections, Analysis]:
    """Return a song's saved corrections and the corrected analysis; corrections that can't be applied are ignored."""
    saved, _ = load_corrections(track.path, track.sha256, track.file_sha256)
    try:
        return saved, apply_corrections(raw, saved)
    except GridError:
        return NO_CORRECTIONS, raw


def correct_grid(raw: Analysis, now: Corrections, data: Mapping[str, Any]) -> Corrections:
    """Return the corrections after an action of the page.

    Parameters
    ----------
    raw
        The analysis without corrections.
    now
        The corrections so far.
    data
        ``action``, one of ACTIONS, with its ``ms``, ``time``, ``taps`` (seconds) or ``meter``; a ``part`` with its ``section``, a
        letter or number, and its ``name``, empty for the one that is heard.

    Raises
    ------
    GridError
        If the action is not possible in this song.
    ValueError
        If it is not an action.
    """
    action, values = data.get("action"), dict(data)
    if action == "nudge":
        offset = round((now.offset_ms or 0.0) + number(values, "ms", -1000, 1000), 1)
        return replace(now, offset_ms=offset or None)
    if action in ("half", "double"):
        return _level(raw, now, action)
    if action == "one":
        return _set_downbeat(raw, now, number(values, "time", 0, raw.duration))
    if action == "tap":
        taps = values.get("taps")
        if not isinstance(taps, list) or len(taps) > MAX_TAPS:
            raise ValueError("taps must be a list of times")
        return grid_from_taps(raw, now, [number({"tap": tap}, "tap", 0, raw.duration) for tap in taps])
    if action == "meter":
        if values.get("meter") not in METRES:
            raise ValueError("no such metre")
        return replace(now, meter=values["meter"])
    if action == "second best":
        return _second_best(raw, now)
    if action == "part":
        return _name_part(now, values)
    if action == "as heard":
        return Corrections(sections=now.sections)
    raise ValueError("no such correction")


def grid_for_page(analysis: Analysis, corrections: Corrections) -> dict[str, Any]:
    """Return the grid's data for the page."""
    return {
        "tempo": round(float(analysis.tempo), 2),
        "meter": analysis.metre,
        "metres": list(METRES),
        "offset": corrections.offset_ms or 0.0,
        "half": corrections.half,
        "double": corrections.double,
        "corrected": bool(corrections),
        "beats": len(analysis.beats),
        "other": _offer(analysis.doubt),
        "parts": [
            {"start": round(part.start, 3), "label": part.label, "name": part.name} for part in song_parts(analysis)
        ],
    }


def _name_part(now: Corrections, values: Mapping[str, Any]) -> Corrections:
    """Return the corrections with the sections of a letter, or one by its number, called by a name."""
    section, name = values.get("section"), values.get("name")
    if not isinstance(section, str) or not isinstance(name, str):
        raise ValueError("a part needs a section and a name")
    kept = tuple(
        text for text in now.sections or () if text.partition("=")[0].strip().upper() != section.strip().upper()
    )
    told = (*kept, f"{section}={name}") if name.strip() else kept
    return replace(now, sections=told or None)


def _offer(doubt: Doubt) -> str:
    """Return the second best reading in words, as ``or 87 bpm``; empty if hearing is sure."""
    likely = max(1 - doubt.level, doubt.level * (1 - doubt.one))
    return doubt.other.removesuffix(f": {doubt.option}") if likely >= OFFERED else ""


def _second_best(raw: Analysis, now: Corrections) -> Corrections:
    """Return the corrections with the second best reading of what was heard."""
    option, _, value = raw.doubt.option.removeprefix("--").partition(" ")
    if option in ("half", "double"):
        return replace(now, half=option == "half", double=option == "double")
    if option == "bpm":
        return replace(now, bpm=float(value))
    if option == "meter":
        return replace(now, meter=value)
    if option == "downbeat":
        return replace(now, downbeat=int(value))
    raise ValueError("this song has no second best reading")


def _level(raw: Analysis, now: Corrections, action: str) -> Corrections:
    """Halve or double the tempo; the opposite action, or the same again, undoes it. The downbeat stays in place."""
    if now.bpm is not None:
        new = replace(now, bpm=now.bpm * (0.5 if action == "half" else 2.0), half=False, double=False, downbeat=None)
    else:
        other = now.half if action == "double" else now.double
        on = not other and not getattr(now, action)
        new = replace(now, half=on and action == "half", double=on and action == "double", downbeat=None)
    if now.downbeat is None:
        return new
    downbeats = apply_corrections(raw, replace(now, offset_ms=None)).downbeats
    return replace(
        new, downbeat=_number(apply_corrections(raw, replace(new, offset_ms=None)).beats, float(downbeats[0]))
    )


def _set_downbeat(raw: Analysis, now: Corrections, time: float) -> Corrections:
    """Make the beat nearest to a time a downbeat."""
    plain = replace(now, offset_ms=None, downbeat=None)
    target = time - (now.offset_ms or 0.0) / 1000
    if now.half:
        # if the nearest beat was removed by half, the removed beats replace the others
        every = apply_corrections(raw, replace(plain, half=False)).beats
        nearest = _number(every, target) - 1
        current = apply_corrections(raw, plain).beats
        if np.abs(current - every[nearest]).min() > 1e-3:
            others = tuple(float(beat) for beat in every[nearest % 2 :: 2])
            plain = replace(plain, half=False, bpm=None, beats=others, downbeats=())
            now = replace(plain, offset_ms=now.offset_ms)
    return replace(now, downbeat=_number(apply_corrections(raw, plain).beats, target))


def _number(beats: np.ndarray, time: float) -> int:
    return int(np.abs(beats - time).argmin()) + 1
