"""One clock for all streams of a file: seconds from its first sound or picture, whichever comes first.

Every stream's own presentation times count, so late sound or pictures begin late. Recordings that were joined byte by
byte begin their times again; what follows goes on where everything before it has ended, sound and pictures by the same shift.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from reactive.media.safe import open_container

# containers whose files can be joined byte by byte
_JOINABLE = ("mpegts", "mpeg", "flv")
# containers with a time for each piece of sound; in others sound is continuous
_TIMED = (*_JOINABLE, "mov", "matroska", "asf")
# time stamps of one stream that go back by more, in seconds, begin again
_BACK = 0.1
# and those of all streams at once that leap by more were not recorded in one go
_LEAP = 10.0
# damaged packets in a row that mean the end of a file
_DAMAGED = 64
# undecodable packets in a row, up to the end, that mean another codec
_OTHER_CODEC = 8
# seconds between streams that begin together: the rounding of containers with milliseconds
_TOGETHER = Fraction(2, 1000)
# seconds of sound before the first picture that count as an encoder's silence
_LEADING = Fraction(1, 20)
# and what MP2, AC-3 and Opus put in front of everything
_PRIMING = Fraction(12, 1000)


@dataclass(frozen=True)
class Clock:
    """The conversion of a file's time stamps to seconds.

    Attributes
    ----------
    origin
        Time stamp, in seconds, that is second 0; None for the first sound.
    positions, shifts
        Bytes from which on seconds are added to time stamps; the first is the beginning.
    timed
        Whether each piece of sound has a presentation time.
    later
        Seconds that are added to the time stamps of pictures: FFmpeg lets the first one begin with an edit that cuts into the
        one before it.
    """

    origin: Fraction | None = None
    positions: tuple[int, ...] = (0,)
    shifts: tuple[Fraction, ...] = (Fraction(0),)
    timed: bool = False
    later: Fraction = Fraction(0)

    @property
    def joins(self) -> int:
        """How often the file's times begin again."""
        return len(self.positions) - 1

    def shift_at(self, position: int) -> Fraction:
        """Return the seconds to add to a time stamp at a byte of the file."""
        return self.shifts[int(np.searchsorted(self.positions, position, side="right")) - 1]


def read_clock(path: Path, part: tuple[int, int] | None = None) -> Clock:
    """Return the clock of a sound or video file, or of a part of it: its first byte and the byte after its last.

    Raises
    ------
    MediaError
        If it can't be read.
    """
    with open_container(path, part=part) as container:
        kinds = container.format.name.split(",")
        sounds, pictures = sound_stream(container), picture_stream(container)
        indices = [stream.index for stream in (sounds, pictures) if stream is not None]
        timed = any(kind in _TIMED for kind in kinds)
        later = Fraction(0)
        if "mov" in kinds and pictures is not None and sounds is not None:
            later = _cut_into(path, part, pictures)
        origin = _origin(container, sounds, pictures, later) if sounds is not None and pictures is not None else None
    if any(kind in _JOINABLE for kind in kinds):
        positions, shifts = _spans(path, indices, part)
        return Clock(origin, positions, shifts, timed)
    return Clock(origin, timed=timed, later=later)


def begin_again(times: int) -> str:
    """Return the sentence for a file whose time stamps begin again so many times."""
    return (
        f"The file's times begin again {times} time{'s' * (times > 1)}; what follows goes on where the rest has ended."
    )


def sound_stream(container: Any) -> Any:
    """Return a file's sound: the first stream that can be decoded and has a rate and channels, or None."""
    # a stream of a codec that FFmpeg doesn't know has no context
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return next((stream for stream in streams if stream.codec_context.sample_rate), streams[0] if streams else None)


def picture_stream(container: Any) -> Any:
    """Return a file's moving pictures or None: a song's cover and unknown codecs do not count."""
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    return next((stream for stream in streams if not is_cover(stream)), None)


