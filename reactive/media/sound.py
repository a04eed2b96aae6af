"""A song: measured once by decoding it to the end, then read in blocks, float32, from its very first audible sample.

Whatever changes on the way, a song has one sample rate and one layout: those of most of it, with room for all channels.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
import soxr

from reactive.errors import MediaError
from reactive.files import hash_file
from reactive.media.channels import STEREO, Layout, layout_name, placed, to_stereo
from reactive.media.decode import RATES, Chunk, DecodeReport, choose_reader, chunks
from reactive.media.safe import regular_file

# 18 dB above full scale: no honest float file goes beyond
LOUDEST = 8.0
MAX_HOURS = 24
# what surround is folded to at most, 0.1 dB below full scale
_CEILING = 10 ** (-0.1 / 20)
# channels that sound for less than this share of a song are folded into the others
_SELDOM = 0.01
# a header may be so much too long, in seconds, before it is worth a word
_SHORTER = 0.5


@dataclass(frozen=True)
class Track:
    """A song on disk, fully decoded once to know its true length.

    Attributes
    ----------
    path
        The file.
    sha256
        Hash of the decoded sound: the song's identity, which no tag, cover or name changes.
    sample_rate
        Samples a second.
    channels
        Number of channels.
    samples
        Number of samples of each channel.
    reader
        Which way it is decoded, see `choose_reader`.
    layout
        What each channel is, by FFmpeg's names.
    gain
        What its sound is multiplied by when it is folded to stereo, so that nothing clips: at most 1.
    notes
        What its user should be told (whole sentences).
    file_sha256
        Hash of the file's bytes, by which a song is recognised too: older versions knew no other, and other decoders may
        decode compressed sound to other last bits.
    """

    path: Path
    sha256: str
    sample_rate: int
    channels: int
    samples: int
    reader: str
    layout: Layout = STEREO
    gain: float = 1.0
    notes: tuple[str, ...] = ()
    file_sha256: str = ""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate

    def is_called(self, *digests: str) -> bool:
        """Return whether one of some hashes is that of its sound or its file; empty ones are nobody's."""
        return any(digest and digest in (self.sha256, self.file_sha256) for digest in digests)


def open_track(path: str | os.PathLike[str]) -> Track:
    """Open a song and measure it by decoding it to the end.

    Raises
    ------
    MediaError
        If the file can't be read as sound, has no sound in it, or is longer than 24 hours.

    Examples
    --------
    >>> import reactive
    >>> track = reactive.open_track("song.wav")
    >>> track.sample_rate, track.channels, track.duration
    (44100, 2, 4.0)
    """
    checked = regular_file(path)
    reader = choose_reader(checked)
    # the file's bytes are hashed while its sound is decoded: both let Python's other threads run
    with ThreadPoolExecutor(1) as beside:
        file_digest = beside.submit(hash_file, checked)
        return _measured(checked, reader, file_digest)


def _measured(checked: Path, reader: str, file_digest: Future[str]) -> Track:
    where = str(checked)
    found = _survey(checked, reader)
    if reader == "soundfile" and found.report.broke_off:
        # where libsndfile gives up, FFmpeg may read on
        try:
            other = _survey(checked, "av")
        except MediaError:
            other = found
        if other.seconds > found.seconds:
            reader, found = "av", other
    if not found.lengths:
        raise MediaError("holds no sound", where=where, remedy="export it again with at least one audio frame")
    rate, layout = found.form()
    samples = found.lengths[rate, layout]
    if len(found.lengths) > 1:
        samples = sum(len(block) for block in _conformed(chunks(checked, reader), rate, layout))
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(f"has a sample rate of {rate} Hz", where=where, remedy="export it at 44100 or 48000 Hz")
    if samples > MAX_HOURS * 3600 * rate:
        raise MediaError(f"is longer than {MAX_HOURS} hours", where=where, remedy="cut it into pieces")
    gain = min(_CEILING / found.peak, 1.0) if len(layout) > 2 and found.peak > 1 else 1.0
    notes = found.notes(rate, layout, gain)
    digest = found.digest.hexdigest()
    return Track(checked, digest, rate, len(layout), samples, reader, layout, gain, notes, file_digest.result())


