"""What goes over the WebSocket: pictures as binary messages with a small head, everything else as JSON with a type `t`."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

# little-endian: version, three spare bytes, epoch, frame, four spare bytes, song time in seconds; the JPEG follows
HEAD = struct.Struct("<B3xIIxxxxd")
VERSION = 1
MAX_MESSAGE = 16_384
MAX_CREDIT = 240
# digits of a whole number: beyond, it may be no number of a computer's any more
MAX_DIGITS = 15


def pack_picture(epoch: int, frame: int, seconds: float, jpeg: bytes) -> bytes:
    """Return a picture's message."""
    return HEAD.pack(VERSION, epoch & 0xFFFFFFFF, frame, seconds) + jpeg


def unpack_picture(message: bytes) -> tuple[int, int, float, bytes]:
    """Return a message's epoch, frame, song time and JPEG."""
    version, epoch, frame, seconds = HEAD.unpack_from(message)
    if version != VERSION:
        raise ValueError(f"version {version}")
    return epoch, frame, seconds, message[HEAD.size :]


def read_message(text: str) -> dict[str, Any]:
    """Return a page's message.

    Raises
    ------
    ValueError
        If it is not a JSON object with a type, or a number in it is too large to be one.
    """
    try:
        data = json.loads(text, parse_constant=_no_constant, parse_int=_small, parse_float=_finite)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(data, dict) or not isinstance(data.get("t"), str):
        raise ValueError("no message")
    return data


def number(data: dict[str, Any], key: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a number from a message, kept within a range.

    Raises
    ------
    ValueError
        If it is not a finite number.
    """
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key} is no number")
    return min(max(float(value), low), high)


def _small(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number is too large")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