def is_cover(stream: Any) -> bool:
    """Return whether a stream is a still picture that belongs to a song."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def clocked_packets(container: Any, stream: Any, clock: Clock, position: int = 0) -> Iterator[Any]:
    """Yield a stream's packets to the end, their time stamps moved by the clock's shifts; unreadable parts are skipped.

    `position` is the container's current byte.
    """
    for packet in _packets(container, stream):
        if clock.joins and packet.size:
            # a piece cut out of a larger packet has no position of its own
            position = packet.pos if packet.pos is not None else position
            shift = round(clock.shift_at(position) / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        elif clock.later and packet.pts is not None and stream.type == "video":
            packet.pts += round(clock.later / packet.time_base)
        yield packet


@dataclass
class Damage:
    """The parts of a stream that could not be decoded.

    Attributes
    ----------
    codec, recorded
        Its codec, by FFmpeg's name, and whether its container may change that midway.
    seconds
        Their duration.
    last, last_seconds
        The number of undecoded packets at the very end, and their duration.
    last_good
        The byte of the last decoded packet.
    """

    codec: str = ""
    recorded: bool = False
    seconds: float = 0.0
    last: int = 0
    last_seconds: float = 0.0
    last_good: int = 0

    @property
    def is_other_codec(self) -> bool:
        """Return whether nothing could be decoded from some point on, as after a change of codec."""
        return self.recorded and self.last >= _OTHER_CODEC

    def note(self, packet: Any, decoded: bool) -> None:
        """Count a packet."""
        if decoded:
            self.last, self.last_seconds = 0, 0.0
            self.last_good = packet.pos if packet.pos is not None else self.last_good
            return
        seconds = float((packet.duration or 0) * (packet.time_base or 0))
        self.seconds += seconds
        self.last, self.last_seconds = self.last + 1, self.last_seconds + seconds


def decoded_frames(packets: Iterator[Any], context: Any = None, damage: Damage | None = None) -> Iterator[Any]:
    """Yield the frames of packets, by their own decoder or another; damaged packets are skipped, as in players.

    `damage` counts what was skipped.
    """
    for packet in packets:
        try:
            frames = context.decode(packet) if context is not None else packet.decode()
            if damage is not None and packet.size:
                damage.note(packet, decoded=True)
        except av.error.InvalidDataError:
            if damage is not None:
                damage.note(packet, decoded=False)
            continue
        except (av.error.FFmpegError, OSError, ValueError):
            return
        yield from frames


def _cut_into(path: Path, part: tuple[int, int] | None, pictures: Any) -> Fraction:
    """Return how much later than FFmpeg says the first picture of an MP4 shows, in seconds: less than a picture's length."""
    first, base = pictures.start_time, Fraction(pictures.time_base or 0)
    if first is None or not base:
        return Fraction(0)
    length = 1 / Fraction(pictures.average_rate or pictures.guessed_rate or 25)
    found: int | None = None
    with open_container(path, part=part, options={"advanced_editlist": "0"}) as container:
        for packet in _packets(container, container.streams[pictures.index]):
            if packet.pts is None or packet.dts is None:
                continue
            if packet.pts >= first:
                found = min(packet.pts, packet.pts if found is None else found)
            # what is shown earlier than this has been read
            if found is not None and packet.dts > found:
                break
    later = Fraction(0) if found is None else (found - first) * base
    return later if later < length else Fraction(0)


def _origin(container: Any, sounds: Any, pictures: Any, later: Fraction) -> Fraction | None:
    """Return when the earlier of sound and pictures begins; None if no picture says when it shows.

    Sound that begins less than a picture's length before the pictures gives way to them: encoders put some silence in front, and
    pictures then stand on whole frames from second 0 on.
    """
    begins = pictures.start_time
    if container.format.name == "asf":
        # FFmpeg tells the start of the stream that begins last
        frames = decoded_frames(clocked_packets(container, pictures, Clock()))
        begins = next((frame.pts for frame in frames if frame.pts is not None), None)
        container.seek(0)
    if begins is None:
        return None
    seen = begins * Fraction(pictures.time_base) + later
    # only the decoder knows what it drops at the start
    first = next(
        (frame for frame in decoded_frames(clocked_packets(container, sounds, Clock())) if frame.pts is not None), None
    )
    if first is None:
        return None
    heard = first.pts * Fraction(first.time_base)
    if abs(seen - heard) <= _TOGETHER:
        return heard
    length = 1 / max(Fraction(pictures.average_rate or pictures.guessed_rate or 25), Fraction(1))
    if seen - heard < min(length, _LEADING):
        return seen
    # pictures that begin much later stand on whole frames too, if no more is lost than what encoders put in front
    over = (seen - heard) % length
    return heard + over if seen > heard and over <= _PRIMING else min(seen, heard)


