"""JSON as other people's programs write it: UTF-8, UTF-16 or UTF-32, with a byte-order mark or without."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

_RATIO = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:/[0-9]{1,9})?")


def parse_json(data: bytes | str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    ValueError
        With one clause in plain words that names the place, for instance ``is not JSON: line 81, column 1``.
    """
    try:
        # given bytes, the library finds out the encoding by the mark or by the zeros in the first four bytes
        return json.loads(data.removeprefix("\ufeff") if isinstance(data, str) else data)
    except json.JSONDecodeError as problem:
        raise ValueError(f"is not JSON: line {problem.lineno}, column {problem.colno}") from None
    except UnicodeDecodeError:
        raise ValueError("is not JSON: its letters are neither UTF-8 nor UTF-16") from None
    except RecursionError:
        raise ValueError("is JSON that is nested too deeply") from None
    except ValueError:
        # Python refuses to read whole numbers of more than 4300 digits
        raise ValueError("is JSON with a number of too many digits") from None


class InvalidValue(ValueError):
    """A value in a file that makes no sense: one clause in plain words, with the key."""


def read_int(data: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """Return a whole number from a table.

    Raises
    ------
    Wrong
        If it is missing, no whole number or out of range.
    """
    value = read_value(data, key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidValue(f"{key} = {quoted(value)} is not a whole number from {low} to {high}")
    return value


def read_float(data: Mapping[str, Any], key: str, low: float, high: float) -> float:
    """Return a number from a table; errors as of `whole`."""
    value = read_value(data, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidValue(f"{key} = {quoted(value)} is not a number from {low:g} to {high:g}")
    return float(value)


def read_fraction(data: Mapping[str, Any], key: str, low: int, high: int) -> Fraction:
    """Return an exact number that is written as ``24`` or ``30000/1001``; errors as of `whole`."""
    value = read_value(data, key)
    exact = None
    if isinstance(value, str | int | float) and _RATIO.fullmatch(str(value)):
        top, _, bottom = str(value).partition("/")
        exact = Fraction(top) / int(bottom or 1) if int(bottom or 1) else None
    if exact is None or not low <= exact <= high:
        raise InvalidValue(f"{key} = {quoted(value)} is not a number from {low} to {high}")
    return exact


def read_texts(data: Mapping[str, Any], key: str, *, most: int, longest: int) -> list[str]:
    """Return a list of texts from a table; errors as of `whole`."""
    value = read_value(data, key)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise InvalidValue(f"{key} is not a list of texts")
    if len(value) > most:
        raise InvalidValue(f"{key} holds {len(value):,} texts, more than {most:,}")
    if long := next((text for text in value if len(text) > longest), None):
        raise InvalidValue(f"{key} holds a text of {len(long):,} letters, more than {longest:,}")
    return value


def read_value(data: Mapping[str, Any], key: str) -> Any:
    """Return a table's value, or raise `InvalidValue` where there is none."""
    if key not in data:
        raise InvalidValue(f"lacks {key}")
    return data[key]


def quoted(value: Any) -> str:
    """Return a value as a file would have it, in at most 60 letters."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "infinity"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "a huge number"
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
