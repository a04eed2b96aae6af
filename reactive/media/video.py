"""Read the pictures of a video in the order they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av.error
import numpy as np

from reactive.errors import MediaError
from reactive.media.safe import open_container

LUMA_WIDTH, LUMA_HEIGHT = 160, 90


def luma_frames(path: Path) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield each frame's luma, uint8 [90, 160], with the video's frame rate.

    Raises
    ------
    MediaError
        If the file has no pictures.
    """
    with open_container(path) as container:
        if not container.streams.video:
            raise MediaError("has no pictures in it", where=str(path), remedy="name a video file")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        try:
            for frame in container.decode(stream):
                small = frame.reformat(width=LUMA_WIDTH, height=LUMA_HEIGHT, format="gray", interpolation="AREA")
                yield small.to_ndarray(), fps
        except av.error.FFmpegError:
            # a video cut short ends where it ends
            return
