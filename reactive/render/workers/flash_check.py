"""Check for flashes while pieces are written: each finished piece leaves small copies of its pictures for the check.

Decoding a clip again only to judge it takes longer than the judging. The copies are taken from the encoded
pictures, so the result is that of the finished clip. If they are missing (pieces of an older job, or pieces that were
encoded again with something laid over them) the piece itself is decoded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.media.video import rgb_frames
from reactive.score.flash import GRID, Flashes, count_flashes

_HEAD = struct.Struct("<III")


def flash_check_data(path: Path) -> bytes:
    """Return a piece's pictures at the size at which flashes are judged, packed: frames, height and width, then zlib."""
    return pack_pictures([picture for picture, _ in rgb_frames(path, size=GRID, threads=1)])


def pack_pictures(pictures: Sequence[np.ndarray]) -> bytes:
    """Return pictures, uint8 [height, width, 3], packed."""
    frames = np.stack(pictures) if pictures else np.zeros((0, GRID[1], GRID[0], 3), np.uint8)
    return _HEAD.pack(*frames.shape[:3]) + zlib.compress(frames.tobytes(), 1)


def unpack_pictures(data: bytes) -> np.ndarray:
    """Return the pictures, uint8 [frames, height, width, 3], that were packed.

    Raises
    ------
    ValueError
        If it is not packed pictures.
    """
    try:
        frames, height, width = _HEAD.unpack(data[: _HEAD.size])
        return np.frombuffer(zlib.decompress(data[_HEAD.size :]), np.uint8).reshape(frames, height, width, 3)
    except (struct.error, zlib.error) as problem:
        raise ValueError(str(problem)) from None


def check_pieces(pieces: Iterable[tuple[Path, int, Path | None]], fps: Fraction) -> Flashes:
    """Judge a clip by its pieces, in order: each one's file, its number of frames, and its `flash_check_data`."""

    def pictures() -> Iterator[np.ndarray]:
        for path, frames, left in pieces:
            kept = None
            if left is not None:
                try:
                    kept = unpack_pictures(left.read_bytes())
                except (OSError, ValueError):
                    kept = None
            if kept is None or len(kept) != frames:
                kept = unpack_pictures(flash_check_data(path))
            yield from kept

    return count_flashes(pictures(), fps)
