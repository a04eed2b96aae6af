"""Frames that wait in a file: raw pictures, written once and read once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reactive.video.segment import output_error


class Spool:
    """A file of pictures, which is removed when it is closed.

    Parameters
    ----------
    path
        Where.

    Raises
    ------
    OutputError
        If the disk is full or fails, here and where pictures are added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes: list[tuple[int, ...]] = []
        try:
            self._file = path.open("w+b")
        except OSError as problem:
            raise output_error(path, problem) from None

    def add(self, picture: np.ndarray) -> None:
        """Add a picture, uint8 [height, width, 3]."""
        self.shapes.append(picture.shape)
        try:
            self._file.write(np.ascontiguousarray(picture).data)
        except OSError as problem:
            raise output_error(self.path, problem) from None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the pictures that were added, in order; more can be added behind them afterwards."""
        self._file.seek(0)
        for shape in self.shapes:
            yield np.frombuffer(self._file.read(int(np.prod(shape))), np.uint8).reshape(shape)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)
