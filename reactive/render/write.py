"""Write frames as a video with a song's sound: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np

from reactive.errors import OutputError
from reactive.files import partial_path
from reactive.media.sound import Track, open_track
from reactive.render.imagine import Frames
from reactive.render.outputs import check_output
from reactive.render.settings import Progress
from reactive.timeline.clock import as_fps, frame_count, frame_time, nearest_frame, sound_range
from reactive.video.codec import CODECS, Codec, container_format, video_codec
from reactive.video.mux import join
from reactive.video.nvenc import check_encoder
from reactive.video.segment import SegmentEncoder

# frames of a piece: its packets are in memory when it is joined to the others
_PIECE = 1000


def write_video(
    frames: Iterable[np.ndarray],
    path: str | os.PathLike[str],
    *,
    fps: int | float | str | Fraction | None = None,
    sound: Track | str | os.PathLike[str] | None = None,
    start: float | None = None,
    codec: str = "h264",
    crf: int = 18,
    speed: str = "veryfast",
    progress: Progress | None = None,
) -> Path:
    """Write frames as a video; it appears under its name only when it is complete, and replaces what stood there.

    Parameters
    ----------
    frames
        uint8 [3, height, width], sRGB, all of one size, its sides even numbers. They are taken one after the other, so memory
        does not grow with their number.
    path
        ``.mp4``, ``.mov`` or ``.mkv``.
    fps
        Frames a second, as `decide` takes it. Default: that of frames from `imagine`.
    sound
        The song, or its file; None for a silent video.
    start
        Where in the song the first frame shows, in seconds. Default: what frames from `imagine` say, else 0.
    codec, crf, speed
        ``h264`` (by x264, of that quality and preset), ``prores`` in ``.mov``, ``ffv1`` in ``.mkv``, or an encoder of a card.
    progress
        Called with ``"writing"``, how many frames are encoded, and how many there are (0 if that is not known).

    Returns
    -------
    Path
        The video.

    Raises
    ------
    OutputError
        If it can't be written, or a frame has a wrong dtype, shape or size; nothing is left behind then.
    MediaError
        If the sound can't be read.
    TimelineError
        If the frame rate is not valid.

    Examples
    --------
    >>> import numpy as np, reactive
    >>> grey = (np.full((3, 48, 64), 4 * number, np.uint8) for number in range(24))
    >>> reactive.write_video(grey, "grey.mp4", fps=12, sound="song.wav").name
    'grey.mp4'
    """
    out = Path(path)
    known = frames if isinstance(frames, Frames) else None
    if fps is not None:
        rate = as_fps(fps)
    elif known is not None:
        rate = known.fps
    else:
        raise OutputError("these frames have no rate of their own", where="fps", remedy="say it, for instance fps=24")
    if codec not in CODECS:
        raise OutputError(f'"{codec}" is no codec', where="codec", remedy=f"use one of {', '.join(CODECS)}")
    container = container_format(out, codec)
    track = sound if sound is None or isinstance(sound, Track) else open_track(sound)
    check_output(out, [track.path] if track else [], overwrite=True)
    check_encoder(codec)
    first = 0
    if start is not None:
        first = nearest_frame(start, rate)
    elif known:
        # the first frame of an excerpt, in seconds, since its frames may be shown at another rate
        first = nearest_frame(frame_time(known.first, known.fps), rate)
    whole = frame_count(track.samples, track.sample_rate, rate) if track else 0
    if track and not 0 <= first < whole:
        raise OutputError("does not begin within the song", where="start", remedy=f"it lasts {track.duration:.2f} s")
    form = video_codec(codec, speed=speed, crf=crf)
    with ExitStack() as hidden:
        pieces = []
        done = 0
        checked = _checked(frames, form)
        while (head := next(checked, None)) is not None:
            piece = partial_path(out)
            hidden.callback(piece.unlink, missing_ok=True)
            count = 0
            size = (head.shape[1], head.shape[0])
            with SegmentEncoder(piece, size=size, fps=rate, codec=form) as encoder:
                for picture in chain([head], islice(checked, _PIECE - 1)):
                    encoder.write(picture)
                    count += 1
                    done += 1
                    if progress:
                        progress("writing", done, known.total if known else 0)
            pieces.append((piece, count))
        if not pieces:
            raise OutputError("there are no frames", where=str(out), remedy="give at least one")
        heard = (0, 0)
        if track:
            heard = sound_range(
                first, first + done, rate, frames=whole, samples=track.samples, sample_rate=track.sample_rate
            )
        join(pieces, track, out, fps=rate, container=container, codec=form, sound=heard)
    return out


def _checked(frames: Iterable[np.ndarray], codec: Codec) -> Iterator[np.ndarray]:
    """Yield frames as the encoder takes them, uint8 [height, width, 3], if they are what they must be."""
    shape: tuple[int, ...] = ()
    for number, given in enumerate(frames):
        frame = np.asarray(given)
        if frame.dtype != np.uint8 or frame.ndim != 3 or len(frame) != 3:
            raise OutputError(
                f"is {frame.dtype} {list(frame.shape)}", where=f"frame {number}", remedy="give uint8 [3, height, width]"
            )
        shape = shape or frame.shape
        if frame.shape != shape:
            raise OutputError(
                f"is {frame.shape[2]}x{frame.shape[1]} pixels, the first one {shape[2]}x{shape[1]}",
                where=f"frame {number}",
                remedy="give all of one size",
            )
        # 4:2:0 and 4:2:2 halve them
        if not codec.pixel_format.startswith("bgr") and (frame.shape[1] % 2 or frame.shape[2] % 2):
            raise OutputError(
                f"is {frame.shape[2]}x{frame.shape[1]} pixels", where=f"frame {number}", remedy="make both sides even"
            )
        yield frame.transpose(1, 2, 0)
