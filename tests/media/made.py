"""Media files with known truth for the tests: flashes with clicks in any container, sound in any layout."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 48_000
FPS = 25
EVENT = 1.0
SIZE = (64, 48)
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "pcm_s16le"),
    ".mkv": ("libx264", "aac"),
    ".ts": ("libx264", "ac3"),
    ".avi": ("mpeg4", "pcm_s16le"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".mpg": ("mpeg2video", "mp2"),
    ".flv": ("libx264", "aac"),
    ".asf": ("mpeg4", "wmav2"),
}


def save_film(
    path: Path,
    *,
    seconds: float = 2.0,
    event: float | Sequence[float] = EVENT,
    sound_from: float = 0.0,
    pictures_from: float = 0.0,
    hole: tuple[float, float] | None = None,
    b_frames: int = 2,
    held: bool = False,
) -> Path:
    """Save a film with a white picture and a click at each `event` in seconds; in AVI both streams start at 0.

    With `held`, the picture changes between black and white at each of them instead.

    Sound before `sound_from`, pictures before `pictures_from` and sound within `hole` are omitted from the file.
    """
    events = [event] if isinstance(event, int | float) else list(event)
    picture_codec, sound_codec = CODECS[path.suffix]
    with av.open(str(path), "w") as target:
        pictures: Any = target.add_stream(picture_codec, rate=FPS)
        pictures.width, pictures.height = SIZE
        pictures.pix_fmt = "yuv420p"
        pictures.codec_context.gop_size = 12
        if picture_codec != "libvpx-vp9":
            pictures.codec_context.max_b_frames = b_frames
        sound: Any = target.add_stream(sound_codec, rate=RATE, layout="stereo")
        if sound_codec == "wmav2":
            sound.bit_rate = 128_000
        packets = [*_pictures(pictures, seconds, events, pictures_from, held=held)]
        packets += [packet for packet in _sound(sound, seconds, events, sound_from) if not _within(packet, hole)]
        packets.sort(key=lambda packet: (packet.dts if packet.dts is not None else 0) * packet.time_base)
        for packet in packets:
            target.mux(packet)
    return path


def _within(packet: Any, hole: tuple[float, float] | None) -> bool:
    return hole is not None and packet.pts is not None and hole[0] <= float(packet.pts * packet.time_base) < hole[1]


def _pictures(stream: Any, seconds: float, events: Sequence[float], begin: float, *, held: bool) -> list[Any]:
    packets: list[Any] = []
    for number in range(round(begin * FPS), round(seconds * FPS)):
        frames = [round(event * FPS) for event in events]
        level = 255 if (sum(frame <= number for frame in frames) % 2 if held else number in frames) else 0
        frame: Any = av.VideoFrame.from_ndarray(np.full((SIZE[1], SIZE[0], 3), level, np.uint8), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _sound(stream: Any, seconds: float, events: Sequence[float], begin: float) -> list[Any]:
    samples = np.zeros(round(seconds * RATE), np.float32)
    for at in [round(event * RATE) for event in events]:
        samples[at : at + 240] = 0.9 * np.sin(2 * np.pi * 2000 * np.arange(240) / RATE)
    first = round(begin * RATE)
    given: Any = av.AudioFrame.from_ndarray(np.repeat(samples[first:], 2).reshape(1, -1), format="flt", layout="stereo")
    given.sample_rate, given.pts, given.time_base = RATE, first, Fraction(1, RATE)
    form = av.AudioResampler(
        format=stream.codec_context.format.name,
        layout="stereo",
        rate=RATE,
        frame_size=stream.codec_context.frame_size or 1024,
    )
    packets: list[Any] = []
    position = first
    for frame in [*form.resample(given), *form.resample(None)]:
        frame.pts, frame.time_base = position, Fraction(1, RATE)
        position += frame.samples
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def save_sound(
    path: Path, sound: np.ndarray, codec: str, *, rate: int = RATE, layout: str = "stereo", **options: str
) -> Path:
    """Save float32 [n, channels] with an FFmpeg encoder, in the container of the file's suffix."""
    with av.open(str(path), "w") as target:
        stream: Any = target.add_stream(codec, rate=rate, layout=layout, options=options)
        form = av.AudioResampler(
            format=stream.codec_context.format.name,
            layout=layout,
            rate=rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        frame: Any = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound, np.float32).reshape(1, -1), format="flt", layout=layout
        )
        frame.sample_rate, frame.pts = rate, 0
        for part in [*form.resample(frame), *form.resample(None)]:
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return path


def tone(
    hertz: float, seconds: float, *, rate: int = RATE, channels: Sequence[float] = (1.0,), level: float = 0.5
) -> np.ndarray:
    """Return a sine, float32 [n, channels], in the given share on each channel."""
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return (wave[:, None] * np.array(channels)[None, :]).astype(np.float32)
