"""Read the pictures of a video: in presentation order, or by random access.

A film is measured once by reading its packets (see `media/film.py`), so every picture's time is known exactly at any
frame rate, and of a truncated file the part that is there is read. Random access decodes from the key picture before, with
a few open cursors, so memory use is constant and pictures requested in order are decoded once.
"""

from __future__ import annotations

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
from reactive.media.clock import picture_stream
from reactive.media.film import REMEDY, Film, open_film, shown_frames
from reactive.media.interlace import deinterlaced
from reactive.media.picture import BLACK
from reactive.media.safe import open_container

__all__ = ["Film", "FilmReader", "luma_frames", "open_film", "rgb_frames", "rgb_pairs", "to_rgb"]

LUMA_WIDTH, LUMA_HEIGHT = 160, 90
_UNSPECIFIED = 2
# in seconds; longer gaps between time stamps are treated as errors
_MAX_GAP = 600
# swscale flags: full chroma interpolation and accurate rounding; without them colours are 2 of 255 too dark
_EXACT = 0x2000 | 0x4000 | 0x40000
# files without a stated matrix are BT.709 if they are taller than PAL
_SD_ROWS = 576
_CURSORS = 6
# FFmpeg's picture types that decode alone: I, SI, and "none" of codecs without types
_INTRA = (0, 1, 5)
_CACHED_PICTURES = 16
# to skip fewer pictures than this, a cursor decodes on instead of seeking
_MAX_FORWARD_FRAMES = 16


class FilmReader:
    """Random access to a film's pictures at one size.

    Parameters
    ----------
    film
        The video.
    width, height
        Size in pixels to which the whole upright picture is scaled.
    window
        Left, top, width and height of the part to return. Default: all.
    background
        Red, green and blue, 0 to 255, laid behind transparent pictures.
    """

    def __init__(
        self,
        film: Film,
        *,
        width: int,
        height: int,
        window: tuple[int, int, int, int] | None = None,
        background: tuple[int, int, int] = BLACK,
    ) -> None:
        self.film = film
        self.size = (width, height)
        self.window = window or (0, 0, width, height)
        self.background = background
        self._parts = [
            FilmReader(part, width=width, height=height, window=window, background=background) for part in film.parts
        ]
        self._firsts = np.cumsum([0, *(len(part.times) for part in film.parts)])
        self._cursors: list[_Cursor] = []
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        # closes the files also if the caller does not
        self.close = weakref.finalize(self, _close_all, self._cursors)

    def picture(self, number: int) -> np.ndarray:
        """Return a picture by its index, uint8 [height, width, 3] sRGB; a damaged one is replaced by the next.

        Raises
        ------
        MediaError
            If the file has changed and can no longer be decoded.
        """
        if self._parts:
            at = int(np.searchsorted(self._firsts, number, side="right")) - 1
            return self._parts[at].picture(number - int(self._firsts[at]))
        if number not in self._cache:
            self._cache[number] = self._converted(self._frame(int(self.film.times[number])))
            if len(self._cache) > _CACHED_PICTURES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(number)
        return self._cache[number]

    def _frame(self, wanted: int) -> Any:
        ready = [
            cursor
            for cursor in self._cursors
            if cursor.before < wanted and self._between(cursor, wanted) < _MAX_FORWARD_FRAMES
        ]
        if ready:
            cursor = max(ready, key=lambda cursor: cursor.before)
        else:
            if len(self._cursors) < _CURSORS:
                cursor = _Cursor(self.film)
            else:
                cursor = self._cursors[0]
            cursor.seek(wanted)
        # the least recently used cursor comes first and is reused first
        self._cursors[:] = [other for other in self._cursors if other is not cursor] + [cursor]
        return cursor.frame(wanted)

    def _between(self, cursor: _Cursor, wanted: int) -> int:
        times, keys = self.film.times, self.film.keys
        start = cursor.time if cursor.held is not None else cursor.before
        key = keys[max(int(np.searchsorted(keys, wanted, side="right")) - 1, 0)]
        # within one group of pictures decoding on is the shortest way
        return 0 if key <= start else int(np.searchsorted(times, wanted) - np.searchsorted(times, start))

    def _converted(self, frame: Any) -> np.ndarray:
        width, height = self.size[::-1] if self.film.turns % 2 else self.size
        options: dict[str, Any] = {"width": width, "height": height, "format": "rgb24"}
        smaller = width * height < frame.width * frame.height
        options["interpolation"] = int(Interpolation.AREA if smaller else Interpolation.BICUBIC) | _EXACT
        matrix: dict[str, Any] = {}
        if frame.colorspace == _UNSPECIFIED:
            matrix["src_colorspace"] = Colorspace.ITU709 if frame.height > _SD_ROWS else Colorspace.ITU601
        if is_transparent(frame):
            # composited before scaling: hidden colours next to an edge would bleed into it
            frame, matrix = over(frame.reformat(format="rgba", interpolation=_EXACT | 4, **matrix), self.background), {}
        upright = np.rot90(frame.reformat(**options, **matrix).to_ndarray(), self.film.turns)
        left, top, across, down = self.window
        return np.ascontiguousarray(upright[top : top + down, left : left + across])


