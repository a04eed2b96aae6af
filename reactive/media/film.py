"""Measure a video: when each of its pictures shows, by the file's one clock, and which can be decoded by themselves.

Times come from the packets, without decoding. Where a container has no presentation times (AVI, some ASF), pictures are decoded
once and take the packets' decoding times in output order, which is the order of display. A bare stream of pictures (H.264, HEVC,
MPEG-2 ... without a container) has no times at all: its pictures follow each other at its rate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from reactive.errors import MediaError
from reactive.media.clock import (
    Clock,
    begin_again,
    clocked_packets,
    decoded_frames,
    picture_stream,
    read_clock,
    sound_stream,
)
from reactive.media.joined import joined_links
from reactive.media.safe import open_container, regular_file

MAX_PIXELS = 64_000_000
MAX_FRAMES = 24 * 3600 * 240
REMEDY = "export it as MP4 with H.264"
# transfer functions whose pictures need tone mapping: SMPTE ST 2084 and ARIB STD-B67, as ITU-T H.273 numbers them
HDR = {16: "PQ", 18: "HLG"}
# number of first pictures that are examined
_LOOKED_AT = 24
# FFmpeg's own decoders of these drop transparency
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_MEASURED = 16
# FFmpeg's names of streams of pictures without a container
_BARE = ("h264", "hevc", "mpegvideo", "m4v", "obu")
# of films in a row that count time in different units
_COMMON_BASE = Fraction(1, 1_000_000)


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
        Index of their stream.
    times, keys
        When its pictures show, and those that can be decoded by themselves: int64, rising, in units of `time_base`.
    time_base
        Seconds of one unit.
    start
        The time in seconds that is the file's second 0: of its first picture or of its sound, whichever is earlier.
    sound_end
        The time in seconds at which its sound ends; 0 without sound.
    rate
        Pictures a second, on average.
    clock
        The conversion of the file's time stamps to these times.
    counted
        Whether pictures have no presentation times of their own.
    places
        The position of each key picture: its byte if times begin again, else its decoding time stamp; int64.
    interlaced
        Whether its pictures are made of fields.
    decoder
        FFmpeg's name of the decoder with transparency; empty for the usual one.
    sequential
        Whether it is known only to who reads it from its beginning which picture is which: MPEG-PS whose packets hold several
        pictures, and streams without a container.
    part
        The first byte and the byte after the last of the file that hold it; None for all of it.
    parts, begins
        The films that follow each other in one file, of which this is all, and the seconds at which each begins; empty for
        one film.
    lost
        Which of the files in a row hold no pictures, counted from 1.
    """

    path: Path
    width: int
    height: int
    turns: int
    stream: int
    times: np.ndarray
    keys: np.ndarray
    time_base: Fraction
    start: Fraction
    sound_end: Fraction
    rate: Fraction
    clock: Clock
    counted: bool
    places: np.ndarray
    interlaced: bool
    decoder: str
    sequential: bool = False
    part: tuple[int, int] | None = None
    parts: tuple[Film, ...] = ()
    begins: tuple[Fraction, ...] = ()
    lost: tuple[int, ...] = ()

    @property
    def duration(self) -> Fraction:
        """Length in seconds: to the end of its last picture, or of its sound if that is later."""
        # the last picture has the usual duration
        last = int(np.median(np.diff(self.times))) if len(self.times) > 1 else max(1, round(1 / self.time_base / 25))
        seen = (int(self.times[-1]) + max(last, 1)) * self.time_base
        return max(seen, self.sound_end) - self.start

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user."""
        if self.clock.joins:
            return (f"{self.path.name}: {begin_again(self.clock.joins)}",)
        if self.lost:
            numbers = ", ".join(map(str, self.lost))
            count = len(self.parts) + len(self.lost)
            return (f"{self.path.name}: Part {numbers} of {count} of the file holds no pictures and is left out.",)
        return ()

    def nearest(self, seconds: Fraction) -> int:
        """Return the number of the picture whose time, counted from second 0, is nearest; halfway: the later."""
        wanted = (Fraction(seconds) + self.start) / self.time_base
        after = min(int(np.searchsorted(self.times, float(wanted))), len(self.times) - 1)
        around = range(max(after - 2, 0), min(after + 2, len(self.times)))
        return min(reversed(around), key=lambda number: abs(int(self.times[number]) - wanted))


def open_film(path: str | os.PathLike[str]) -> Film:
    """Measure a video; the last few results are cached until the file changes.

    Raises
    ------
    MediaError
        If it can't be read as a video, is HDR, has no whole picture, or has more than 64 million pixels a picture.
    """
    checked = regular_file(path)
    status = checked.stat()
    return _measured(checked, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_MEASURED)
def _measured(path: Path, size: int, changed: int) -> Film:
    links = joined_links(path)
    if not links:
        return measure_film(path)
    found: list[Film] = []
    begins: list[Fraction] = []
    lost: list[int] = []
    end = Fraction(0)
    for number, link in enumerate(links, 1):
        try:
            film = measure_film(path, link)
        except MediaError:
            # its sound, if it has some, is heard
            lost.append(number)
            end += _seconds(path, link)
            continue
        found.append(film)
        begins.append(end)
        end += film.duration
    # what is wrong with the whole of it is told
    return _in_a_row(found, begins, end, tuple(lost)) if found else measure_film(path)


def _seconds(path: Path, link: tuple[int, int]) -> Fraction:
    """Return how long a file in a row lasts, as it says itself; 0 if it can't be opened."""
    try:
        with open_container(path, kind="video", part=link) as container:
            return Fraction(container.duration or 0, av.time_base)
    except MediaError:
        return Fraction(0)


