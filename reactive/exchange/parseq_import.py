"""Parseq documents: curves and prompts, from the frames that Parseq rendered, or from its keys where there are none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_ROWS = 500_000
# a field's move from frame to frame: of a factor the ratio, of the others the difference
FACTORS = ("zoom",)
SUMS = ("angle", "translation_x", "translation_y", "translation_z", "rotation_3d_x", "rotation_3d_y", "rotation_3d_z")
PLAIN = ("strength", "seed")
_GAP = re.compile(r"\$\{[^{}]*\}")


@dataclass(frozen=True)
class Parseq:
    """What a document says.

    Attributes
    ----------
    frames
        How many there are.
    fps
        Frames a second; None where it does not say.
    moves, values
        Curves of one number a frame, by field: the moves from frame to frame (``_delta``), and the values themselves.
    prompts
        Texts by frame with ``--neg``; None where Parseq leaves the prompts to Deforum.
    notes
        What was assumed, one clause each.
    """

    frames: int
    fps: float | None
    moves: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    prompts: dict[str, str] | None
    notes: tuple[str, ...]


def is_parseq(data: Any) -> bool:
    """Return whether a JSON value is a Parseq document."""
    return isinstance(data, dict) and ("rendered_frames" in data or ("keyframes" in data and "managedFields" in data))


def read_parseq(data: dict[str, Any]) -> Parseq:
    """Return what a Parseq document says.

    Raises
    ------
    ValueError
        If its frames make no sense.
    """
    rows = _rows(data.get("rendered_frames"))
    notes: tuple[str, ...] = ()
    if not rows:
        rows = _rows(data.get("keyframes"))
        notes = ("Parseq's frames, which this document holds no more than keys of: straight lines join the keys",)
    if not rows:
        raise ValueError("is a Parseq document without frames")
    frames = int(rows[-1]["frame"]) + 1
    at = np.arange(frames)
    values = {name: curve for name in (*FACTORS, *SUMS, *PLAIN) if (curve := _curve(rows, name, at)) is not None}
    moves: dict[str, np.ndarray] = {}
    for name in (*FACTORS, *SUMS):
        stepped = _curve(rows, f"{name}_delta", at)
        if stepped is not None:
            moves[name] = stepped
        elif name in values:
            moves[name] = _steps(values[name], factor=name in FACTORS)
    options = data.get("options")
    fps = options.get("output_fps") if isinstance(options, dict) else None
    rate = _number(fps)
    return Parseq(frames, rate if rate and rate > 0 else None, moves, values, _prompts(data, rows), notes)


def _rows(given: Any) -> list[dict[str, Any]]:
    """Return the rows with a frame's number, rising."""
    if not isinstance(given, list):
        return []
    if len(given) > MAX_ROWS:
        raise ValueError(f"holds more than {MAX_ROWS:,} frames")
    rows = [row for row in given if isinstance(row, dict) and 0 <= (_number(row.get("frame")) or 0) < MAX_ROWS]
    for number, row in enumerate(rows):
        if _number(row.get("frame")) is None:
            rows[number] = {**row, "frame": number}
    return sorted(rows, key=lambda row: float(row["frame"]))


def _curve(rows: list[dict[str, Any]], name: str, at: np.ndarray) -> np.ndarray | None:
    known = [(float(row["frame"]), number) for row in rows if (number := _number(row.get(name))) is not None]
    if not known:
        return None
    return np.interp(at, [frame for frame, _ in known], [number for _, number in known])


def _steps(curve: np.ndarray, *, factor: bool) -> np.ndarray:
    """Return the moves between a curve's frames; the first frame moves as the second does."""
    held = np.maximum(np.abs(curve), 1e-6)
    steps = held[1:] / held[:-1] if factor else np.diff(curve)
    rest = np.full(1, 1.0 if factor else 0.0)
    return np.concatenate([steps[:1] if len(steps) else rest, steps])


def _prompts(data: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, str] | None:
    given = data.get("prompts")
    if isinstance(given, dict) and given.get("enabled") is False:
        return None
    listed = given.get("promptList") if isinstance(given, dict) else given
    if isinstance(given, dict) and not isinstance(listed, list):
        # the first versions knew one prompt
        listed = [given]
    found: dict[str, str] = {}
    common = given.get("commonPrompt") if isinstance(given, dict) else None
    place = str(given.get("commonPromptPos", "append")) if isinstance(given, dict) else ""
    for prompt in listed if isinstance(listed, list) else []:
        if not isinstance(prompt, dict):
            continue
        positive, negative = (
            _joined(prompt.get(side), common.get(side) if isinstance(common, dict) else "", place)
            for side in ("positive", "negative")
        )
        start = 0 if prompt.get("allFrames") else max(int(_number(prompt.get("from")) or 0), 0)
        if positive:
            while str(start) in found:
                start += 1
            found[str(start)] = f"{positive} --neg {negative}" if negative else positive
    if found:
        return found
    before = None
    for row in rows:
        text = row.get("deforum_prompt", row.get("prompt"))
        if isinstance(text, str) and text.strip() and text != before:
            found[str(int(float(row["frame"])))] = before = text
    return found or None


def _joined(own: Any, common: Any, place: str) -> str:
    own, common = (_GAP.sub("", text).strip(" ,\n") if isinstance(text, str) else "" for text in (own, common))
    parts = [common, own] if place == "prepend" else [own, common]
    return ", ".join(part for part in parts if part)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None