def blocks(track: Track, *, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Yield the song's samples from `start` to `stop` (default: its end) as float32 [n, channels] in about [-1, 1].

    Samples that are not finite (NaN, infinity) come out as silence, absurd ones are clipped.
    """
    stop = track.samples if stop is None else stop
    position = 0
    for block in _conformed(chunks(track.path, track.reader), track.sample_rate, track.layout):
        first, last = max(start - position, 0), min(stop - position, len(block))
        position += len(block)
        if last > first:
            yield _sane(block[first:last])
        if position >= stop:
            return


def heard_blocks(track: Track) -> Iterator[np.ndarray]:
    """Yield the song as it is heard with as few channels as it needs: float32 [n, 1] if it is mono, else [n, 2]."""
    return blocks(track) if track.channels == 1 else stereo_blocks(track)


def stereo_blocks(track: Track, *, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Yield the song as it is heard, float32 [n, 2]: mono on both sides, surround folded without clipping."""
    for block in blocks(track, start=start, stop=stop):
        yield to_stereo(block, track.layout, gain=track.gain)


class _Survey:
    """What one pass over a file's sound finds out."""

    def __init__(self) -> None:
        self.lengths: Counter[tuple[int, Layout]] = Counter()
        self.report = DecodeReport()
        self.peak = 0.0
        self.seconds = 0.0
        self.wrong = 0
        self.wrong_from = self.wrong_to = 0.0
        self.digest = hashlib.sha256()
        self._form = ""

    def add(self, chunk: Chunk) -> None:
        """Take in a piece of the song."""
        self.lengths[chunk.rate, chunk.layout] += len(chunk.samples)
        self._hash(chunk)
        # extremes show in no time whether a closer look is needed: they are NaN if any sample is
        if not self.report.bounded and not _is_bounded(chunk.samples):
            bad = np.flatnonzero(~(np.abs(chunk.samples) <= LOUDEST).all(axis=1))
            if len(bad):
                if not self.wrong:
                    self.wrong_from = self.seconds + float(bad[0]) / chunk.rate
                self.wrong_to = self.seconds + float(bad[-1]) / chunk.rate
                self.wrong += len(bad)
        if len(chunk.layout) > 2:
            self.peak = max(self.peak, _folded_peak(chunk))
        self.seconds += len(chunk.samples) / chunk.rate

    def _hash(self, chunk: Chunk) -> None:
        form = f"{chunk.rate} {' '.join(chunk.layout)}"
        if form != self._form:
            self._form = form
            self.digest.update(form.encode())
        self.digest.update(np.ascontiguousarray(chunk.samples, "<f4").reshape(-1).view(np.uint8).data)

    def form(self) -> tuple[int, Layout]:
        """Return the sample rate of most of the song, and the layout with most channels that is no accident."""
        rates: Counter[int] = Counter()
        layouts: Counter[Layout] = Counter()
        for (rate, layout), count in self.lengths.items():
            rates[rate] += count
            layouts[layout] += count
        usual = [layout for layout, count in layouts.items() if count >= _SELDOM * layouts.total()]
        return rates.most_common(1)[0][0], max(usual, key=lambda layout: (len(layout), layouts[layout]))

    def notes(self, rate: int, layout: Layout, gain: float) -> tuple[str, ...]:
        """Return what a user should be told."""
        notes = list(self.report.notes)
        if len(self.lengths) > 1:
            forms = ", ".join(f"{layout_name(names)} at {hertz} Hz" for hertz, names in self.lengths)
            notes.append(
                f"The sound changes on the way ({forms}); all of it is heard as {layout_name(layout)} at {rate} Hz."
            )
        if self.report.promised > self.seconds + max(_SHORTER, 0.01 * self.report.promised):
            notes.append(f"The file promises {self.report.promised:.1f} s of sound and holds {self.seconds:.1f} s.")
        if self.wrong:
            where = f"samples between {self.wrong_from:.3f} s and {self.wrong_to:.3f} s are"
            where = f"sample at {self.wrong_from:.3f} s is" if self.wrong == 1 else where
            notes.append(
                f"{self.wrong} {where} not finite or beyond {LOUDEST:g} times full scale, and silenced or clipped."
            )
        if len(layout) > 2:
            quieter = f", {-20 * np.log10(gain):.1f} dB quieter so that nothing clips" if gain < 1 else ""
            notes.append(f"Its {layout_name(layout)} is folded to stereo (ITU-R BS.775){quieter}.")
        return tuple(notes)


def _survey(path: Path, reader: str) -> _Survey:
    found = _Survey()
    for chunk in chunks(path, reader, found.report):
        found.add(chunk)
        if found.seconds > MAX_HOURS * 3600:
            break
    return found


def _folded_peak(chunk: Chunk) -> float:
    # so small that nothing clips
    small = to_stereo(_sane(chunk.samples), chunk.layout, gain=1 / (LOUDEST * len(chunk.layout)))
    return float(np.abs(small).max(initial=0.0)) * LOUDEST * len(chunk.layout)


def _is_bounded(samples: np.ndarray) -> bool:
    return bool(samples.max(initial=0) <= LOUDEST and samples.min(initial=0) >= -LOUDEST)


def _sane(block: np.ndarray) -> np.ndarray:
    # nearly every block is, and looking costs a fraction of mending
    if _is_bounded(block):
        return block
    return np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -LOUDEST, LOUDEST)


def _conformed(parts: Iterator[Chunk], rate: int, layout: Layout) -> Iterator[np.ndarray]:
    """Yield a song's pieces at one sample rate and in one layout, float32 [n, channels]."""
    for given, run in groupby(parts, key=lambda chunk: chunk.rate):
        blocks_of = (placed(chunk.samples, chunk.layout, layout) for chunk in run)
        yield from blocks_of if given == rate else resampled(blocks_of, given, rate, len(layout))


def resampled(parts: Iterable[np.ndarray], given: int, rate: int, channels: int) -> Iterator[np.ndarray]:
    """Yield sound, float32 [n, channels] in parts, at another sample rate; its beginning stays in place."""
    stream = soxr.ResampleStream(given, rate, channels, dtype="float32", quality="VHQ")
    for part in parts:
        out = stream.resample_chunk(np.ascontiguousarray(_sane(part), np.float32))
        if len(out):
            yield out.reshape(-1, channels)
    out = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    if len(out):
        yield out.reshape(-1, channels)


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
