"""Deforum's schedules: ``0: (1.0), 24: (1.02)``, linear between the keys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from reactive.exchange.formula import compute

_KEY = re.compile(r"""\s*("[^":]{1,200}"|'[^':]{1,200}'|[^:"',]{1,200}?)\s*:""")
# the next key, if the comma before it is missing
_NEXT = re.compile(r"""\s*(?:"[^":]{1,200}"|'[^':]{1,200}'|\d{1,9})\s*:""")
_COMMA = re.compile(r"\s*,?\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
MAX_KEYS = 20_000
MAX_FORMULAS = 1000
MAX_FRAME = 1e9
# limit of a schedule's values
MAX_VALUE = 1e6


def keys_of(curve: np.ndarray, tolerance: float) -> list[int]:
    """Return the frames of keys between which linear interpolation stays within `tolerance` of the curve.

    Source: Douglas and Peucker (1973), with the vertical distance.
    """
    last = len(curve) - 1
    keys = {0, last}
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
            keys.add(middle)
            waiting += [(first, middle), (middle, end)]
    return sorted(keys)


def write_schedule(curve: np.ndarray, *, tolerance: float, digits: int = 4) -> str:
    """Return a curve, one value a frame, as a schedule within `tolerance` of it."""
    return ", ".join(f"{frame}: ({round(float(curve[frame]), digits):g})" for frame in keys_of(curve, tolerance))


def write_steps(values: np.ndarray) -> str:
    """Return a schedule of integers that jump: with a key on each side of a jump, since tools interpolate between keys."""
    jumps = np.flatnonzero(np.diff(values)) + 1
    frames = sorted({0, *jumps.tolist(), *(jumps - 1).tolist()})
    return ", ".join(f"{frame}: ({int(values[frame])})" for frame in frames)


def read_schedule(text: str) -> list[tuple[str, str]]:
    """Return a schedule's keys in written order as pairs of texts: the frame, and the value or formula.

    Keys may be formulas or quoted; a comma between keys, or the brackets around a value, may be missing.

    Raises
    ------
    ValueError
        If the text is not a schedule.
    """
    found: list[tuple[str, str]] = []
    position = 0
    while match := _KEY.match(text, position):
        end = _end(text, match.end())
        value = text[match.end() : end].strip()
        if value.startswith("(") and _end(value, 1, ")") == len(value) - 1:
            value = value[1:-1].strip()
        if not value:
            break
        found.append((match[1].strip(), value))
        comma = _COMMA.match(text, end)
        position = comma.end() if comma else end
        if len(found) > MAX_KEYS:
            raise ValueError(f"has more than {MAX_KEYS} keys")
    if not found or text[position:].strip():
        raise ValueError("is not a schedule such as 0: (1.0), 24: (1.02)")
    return found


def draw_schedule(text: str, at: np.ndarray, names: Mapping[str, float]) -> tuple[np.ndarray | None, str]:
    """Return a schedule's values at some frames, and the first error as a clause ("" if none).

    Numbers are interpolated linearly; a formula applies from its key to the next one. Before the first key and after the last
    one the value is constant.

    Parameters
    ----------
    text
        The schedule.
    at
        The frames, int64, ascending, from 0 on.
    names
        The values of ``max_f`` and ``s``.

    Returns
    -------
    The values as float64, None without a valid key, and the clause.

    Raises
    ------
    ValueError
        If the text is not a schedule.
    """
    keys: dict[int, tuple[str, float]] = {}
    fault = ""
    written = read_schedule(text)
    if sum(not _NUMBER.fullmatch(value) for _, value in written) > MAX_FORMULAS:
        raise ValueError(f"has more than {MAX_FORMULAS} formulas")
    for place, value in written:
        try:
            frame = key_frame(place, names)
            keys[frame] = value, _value(value, {**names, "t": float(frame)})
        except ValueError as problem:
            fault = fault or f"the value {value[:60]} at {place[:20]} {problem}"
    frames = sorted(keys)
    if not frames:
        return None, fault
    curve = np.interp(at, frames, [keys[frame][1] for frame in frames])
    edges = [0, *np.searchsorted(at, frames[1:]).tolist(), len(at)]
    for frame, begin, end in zip(frames, edges, edges[1:], strict=False):
        formula, held = keys[frame]
        if begin == end or _NUMBER.fullmatch(formula):
            continue
        try:
            curve[begin:end] = compute(formula, {**names, "t": at[begin:end].astype(np.float64)})
        except ValueError as problem:
            fault = fault or f"the value {formula[:60]} at {frame} {problem}"
            curve[begin:end] = held
    return np.clip(curve, -MAX_VALUE, MAX_VALUE), fault


def _value(text: str, names: Mapping[str, float]) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else float(compute(text, names))
    if not math.isfinite(value):
        raise ValueError("is not finite")
    return value


def key_frame(text: str, names: Mapping[str, float]) -> int:
    """Return the frame of a key: a number, or a formula of ``max_f``.

    Raises
    ------
    ValueError
        If it is not a frame.
    """
    frame = _value(text.strip().strip("\"'").strip(), names)
    if not 0 <= frame < MAX_FRAME:
        raise ValueError("is not a frame")
    return int(frame)


def _end(text: str, start: int, stop: str = ",") -> int:
    """Return the end of a value: the next `stop` outside of brackets and quotation marks, or the end of the text."""
    depth, quote = 0, ""
    for position in range(start, len(text)):
        letter = text[position]
        if quote:
            quote = "" if letter == quote else quote
        elif depth == 0 and letter == stop:
            return position
        elif letter in "\"'":
            if depth == 0 and text[start:position].rstrip().endswith(")"):
                return position
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0 and _NEXT.match(text, position + 1):
                return position + 1
    if depth > 0:
        raise ValueError("lacks a closing bracket")
    return len(text)
