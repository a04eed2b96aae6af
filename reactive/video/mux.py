"""Join pieces of video without encoding them again, and add the song's sound, encoded once over its whole length."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from reactive.errors import OutputError
from reactive.files import partial_path
from reactive.media.sound import Track, resampled, stereo_blocks
from reactive.media.tags import append_boxes
from reactive.video.codec import HARDWARE, Codec
from reactive.video.segment import file_url, output_error

# sample rates that players and editors support; many are silent at 96 kHz, which AAC allows too
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_BITS = 256_000
# codec and sample format of the sound by container
_SOUND = {"mp4": ("aac", "fltp"), "mov": ("pcm_s24le", "s32"), "matroska": ("flac", "s16")}


def join(
    pieces: Sequence[tuple[Path, int]],
    track: Track | None,
    out: Path,
    *,
    fps: Fraction,
    container: str,
    codec: Codec,
    sound: tuple[int, int] = (0, 0),
    metadata: dict[str, str] | None = None,
    encoded: Path | None = None,
    whole: Callable[[Path], None] | None = None,
) -> None:
    """Write a clip from pieces; it appears under its name only when it is complete.

    Parameters
    ----------
    pieces
        Files of `SegmentEncoder` in order, each with the number of frames in it.
    track
        The song; None for a silent clip.
    out
        The clip to write; an existing file is replaced at the last moment.
    fps
        Frames a second.
    container
        FFmpeg's name of the container.
    codec
        How the pieces are encoded; H.264 clips carry AAC.
    sound
        First sample and the sample after the last.
    metadata
        Tags of the container; XMP and RECIPE reach MP4 and MOV as boxes of their own.
    encoded
        A file of `encode_sound` with the same range of the song, which is copied instead of encoding it again.
    whole
        Called with the complete file just before it is renamed.
    """
    partial = partial_path(out)
    try:
        options = {"movflags": "faststart"} if container in ("mp4", "mov") else {}
        with av.open(file_url(partial), "w", format=container, options=options) as target:
            target.metadata.update(metadata or {})
            if encoded is not None:
                with av.open(file_url(encoded)) as source:
                    _write(target, pieces, fps, codec, lambda: _copied(target, source))
            elif track is not None:
                sound_codec = _SOUND["mp4"] if with_aac(codec) else _SOUND[container]
                _write(target, pieces, fps, codec, lambda: _encoded(target, track, sound_codec, sound))
            else:
                _write(target, pieces, fps, codec, None)
        if container in ("mp4", "mov"):
            append_boxes(partial, metadata or {})
        _flush_to_disk(partial)
        if whole is not None:
            whole(partial)
        os.replace(partial, out)
    except (av.error.FFmpegError, OSError) as problem:
        raise output_error(out, problem) from None
    finally:
        partial.unlink(missing_ok=True)


def with_aac(codec: Codec) -> bool:
    """Return whether clips of this codec carry AAC, whatever their container."""
    return codec.name in ("libx264", *HARDWARE.values())


def encode_sound(
    track: Track, out: Path, sound: tuple[int, int], *, halted: Callable[[], bool] = lambda: False
) -> None:
    """Write samples [start, stop) of a song as AAC in an MP4 of its own, for `join` to copy.

    Raises
    ------
    OutputError
        If the disk is full or fails.
    CancelledError
        As soon as `halted` returns true; what was written is of no use then.
    """
    try:
        with av.open(file_url(out), "w", format="mp4") as target:
            for packet in _encoded(target, track, _SOUND["mp4"], sound):
                if halted():
                    raise CancelledError
                target.mux(packet)
    except (av.error.FFmpegError, OSError) as problem:
        raise output_error(out, problem) from None


def _encoded(target: Any, track: Track, sound_codec: tuple[str, str], sound: tuple[int, int]) -> Iterator[Any]:
    """Add a stream for the song to a file; return its packets."""
    name, sample_format = sound_codec
    rate = aac_rate(track.sample_rate) if name == "aac" else track.sample_rate
    audio = target.add_stream(name, rate=rate, layout="stereo")
    audio.time_base = Fraction(1, rate)
    if name == "aac":
        audio.bit_rate = AAC_BITS
    return sound_packets(audio, track, rate, sample_format, sound)


def _copied(target: Any, source: Any) -> Iterator[Any]:
    """Add a stream like that of an open file to another file; return its packets."""
    stream = target.add_stream_from_template(source.streams.audio[0])

    def packets() -> Iterator[Any]:
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                yield packet

    return packets()


def _write(
    target: Any,
    pieces: Sequence[tuple[Path, int]],
    fps: Fraction,
    codec: Codec,
    sound: Callable[[], Iterator[Any]] | None,
) -> None:
    """Write the pieces' pictures; `sound` adds a stream after that of the pictures, and returns its packets."""
    with av.open(file_url(pieces[0][0])) as first:
        video = target.add_stream_from_template(first.streams.video[0])
    video.time_base = 1 / fps
    packets = sound() if sound else iter(())
    waiting = next(packets, None)
    for packet in _video_packets(pieces, video, fps, codec.reorder):
        # pictures and sound interleaved, as players read them
        while (
            waiting is not None
            and waiting.dts is not None
            and waiting.dts * waiting.time_base <= packet.dts * packet.time_base
        ):
            target.mux(waiting)
            waiting = next(packets, None)
        target.mux(packet)
    while waiting is not None:
        target.mux(waiting)
        waiting = next(packets, None)


