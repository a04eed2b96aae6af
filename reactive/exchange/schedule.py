"""Schedules as Deforum writes them: ``0: (1.0), 24: (1.02)``, straight lines between the keys."""

from __future__ import annotations

import math
import re

import numpy as np

_KEY = re.compile(r"\s*(\d{1,9})\s*:\s*\(")
_COMMA = re.compile(r"\s*,?")
MAX_KEYS = 200_000


def keys_of(curve: np.ndarray, tolerance: float) -> list[int]:
    """Return the frames that must be keys so that straight lines between them stay within `tolerance` of the curve.

    Source: Douglas and Peucker (1973), with the vertical distance.
    """
    last = len(curve) - 1
    chosen = {0, last}
    waiting = [(0, last)]
    while waiting:
        first, end = waiting.pop()
        if end - first < 2:
            continue
        inner = np.arange(first + 1, end)
        line = curve[first] + (curve[end] - curve[first]) * (inner - first) / (end - first)
        away = np.abs(curve[inner] - line)
        worst = int(away.argmax())
        if away[worst] > tolerance:
            middle = first + 1 + worst
            chosen.add(middle)
            waiting += [(first, middle), (middle, end)]
    return sorted(chosen)


def write_schedule(curve: np.ndarray, *, tolerance: float, digits: int = 4) -> str:
    """Return a curve, one value a frame, as a schedule within `tolerance` of it."""
    return ", ".join(f"{frame}: ({round(float(curve[frame]), digits):g})" for frame in keys_of(curve, tolerance))


def write_steps(values: np.ndarray) -> str:
    """Return whole numbers that hold and then jump: a key on each side of a jump, since tools draw lines between keys."""
    jumps = np.flatnonzero(np.diff(values)) + 1
    frames = sorted({0, *jumps.tolist(), *(jumps - 1).tolist()})
    return ", ".join(f"{frame}: ({int(values[frame])})" for frame in frames)


def read_schedule(text: str) -> tuple[list[int], list[float | None]]:
    """Return a schedule's frames, rising, and their values; None stands for a formula, which is not computed.

    Raises
    ------
    ValueError
        If the text is no schedule.
    """
    found: dict[int, float | None] = {}
    position = 0
    while match := _KEY.match(text, position):
        end = _closing(text, match.end())
        found[int(match.group(1))] = _number(text[match.end() : end])
        comma = _COMMA.match(text, end + 1)
        position = comma.end() if comma else end + 1
        if len(found) > MAX_KEYS:
            raise ValueError(f"has more than {MAX_KEYS} keys")
    if not found or text[position:].strip():
        raise ValueError("is not a schedule such as 0: (1.0), 24: (1.02)")
    frames = sorted(found)
    return frames, [found[frame] for frame in frames]


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ValueError("lacks a closing bracket")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
