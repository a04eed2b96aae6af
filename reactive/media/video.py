"""Read the pictures of a video: in the order they are shown, or any of them at any time.

A film is measured once by reading its packets, without decoding them, so every picture's time is known exactly, whatever
its frame rate, and a file cut short ends where it ends. Random access decodes from the key picture before, by a few open
cursors, so memory is flat and what is asked for in order is decoded once.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from reactive.errors import MediaError
from reactive.media.safe import open_container, regular_file

LUMA_WIDTH, LUMA_HEIGHT = 160, 90
MAX_PIXELS = 64_000_000
MAX_FRAMES = 24 * 3600 * 240
REMEDY = "export it as MP4 with H.264"
# transfer functions whose pictures need tone mapping: SMPTE ST 2084 and ARIB STD-B67, as ITU-T H.273 numbers them
HDR = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = 2
# swscale: full chroma on the way and exact rounding, without which all colours come out 2 of 255 too dark
_EXACT = 0x2000 | 0x4000 | 0x40000
# taller than PAL means BT.709 where a file does not say
_SD_ROWS = 576
_CURSORS = 6
_KEPT = 16
# a jump over fewer pictures than this is decoded through
_NEAR = 16


@dataclass(frozen=True)
class Film:
    """A video on disk, measured.

    Attributes
    ----------
    path
        The file.
    width, height
        In pixels as it is shown: upright and with square pixels.
    turns
        Quarter turns counter-clockwise that bring its coded pictures upright.
    stream
        Index of the stream that holds them.
    times, keys
        When its pictures show, and those that can be decoded by themselves: int64, rising, in units of `time_base`.
    time_base
        Seconds of one unit.
    """

    path: Path
    width: int
    height: int
    turns: int
    stream: int
    times: np.ndarray
    keys: np.ndarray
    time_base: Fraction

    @property
    def duration(self) -> Fraction:
        """Length in seconds: from the first picture to the end of the last."""
        # the last picture stays as long as most do
        last = int(np.median(np.diff(self.times))) if len(self.times) > 1 else max(1, round(1 / self.time_base / 25))
        return (int(self.times[-1] - self.times[0]) + max(last, 1)) * self.time_base

    def nearest(self, seconds: Fraction) -> int:
        """Return the number of the picture whose time, counted from the first one's, is nearest; halfway: the later."""
        wanted = Fraction(seconds) / self.time_base + int(self.times[0])
        after = min(int(np.searchsorted(self.times, float(wanted))), len(self.times) - 1)
        around = range(max(after - 2, 0), min(after + 2, len(self.times)))
        return min(reversed(around), key=lambda number: abs(int(self.times[number]) - wanted))


def open_film(path: str | os.PathLike[str]) -> Film:
    """Measure a video.

    Raises
    ------
    MediaError
        If it can't be read as a video, is HDR, holds no whole picture, or is beyond 64 million pixels a picture.
    """
    checked = regular_file(path)
    where = str(path)
    with open_container(checked, kind="video", remedy=REMEDY) as container:
        stream = _pictures(container, where)
        width, height = stream.codec_context.width, stream.codec_context.height
        if not 1 <= width * height <= MAX_PIXELS:
            raise MediaError(f"has pictures of {width}x{height} pixels", where=where, remedy="export it smaller")
        first = _first_picture(container, stream)
        if first is None:
            raise MediaError("holds no picture that can be decoded", where=where, remedy=REMEDY)
        curve = HDR.get(first.color_trc) or HDR.get(stream.codec_context.color_trc)
        if curve:
            raise MediaError(
                f"is an HDR video ({curve}), whose colours would come out wrong",
                where=where,
                remedy="export it as SDR (BT.709)",
            )
        shape = stream.sample_aspect_ratio or Fraction(1)
        across = first.width * (shape if Fraction(1, 8) <= shape <= 8 else 1)
        turns = round(first.rotation / 90) % 4
        index, time_base = stream.index, Fraction(stream.time_base or Fraction(1, 1000))
    times, keys = _index(checked, index, where)
    shown = max(1, round(across)), first.height
    width, height = shown[::-1] if turns % 2 else shown
    return Film(checked, width, height, turns, index, times, keys, time_base)