def _video_packets(pieces: Sequence[tuple[Path, int]], stream: Any, fps: Fraction, reorder: int) -> Iterator[Any]:
    """Yield the pieces' packets with time stamps in whole frames, continuous from piece to piece."""
    shift = 0
    for path, frames in pieces:
        # opening a stream decodes its first pictures to learn what none of these packets needs: ten times as long
        unread: Any = [{"skip_frame": "all"}]
        with av.open(file_url(path), stream_options=unread) as piece:
            found = [packet for packet in piece.demux(piece.streams.video[0]) if packet.size]
            if len(found) != frames:
                raise OutputError(f"holds {len(found)} frames, not {frames}", where=str(path), remedy="render it again")
            for index, packet in enumerate(found):
                shown = _in_frames(packet.pts, packet.time_base, fps)
                packet.stream = stream
                packet.time_base = 1 / fps
                packet.pts = shift + shown
                # the order in the file is that of decoding; one lead for all pieces keeps the count unbroken
                packet.dts = shift + index - reorder
                packet.duration = 1
                yield packet
        shift += frames


def _in_frames(pts: int | None, time_base: Fraction, fps: Fraction) -> int:
    """Return a time stamp in whole frames; Matroska keeps milliseconds only."""
    return round((pts or 0) * time_base * fps)


def aac_rate(rate: int) -> int:
    """Return the sample rate at which a song becomes AAC: its own, a fraction of it, or the next higher one."""
    if rate > AAC_RATES[-1]:
        return next((part for part in (48_000, 44_100) if rate % part == 0), AAC_RATES[-1])
    return next(known for known in AAC_RATES if known >= rate)


def sound_packets(
    stream: Any, track: Track, rate: int, sample_format: str, sound: tuple[int, int], *, gain: float = 1.0
) -> Iterator[Any]:
    """Yield encoded stereo sound with time stamps from 0, its samples multiplied by `gain`."""
    form = av.AudioResampler(format=sample_format, layout="stereo", rate=rate)
    parts = stereo_blocks(track, start=sound[0], stop=sound[1])
    if rate != track.sample_rate:
        parts = resampled(parts, track.sample_rate, rate, 2)
    written, given = 0, 0
    for block in parts:
        frame: Any = av.AudioFrame.from_ndarray(
            np.ascontiguousarray((np.float32(gain) * block).reshape(1, -1)), format="flt", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, given, Fraction(1, rate)
        given += len(block)
        for whole in form.resample(frame):
            whole.pts, whole.time_base = written, Fraction(1, rate)
            written += whole.samples
            yield from stream.encode(whole)
    for whole in form.resample(None):
        whole.pts, whole.time_base = written, Fraction(1, rate)
        written += whole.samples
        yield from stream.encode(whole)
    yield from stream.encode(None)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())
