"""Reduce a finished clip to a size: H.264 again in two passes, at the rate that the size allows; the sound is copied."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from reactive.errors import MediaError, OutputError
from reactive.media.clock import picture_stream, sound_stream
from reactive.media.safe import open_container
from reactive.media.tags import append_boxes, read_tags
from reactive.video.codec import X264_THREADS, container_format, video_codec
from reactive.video.segment import encoder_options, file_url, output_error, tag

UNITS = {"kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
# share of the size for the container's own tables, and how often the second pass is tried
_HEADROOM, _TRIES = 0.985, 4
# bits a pixel below which H.264 shows blocks rather than pictures
_LEAST = 0.004


@dataclass(frozen=True)
class Fitted:
    """What was done: bytes before and after, the pictures' rate in bits a second (0: copied as it was), and passes."""

    before: int
    after: int
    rate: int
    passes: int


def parse_bytes(text: str, where: str = "--max-size") -> int:
    """Return the bytes of ``100MB``, ``95.5 MiB`` or ``2GB``, read at `where`.

    Raises
    ------
    OutputError
        If it is not a size.
    """
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([kmg]i?b)\s*", text.lower(), re.ASCII)
    size = int(Fraction(match[1]) * UNITS[match[2]]) if match else 0
    if size < 10_000:
        raise OutputError(f'"{text[:40]}" is no size', where=where, remedy="write for instance 100MB or 8MiB")
    return size


def fit_size(clip: Path, out: Path, limit: int) -> Fitted:
    """Write a clip whose file holds at most `limit` bytes; one that is small enough already is copied.

    Raises
    ------
    MediaError
        If the clip has no pictures, or its sound can't stand in an MP4.
    OutputError
        If the size is too small for its pictures, or it can't be written.
    """
    before = clip.stat().st_size
    container = container_format(out, "h264")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        if before <= limit and clip.suffix.lower() == out.suffix.lower():
            shutil.copyfile(clip, partial)
            os.replace(partial, out)
            return Fitted(before, before, 0, 0)
        tags = read_tags(clip)
        duration, pixels, sound = _measured(clip)
        room = (limit - sum(len(text.encode()) + 64 for text in tags.values())) * _HEADROOM - sound
        rate = int(room * 8 / duration)
        with tempfile.TemporaryDirectory(prefix="reactive-passes-") as folder:
            for attempt in range(_TRIES):
                if rate < _LEAST * pixels:
                    raise OutputError(
                        f"{limit / 1e6:.2f} MB is too little for {float(duration):.0f} s of this size",
                        where="--max-size",
                        remedy="allow more, or render a smaller or shorter clip",
                    )
                # all later passes use the statistics of the first
                if not attempt:
                    _encode(clip, None, "null", rate, Path(folder, "log"), 1)
                _encode(clip, partial, container, rate, Path(folder, "log"), 2)
                append_boxes(partial, tags)
                after = partial.stat().st_size
                if after <= limit:
                    os.replace(partial, out)
                    return Fitted(before, after, rate, attempt + 2)
                rate = int(rate * (limit / after) * 0.98)
        raise OutputError(f"can't be brought under {limit / 1e6:.2f} MB", where=str(out), remedy="allow more")
    except (av.error.FFmpegError, OSError) as problem:
        raise output_error(out, problem) from None
    finally:
        partial.unlink(missing_ok=True)


def _measured(clip: Path) -> tuple[Fraction, float, int]:
    """Return a clip's length in seconds, pixels a second, and the bytes of its sound."""
    with open_container(clip) as source:
        video = picture_stream(source)
        if video is None:
            raise MediaError("has no pictures in it", where=str(clip), remedy="name a finished clip")
        sound, frames = 0, 0
        for packet in source.demux():
            if packet.stream.type == "audio":
                # each packet costs some bytes in the container's tables too
                sound += packet.size + 12
            frames += packet.stream.type == "video" and packet.size > 0
        fps = Fraction(video.average_rate or 0)
        if not (fps and frames):
            raise MediaError("has no pictures in it", where=str(clip), remedy="name a finished clip")
        duration = Fraction(frames) / fps
        return duration, float(video.width * video.height * fps), sound


def _encode(clip: Path, out: Path | None, container: str, rate: int, log: Path, number: int) -> None:
    """Encode a clip's pictures in one of two passes; without `out` only the first pass's statistics are kept."""
    codec = video_codec("h264", speed="medium")
    options = encoder_options(codec)
    del options["crf"]
    options |= {"b": str(rate), "flags": f"+pass{number}", "stats": str(log)}
    target_name = file_url(out) if out else os.devnull
    moved = {"movflags": "faststart"} if out else {}
    with open_container(clip) as source, av.open(target_name, "w", format=container, options=moved) as target:
        video = picture_stream(source)
        fps = Fraction(video.average_rate or 24)
        target.metadata.update(source.metadata)
        stream: Any = target.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, codec.pixel_format
        stream.time_base = stream.codec_context.time_base = 1 / fps
        stream.codec_context.framerate = fps
        stream.codec_context.thread_count = X264_THREADS
        tag(stream.codec_context, codec.pixel_format)
        sound = sound_stream(source) if out else None
        copied: Any = target.add_stream_from_template(sound) if sound else None
        shown = 0
        for packet in source.demux([video, *([sound] if sound else [])]):
            if sound is not None and packet.stream.index == sound.index:
                if packet.size:
                    packet.stream = copied
                    target.mux(packet)
                continue
            decoded: list[Any] = list(packet.decode())
            for frame in decoded:
                picture = frame.reformat(format=codec.pixel_format)
                picture.pts, picture.time_base = shown, 1 / fps
                picture.pict_type = 0
                shown += 1
                for made in stream.encode(picture):
                    target.mux(made)
        for made in stream.encode():
            target.mux(made)
