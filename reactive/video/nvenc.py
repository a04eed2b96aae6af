"""H.264 by an NVIDIA card's own encoder, where it really opens: FFmpeg lists it on cards that have none (an H100 has none)."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import av
import av.error
import numpy as np

from reactive.errors import OutputError
from reactive.video.codec import video_codec

# larger than the smallest picture that any generation of the encoder takes
_TRIED = (256, 256)


def check_encoder(kind: str) -> None:
    """Check that a kind of codec can be encoded here.

    Raises
    ------
    OutputError
        If it is nvenc and the card's encoder does not open.
    """
    if kind == "nvenc" and (problem := nvenc_problem()):
        raise OutputError(f"the card's encoder does not open ({problem})", where="--codec nvenc", remedy="use h264")


@cache
def nvenc_problem() -> str:
    """Return why the card's encoder does not open; empty if a picture was really encoded."""
    codec = video_codec("nvenc")
    try:
        context: Any = av.CodecContext.create(codec.name, "w")
        context.width, context.height = _TRIED
        context.pix_fmt, context.options = codec.pixel_format, dict(codec.options)
        context.time_base, context.framerate = Fraction(1, 24), Fraction(24)
        grey = np.full((_TRIED[1], _TRIED[0], 3), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=codec.pixel_format)
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, ValueError, OSError) as problem:
        return getattr(problem, "strerror", None) or type(problem).__name__
    return "" if packets else "it gave nothing back"
