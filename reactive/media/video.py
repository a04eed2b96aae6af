"""Read the pictures of a video in the order they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from reactive.errors import MediaError
from reactive.media.safe import open_container

LUMA_WIDTH, LUMA_HEIGHT = 160, 90


def rgb_frames(path: Path, *, size: tuple[int, int] | None = None) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield each frame as sRGB, uint8 [height, width, 3], with the video's frame rate.

    Parameters
    ----------
    path
        The video.
    size
        Width and height that the pictures are brought to; as they are if not given.

    Raises
    ------
    MediaError
        If the file has no pictures.
    """
    for frame, fps in _frames(path):
        yield to_rgb(frame, size), fps


def rgb_pairs(path: Path, *, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each frame as sRGB twice: as it is, and brought to `size`; see `rgb_frames`."""
    for frame, _ in _frames(path):
        yield to_rgb(frame, None), to_rgb(frame, size)


def to_rgb(frame: av.VideoFrame, size: tuple[int, int] | None) -> np.ndarray:
    """Return a decoded frame as sRGB, uint8 [height, width, 3]; what does not say otherwise is BT.709."""
    width, height = size or (frame.width, frame.height)
    # what shrinks is averaged, or fine texture would flicker
    way = Interpolation.AREA if width < frame.width or height < frame.height else Interpolation.BICUBIC
    options: dict[str, Colorspace | ColorRange] = {}
    if not frame.format.is_rgb:
        standard = {int(Colorspace.SMPTE170M), int(Colorspace.ITU601)}
        given = int(frame.colorspace)
        options = {"src_colorspace": Colorspace(given) if given in standard else Colorspace.ITU709}
        full = int(frame.color_range) == int(ColorRange.JPEG)
        options |= {"src_color_range": ColorRange.JPEG if full else ColorRange.MPEG, "dst_color_range": ColorRange.JPEG}
    scaled = frame.reformat(width=width, height=height, format="rgb24", interpolation=way, **options)
    return scaled.to_ndarray()


def luma_frames(path: Path) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield each frame's luma, uint8 [90, 160], with the video's frame rate.

    Raises
    ------
    MediaError
        If the file has no pictures.
    """
    for frame, fps in _frames(path):
        small = frame.reformat(width=LUMA_WIDTH, height=LUMA_HEIGHT, format="gray", interpolation="AREA")
        yield small.to_ndarray(), fps


def _frames(path: Path) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    with open_container(path) as container:
        if not container.streams.video:
            raise MediaError("has no pictures in it", where=str(path), remedy="name a video file")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        try:
            for frame in container.decode(stream):
                yield frame, fps
        except av.error.FFmpegError:
            # a video cut short ends where it ends
            return
