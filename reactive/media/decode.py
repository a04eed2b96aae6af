"""Decode a file's sound piece by piece, as it comes: whatever its container, with every change of rate and channels.

libsndfile reads what it can (WAV, FLAC, OGG ...), FFmpeg the rest (MP3, M4A, a video's sound). If a container has times for each
piece, gaps become silence. Memory does not grow with the length of the song.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import av
import av.error
import numpy as np
import soundfile

from reactive.errors import MediaError
from reactive.media.channels import Layout, layout_of, usual_layout
from reactive.media.clock import (
    Clock,
    Damage,
    begin_again,
    clocked_packets,
    decoded_frames,
    picture_stream,
    read_clock,
    sound_stream,
)
from reactive.media.film import measure_film
from reactive.media.joined import holds_several_flacs, joined_links
from reactive.media.safe import open_container
from reactive.media.sized import sized_sound
from reactive.media.slices import FileSlices

# small enough that little is lost at the end of a damaged file
BLOCK = 1 << 15
RATES = (1_000, 768_000)
MAX_CHANNELS = 256
# FFmpeg's names of containers whose sound may change its codec, as recordings of television do
_RECORDED = ("mpegts", "mpeg")
# bytes after its end with which a FLAC has more sound than in its header; fewer are tags
_UNREAD = 1 << 15
# seconds of undecodable sound that are reported
_DAMAGED = 0.5
# FFmpeg's names of formats with the length in a header; for others it is a guess from the bit rate
_PROMISING = ("mov", "flac", "wav", "w64", "aiff", "caf", "ape", "tta", "wv")
# libsndfile's number for an unknown length
_UNKNOWN_LENGTH = 1 << 62
# the order of Ogg's channels if it is not the usual one (Vorbis I, 4.3.9; RFC 7845, 5.1.1.2)
_VORBIS: dict[int, Layout] = {
    3: ("FL", "FC", "FR"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FC", "FR", "BL", "BR"),
    6: ("FL", "FC", "FR", "BL", "BR", "LFE"),
    7: ("FL", "FC", "FR", "SL", "SR", "BC", "LFE"),
    8: ("FL", "FC", "FR", "SL", "SR", "BL", "BR", "LFE"),
}
# seconds that a piece may be early or late without an effect: time stamps are rounded, some recorders' jitter
_HOLE, _OVERLAP = (0.010, 0.020), 0.040
# least seconds of lateness at the beginning; more than the second number counts only if following pieces agree
_EXACT, _FIRST = 0.002, 0.1
# pieces that have to agree on it
_AGREEING = 8
# a jump back by more seconds means that time stamps begin again
_RESTART = 0.5
# longest gap in seconds; more means a broken time stamp
MAX_SILENCE = 600.0


class Chunk(NamedTuple):
    """A piece of sound: float32 [n, channels], samples a second, and its layout."""

    samples: np.ndarray
    rate: int
    layout: Layout


@dataclass
class DecodeReport:
    """Irregularities that a decoder found: sentences, the duration in headers (0: unknown), and a break.

    `bounded` samples are whole numbers in the file, so none can be NaN or beyond full scale.
    """

    notes: list[str] = field(default_factory=list)
    promised: float = 0.0
    broke_off: bool = False
    bounded: bool = False


def choose_reader(path: Path) -> str:
    """Return the reader of a file: ``soundfile``, ``links`` (several files in a row, or one behind a tag) or ``av``.

    Raises
    ------
    MediaError
        If no library recognises it, or it has no sound.
    """
    if joined_links(path):
        return "links"
    if not _is_mpeg(path):
        try:
            with _open_soundfile(path) as handle:
                # only FFmpeg has the layout of many channels, except for Ogg's own order
                plain = handle.channels <= 2 or _in_vorbis_order(handle)
                if plain and 0 < handle.frames < _UNKNOWN_LENGTH and not holds_several_flacs(path):
                    return "soundfile"
        except (soundfile.LibsndfileError, TypeError):
            pass
    try:
        with open_container(path) as container:
            if sound_stream(container) is None:
                raise MediaError(
                    "has no sound that can be decoded", where=str(path), remedy="name a file with a sound track"
                )
            return "av"
    except MediaError:
        if _is_mpeg(path) or not _soundfile_opens(path):
            raise
        return "soundfile"


def chunks(path: Path, reader: str, report: DecodeReport | None = None) -> Iterator[Chunk]:
    """Yield a file's sound from its first audible sample to its last.

    Parameters
    ----------
    path, reader
        The file, and the reader that `choose_reader` chose.
    report
        Gets the irregularities that are found.
    """
    report = report if report is not None else DecodeReport()
    if reader == "soundfile":
        yield from _by_soundfile(lambda: _open_soundfile(path), report)
        return
    if reader == "links":
        yield from _by_links(path, report)
        return
    yield from _gathered(_whole(path, report))


def _is_mpeg(path: Path) -> bool:
    """Return whether a file looks like MPEG audio.

    libsndfile would use libmpg123, which prints messages about a damaged file and stops where FFmpeg
    continues. For an intact file both give the same samples.
    """
    with path.open("rb") as raw:
        head = raw.read(3)
    return head == b"ID3" or (len(head) == 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)


def _open_soundfile(path: Path, part: tuple[int, int] | None = None) -> _Handle:
    """Open a file, or one of several in it, by libsndfile, with a header that knows its length."""
    first, last = part or (0, path.stat().st_size)
    with FileSlices(path, [(first, last)]) as raw:
        sized = sized_sound(cast(BinaryIO, raw), last - first)
    # by file object: libsndfile refuses names that are not UTF-8
    if sized and sized.header:
        return _Handle(FileSlices(path, [sized.header, (first + sized.first, first + sized.last)]))
    whole = FileSlices(path, [part]) if part else _Steady(io.FileIO(path))
    return _Handle(whole, missing=sized.missing / (sized.last - sized.first) if sized else 0.0)


class _Steady(io.BufferedReader):
    """A file that ignores impossible seeks, which a damaged header may cause in libsndfile."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a byte, if the position is possible."""
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return self.tell()