def _in_a_row(films: list[Film], begins: list[Fraction], end: Fraction, lost: tuple[int, ...]) -> Film:
    """Return films that follow each other as one: each begins where the one before has ended, sound and pictures."""
    first = films[0]
    base = first.time_base if all(film.time_base == first.time_base for film in films) else _COMMON_BASE
    times: list[np.ndarray] = []
    for film, begin in zip(films, begins, strict=True):
        moved = [round((int(time) * film.time_base - film.start + begin) / base) for time in film.times]
        times.append(np.array(moved, np.int64))
    shown = np.concatenate(times)
    return replace(
        first,
        times=shown,
        keys=shown[:1],
        places=np.zeros(1, np.int64),
        time_base=base,
        start=Fraction(0),
        sound_end=end,
        interlaced=any(film.interlaced for film in films),
        part=None,
        parts=tuple(films),
        begins=tuple(begins),
        lost=lost,
    )


def measure_film(path: Path, part: tuple[int, int] | None = None) -> Film:
    """Measure one film: a file, or the part of it from one byte to another; errors as `open_film` says."""
    where = str(path)
    with open_container(path, kind="video", remedy=REMEDY, part=part) as container:
        stream = picture_stream(container)
        if stream is None:
            raise MediaError("has no moving pictures that can be decoded", where=where, remedy=REMEDY)
        width, height = stream.codec_context.width, stream.codec_context.height
        if not width * height:
            # FFmpeg reads no animated WebP
            what = "is an animated WebP" if container.format.name == "webp_pipe" else "does not say how large it is"
            raise MediaError(what, where=where, remedy="export it as GIF, APNG or MP4")
        if width * height > MAX_PIXELS:
            raise MediaError(f"has pictures of {width}x{height} pixels", where=where, remedy="export it smaller")
        shape = stream.sample_aspect_ratio or Fraction(1)
        index, time_base = stream.index, Fraction(stream.time_base or Fraction(1, 1000))
        is_program, is_bare = container.format.name == "mpeg", container.format.name in _BARE
        # the average of a bare stream is always 25
        told = (stream.guessed_rate, stream.average_rate) if is_bare else (stream.average_rate, stream.guessed_rate)
        rate = Fraction(told[0] or told[1] or 25)
        decoder = _decoder(stream)
        codec = stream.codec_context.codec
        leading = container.format.name == "avi" and not codec.intra_only
        transfer = stream.codec_context.color_trc
        sound = sound_stream(container)
        sounding = sound.index if sound is not None else None
        first, stamps, interlaced = _look(container, stream)
        if first is None:
            raise MediaError("holds no picture that can be decoded", where=where, remedy=REMEDY)
    curve = HDR.get(first.color_trc) or HDR.get(transfer)
    if curve:
        raise MediaError(
            f"is an HDR video ({curve}), whose colours would come out wrong",
            where=where,
            remedy="export it as SDR (BT.709)",
        )
    across = first.width * (shape if Fraction(1, 8) <= shape <= 8 else 1)
    turns = round(first.rotation / 90) % 4
    clock = read_clock(path, part)
    known = [stamp for stamp in stamps if stamp is not None]
    shares = is_program and _shares_packets(path, part, index)
    counted = (
        leading
        or is_bare
        or shares
        or len(known) < len(stamps)
        or any(late <= early for early, late in pairwise(known))
    )
    step = max(1, round(1 / (rate * time_base))) if is_bare else 0
    if shares:
        times = _displayed(path, part, index, clock)
        keys, places = times[:1], np.zeros(1, np.int64)
    else:
        times, keys, places = _count(path, part, index, clock, step) if counted else _index(path, part, index, clock)
    sound_end = _sound_end(path, part, sounding, clock) if sounding is not None else Fraction(0)
    shown = max(1, round(across)), first.height
    width, height = shown[::-1] if turns % 2 else shown
    begins = int(times[0]) * time_base
    start = begins if sounding is None else _start(clock, begins, path)
    return Film(
        path,
        width,
        height,
        turns,
        index,
        times,
        keys,
        time_base,
        start,
        sound_end,
        rate,
        clock,
        counted,
        places,
        interlaced,
        decoder,
        is_bare or shares,
        part,
    )


