"""Decode a song in blocks: float32, as many channels as it has, from its very first audible sample.

libsndfile reads what it can (WAV, FLAC, OGG ...), FFmpeg the rest (MP3, M4A, Opus in any box, a video's sound). Memory
is flat in the length of the song.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
import soundfile

from reactive.errors import MediaError
from reactive.files import hash_file
from reactive.media.safe import open_container, regular_file

# small enough that little is lost where a damaged file breaks off
BLOCK = 1 << 15
# 18 dB above full scale: no honest float file goes beyond
LOUDEST = 8.0
RATES = (1_000, 768_000)
MAX_HOURS = 24


@dataclass(frozen=True)
class Track:
    """A song on disk, fully decoded once to know its true length.

    Attributes
    ----------
    path
        The file.
    sha256
        Hash of the file's bytes: the song's identity.
    sample_rate
        Samples a second.
    channels
        Number of channels.
    samples
        Number of samples of each channel.
    reader
        Which library decodes it: ``soundfile`` or ``av``.
    """

    path: Path
    sha256: str
    sample_rate: int
    channels: int
    samples: int
    reader: str

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate


def open_track(path: str | os.PathLike[str]) -> Track:
    """Open a song and measure it by decoding it to the end.

    Raises
    ------
    MediaError
        If the file can't be read as sound, has no sound in it, or is longer than 24 hours.
    """
    checked = regular_file(path)
    sample_rate, channels, reader = _probe(checked)
    samples = sum(len(block) for block in _decode(checked, reader))
    if samples == 0:
        raise MediaError("holds no sound", where=str(path), remedy="export it again with at least one audio frame")
    if samples > MAX_HOURS * 3600 * sample_rate:
        raise MediaError(f"is longer than {MAX_HOURS} hours", where=str(path), remedy="cut it into pieces")
    return Track(checked, hash_file(checked), sample_rate, channels, samples, reader)


def blocks(track: Track, *, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Yield the song's samples from `start` to `stop` (default: its end) as float32 [n, channels] in about [-1, 1].

    Samples that are not finite (NaN, infinity) come out as silence, absurd ones are clipped.
    """
    stop = track.samples if stop is None else stop
    position = 0
    for block in _decode(track.path, track.reader):
        first, last = max(start - position, 0), min(stop - position, len(block))
        position += len(block)
        if last > first:
            yield np.clip(np.nan_to_num(block[first:last], nan=0.0, posinf=0.0, neginf=0.0), -LOUDEST, LOUDEST)
        if position >= stop:
            return


def _probe(path: Path) -> tuple[int, int, str]:
    """Return sample rate, channels and the library that can decode the file."""
    found = None if _is_mp3(path) else _probe_soundfile(path)
    if found is None:
        with open_container(path) as container:
            if not container.streams.audio:
                raise MediaError("has no sound in it", where=str(path), remedy="name a file with a sound track")
            stream = container.streams.audio[0]
            found = stream.sample_rate, stream.channels, "av"
    if not RATES[0] <= found[0] <= RATES[1] or found[1] < 1:
        raise MediaError(
            f"has a sample rate of {found[0]} Hz", where=str(path), remedy="export it at 44100 or 48000 Hz"
        )
    return found


def _probe_soundfile(path: Path) -> tuple[int, int, str] | None:
    try:
        # given the file, not its name: libsndfile refuses names that are not UTF-8
        with path.open("rb") as raw, soundfile.SoundFile(raw) as handle:
            return handle.samplerate, handle.channels, "soundfile"
    except (soundfile.LibsndfileError, TypeError):
        return None


def _is_mp3(path: Path) -> bool:
    """Return whether a file looks like MPEG audio.

    libsndfile would hand it to libmpg123, which prints its complaints about a damaged file and gives up where FFmpeg
    reads on. Of a whole file both give the same samples.
    """
    with path.open("rb") as raw:
        head = raw.read(3)
    return head == b"ID3" or (len(head) == 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)


def _decode(path: Path, reader: str) -> Iterator[np.ndarray]:
    """Yield float32 [n, channels] blocks of the whole file."""
    yield from (_decode_soundfile(path) if reader == "soundfile" else _decode_av(path))


def _decode_soundfile(path: Path) -> Iterator[np.ndarray]:
    with path.open("rb") as raw, soundfile.SoundFile(raw) as handle:
        while True:
            try:
                block = handle.read(BLOCK, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                # a file cut short: what could be read is the song
                return
            if not len(block):
                return
            yield block


def _decode_av(path: Path) -> Iterator[np.ndarray]:
    waiting: list[np.ndarray] = []
    held = 0
    for part in _frames_av(path):
        waiting.append(part)
        held += len(part)
        # FFmpeg's frames are short; blocks are what everything downstream is made for
        if held >= BLOCK:
            yield np.concatenate(waiting)
            waiting, held = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _frames_av(path: Path) -> Iterator[np.ndarray]:
    with open_container(path) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_type = "AUTO"
        resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.sample_rate)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except av.error.InvalidDataError:
                # one damaged packet is skipped, as players do
                continue
            except (av.error.FFmpegError, ValueError):
                return
            if packet is None:
                return
            for frame in frames:
                for whole in resampler.resample(frame):
                    yield whole.to_ndarray().reshape(-1, stream.channels)


def write_wav(path: Path, parts: Iterable[np.ndarray], rate: int, channels: int) -> None:
    """Write float32 [n, channels] parts as a 16-bit WAV.

    Raises
    ------
    OSError
        If it can't be written.
    """
    with path.open("wb") as raw:
        try:
            with soundfile.SoundFile(raw, "w", rate, channels, subtype="PCM_16", format="WAV") as handle:
                for part in parts:
                    handle.write(part)
        except soundfile.LibsndfileError as problem:
            raise OSError(None, str(problem)) from None