class _Handle(AbstractContextManager[Any]):
    """A libsndfile reader together with the file that it reads, and how much of its sound is missing at the end."""

    def __init__(self, raw: io.IOBase, *, missing: float = 0.0) -> None:
        self.raw = raw
        self.missing = missing
        try:
            self.sound = soundfile.SoundFile(cast(BinaryIO, raw))
        except BaseException:
            raw.close()
            raise

    def unread(self) -> int:
        """Return how many bytes there are after the decoder's position."""
        place = self.raw.tell()
        rest = self.raw.seek(0, io.SEEK_END) - place
        self.raw.seek(place)
        return rest

    def __enter__(self) -> Any:
        """Return the reader."""
        return self.sound

    def __exit__(self, *_: object) -> None:
        """Close both."""
        self.sound.close()
        self.raw.close()


def _soundfile_opens(path: Path) -> bool:
    try:
        with _open_soundfile(path):
            return True
    except (soundfile.LibsndfileError, TypeError):
        return False


def _by_soundfile(opened: Callable[[], _Handle], report: DecodeReport) -> Iterator[Chunk]:
    reader = opened()
    with reader as handle:
        layout = usual_layout(handle.channels)
        order = [_VORBIS[handle.channels].index(name) for name in layout] if _in_vorbis_order(handle) else None
        if handle.frames < _UNKNOWN_LENGTH:
            report.promised += handle.frames * (1 + reader.missing) / handle.samplerate
        report.bounded = handle.subtype.startswith("PCM")
        count = 0
        while True:
            try:
                # a buffer for each block saves python-soundfile some work
                block = handle.read(out=np.empty((BLOCK, handle.channels), np.float32))
            except soundfile.LibsndfileError:
                # a file that was cut short: the readable part is the song
                block = np.zeros((0, 1), np.float32)
            if not len(block):
                report.broke_off |= count < handle.frames or (handle.format == "FLAC" and reader.unread() > _UNREAD)
                return
            count += len(block)
            yield Chunk(block if order is None else block[:, order], handle.samplerate, layout)


def _in_vorbis_order(handle: Any) -> bool:
    return handle.format == "OGG" and handle.subtype in ("VORBIS", "OPUS") and handle.channels in _VORBIS


