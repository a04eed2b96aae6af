"""One pass over the song: the short-time spectrum, folded into what every later question needs.

Conventions: the song is mixed to mono and resampled to 22050 Hz; row i of every matrix is centred on sample ``i * HOP``
of that, so its time is ``i * HOP / RATE`` seconds. Spectra are folded block by block, so memory grows only with the
small features, not with the sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reactive.media.sound import Track, blocks

RATE = 22_050
WINDOW = 1024
HOP = 256
FRAMES_PER_SECOND = RATE / HOP
MELS = 64
# band edges in Hz: kick and bass | voice, snare, chords | hats and air
LOW_EDGE, HIGH_EDGE = 150.0, 2500.0
# the fine envelope: 2.9 ms a value, to find where an attack really begins
FINE_HOP = 64
_BLOCK_ROWS = 4096
# what lies below is no sound, in Hz
LOWEST = 20.0
# channels whose mean keeps less than this share of their power cancel each other
CANCELLED = 0.02


@dataclass(frozen=True)
class Spectra:
    """What the one pass keeps, t rows.

    Attributes
    ----------
    mel
        float32 [t, 64], mel power.
    bands
        float32 [t, 3], power below 150 Hz, up to 2.5 kHz, above.
    power
        float32 [t], total power (0 dBFS sine: 0.5).
    centroid
        float32 [t], spectral centroid in Hz, 0 in silence.
    chroma
        float32 [t, 12], energy by pitch class from C, not normalised.
    fine
        float32 [t * 4], peak of the absolute mono signal in steps of 64 samples.
    """

    mel: np.ndarray
    bands: np.ndarray
    power: np.ndarray
    centroid: np.ndarray
    chroma: np.ndarray
    fine: np.ndarray


def times(rows: int) -> np.ndarray:
    """Return the times in seconds of the first `rows` rows."""
    return np.arange(rows) * (HOP / RATE)


def measure(track: Track) -> Spectra:
    """Decode the song once and fold its short-time spectrum (Hann window of 46 ms, hop 11.6 ms)."""
    import librosa

    frequencies = librosa.fft_frequencies(sr=RATE, n_fft=WINDOW)
    mel_basis = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=MELS, fmin=30.0, fmax=RATE / 2)
    chroma_basis = librosa.filters.chroma(sr=RATE, n_fft=WINDOW, tuning=0.0)
    # so wide a window says nothing of pitch below some 200 Hz
    chroma_basis[:, frequencies < 200.0] = 0.0
    edges = np.searchsorted(frequencies, (LOW_EDGE, HIGH_EDGE))
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("mel", "bands", "power", "centroid", "chroma")}
    fine: list[np.ndarray] = []
    for padded in _overlapping(track, fine):
        spectrum = librosa.stft(padded, n_fft=WINDOW, hop_length=HOP, center=False)
        power = np.square(np.abs(spectrum)).astype(np.float32) / (WINDOW / 2) ** 2 * 4
        total = power.sum(axis=0)
        rows["mel"].append((mel_basis @ power).T)
        rows["chroma"].append((chroma_basis @ power).T)
        rows["bands"].append(np.stack([part.sum(axis=0) for part in np.split(power, edges)], axis=1))
        rows["power"].append(total)
        rows["centroid"].append(frequencies @ power / np.maximum(total, 1e-12) * (total > 1e-10))
    stacked: dict[str, Any] = {name: np.concatenate(parts).astype(np.float32) for name, parts in rows.items()}
    return Spectra(**stacked, fine=np.concatenate(fine))


def mono(track: Track) -> Iterator[np.ndarray]:
    """Yield the song as float32 mono blocks at 22050 Hz."""
    import soxr

    stream = soxr.ResampleStream(track.sample_rate, RATE, 1, dtype="float32", quality="HQ")
    for block in blocks(track):
        yield stream.resample_chunk(_one_channel(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _one_channel(block: np.ndarray) -> np.ndarray:
    """Return the mean of the channels, or the loudest of them where they cancel each other out."""
    mean: np.ndarray = block.mean(axis=1)
    power = np.square(block).mean(axis=0)
    if block.shape[1] > 1 and np.square(mean).mean() < CANCELLED * power.max():
        return np.ascontiguousarray(block[:, int(power.argmax())])
    return mean


def _without_offset(chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the chunks through a high pass at 20 Hz, which takes a constant offset away and nothing that is heard."""
    from scipy.signal import butter, sosfilt, sosfilt_zi

    sections = butter(2, LOWEST, "highpass", fs=RATE, output="sos")
    state = None
    for chunk in chunks:
        if not len(chunk):
            continue
        state = sosfilt_zi(sections) * chunk[0] if state is None else state
        filtered, state = sosfilt(sections, chunk, zi=state)
        yield filtered.astype(np.float32)


def _overlapping(track: Track, fine: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks whose windows tile the padded song; append the fine peak envelope on the way."""
    pending = np.zeros(WINDOW // 2, np.float32)
    rest = np.zeros(0, np.float32)
    for chunk in _without_offset(mono(track)):
        rest = np.concatenate([rest, chunk])
        whole = len(rest) // FINE_HOP * FINE_HOP
        fine.append(np.abs(rest[:whole]).reshape(-1, FINE_HOP).max(axis=1, initial=0.0))
        rest = rest[whole:]
        pending = np.concatenate([pending, chunk])
        while len(pending) >= WINDOW + HOP * (_BLOCK_ROWS - 1):
            yield pending[: WINDOW + HOP * (_BLOCK_ROWS - 1)]
            pending = pending[HOP * _BLOCK_ROWS :]
    fine.append(np.abs(rest).max(keepdims=True) if len(rest) else rest)
    yield np.concatenate([pending, np.zeros(WINDOW, np.float32)])
