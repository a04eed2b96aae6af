"""A clip with transparency, for laying it over other pictures: ProRes 4444 (.mov) or VP9 (.webm).

The luminance matte takes black as transparent: alpha is the largest of red, green and blue, and the colours are divided by it
(straight alpha). Laid over black it is the very picture, so light stays light and dark becomes clear. Other mattes are given,
and leave the colours as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from reactive.errors import MediaError, OutputError
from reactive.files import partial_path
from reactive.media.clock import sound_stream
from reactive.media.safe import open_container
from reactive.media.sound import Track, open_track
from reactive.media.tags import append_boxes, read_tags
from reactive.media.video import rgb_frames
from reactive.video.mux import sound_packets
from reactive.video.segment import file_url, output_error, tag, to_video

# container, encoder, pixel format and options of pictures, and the encoder, sample format and rate of sound
_KINDS: dict[str, tuple[str, str, str, dict[str, str], str, str, int]] = {
    ".mov": (
        "mov",
        "prores_ks",
        "yuva444p10le",
        {"profile": "4444", "vendor": "apl0", "alpha_bits": "16"},
        "pcm_s24le",
        "s32",
        0,
    ),
    ".webm": (
        "webm",
        "libvpx-vp9",
        "yuva420p",
        {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "auto-alt-ref": "0"},
        "libopus",
        "flt",
        48_000,
    ),
}


def luminance_matte(picture: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3], with straight alpha, uint8 [height, width, 4]: black becomes transparent."""
    alpha = picture.max(axis=2, keepdims=True)
    colour = np.minimum(np.rint(picture * (255.0 / np.maximum(alpha, 1))), 255).astype(np.uint8)
    return np.concatenate([colour, alpha], axis=2)


def given_matte(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3], with an alpha of its own, uint8 [height, width], as [height, width, 4]."""
    return np.concatenate([picture, alpha[..., None]], axis=2)


def check_matte(out: Path) -> None:
    """Check the name of a file with transparency.

    Raises
    ------
    OutputError
        If it is not .mov or .webm.
    """
    if out.suffix.lower() not in _KINDS:
        raise OutputError(
            f"{out.suffix or 'a nameless file'} holds no transparency",
            where=str(out),
            remedy="name it with .mov (ProRes 4444) or .webm (VP9)",
        )


def with_matte(clip: Path, out: Path, mattes: Iterator[np.ndarray] | None = None) -> int:
    """Write a clip with transparency and its sound; return the number of frames.

    Parameters
    ----------
    clip
        A finished clip.
    out
        The file to write, .mov or .webm.
    mattes
        The alpha of each frame, uint8 [height, width]; None: a luminance matte.

    Raises
    ------
    MediaError
        If the clip has no pictures.
    OutputError
        If it can't be written, or the name is not .mov or .webm.
    """
    check_matte(out)
    container, *_ = _KINDS[out.suffix.lower()]
    with open_container(clip) as source:
        track = open_track(clip) if sound_stream(source) is not None else None
    partial = partial_path(out)
    try:
        count = _write(clip, track, partial, out.suffix.lower(), mattes)
        if container == "mov":
            append_boxes(partial, read_tags(clip))
        os.replace(partial, out)
    except (av.error.FFmpegError, OSError) as problem:
        raise output_error(out, problem) from None
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write(clip: Path, track: Track | None, out: Path, suffix: str, mattes: Iterator[np.ndarray] | None) -> int:
    container, encoder, pixels, options, sound_encoder, samples, fixed = _KINDS[suffix]
    count, converter = 0, VideoReformatter()
    frames = rgb_frames(clip)
    first = next(frames, None)
    if first is None:
        raise MediaError("has no pictures in it", where=str(clip), remedy="name a finished clip")
    fps = first[1]
    with av.open(file_url(out), "w", format=container) as target:
        video: Any = target.add_stream(encoder, rate=fps, options=options)
        video.height, video.width = first[0].shape[:2]
        video.pix_fmt, video.time_base = pixels, 1 / fps
        video.codec_context.time_base = 1 / fps
        tag(video.codec_context, pixels)
        if suffix == ".webm":
            # players look for it before they look for alpha
            video.metadata["alpha_mode"] = "1"
        waiting: Iterator[Any] = iter(())
        if track is not None:
            rate = fixed or track.sample_rate
            audio: Any = target.add_stream(sound_encoder, rate=rate, layout="stereo")
            audio.time_base = Fraction(1, rate)
            waiting = sound_packets(audio, track, rate, samples, (0, track.samples))
        next_sound = next(waiting, None)
        for picture in _chained(first[0], frames):
            clear = luminance_matte(picture) if mattes is None else given_matte(picture, next(mattes))
            frame: Any = av.VideoFrame.from_ndarray(clear, format="rgba")
            frame.color_range = ColorRange.JPEG
            converted = to_video(frame, (picture.shape[1], picture.shape[0]), pixels, converter)
            converted.pts, converted.time_base = count, 1 / fps
            count += 1
            for packet in video.encode(converted):
                # pictures and sound interleaved, as players read them
                while next_sound is not None and _time(next_sound) <= _time(packet):
                    target.mux(next_sound)
                    next_sound = next(waiting, None)
                target.mux(packet)
        for packet in video.encode(None):
            target.mux(packet)
        while next_sound is not None:
            target.mux(next_sound)
            next_sound = next(waiting, None)
    return count


def _chained(first: np.ndarray, rest: Iterator[tuple[np.ndarray, Fraction]]) -> Iterator[np.ndarray]:
    yield first
    for picture, _ in rest:
        yield picture


def _time(packet: Any) -> Fraction:
    return Fraction(0) if packet.dts is None else Fraction(packet.dts * packet.time_base)
