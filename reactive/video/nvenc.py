"""Hardware encoders of H.264, tested by opening them: FFmpeg lists NVIDIA's even on cards without one (an H100)."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import av
import av.error
import numpy as np

from reactive.errors import OutputError
from reactive.video.codec import HARDWARE, video_codec

MAKERS = {"nvenc": "NVIDIA", "videotoolbox": "Apple", "qsv": "Intel", "amf": "AMD"}
# what FFmpeg says where there is no card or no driver of the encoder's
_NO_CARD = ("Operation not permitted", "Unknown error occurred", "Function not implemented")
# larger than the smallest picture that any generation of the encoder takes
_TRIED = (256, 256)


def check_encoder(kind: str) -> None:
    """Check that a kind of codec can be encoded here.

    Raises
    ------
    OutputError
        If it is a hardware encoder that does not open.
    """
    if kind in HARDWARE and (problem := encoder_problem(kind)):
        raise OutputError(f"the card's encoder does not open ({problem})", where=f"--codec {kind}", remedy="use h264")


def encoders_here() -> str:
    """Return in words which encoders open on this machine."""
    found = {kind: encoder_problem(kind) for kind in HARDWARE}
    there = [kind for kind, problem in found.items() if not problem]
    lacking = "; ".join(f"{MAKERS[kind]}'s {kind} ({problem})" for kind, problem in found.items() if problem)
    opening = f"x264; --codec {' and '.join(there)} open{'s' if len(there) == 1 else ''} here too" if there else "x264"
    return f"{opening}. Of graphics cards these do not open: {lacking}" if lacking else opening


def nvenc_problem() -> str:
    """Return why an NVIDIA card's encoder does not open; empty if it does."""
    return encoder_problem("nvenc")


@cache
def encoder_problem(kind: str) -> str:
    """Return why a card's encoder (a name of `HARDWARE`) does not open; empty if a picture was really encoded."""
    codec = video_codec(kind)
    if codec.name not in av.codecs_available:
        return "not in this build of FFmpeg"
    try:
        context: Any = av.CodecContext.create(codec.name, "w")
        context.width, context.height = _TRIED
        context.pix_fmt, context.options = codec.pixel_format, dict(codec.options)
        context.time_base, context.framerate = Fraction(1, 24), Fraction(24)
        grey = np.full((_TRIED[1], _TRIED[0], 3), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=codec.pixel_format)
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, ValueError, OSError) as problem:
        reason = getattr(problem, "strerror", None) or type(problem).__name__
        return f"no {MAKERS[kind]} card with its driver" if reason in _NO_CARD else reason
    return "" if packets else "it gave nothing back"