def _by_links(path: Path, report: DecodeReport) -> Iterator[Chunk]:
    """Yield the sound of files in a row one after the other; each sounds as long as it has pictures."""
    links = joined_links(path)
    lost: list[int] = []
    for number, link in enumerate(links, 1):
        last: Chunk | None = None
        seconds, lasts = 0.0, _pictured(path, link)
        for chunk in _one_link(path, link, report):
            room = len(chunk.samples) if lasts is None else round((lasts - seconds) * chunk.rate)
            last = chunk._replace(samples=chunk.samples[: max(room, 0)])
            seconds += len(last.samples) / last.rate
            if len(last.samples):
                yield last
        if last is None:
            lost.append(number)
        elif lasts is not None:
            yield from _silence(round((lasts - seconds) * last.rate), last)
    if lost:
        report.notes.append(
            f"Part {', '.join(map(str, lost))} of {len(links)} of the file can't be read and is left out."
        )


def _pictured(path: Path, link: tuple[int, int]) -> float | None:
    """Return the seconds that a file in a row lasts if it has moving pictures."""
    try:
        with open_container(path, part=link) as container:
            if picture_stream(container) is None:
                return None
        return float(measure_film(path, link).duration)
    except MediaError:
        return None


def _one_link(path: Path, link: tuple[int, int], report: DecodeReport) -> Iterator[Chunk]:
    def opened() -> _Handle:
        return _open_soundfile(path, link)

    try:
        with opened() as handle:
            plain = handle.channels <= 2 or _in_vorbis_order(handle)
    except (soundfile.LibsndfileError, TypeError):
        plain = False
    if plain:
        yield from _by_soundfile(opened, report)
        return
    try:
        clock = read_clock(path, link)
        yield from _gathered(_by_ffmpeg(lambda: open_container(path, part=link), clock, report))
    except MediaError:
        return


def _whole(path: Path, report: DecodeReport) -> Iterator[Chunk]:
    """Yield short pieces of a file's sound, also after a change of codec, as in recordings of television."""
    clock, first, lost = read_clock(path), 0, 0.0
    while True:
        damage = Damage()
        part = (first, path.stat().st_size) if first else None
        yield from _by_ffmpeg(partial(open_container, path, part=part), clock, report, damage)
        first, clock = first + damage.last_good + 1, Clock(timed=True)
        if not damage.is_other_codec or _codec_from(path, first) in ("", damage.codec):
            break
        lost += damage.seconds - damage.last_seconds
    lost += damage.seconds
    if lost > _DAMAGED:
        report.notes.append(f"About {lost:.1f} s of its sound can't be decoded and are left out.")


def _codec_from(path: Path, first: int) -> str:
    """Return FFmpeg's name of the codec of the sound from a byte on; empty if there is none."""
    try:
        with open_container(path, part=(first, path.stat().st_size)) as container:
            sound = sound_stream(container)
            return sound.codec_context.name if sound is not None else ""
    except MediaError:
        return ""


def _by_ffmpeg(
    opened: Callable[[], AbstractContextManager[Any]], clock: Clock, report: DecodeReport, damage: Damage | None = None
) -> Iterator[Chunk]:
    """Yield short pieces of the first sound stream, with silence for its gaps."""
    with opened() as container:
        stream = sound_stream(container)
        if stream is None:
            return
        stream.codec_context.thread_type = "AUTO"
        if stream.duration and stream.time_base and container.format.name.split(",")[0] in _PROMISING:
            report.promised = float(stream.duration * stream.time_base)
        if damage is not None:
            damage.codec = stream.codec_context.name
            damage.recorded = container.format.name in _RECORDED
        frames = _pieces(decoded_frames(clocked_packets(container, stream, clock), damage=damage))
        if clock.timed:
            yield from _in_time(frames, clock, report)
        else:
            for chunk, _ in frames:
                yield chunk


def _pieces(frames: Iterator[Any]) -> Iterator[tuple[Chunk, float | None]]:
    """Yield decoded frames as float32 with the time stamps, in seconds, at which they begin."""
    known: Any = None
    base, rate, count, layout = 0.0, 0, 0, Layout()
    resampler: Any = None
    for frame in frames:
        form = frame.format.name, frame.layout.name, frame.sample_rate, frame.time_base
        if form != known:
            known = form
            rate, count, layout = frame.sample_rate, frame.layout.nb_channels, layout_of(frame.layout)
            base = float(frame.time_base or 0)
            fits = RATES[0] <= rate <= RATES[1] and 1 <= count <= MAX_CHANNELS
            resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=rate) if fits else None
        if resampler is None:
            continue
        # before the resampler takes it
        begins = frame.pts * base if frame.pts is not None and base else None
        if form[0] == "fltp":
            # a view: the samples are copied once, when pieces are gathered
            yield Chunk(frame.to_ndarray().T, rate, layout), begins
            continue
        try:
            parts = [whole.to_ndarray().reshape(-1, count) for whole in resampler.resample(frame)]
        except (av.error.FFmpegError, ValueError):
            known = None
            continue
        for part in parts:
            yield Chunk(part, rate, layout), begins
            begins = None if begins is None else begins + len(part) / rate


