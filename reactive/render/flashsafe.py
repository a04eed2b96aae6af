"""Safe to watch: a second pass over the finished pieces, in the order of the song, that holds flashing within its limits.

Pieces are rendered out of order, and what may be shown of a picture depends on the second before it, so it can't be
decided while rendering; nor from planned hits, since only finished pictures show how bright they are. In this pass a
piece in which nothing needs holding back stays as it is, bit for bit; any other is encoded again. The result depends on
the pieces alone, not on the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.media.video import rgb_pairs
from reactive.score.flash import GRID
from reactive.score.limit import Limiter, mixed
from reactive.video.codec import Codec
from reactive.video.segment import SegmentEncoder


def limit_pieces(
    pieces: Sequence[tuple[Path, int]], *, fps: Fraction, size: tuple[int, int], codec: Codec
) -> tuple[list[tuple[Path, int]], int]:
    """Return the pieces of a clip that is safe to watch, and how many of its pictures were held back.

    Parameters
    ----------
    pieces
        Files of `SegmentEncoder` in the order of the song, each with its number of frames. They are left as they are;
        what is encoded again stands beside them.
    fps, size, codec
        Of the clip.

    Raises
    ------
    OutputError
        If a piece can't be written.
    """
    limiter = Limiter(fps)
    before: np.ndarray | None = None
    safe: list[tuple[Path, int]] = []
    held = 0
    for path, frames in pieces:
        carried, shares = before, []
        for picture, small in rgb_pairs(path, size=GRID):
            shares.append(limiter.share(small))
            before = picture if before is None else mixed(before, picture, shares[-1])
        count = sum(share < 1 for share in shares)
        held += count
        if not count:
            safe.append((path, frames))
            continue
        replacement = path.with_name(f"{path.stem}.safe{path.suffix}")
        with SegmentEncoder(replacement, size=size, fps=fps, codec=codec) as encoder:
            for picture in _held(path, shares, carried):
                encoder.write(picture)
        safe.append((replacement, frames))
    return safe, held


def _held(path: Path, shares: list[float], before: np.ndarray | None) -> Iterator[np.ndarray]:
    for (picture, _), share in zip(rgb_pairs(path, size=GRID), shares, strict=True):
        before = picture if before is None else mixed(before, picture, share)
        yield before
