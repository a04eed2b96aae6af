"""The flash check from measurements stored with segments: the result is that of the finished clip, also if some are lost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reactive.media.video import rgb_frames
from reactive.render.workers.flash_check import check_pieces, flash_check_data, pack_pictures, unpack_pictures
from reactive.score.flash import GRID, count_flashes
from reactive.video.codec import video_codec
from reactive.video.segment import SegmentEncoder

FPS = Fraction(24)


def strobe(folder: Path, frames: int, number: int) -> Path:
    """Write a segment that alternates between black and white every third frame."""
    path = folder / f"{number}.mkv"
    with SegmentEncoder(path, size=(128, 72), fps=FPS, codec=video_codec("h264")) as encoder:
        for frame in range(frames):
            encoder.write(np.full((72, 128, 3), 255 * (frame // 3 % 2), np.uint8))
    return path


def test_the_result_is_that_of_the_encoded_pictures(tmp_path: Path) -> None:
    pieces, seen = [], []
    for number, frames in enumerate((30, 1, 41)):
        path = strobe(tmp_path, frames, number)
        left = tmp_path / f"{number}.flashes"
        left.write_bytes(flash_check_data(path))
        pieces.append((path, frames, left))
        seen += [picture for picture, _ in rgb_frames(path, size=GRID)]
    expected = count_flashes(seen, FPS)
    assert not expected.passes
    assert check_pieces(pieces, FPS) == expected
    # lost, damaged or mismatched measurements are replaced by decoding the segment
    pieces[0][2].unlink()
    pieces[1][2].write_bytes(b"harm")
    pieces[2][2].write_bytes(pack_pictures(seen[:5]))
    assert check_pieces(pieces, FPS) == expected
    assert check_pieces([(path, frames, None) for path, frames, _ in pieces], FPS) == expected


def test_stored_measurements_need_no_segment(tmp_path: Path) -> None:
    path = strobe(tmp_path, 24, 0)
    left = tmp_path / "left"
    left.write_bytes(flash_check_data(path))
    path.unlink()
    assert not check_pieces([(path, 24, left)], FPS).passes


def test_packing_pictures_is_lossless() -> None:
    pictures = np.random.default_rng(1).integers(0, 255, (3, GRID[1], GRID[0], 3), np.uint8)
    assert np.array_equal(unpack_pictures(pack_pictures(list(pictures))), pictures)
    for harm in (b"", b"x" * 40, pack_pictures(list(pictures))[:-9]):
        with pytest.raises(ValueError):  # noqa: PT011
            unpack_pictures(harm)