def shown_frames(film: Film, container: Any, stream: Any, position: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield pictures with their times in display order, from the container's position (a byte, if known)."""
    packets = clocked_packets(container, stream, film.clock, position)
    context = av.CodecContext.create(film.decoder, "r") if film.decoder else None
    if not film.counted:
        for frame in decoded_frames(packets, context):
            if frame.pts is not None:
                yield frame.pts, frame
        return
    yield from _counted_frames(film, packets, context)


def _counted_frames(film: Film, packets: Iterator[Any], context: Any) -> Iterator[tuple[int, Any]]:
    """Yield pictures by counting from the key picture that decoding begins with."""
    # from the beginning, where nothing has to be found
    number = 0 if film.sequential else None
    landed: int | None = None

    def watched() -> Iterator[Any]:
        nonlocal landed
        for packet in packets:
            if landed is None and packet.size and packet.is_keyframe and packet.dts is not None:
                at = int(np.searchsorted(film.places, packet.dts))
                if at < len(film.places) and film.places[at] == packet.dts:
                    landed = at
            yield packet

    for frame in decoded_frames(watched(), context):
        if number is None:
            if landed is None or not frame.key_frame:
                continue
            number = int(np.searchsorted(film.times, film.keys[landed]))
        if number < len(film.times):
            yield int(film.times[number]), frame
        number += 1


def _decoder(stream: Any) -> str:
    clear = any(name.lower() == "alpha_mode" and value == "1" for name, value in stream.metadata.items())
    return _ALPHA_DECODERS.get(stream.codec_context.codec.name, "") if clear else ""


def _look(container: Any, stream: Any) -> tuple[Any, list[int | None], bool]:
    """Return the first picture, the time stamps of the first few, and whether one of them is interlaced."""
    first: Any = None
    stamps: list[int | None] = []
    interlaced = False
    for frame in decoded_frames(clocked_packets(container, stream, Clock())):
        first = first if first is not None else frame
        stamps.append(frame.pts)
        interlaced = interlaced or frame.interlaced_frame
        if len(stamps) == _LOOKED_AT:
            break
    return first, stamps, interlaced


def _start(clock: Clock, begins: Fraction, path: Path) -> Fraction:
    """Return second 0 of a film with sound: the sound's first, unless the first picture is earlier."""
    return begins if clock.origin is None else min(clock.origin, begins) if begins < clock.origin else clock.origin


def _index(
    path: Path, part: tuple[int, int] | None, index: int, clock: Clock
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the times of all pictures and key pictures, and where these are found."""
    times: list[int] = []
    keys: dict[int, int] = {}
    where = str(path)
    with open_container(path, kind="video", remedy=REMEDY, part=part) as container:
        pictures = container.streams[index]
        for packet in clocked_packets(container, pictures, clock):
            shown = packet.pts if packet.pts is not None else packet.dts
            if shown is None or not packet.size:
                continue
            if packet.is_keyframe:
                keys.setdefault(shown, int((packet.pos if clock.joins else packet.dts) or 0))
            # decoded for other pictures, not shown
            if not packet.is_discard:
                times.append(shown)
            if len(times) > MAX_FRAMES:
                raise MediaError(f"holds more than {MAX_FRAMES:,} pictures", where=where, remedy="cut it shorter")
    if not times:
        raise MediaError("holds no picture that can be decoded", where=where, remedy=REMEDY)
    shown_times = np.unique(np.array(times, np.int64))
    keys = keys or {int(shown_times[0]): 0}
    order = sorted(keys)
    return shown_times, np.array(order, np.int64), np.array([keys[key] for key in order], np.int64)


def _shares_packets(path: Path, part: tuple[int, int] | None, index: int) -> bool:
    """Return whether pictures are cut out of larger packets, and so have no place of their own in the file."""
    with open_container(path, kind="video", remedy=REMEDY, part=part) as container:
        packets = clocked_packets(container, container.streams[index], Clock())
        return any(packet.pos is None for packet in packets if packet.size)


def _sound_end(path: Path, part: tuple[int, int] | None, sounding: int, clock: Clock) -> Fraction:
    with open_container(path, kind="video", remedy=REMEDY, part=part) as container:
        stream: Any = container.streams[sounding]
        base = Fraction(stream.time_base or Fraction(1, 1000))
        last = 0
        for packet in clocked_packets(container, stream, clock):
            if packet.pts is not None and packet.size:
                last = max(last, packet.pts + (packet.duration or 0))
        return last * base


def _displayed(path: Path, part: tuple[int, int] | None, index: int, clock: Clock) -> np.ndarray:
    """Return the times of pictures that share packets, by decoding them all once: int64, rising.

    FFmpeg then gives the time of a packet to the wrong one of its pictures now and then, and two of them the same one: no picture
    shows later than a picture's length before the next.
    """
    stamps: list[int | None] = []
    with open_container(path, kind="video", remedy=REMEDY, part=part) as container:
        stream: Any = container.streams[index]
        stream.thread_type = "AUTO"
        for frame in decoded_frames(clocked_packets(container, stream, clock)):
            stamps.append(frame.pts)
            if len(stamps) > MAX_FRAMES:
                raise MediaError(f"holds more than {MAX_FRAMES:,} pictures", where=str(path), remedy="cut it shorter")
        usual = round(1 / (Fraction(stream.average_rate or stream.guessed_rate or 25) * stream.time_base))
    known = [(number, stamp) for number, stamp in enumerate(stamps) if stamp is not None]
    if not known:
        raise MediaError("holds no picture that can be decoded", where=str(path), remedy=REMEDY)
    steps = np.diff([stamp for _, stamp in known])
    step = max(int(np.median(steps[steps > 0])) if (steps > 0).any() else usual, 1)
    numbers, values = np.array(known, np.int64).T
    nearest = np.clip(np.searchsorted(numbers, np.arange(len(stamps)), side="right") - 1, 0, None)
    times = values[nearest] + step * (np.arange(len(stamps)) - numbers[nearest])
    for number in range(len(times) - 2, -1, -1):
        times[number] = min(times[number], times[number + 1] - step)
    return times


def _count(
    path: Path, part: tuple[int, int] | None, index: int, clock: Clock, step: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, keys and places of pictures without presentation times, by decoding them all once.

    With a `step`, each picture shows so many units after the one before.
    """
    stamps: list[int] = []
    places: list[int] = []
    numbers: list[int] = []
    count = 0
    with open_container(path, kind="video", remedy=REMEDY, part=part) as container:
        stream: Any = container.streams[index]
        stream.thread_type = "AUTO"

        def noted() -> Iterator[Any]:
            for packet in clocked_packets(container, stream, clock):
                if packet.size and packet.dts is not None and not step:
                    stamps.append(packet.dts)
                    if packet.is_keyframe:
                        places.append(packet.dts)
                yield packet

        for frame in decoded_frames(noted()):
            if frame.key_frame:
                numbers.append(count)
            count += 1
            if count > MAX_FRAMES:
                raise MediaError(f"holds more than {MAX_FRAMES:,} pictures", where=str(path), remedy="cut it shorter")
    if step and count:
        return np.arange(count, dtype=np.int64) * step, np.zeros(1, np.int64), np.zeros(1, np.int64)
    times = np.unique(np.array(stamps, np.int64))[:count]
    if not len(times):
        raise MediaError("holds no picture that can be decoded", where=str(path), remedy=REMEDY)
    known = min(len(places), len(numbers)) if len(places) == len(numbers) else 1
    within = [number for number in numbers[:known] if number < len(times)] or [0]
    return times, times[within], np.array(places[: len(within)] or [int(times[0])], np.int64)
