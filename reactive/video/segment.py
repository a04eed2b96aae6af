"""Encode a run of frames to one piece on disk: video only, closed GOPs, a fresh encoder each.

Pictures come as sRGB; they are converted to BT.709 in limited range and tagged so. Time stamps are whole frames.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from reactive.errors import OutputError
from reactive.media.picture import centred_window
from reactive.video.codec import X264_THREADS, Codec


def output_error(path: Path, problem: Exception) -> OutputError:
    """Return the error for a failed write, for instance on a full disk."""
    reason = getattr(problem, "strerror", None) or str(problem)
    full = getattr(problem, "errno", None) == 28
    remedy = "free some space and run it again" if full else "check that the folder exists and may be written"
    return OutputError(f"can't be written ({reason})", where=str(path), remedy=remedy)


def encoder_versions() -> dict[str, str]:
    """Return the versions that decide a piece's bytes."""
    numbers = {name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libswscale")}
    return {"av": av.__version__, **numbers}


def encoder_options(codec: Codec) -> dict[str, str]:
    """Return an encoder's options, such that the same pictures always give the same bytes."""
    options = dict(codec.options)
    if codec.name == "libx264" and _has_avx512():
        # x264's look-ahead in AVX-512 reads memory that it never wrote where rows are no multiple of 64 bytes
        options["x264-params"] = f"{options['x264-params']}:asm=avx2"
    return options


@cache
def _has_avx512() -> bool:
    import torch

    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def file_url(path: Path) -> str:
    """Return a path as FFmpeg must be given it, or a colon in a name would be read as a protocol."""
    return f"file:{path.absolute()}"


class SegmentEncoder:
    """Writes frames of one size, one after another, to a Matroska file.

    Parameters
    ----------
    path
        The piece to write.
    size
        Output width and height in pixels, even numbers.
    fps
        Frames a second.
    codec
        How to encode.
    """

    def __init__(self, path: Path, *, size: tuple[int, int], fps: Fraction, codec: Codec) -> None:
        self.path = path
        self.size = size
        self.codec = codec
        self.frames = 0
        self.time_base = 1 / fps
        try:
            self.container = av.open(file_url(path), "w", format="matroska")
        except (av.error.FFmpegError, OSError) as problem:
            raise output_error(path, problem) from None
        stream: Any = self.container.add_stream(codec.name, rate=fps, options=encoder_options(codec))
        stream.width, stream.height = size
        stream.pix_fmt = codec.pixel_format
        stream.time_base = self.time_base
        context = stream.codec_context
        context.time_base = self.time_base
        context.framerate = fps
        context.thread_count = X264_THREADS
        tag(context, codec.pixel_format)
        self.stream = stream
        # one for all pictures: creating one takes as long as converting a picture
        self.converter = VideoReformatter()

    def open(self) -> None:
        """Open the encoder now rather than with the first picture.

        Raises
        ------
        OutputError
            If it does not open: a card may have no stream free.
        """
        try:
            self.stream.codec_context.open()
        except (av.error.FFmpegError, OSError, ValueError) as problem:
            raise output_error(self.path, problem) from None

    def write(self, picture: np.ndarray) -> None:
        """Encode one picture, uint8 [height, width, 3] sRGB, cropped to the output's shape and scaled to its size."""
        frame: Any = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(crop_to(picture, self.size)), format="rgb24")
        # the input is full-range RGB
        frame.color_range = ColorRange.JPEG
        converted = to_video(frame, self.size, self.codec.pixel_format, self.converter)
        converted.pts, converted.time_base = self.frames, self.time_base
        self.frames += 1
        try:
            for packet in self.stream.encode(converted):
                self.container.mux(packet)
        except (av.error.FFmpegError, OSError) as problem:
            raise output_error(self.path, problem) from None

    def close(self) -> None:
        """Finish the piece."""
        try:
            for packet in self.stream.encode():
                self.container.mux(packet)
            self.container.close()
        except (av.error.FFmpegError, OSError) as problem:
            raise output_error(self.path, problem) from None

    def __enter__(self) -> SegmentEncoder:
        """Return the encoder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the piece, or on an error just close the file."""
        if kind is None:
            self.close()
        else:
            self.container.close()


def tag(context: Any, pixel_format: str) -> None:
    """Tag an encoder's output as BT.709 (an RGB format has no matrix)."""
    rgb = pixel_format.startswith("bgr")
    context.color_range = int(ColorRange.JPEG if rgb else ColorRange.MPEG)
    context.colorspace = 0 if rgb else int(Colorspace.ITU709)
    context.color_primaries = int(ColorPrimaries.BT709)
    context.color_trc = int(ColorTrc.BT709)


def to_video(frame: Any, size: tuple[int, int], pixel_format: str, converter: VideoReformatter | None = None) -> Any:
    """Scale an RGB frame bicubically and convert it to a pixel format, BT.709 limited range if that format has one.

    A `converter` avoids creating one for every frame.
    """
    rgb = pixel_format.startswith("bgr")
    options: dict[str, Any] = {"width": size[0], "height": size[1], "format": pixel_format}
    options["interpolation"] = Interpolation.BICUBIC
    if not rgb:
        options |= {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}
        options["src_color_range"] = ColorRange.JPEG
    # its threads would be created for every frame too
    return (converter or VideoReformatter()).reformat(frame, **options, threads=1)


def fitted(picture: np.ndarray, size: tuple[int, int], converter: VideoReformatter | None = None) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3] sRGB, cropped and scaled to a size as an encoder of RGB does it."""
    frame: Any = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(crop_to(picture, size)), format="rgb24")
    frame.color_range = ColorRange.JPEG
    # the same conversion as on the way to a file, so that both give the same pixels
    scaled: np.ndarray = to_video(frame, size, "bgr0", converter).reformat(format="rgb24").to_ndarray()
    return scaled


def crop_to(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the largest centred window of the output's shape, without stretching."""
    left, top, width, height = centred_window(picture.shape[1], picture.shape[0], size)
    return picture[top : top + height, left : left + width]