class FilmReader:
    """Hands out any picture of a film at one size.

    Parameters
    ----------
    film
        The video.
    width, height
        Size in pixels to which the whole upright picture is scaled.
    window
        Left, top, width and height of the part of it that is wanted. Default: all.
    """

    def __init__(self, film: Film, *, width: int, height: int, window: tuple[int, int, int, int] | None = None) -> None:
        self.film = film
        self.size = (width, height)
        self.window = window or (0, 0, width, height)
        self._cursors: list[_Cursor] = []
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        # files are closed even where nobody does it
        self.close = weakref.finalize(self, _close_all, self._cursors)

    def picture(self, number: int) -> np.ndarray:
        """Return a picture by its number, uint8 [height, width, 3] sRGB; a damaged one is replaced by the next.

        Raises
        ------
        MediaError
            If the file has changed so that nothing can be decoded any more.
        """
        if number not in self._kept:
            self._kept[number] = self._converted(self._frame(int(self.film.times[number])))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]

    def _frame(self, wanted: int) -> Any:
        ready = [cursor for cursor in self._cursors if cursor.before < wanted and self._between(cursor, wanted) < _NEAR]
        if ready:
            cursor = max(ready, key=lambda cursor: cursor.before)
        else:
            if len(self._cursors) < _CURSORS:
                cursor = _Cursor(self.film)
            else:
                cursor = self._cursors[0]
            cursor.seek(wanted)
        # the one used longest ago is the first to be taken for something else
        self._cursors[:] = [other for other in self._cursors if other is not cursor] + [cursor]
        return cursor.frame(wanted)

    def _between(self, cursor: _Cursor, wanted: int) -> int:
        times, keys = self.film.times, self.film.keys
        start = cursor.held.pts if cursor.held is not None else cursor.before
        key = keys[max(int(np.searchsorted(keys, wanted, side="right")) - 1, 0)]
        # within one group of pictures there is no shorter way than through
        return 0 if key <= start else int(np.searchsorted(times, wanted) - np.searchsorted(times, start))

    def _converted(self, frame: Any) -> np.ndarray:
        width, height = self.size[::-1] if self.film.turns % 2 else self.size
        options: dict[str, Any] = {"width": width, "height": height, "format": "rgb24"}
        smaller = width * height < frame.width * frame.height
        options["interpolation"] = int(Interpolation.AREA if smaller else Interpolation.BICUBIC) | _EXACT
        if frame.colorspace == _UNSPECIFIED:
            options["src_colorspace"] = Colorspace.ITU709 if frame.height > _SD_ROWS else Colorspace.ITU601
        upright = np.rot90(frame.reformat(**options).to_ndarray(), self.film.turns)
        left, top, across, down = self.window
        return np.ascontiguousarray(upright[top : top + down, left : left + across])


@dataclass
class _Cursor:
    """An open decoder: the picture it holds, and the time of the one before that."""

    film: Film
    before: int = 0
    held: Any = None
    stack: ExitStack = field(default_factory=ExitStack)
    frames: Iterator[Any] = field(default_factory=lambda: iter(()))

    def seek(self, wanted: int) -> None:
        """Stand before the picture of a time, so that `frame` finds it."""
        back = 0
        while True:
            self._open()
            target = wanted - back
            if target > self.film.times[0]:
                try:
                    self.container.seek(target, stream=self.stream, backward=True)
                except (av.error.FFmpegError, OSError):
                    self._open()
                    target = int(self.film.times[0])
            self.frames = _decoded(self.container, self.stream)
            self.before, self.held = int(self.film.times[0]) - 1, next(self.frames, None)
            if target <= self.film.times[0]:
                return
            if self.held is not None and self.held.pts <= wanted:
                self.before = self.held.pts - 1
                return
            # some containers land too late: try earlier, at last from the start
            back = max(2 * back, round(1 / self.film.time_base))

    def frame(self, wanted: int) -> Any:
        """Return the first picture at or after a time, or the last of all."""
        while self.held is not None and self.held.pts < wanted:
            following = next(self.frames, None)
            if following is None:
                break
            self.before, self.held = self.held.pts, following
        if self.held is None:
            raise MediaError("holds no picture that can be decoded", where=str(self.film.path), remedy=REMEDY)
        return self.held

    def _open(self) -> None:
        self.stack.close()
        self.container = self.stack.enter_context(open_container(self.film.path, kind="video", remedy=REMEDY))
        self.stream = cast(Any, self.container.streams[self.film.stream])
        self.stream.thread_type = "AUTO"
        # the processor belongs to the core
        self.stream.codec_context.thread_count = 2