def is_transparent(frame: Any) -> bool:
    """Return whether a frame has an alpha channel or a palette, which may hold alpha."""
    return frame.format.has_palette or any(part.is_alpha for part in frame.format.components)


def over(frame: Any, background: tuple[int, int, int]) -> Any:
    """Return an RGBA frame (straight alpha) composited over a colour, as an RGB frame."""
    picture = frame.to_ndarray()
    alpha = picture[..., 3:].astype(np.uint16)
    colour = np.array(background, np.uint16)
    mixed = (picture[..., :3] * alpha + colour * (255 - alpha) + 127) // 255
    made: Any = av.VideoFrame.from_ndarray(mixed.astype(np.uint8), format="rgb24")
    made.color_range = ColorRange.JPEG
    return made


@dataclass
class _Cursor:
    """An open decoder: its current picture, the ones before and after it, and the time of the one before."""

    film: Film
    before: int = 0
    time: int = 0
    last: Any = None
    held: Any = None
    ahead: tuple[int, Any] | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    frames: Iterator[tuple[int, Any]] = field(default_factory=lambda: iter(()))

    def seek(self, wanted: int) -> None:
        """Seek so that `frame` can decode forward to the picture at a time."""
        film, first = self.film, int(self.film.times[0])
        # deinterlacing needs the picture before
        need = wanted - 1 if film.interlaced and wanted > first else wanted
        back = 0
        while True:
            target = need - back
            from_start = target <= first or film.sequential
            position = self._open() if from_start else self._go(target)
            self.frames = shown_frames(film, self.container, self.stream, position)
            self.before, self.last, self.held, self.ahead = first - 1, None, None, None
            self._step()
            if from_start:
                return
            # some files mark pictures as key pictures that depend on others (MPEG-PS)
            if self.held is not None and self.time <= need and self.held.pict_type in _INTRA:
                self.before = self.time - 1
                return
            # some containers seek too far forward: try earlier, in the end from the start
            back = max(2 * back, round(1 / film.time_base))

    def frame(self, wanted: int) -> Any:
        """Return the first picture at or after a time, or the film's last one; interlaced pictures are deinterlaced."""
        while self.held is not None and self.time < wanted:
            before = self.time
            if not self._step():
                break
            self.before = before
        if self.held is None:
            raise MediaError("holds no picture that can be decoded", where=str(self.film.path), remedy=REMEDY)
        if not self.held.interlaced_frame:
            return self.held
        if self.ahead is None:
            self.ahead = next(self.frames, None)
        return deinterlaced(self.last, self.held, self.ahead[1] if self.ahead else None)

    def _step(self) -> bool:
        following = self.ahead or next(self.frames, None)
        self.ahead = None
        if following is None:
            return False
        self.last = self.held
        self.time, self.held = following
        return True

    def _go(self, target: int) -> int:
        """Seek to the key picture before a time; return its byte position, 0 if unknown."""
        self._open()
        film = self.film
        key = max(int(np.searchsorted(film.keys, target, side="right")) - 1, 0)
        try:
            if film.clock.joins:
                # time stamps restart within the file, so only byte positions are unique
                position = int(film.places[key])
                self.container.seek(position, stream=self.stream, unsupported_byte_offset=True)
                return position
            stamp = int(film.places[key]) if film.counted else target - round(film.clock.later / film.time_base)
            self.container.seek(stamp, stream=self.stream, backward=True)
        except (av.error.FFmpegError, OSError):
            self._open()
        return 0

    def _open(self) -> int:
        self.stack.close()
        self.container = self.stack.enter_context(
            open_container(self.film.path, kind="video", remedy=REMEDY, part=self.film.part)
        )
        self.stream = cast(Any, self.container.streams[self.film.stream])
        self.stream.thread_type = "AUTO"
        # most threads are left to the diffusion model
        self.stream.codec_context.thread_count = 2
        return 0