def _spans(
    path: Path, indices: list[int], part: tuple[int, int] | None
) -> tuple[tuple[int, ...], tuple[Fraction, ...]]:
    """Return from which byte on time stamps need which shift to go on, by reading all packets."""
    with open_container(path, part=part) as container:
        streams = [container.streams[index] for index in indices]
        bases = [Fraction(stream.time_base or Fraction(1, 1000)) for stream in streams]
        columns = [[array("q") for _ in range(4)] for _ in streams]
        for packet in _packets(container, streams):
            if packet.size and packet.dts is not None:
                column = columns[indices.index(packet.stream_index)]
                known = column[0][-1] if column[0] else 0
                shown = packet.pts if packet.pts is not None else packet.dts
                values = (packet.pos if packet.pos is not None else known, packet.dts, shown, packet.duration or 0)
                for cell, value in zip(column, values, strict=True):
                    cell.append(value)
    tables = [
        (np.array(column, np.int64).reshape(4, -1), float(base)) for column, base in zip(columns, bases, strict=True)
    ]
    tables = [(table, base) for table, base in tables if table.shape[1]]
    return _shifts(tables, _boundaries(tables))


def _packets(container: Any, streams: Any) -> Iterator[Any]:
    """Yield the packets of a stream or several; damaged ones are skipped, and many in a row mean the end."""
    packets, failed = container.demux(streams), 0
    while failed < _DAMAGED:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            # an iterator that has raised is finished; a new one continues at the file's position
            packets, failed = container.demux(streams), failed + 1
            continue
        except (av.error.FFmpegError, OSError, ValueError, IndexError):
            # IndexError: PyAV 18 raises it at the end of a file with a stream that began midway
            return
        if packet is None:
            return
        failed = 0
        yield packet


def _boundaries(tables: list[tuple[np.ndarray, float]]) -> list[int]:
    """Return the bytes at which time stamps begin again: breaks of several streams near each other are one."""
    breaks: list[tuple[int, int, bool]] = []
    for number, ((position, decoded, _, _), base) in enumerate(tables):
        step = np.diff(decoded) * base
        places = np.flatnonzero((step < -_BACK) | (step > _LEAP)).tolist()
        breaks += [(int(position[at + 1]), number, bool(step[at] < 0)) for at in places]
    found: list[int] = []
    group: dict[int, tuple[int, bool]] = {}
    for position_of, number, back in [*sorted(breaks), (0, -1, False)]:
        if number == -1 or number in group:
            # one stream that leaps ahead alone has a hole
            if group and (any(back for _, back in group.values()) or len(group) == len(tables)):
                found.append(min(position for position, _ in group.values()))
            group = {}
        group[number] = (position_of, back)
    return found


def _shifts(
    tables: list[tuple[np.ndarray, float]], boundaries: list[int]
) -> tuple[tuple[int, ...], tuple[Fraction, ...]]:
    """Return positions and shifts: each stretch begins where everything before it has ended."""
    shifts = [Fraction(0)]
    edges = [0, *boundaries]
    end: float | None = None
    for number, first in enumerate(edges):
        last = edges[number + 1] if number + 1 < len(edges) else np.iinfo(np.int64).max
        starts, ends = [], []
        for (position, _, shown, duration), base in tables:
            inside = (position >= first) & (position < last)
            if inside.any():
                starts.append(float(shown[inside].min()) * base)
                ends.append(float((shown + duration)[inside].max()) * base)
        if number:
            shift = (end - min(starts)) if starts and end is not None else 0.0
            # whole ticks of MPEG's clock, which also are whole milliseconds' best neighbours
            shifts.append(Fraction(round(shift * 90_000), 90_000))
        if ends:
            end = max(ends) + float(shifts[-1])
    return tuple(edges), tuple(shifts)