def _in_time(pieces: Iterator[tuple[Chunk, float | None]], clock: Clock, report: DecodeReport) -> Iterator[Chunk]:
    """Yield pieces with silence between them, by their presentation times."""
    origin = None if clock.origin is None else float(clock.origin)
    ahead: deque[tuple[Chunk, float | None]] = deque()
    position, silence, restarts = 0.0, 0.0, 0
    drop = 0
    ended = begun = False
    while True:
        while not ended and len(ahead) < _AGREEING:
            following = next(pieces, None)
            ended = following is None
            if following is not None:
                ahead.append(following)
        if not ahead:
            break
        chunk, begins = ahead[0]
        if begins is not None and origin is None:
            origin = begins
        if not begun and begins is not None and origin is not None:
            begun = True
            ahead_by = begins - origin
            if _EXACT < ahead_by <= _FIRST:
                yield from _silence(round(ahead_by * chunk.rate), chunk)
                position += ahead_by
            elif -_FIRST <= ahead_by < -_EXACT:
                # sound before the file's second 0
                drop = round(-ahead_by * chunk.rate)
        punctual = begins is None or origin is None or abs(begins - origin - position) <= _HOLE[0]
        late = 0.0 if punctual else _lateness(ahead, position, origin)
        if late > _tolerated(chunk):
            if silence + late <= MAX_SILENCE:
                silence += late
                yield from _silence(round(late * chunk.rate), chunk)
                position += late
            else:
                restarts += 1
                origin = (origin or 0.0) + late
        elif late < -_RESTART:
            restarts += 1
            origin = (origin or 0.0) + late
        elif late < -_OVERLAP and not drop:
            drop = round(-late * chunk.rate)
        ahead.popleft()
        cut = min(drop, len(chunk.samples))
        drop -= cut
        if cut < len(chunk.samples):
            yield chunk._replace(samples=chunk.samples[cut:]) if cut else chunk
            position += (len(chunk.samples) - cut) / chunk.rate
    if restarts + clock.joins:
        report.notes.append(begin_again(restarts + clock.joins))


def _lateness(ahead: deque[tuple[Chunk, float | None]], position: float, origin: float | None) -> float:
    """Return by how many seconds the next pieces all come late (or, negative, early): the least of them."""
    found: list[float] = []
    at = position
    for chunk, begins in ahead:
        if begins is not None and origin is not None:
            found.append(begins - origin - at)
        at += len(chunk.samples) / chunk.rate
    if not found:
        return 0.0
    return max(min(found), 0.0) if found[0] > 0 else min(max(found), 0.0)


def _tolerated(chunk: Chunk) -> float:
    return min(max(0.5 * len(chunk.samples) / chunk.rate, _HOLE[0]), _HOLE[1])


def _silence(count: int, like: Chunk) -> Iterator[Chunk]:
    for first in range(0, count, BLOCK):
        yield like._replace(samples=np.zeros((min(BLOCK, count - first), len(like.layout)), np.float32))


def _gathered(pieces: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield larger pieces: FFmpeg's frames are short, and later steps expect larger blocks."""
    waiting: list[np.ndarray] = []
    held, form = 0, (0, Layout())
    for chunk in pieces:
        if waiting and (chunk.rate, chunk.layout) != form:
            yield Chunk(np.ascontiguousarray(np.concatenate(waiting)), *form)
            waiting, held = [], 0
        form = chunk.rate, chunk.layout
        waiting.append(chunk.samples)
        held += len(chunk.samples)
        if held >= BLOCK:
            yield Chunk(np.ascontiguousarray(np.concatenate(waiting)), *form)
            waiting, held = [], 0
    if waiting:
        yield Chunk(np.ascontiguousarray(np.concatenate(waiting)), *form)
