"""Read Parseq documents: curves and prompts, from the rendered frames or, if there are none, from the keyframes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_ROWS = 500_000
# moves from frame to frame are ratios of FACTORS and differences of SUMS
FACTORS = ("zoom",)
SUMS = ("angle", "translation_x", "translation_y", "translation_z", "rotation_3d_x", "rotation_3d_y", "rotation_3d_z")
PLAIN = ("strength", "seed")
_VARIABLE = re.compile(r"\$\{[^{}]*\}")


@dataclass(frozen=True)
class Parseq:
    """The contents of a document.

    Attributes
    ----------
    frames
        Number of frames.
    fps
        Frames a second; None if not stated.
    moves, values
        Curves with one number a frame, by field: moves from frame to frame (``_delta``), and the values themselves.
    prompts
        Texts by frame with ``--neg``; None if Deforum's prompts are used.
    notes
        Assumptions, one clause each.
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
    """Return the contents of a Parseq document.

    Raises
    ------
    ValueError
        If it has no frames, or too many.
    """
    rows = _rows(data.get("rendered_frames"))
    notes: tuple[str, ...] = ()
    if not rows:
        rows = _rows(data.get("keyframes"))
        notes = ("Parseq's frames, of which this document holds only the keys: they are interpolated linearly",)
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


def _rows(table: Any) -> list[dict[str, Any]]:
    """Return the valid rows, sorted by frame; rows without a frame get their index."""
    if not isinstance(table, list):
        return []
    if len(table) > MAX_ROWS:
        raise ValueError(f"holds more than {MAX_ROWS:,} frames")
    rows = [row for row in table if isinstance(row, dict) and 0 <= (_number(row.get("frame")) or 0) < MAX_ROWS]
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
    """Return the moves between a curve's frames; the first frame has the second one's."""
    held = np.maximum(np.abs(curve), 1e-6)
    steps = held[1:] / held[:-1] if factor else np.diff(curve)
    rest = np.full(1, 1.0 if factor else 0.0)
    return np.concatenate([steps[:1] if len(steps) else rest, steps])


def _prompts(data: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, str] | None:
    table = data.get("prompts")
    if isinstance(table, dict) and table.get("enabled") is False:
        return None
    listed = table.get("promptList") if isinstance(table, dict) else table
    if isinstance(table, dict) and not isinstance(listed, list):
        # the first versions of Parseq had a single prompt
        listed = [table]
    found: dict[str, str] = {}
    common = table.get("commonPrompt") if isinstance(table, dict) else None
    position = str(table.get("commonPromptPos", "append")) if isinstance(table, dict) else ""
    for prompt in listed if isinstance(listed, list) else []:
        if not isinstance(prompt, dict):
            continue
        positive, negative = (
            _joined(prompt.get(side), common.get(side) if isinstance(common, dict) else "", position)
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


def _joined(own: Any, common: Any, position: str) -> str:
    own, common = (_VARIABLE.sub("", text).strip(" ,\n") if isinstance(text, str) else "" for text in (own, common))
    parts = [common, own] if position == "prepend" else [own, common]
    return ", ".join(part for part in parts if part)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None