def rgb_frames(
    path: Path, *, size: tuple[int, int] | None = None, threads: int = 0
) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield each frame as sRGB, uint8 [height, width, 3], with the video's frame rate.

    Parameters
    ----------
    path
        The video.
    size
        Width and height to scale to. Default: the video's.
    threads
        Decoder threads; 0 for one per processor.

    Raises
    ------
    MediaError
        If the file has no pictures.
    """
    converter = VideoReformatter()
    for frame, fps in _frames(path, threads):
        yield to_rgb(frame, size, converter), fps


def rgb_pairs(path: Path, *, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each frame as sRGB twice: in its own size, and scaled to `size`; see `rgb_frames`."""
    for frame, _ in _frames(path):
        yield to_rgb(frame, None), to_rgb(frame, size)


def to_rgb(frame: av.VideoFrame, size: tuple[int, int] | None, converter: VideoReformatter | None = None) -> np.ndarray:
    """Return a decoded frame as sRGB, uint8 [height, width, 3]; YUV frames are BT.709 unless tagged BT.601.

    Pass a `converter` to reuse it between frames.
    """
    width, height = size or (frame.width, frame.height)
    # averaged when shrinking: other filters make fine texture flicker
    interpolation = Interpolation.AREA if width < frame.width or height < frame.height else Interpolation.BICUBIC
    options: dict[str, Colorspace | ColorRange] = {}
    if not frame.format.is_rgb:
        standard = {int(Colorspace.SMPTE170M), int(Colorspace.ITU601)}
        tagged = int(frame.colorspace)
        options = {"src_colorspace": Colorspace(tagged) if tagged in standard else Colorspace.ITU709}
        full = int(frame.color_range) == int(ColorRange.JPEG)
        options |= {"src_color_range": ColorRange.JPEG if full else ColorRange.MPEG, "dst_color_range": ColorRange.JPEG}
    scaled = (converter or VideoReformatter()).reformat(
        frame, width=width, height=height, format="rgb24", interpolation=interpolation, threads=1, **options
    )
    return scaled.to_ndarray()


def luma_frames(path: Path) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield the luma, uint8 [90, 160], at a constant frame rate from the file's second 0, with that rate.

    The time before the first picture shows that picture; gaps repeat the picture before.

    Raises
    ------
    MediaError
        If the file has no pictures.
    """
    film = open_film(path)
    fps = film.rate
    number, small = 0, None
    for time, frame in _shown_pictures(film):
        # limits what a wrong time stamp can do
        wanted = min(round(time * fps), number + int(_MAX_GAP * fps))
        before = small
        small = frame.reformat(width=LUMA_WIDTH, height=LUMA_HEIGHT, format="gray", interpolation="AREA").to_ndarray()
        while number < wanted:
            yield (small if before is None else before), fps
            number += 1
        if number == wanted:
            yield small, fps
            number += 1


def _shown_pictures(film: Film) -> Iterator[tuple[Fraction, Any]]:
    """Yield the pictures of a film, or of several joined films, with their times in seconds."""
    for part, begin in zip(film.parts or (film,), film.begins or (Fraction(0),), strict=True):
        with open_container(part.path, part=part.part) as container:
            stream: Any = container.streams[part.stream]
            stream.thread_type = "AUTO"
            for time, frame in shown_frames(part, container, stream):
                yield time * part.time_base - part.start + begin, frame


def _frames(path: Path, threads: int = 0) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    with open_container(path) as container:
        stream = picture_stream(container)
        if stream is None:
            raise MediaError("has no pictures in it", where=str(path), remedy="name a video file")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        try:
            for frame in container.decode(stream):
                yield frame, fps
        except av.error.FFmpegError:
            # a truncated video: its readable part was yielded
            return


def _close_all(cursors: list[_Cursor]) -> None:
    for cursor in cursors:
        cursor.stack.close()
    cursors.clear()