def rgb_frames(
    path: Path, *, size: tuple[int, int] | None = None, threads: int = 0
) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield each frame as sRGB, uint8 [height, width, 3], with the video's frame rate.

    Parameters
    ----------
    path
        The video.
    size
        Width and height that the pictures are brought to; as they are if not given.
    threads
        Threads that decode; 0 for as many as there are processors.

    Raises
    ------
    MediaError
        If the file has no pictures.
    """
    converter = VideoReformatter()
    for frame, fps in _frames(path, threads):
        yield to_rgb(frame, size, converter), fps


def rgb_pairs(path: Path, *, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each frame as sRGB twice: as it is, and brought to `size`; see `rgb_frames`."""
    for frame, _ in _frames(path):
        yield to_rgb(frame, None), to_rgb(frame, size)


def to_rgb(frame: av.VideoFrame, size: tuple[int, int] | None, converter: VideoReformatter | None = None) -> np.ndarray:
    """Return a decoded frame as sRGB, uint8 [height, width, 3]; what does not say otherwise is BT.709.

    A `converter` spares setting one up for every frame.
    """
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
    scaled = (converter or VideoReformatter()).reformat(
        frame, width=width, height=height, format="rgb24", interpolation=way, threads=1, **options
    )
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


def _frames(path: Path, threads: int = 0) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    with open_container(path) as container:
        if not container.streams.video:
            raise MediaError("has no pictures in it", where=str(path), remedy="name a video file")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        try:
            for frame in container.decode(stream):
                yield frame, fps
        except av.error.FFmpegError:
            # a video cut short ends where it ends
            return


def _close_all(cursors: list[_Cursor]) -> None:
    for cursor in cursors:
        cursor.stack.close()
    cursors.clear()


def _pictures(container: Any, where: str) -> Any:
    # a song's cover is a stream of pictures too
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise MediaError("has no moving pictures in it", where=where, remedy="name a video file")
    return streams[0]


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _first_picture(container: Any, stream: Any) -> Any:
    return next(_decoded(container, stream), None)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the pictures that can be decoded, with their times; damaged packets are skipped, as players do."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet is not None else []
        except av.error.InvalidDataError:
            continue
        except (av.error.FFmpegError, OSError, ValueError):
            return
        if packet is None:
            return
        yield from (frame for frame in frames if frame.pts is not None)


def _index(path: Path, index: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of all pictures and of the key pictures, int64, rising."""
    times: list[int] = []
    keys: list[int] = []
    with open_container(path, kind="video", remedy=REMEDY) as container:
        packets = container.demux(container.streams[index])
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                break
            if packet is None:
                break
            shown = packet.pts if packet.pts is not None else packet.dts
            if shown is None or not packet.size:
                continue
            times.append(shown)
            if packet.is_keyframe:
                keys.append(shown)
            if len(times) > MAX_FRAMES:
                raise MediaError(f"holds more than {MAX_FRAMES:,} pictures", where=where, remedy="cut it shorter")
    if not times:
        raise MediaError("holds no picture that can be decoded", where=where, remedy=REMEDY)
    shown_times = np.unique(np.array(times, np.int64))
    return shown_times, np.unique(np.array(keys or [shown_times[0]], np.int64))
