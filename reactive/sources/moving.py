"""Pictures that depend on the time of the song."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import numpy as np


class MovingSource(Protocol):
    """Pictures that depend on the time of the song: a film, or frames of one's own."""

    def at(self, seconds: Fraction) -> np.ndarray:
        """Return the picture at a time of the song, uint8 [height, width, 3] at the imagine-size."""

    def number_at(self, seconds: Fraction) -> int:
        """Return the number of that picture; it falls when the source begins again."""

    def picture(self, number: int) -> np.ndarray:
        """Return the picture of a number, uint8 [height, width, 3]."""

    def close(self) -> object:
        """Close open files."""
