"""Several short clips of one song beside each other: one clip with a caption over each, and a sheet of stills."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reactive.files import replacing
from reactive.media.fonts import font_for
from reactive.media.sound import Track
from reactive.media.video import rgb_frames
from reactive.video.codec import Codec
from reactive.video.lettering import length_of, write_line
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder

CAPTION, GAP, STILLS = 26, 4, 5
BACKGROUND, INK = (16, 18, 22), (235, 235, 230)


def grid_shape(count: int) -> tuple[int, int]:
    """Return columns and rows for `count` clips: as square as possible, wider rather than taller."""
    columns = math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)


def write_grid(
    clips: Sequence[tuple[str, Path]],
    out: Path,
    *,
    size: tuple[int, int],
    fps: Fraction,
    codec: Codec,
    track: Track,
    sound: tuple[int, int],
) -> int:
    """Write one clip that shows others beside each other, each under its caption; return its number of frames.

    Parameters
    ----------
    clips
        Caption and file of each; all have one size and rate.
    out
        The MP4 to write.
    size
        Width and height of each clip.
    fps
        Frames a second.
    codec
        How the grid is encoded.
    track, sound
        The song, and the first sample and the one after the last that sound.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    columns, rows = grid_shape(len(clips))
    cell = size[0] + GAP, size[1] + CAPTION + GAP
    whole = (_even(columns * cell[0] + GAP), _even(rows * cell[1] + GAP))
    empty = Image.new("RGB", whole, BACKGROUND)
    corners = [(GAP + n % columns * cell[0], GAP + n // columns * cell[1]) for n in range(len(clips))]
    for (caption, _), corner in zip(clips, corners, strict=True):
        _write_caption(empty, corner, caption, size[0])
    picture = np.array(empty)
    with tempfile.TemporaryDirectory(prefix="reactive-grid-") as room:
        films = [rgb_frames(path) for _, path in clips]
        piece = Path(room) / "grid.mkv"
        count = 0
        with SegmentEncoder(piece, size=whole, fps=fps, codec=codec) as encoder:
            # clips of one excerpt have one length
            for shown in zip(*films, strict=False):
                for (left, top), (frame, _) in zip(corners, shown, strict=True):
                    picture[top + CAPTION : top + CAPTION + size[1], left : left + size[0]] = frame
                encoder.write(picture)
                count += 1
        join([(piece, count)], track, out, fps=fps, container="mp4", codec=codec, sound=sound)
    return count


def write_stills(clips: Sequence[tuple[str, Path]], out: Path, *, size: tuple[int, int], frames: int) -> None:
    """Write a sheet: a row for each clip, its caption and stills at even distances.

    Parameters
    ----------
    clips
        Caption and file of each.
    out
        A JPEG, PNG or WebP.
    size
        Width and height of each clip.
    frames
        Number of frames in each.
    """
    wanted = [int((place + 0.5) * frames / STILLS) for place in range(STILLS)]
    across = min(size[0], 320)
    tile = (across, round(across * size[1] / size[0]))
    cell = tile[0] + GAP, tile[1] + CAPTION + GAP
    sheet = Image.new("RGB", (STILLS * cell[0] + GAP, len(clips) * cell[1] + GAP), BACKGROUND)
    for row, (caption, path) in enumerate(clips):
        top = GAP + row * cell[1]
        _write_caption(sheet, (GAP, top), caption, sheet.width - 2 * GAP)
        for number, (frame, _) in enumerate(rgb_frames(path)):
            if number in wanted:
                still = Image.fromarray(frame).resize(tile, Image.Resampling.LANCZOS)
                sheet.paste(still, (GAP + wanted.index(number) * cell[0], top + CAPTION))
    with replacing(out) as partial:
        sheet.save(partial, format=Image.registered_extensions()[out.suffix.lower()], quality=90)


def _write_caption(sheet: Image.Image, corner: tuple[int, int], text: str, width: int) -> None:
    font = ImageFont.truetype(str(font_for(text)), 15)
    while text and length_of(text, font) > width:
        text = text[:-1]
    write_line(ImageDraw.Draw(sheet), (corner[0] + 2, corner[1] + 4), text, font, fill=INK)


def _even(number: int) -> int:
    return number + number % 2
