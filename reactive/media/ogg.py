"""Where one Ogg stream ends and the next begins: radio recordings and joined files hold several in a row (RFC 3533)."""

from __future__ import annotations

import mmap
from typing import IO

_HEADER = 27
_FIRST = 0x02


def ogg_starts(raw: IO[bytes], first: int) -> list[int]:
    """Return the byte at which each link of a chained Ogg file begins, from one on; empty where no stream has a first page."""
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _starts(data, first)


def _starts(data: mmap.mmap, at: int) -> list[int]:
    starts: list[int] = []
    before_was_first = False
    while 0 <= at <= len(data) - _HEADER:
        flags, segments = data[at + 5], data[at + 26]
        if data[at : at + 4] != b"OggS" or data[at + 4] or flags > 7:
            # damaged: on to the next page
            at = data.find(b"OggS", at + 1)
            continue
        is_first = bool(flags & _FIRST)
        # the first pages of all streams of a link are together
        if is_first and not before_was_first:
            starts.append(at)
        before_was_first = is_first
        at += _HEADER + segments + sum(data[at + _HEADER : at + _HEADER + segments])
    return starts
