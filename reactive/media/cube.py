"""Read colour tables in Adobe's and Resolve's `.cube` format: plain text, one table of one or three dimensions.

Format: Adobe, Cube LUT Specification 1.0 (2013). No kept reader of it exists that does not bring a whole colour library.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from reactive.errors import MediaError
from reactive.media.safe import read_text

MAX_BYTES = 40_000_000
# the format's own limits are 256 and 65,536; larger tables than these are not in use and take seconds to read
MAX_SIDE = 100
MAX_CURVE = 65_536
_REMEDY = "export it anew as a .cube file from the program that made it"


@dataclass(frozen=True, eq=False)
class Cube:
    """A colour table.

    Attributes
    ----------
    values
        float32 [n, n, n, 3] by red, green, blue; or three curves, float32 [n, 3].
    low, high
        The colours, float32 [3], of the table's first and last entries.
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def applied(self, colours: np.ndarray) -> np.ndarray:
        """Apply the table to colours float [n, 3] in [0, 1], linearly between its entries."""
        from scipy.ndimage import map_coordinates

        side = len(self.values)
        places = np.clip((colours - self.low) / (self.high - self.low), 0, 1) * (side - 1)
        if self.values.ndim == 2:
            steps = np.arange(side)
            return np.stack([np.interp(places[:, k], steps, self.values[:, k]) for k in range(3)], axis=1)
        return np.stack([map_coordinates(self.values[..., k], places.T, order=1) for k in range(3)], axis=1)


def read_cube(path: str | os.PathLike[str]) -> Cube:
    """Read a colour table.

    Raises
    ------
    MediaError
        If it can't be read, or is not a `.cube` file.
    """
    where = os.fspath(path)
    text = read_text(path, limit=MAX_BYTES)
    side, flat = 0, True
    low, high = np.zeros(3, np.float32), np.ones(3, np.float32)
    lines = text.splitlines()
    for first, raw in enumerate(lines):
        line = raw.partition("#")[0].strip()
        word, _, rest = line.partition(" ")
        if not line or word == "TITLE":
            continue
        if word in ("LUT_3D_SIZE", "LUT_1D_SIZE"):
            flat = word == "LUT_1D_SIZE"
            side = _whole(rest, 2, MAX_CURVE if flat else MAX_SIDE, where, f"line {first + 1}")
        elif word in ("DOMAIN_MIN", "DOMAIN_MAX"):
            ends = _numbers([rest], where)[0]
            low, high = (ends, high) if word == "DOMAIN_MIN" else (low, ends)
        elif word in ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE"):
            low, high = (np.full(3, end, np.float32) for end in _numbers([f"{rest} 0"], where)[0][:2])
        elif word[0] in "-+.0123456789":
            break
        else:
            raise MediaError(f'line {first + 1} begins with "{word[:30]}"', where=where, remedy=_REMEDY)
    else:
        first = len(lines)
    if not side:
        raise MediaError("does not say LUT_3D_SIZE or LUT_1D_SIZE", where=where, remedy=_REMEDY)
    if not (high > low).all():
        raise MediaError("has a DOMAIN_MAX that is not above its DOMAIN_MIN", where=where, remedy=_REMEDY)
    wanted = side if flat else side**3
    rows = [row for raw in lines[first:] if (row := raw.partition("#")[0].strip())]
    if len(rows) != wanted:
        raise MediaError(f"has {len(rows):,} entries where its size says {wanted:,}", where=where, remedy=_REMEDY)
    values = _numbers(rows, where)
    # red runs fastest in the file
    return Cube(values if flat else values.reshape(side, side, side, 3).transpose(2, 1, 0, 3).copy(), low, high)


def _whole(text: str, least: int, most: int, where: str, line: str) -> int:
    number = int(text) if text.strip().isdecimal() and len(text) < 10 else 0
    if not least <= number <= most:
        raise MediaError(f"{line}: a size must be {least} to {most}", where=where, remedy=_REMEDY)
    return number


def _numbers(rows: list[str], where: str) -> np.ndarray:
    """Return rows of three numbers, float32 [n, 3]."""
    try:
        values = np.array([row.split() for row in rows], np.float32)
    except ValueError:
        values = np.zeros(0, np.float32)
    if values.ndim != 2 or values.shape[1] != 3 or not np.isfinite(values).all():
        raise MediaError("holds a line that is not three numbers", where=where, remedy=_REMEDY)
    return values
