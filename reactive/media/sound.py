"""A song: measured once by decoding it to the end, then read in blocks of float32 from its first audible sample.

Where sample rate or layout change within a file, it is read at the most common rate, in the layout with most channels.
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

# 18 dB above full scale: valid float files stay below
LOUDEST = 8.0
MAX_HOURS = 24
# highest peak of surround folded to stereo, 0.1 dB below full scale
_CEILING = 10 ** (-0.1 / 20)
# a layout with less than this share of a song's samples does not decide the song's layout
_MIN_LAYOUT_SHARE = 0.01
# the header's length may exceed the real one by this many seconds without a note
_LENGTH_TOLERANCE = 0.5


@dataclass(frozen=True)
class Track:
    """A song on disk, fully decoded once to know its true length.

    Attributes
    ----------
    path
        The file.
    sha256
        Hash of the decoded sound: the song's identity, which tags, cover and file name do not change.
    sample_rate
        Samples a second.
    channels
        Number of channels.
    samples
        Number of samples of each channel.
    reader
        The decoder, see `choose_reader`.
    layout
        FFmpeg's name for each channel.
    gain
        Factor (at most 1) applied when the sound is folded to stereo, so that it does not clip.
    notes
        Messages to show to the user (full sentences).
    file_sha256
        Hash of the file's bytes, by which a song is recognised too: older versions stored only this one, and other
        decoders may decode compressed sound with other last bits.
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
        """Return whether one of the hashes is that of the song's sound or file; empty hashes never match."""
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
    # the file is hashed in a second thread while its sound is decoded: both release the GIL
    with ThreadPoolExecutor(1) as pool:
        file_digest = pool.submit(hash_file, checked)
        return _measured(checked, reader, file_digest)


def _measured(checked: Path, reader: str, file_digest: Future[str]) -> Track:
    where = str(checked)
    found = _survey(checked, reader)
    if reader == "soundfile" and found.report.broke_off:
        # FFmpeg may decode further than libsndfile
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

    NaN and infinite samples are replaced by 0; others are clipped to 18 dB above full scale.
    """
    stop = track.samples if stop is None else stop
    position = 0
    for block in _conformed(chunks(track.path, track.reader), track.sample_rate, track.layout):
        first, last = max(start - position, 0), min(stop - position, len(block))
        position += len(block)
        if last > first:
            yield _bounded(block[first:last])
        if position >= stop:
            return


def heard_blocks(track: Track) -> Iterator[np.ndarray]:
    """Yield the song as float32 [n, 1] if it is mono, else folded to stereo [n, 2]."""
    return blocks(track) if track.channels == 1 else stereo_blocks(track)


def stereo_blocks(track: Track, *, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Yield the song in stereo, float32 [n, 2]: mono on both channels, surround folded without clipping."""
    for block in blocks(track, start=start, stop=stop):
        yield to_stereo(block, track.layout, gain=track.gain)


class _Survey:
    """Properties of a file's sound, gathered in one pass over it."""

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
        """Add a chunk of the song."""
        self.lengths[chunk.rate, chunk.layout] += len(chunk.samples)
        self._hash(chunk)
        # minimum and maximum are NaN if any sample is, so this cheap test finds all chunks that need the slow one
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
        """Return the most common sample rate, and the layout with most channels among those of at least 1 % of the song."""
        rates: Counter[int] = Counter()
        layouts: Counter[Layout] = Counter()
        for (rate, layout), count in self.lengths.items():
            rates[rate] += count
            layouts[layout] += count
        usual = [layout for layout, count in layouts.items() if count >= _MIN_LAYOUT_SHARE * layouts.total()]
        return rates.most_common(1)[0][0], max(usual, key=lambda layout: (len(layout), layouts[layout]))

    def notes(self, rate: int, layout: Layout, gain: float) -> tuple[str, ...]:
        """Return the messages to show to the user."""
        notes = list(self.report.notes)
        if len(self.lengths) > 1:
            forms = ", ".join(f"{layout_name(names)} at {hertz} Hz" for hertz, names in self.lengths)
            notes.append(
                f"The sound changes on the way ({forms}); all of it is heard as {layout_name(layout)} at {rate} Hz."
            )
        if self.report.promised > self.seconds + max(_LENGTH_TOLERANCE, 0.01 * self.report.promised):
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
    # scaled down before folding so that nothing clips
    small = to_stereo(_bounded(chunk.samples), chunk.layout, gain=1 / (LOUDEST * len(chunk.layout)))
    return float(np.abs(small).max(initial=0.0)) * LOUDEST * len(chunk.layout)


def _is_bounded(samples: np.ndarray) -> bool:
    return bool(samples.max(initial=0) <= LOUDEST and samples.min(initial=0) >= -LOUDEST)


def _bounded(block: np.ndarray) -> np.ndarray:
    # nearly all blocks are within bounds, and the test costs a fraction of the repair
    if _is_bounded(block):
        return block
    return np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -LOUDEST, LOUDEST)


def _conformed(parts: Iterator[Chunk], rate: int, layout: Layout) -> Iterator[np.ndarray]:
    """Yield a song's chunks at one sample rate and in one layout, float32 [n, channels]."""
    for chunk_rate, run in groupby(parts, key=lambda chunk: chunk.rate):
        converted = (placed(chunk.samples, chunk.layout, layout) for chunk in run)
        yield from converted if chunk_rate == rate else resampled(converted, chunk_rate, rate, len(layout))


def resampled(parts: Iterable[np.ndarray], source_rate: int, rate: int, channels: int) -> Iterator[np.ndarray]:
    """Yield sound, float32 [n, channels] in parts, resampled without a delay at its start."""
    stream = soxr.ResampleStream(source_rate, rate, channels, dtype="float32", quality="VHQ")
    for part in parts:
        out = stream.resample_chunk(np.ascontiguousarray(_bounded(part), np.float32))
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
