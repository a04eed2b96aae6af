"""Join pieces of video without encoding them again, and add the song's sound, encoded once over its whole length."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from reactive.errors import OutputError
from reactive.media.sound import Track, blocks
from reactive.media.tags import append_boxes
from reactive.video.codec import HARDWARE, Codec
from reactive.video.segment import file_url, output_error

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_BITS = 256_000
# what stands beside lossless or intermediate pictures
_SOUND = {"mp4": ("aac", "fltp"), "mov": ("pcm_s24le", "s32"), "matroska": ("flac", "s16")}


def join(
    pieces: Sequence[tuple[Path, int]],
    track: Track,
    out: Path,
    *,
    fps: Fraction,
    container: str,
    codec: Codec,
    sound: tuple[int, int],
    metadata: dict[str, str] | None = None,
    whole: Callable[[Path], None] | None = None,
) -> None:
    """Write a clip from pieces; it appears under its name only when it is complete.

    Parameters
    ----------
    pieces
        Files of `SegmentEncoder` in order, each with the number of frames in it.
    track
        The song.
    out
        The clip to write; what stands there is replaced at the last moment.
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
    whole
        Told the complete file just before it takes its name.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        options = {"movflags": "faststart"} if container in ("mp4", "mov") else {}
        with av.open(file_url(partial), "w", format=container, options=options) as target:
            target.metadata.update(metadata or {})
            sound_codec = _SOUND["mp4"] if codec.name in ("libx264", *HARDWARE.values()) else _SOUND[container]
            _write(target, pieces, track, fps, codec, sound_codec, sound)
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


def _write(
    target: Any,
    pieces: Sequence[tuple[Path, int]],
    track: Track,
    fps: Fraction,
    codec: Codec,
    sound_codec: tuple[str, str],
    sound: tuple[int, int],
) -> None:
    with av.open(file_url(pieces[0][0])) as first:
        video = target.add_stream_from_template(first.streams.video[0])
    video.time_base = 1 / fps
    name, sample_format = sound_codec
    rate = (
        next((rate for rate in AAC_RATES if rate >= track.sample_rate), 96_000) if name == "aac" else track.sample_rate
    )
    audio = target.add_stream(name, rate=rate, layout="stereo")
    audio.time_base = Fraction(1, rate)
    if name == "aac":
        audio.bit_rate = AAC_BITS
    packets = sound_packets(audio, track, rate, sample_format, sound)
    waiting = next(packets, None)
    for packet in _video_packets(pieces, video, fps, codec.reorder):
        # pictures and sound side by side in the file, as players read them
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
        with av.open(file_url(path)) as piece:
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


def sound_packets(
    stream: Any, track: Track, rate: int, sample_format: str, sound: tuple[int, int], *, gain: float = 1.0
) -> Iterator[Any]:
    """Yield encoded stereo sound with time stamps from 0, its samples multiplied by `gain`."""
    resampler = av.AudioResampler(format=sample_format, layout="stereo", rate=rate)
    written, given = 0, 0
    for block in blocks(track, start=sound[0], stop=sound[1]):
        frame: Any = av.AudioFrame.from_ndarray(
            np.ascontiguousarray((np.float32(gain) * to_stereo(block)).reshape(1, -1)), format="flt", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = track.sample_rate, given, Fraction(1, track.sample_rate)
        given += len(block)
        for whole in resampler.resample(frame):
            whole.pts, whole.time_base = written, Fraction(1, rate)
            written += whole.samples
            yield from stream.encode(whole)
    for whole in resampler.resample(None):
        whole.pts, whole.time_base = written, Fraction(1, rate)
        written += whole.samples
        yield from stream.encode(whole)
    yield from stream.encode(None)


def to_stereo(block: np.ndarray) -> np.ndarray:
    """Return float32 [n, 2] from [n, channels]: mono on both sides, surround folded down (ITU-R BS.775)."""
    channels = block.shape[1]
    if channels == 2:
        return block
    if channels == 1:
        return np.repeat(block, 2, axis=1)
    left, right = block[:, 0].copy(), block[:, 1].copy()
    half = np.float32(np.sqrt(0.5))
    # centre to both sides, the low-frequency channel left out, what stands behind to its side
    centre = channels in (3, 5) or channels >= 6
    if centre:
        left += half * block[:, 2]
        right += half * block[:, 2]
    behind = 4 if channels >= 6 else 3 if centre else 2
    for channel in range(behind, channels):
        (left if (channel - behind) % 2 == 0 else right)[:] += half * block[:, channel]
    return np.clip(np.stack([left, right], axis=1), -1.0, 1.0)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())
