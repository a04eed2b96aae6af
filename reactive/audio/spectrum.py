"""One pass over the song: the short-time spectrum, reduced to the features of the analysis.

Conventions: the song is mixed to mono and resampled to 22050 Hz; row i of every matrix is centred on sample ``i * HOP``
of that, so its time is ``i * HOP / RATE`` seconds. Spectra are reduced block by block, so memory grows only with the
small features, not with the sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from reactive.audio.loudness import metered, momentary
from reactive.media.sound import Track, blocks

RATE = 22_050
WINDOW = 1024
HOP = 256
FRAMES_PER_SECOND = RATE / HOP
MELS = 64
# band edges in Hz: kick and bass | voice, snare, chords | hats and air
LOW_EDGE, HIGH_EDGE = 150.0, 2500.0
# the fine envelope: 2.9 ms a value, to find the exact beginning of an attack
FINE_HOP = 64
# pitch is read from the sound at a quarter of the rate, in windows four times as long: 186 ms each 46 ms
PITCH_STEP = 4
PITCH_HOP = 256
# edges of the bass from A1, of the upper register from A3, and the end, in Hz
PITCHED = (53.0, 214.0, 2000.0)
_STRETCH = 1 << 18
_FFT_ROWS = 512
# some 3 minutes
CHUNK_ROWS = 1 << 14
# lower edge of audible sound, in Hz
LOWEST = 20.0
# if the mean of the channels keeps less than this share of their power, they cancel each other
CANCELLED = 0.02
# rows of a block of the mel spectrum, 36 MB: large enough that its memory is returned to the system at once
BLOCK_ROWS = 140_000


@dataclass(frozen=True)
class Spectra:
    """The features of the one pass, t rows.

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
        float32 [t / 4, 24], power by pitch class from C, of the bass and of the upper register; one row for four of the others.
    fine
        float32 [t * 4], peak of the absolute mono signal in steps of 64 samples.
    loudness
        float32, momentary loudness in LUFS, ten a second; empty if only the folded sound was given.
    """

    mel: np.ndarray
    bands: np.ndarray
    power: np.ndarray
    centroid: np.ndarray
    chroma: np.ndarray
    fine: np.ndarray
    loudness: np.ndarray


def scaled(spectra: Spectra, gain: float) -> Spectra:
    """Return the spectra of the same song, its samples multiplied by `gain`.

    The mel spectrum is scaled in place to save memory, so the argument must not be used afterwards.
    """
    power = np.float32(gain * gain)
    return replace(
        spectra,
        mel=np.multiply(spectra.mel, power, out=spectra.mel),
        bands=spectra.bands * power,
        power=spectra.power * power,
        chroma=spectra.chroma * power,
        fine=spectra.fine * np.float32(gain),
    )


def row_chunks(rows: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Yield ranges of rows with `margin` more on either side, and the part of each to keep.

    So a computation that needs much memory for each row runs on a few minutes of the song at a time.
    """
    for first in range(0, rows, CHUNK_ROWS):
        begin, stop = max(first - margin, 0), min(first + CHUNK_ROWS + margin, rows)
        yield slice(begin, stop), slice(first - begin, min(first + CHUNK_ROWS, rows) - begin)


def loud_level(curves: np.ndarray) -> float:
    """Return the 99.9th percentile of power over a whole song, of every nth row for long songs; at least -30 dB."""
    step = max(1, len(curves) // 40_000)
    return max(float(np.percentile(curves[::step], 99.9)), 1e-3 * float(curves.max())) if len(curves) else 0.0


def mel_edges() -> tuple[int, int]:
    """Return the first mel band above 150 Hz and the first above 2.5 kHz."""
    import librosa

    centres = librosa.mel_frequencies(n_mels=MELS + 2, fmin=30.0, fmax=RATE / 2)[1:-1]
    low, high = np.searchsorted(centres, (LOW_EDGE, HIGH_EDGE))
    return int(low), int(high)


def times(rows: int) -> np.ndarray:
    """Return the times in seconds of the first `rows` rows."""
    return np.arange(rows) * (HOP / RATE)


def measure(track: Track) -> Spectra:
    """Decode the song once, compute its features, and meter its loudness on the way."""
    energies: list[np.ndarray] = []
    spectra = fold(mono(track, energies))
    return replace(spectra, loudness=momentary(energies).astype(np.float32))


def fold(chunks: Iterable[np.ndarray]) -> Spectra:
    """Compute the features of mono sound at 22050 Hz: a spectrum in Hann windows of 46 ms each 11.6 ms, and one of 186 ms for pitch.

    Parameters
    ----------
    chunks
        The song in pieces of any length, float32.
    """
    basis, pitch_basis = power_basis(), pitch_classes(np.fft.rfftfreq(WINDOW, PITCH_STEP / RATE))
    mel, folded = _Rows(MELS), _Rows(5)
    pitches: list[np.ndarray] = []
    fine: list[np.ndarray] = []
    for part, deep in _overlapping(chunks, fine):
        frames = np.lib.stride_tricks.sliding_window_view(part, WINDOW)[:: PITCH_HOP if deep else HOP]
        for first in range(0, len(frames), _FFT_ROWS):
            power = window_power(frames[first : first + _FFT_ROWS])
            if deep:
                pitches.append(power @ pitch_basis)
                continue
            both = power @ basis
            mel.add(both[:, :MELS])
            folded.add(both[:, MELS:])
    table = folded.joined()
    total = np.maximum(table[:, 3], 0.0)
    return Spectra(
        mel=mel.joined(),
        bands=np.ascontiguousarray(table[:, :3]),
        power=total,
        centroid=table[:, 4] / np.maximum(total, 1e-12) * (total > 1e-10),
        chroma=np.concatenate(pitches)[: -(-len(table) // 4)],
        fine=np.concatenate(fine),
        loudness=np.zeros(0, np.float32),
    )


class _Rows:
    """An array float32 [rows, columns] that grows, in blocks whose memory is freed as they are joined."""

    def __init__(self, columns: int) -> None:
        self.columns, self.count = columns, 0
        self.blocks: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        """Append rows."""
        while len(rows):
            place = self.count % BLOCK_ROWS
            if place == 0:
                self.blocks.append(np.empty((BLOCK_ROWS, self.columns), np.float32))
            part = rows[: BLOCK_ROWS - place]
            self.blocks[-1][place : place + len(part)] = part
            self.count += len(part)
            rows = rows[len(part) :]

    def joined(self) -> np.ndarray:
        """Return all rows as one array; this object is empty afterwards, to save memory."""
        whole = np.empty((self.count, self.columns), np.float32)
        for first in range(0, self.count, BLOCK_ROWS):
            part = whole[first : first + BLOCK_ROWS]
            part[:] = self.blocks.pop(0)[: len(part)]
        self.count = 0
        return whole


def power_basis() -> np.ndarray:
    """Return float32 [bins, 69]: the matrix from a power spectrum to 64 mel powers, three bands, their sum, and its first moment."""
    import librosa

    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    mel_basis = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=MELS, fmin=30.0, fmax=RATE / 2)
    # power in each band, total power, and its first moment: one product gives all
    sums = np.stack(
        [
            frequencies < LOW_EDGE,
            (frequencies >= LOW_EDGE) & (frequencies < HIGH_EDGE),
            frequencies >= HIGH_EDGE,
            np.ones_like(frequencies),
            frequencies,
        ]
    )
    return np.concatenate([mel_basis, sums]).astype(np.float32).T.copy()


def window_power(frames: np.ndarray) -> np.ndarray:
    """Return the power spectra float32 [n, bins] of stretches of sound [n, window] under a Hann window."""
    from scipy.fft import rfft

    length = frames.shape[1]
    spectrum = rfft(frames * np.hanning(length + 1)[:-1].astype(np.float32), axis=1)
    power: np.ndarray = (np.square(spectrum.real) + np.square(spectrum.imag)) * np.float32(16 / length**2)
    return power


def pitch_classes(frequencies: np.ndarray) -> np.ndarray:
    """Return float32 [bins, 24]: each bin's share in the pitch classes from C, of the bass and of the upper register."""
    basis = np.zeros((len(frequencies), 24), np.float32)
    for number, frequency in enumerate(frequencies):
        if not PITCHED[0] <= frequency < PITCHED[2]:
            continue
        place = 12 * np.log2(frequency / 440.0) + 9
        whole = int(np.floor(place))
        register = 0 if frequency < PITCHED[1] else 12
        basis[number, register + whole % 12] += 1 - (place - whole)
        basis[number, register + (whole + 1) % 12] += place - whole
    return basis


def mono(track: Track, energies: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the song as float32 mono blocks at 22050 Hz; append the energies of `loudness.metered` on the way."""
    import soxr

    stream = soxr.ResampleStream(track.sample_rate, RATE, 1, dtype="float32", quality="HQ")
    for block in metered(blocks(track), track.sample_rate, energies):
        yield stream.resample_chunk(_one_channel(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _one_channel(block: np.ndarray) -> np.ndarray:
    """Return the mean of the channels, or the loudest of them if they cancel each other out."""
    mean: np.ndarray = block.mean(axis=1)
    power = np.square(block).mean(axis=0)
    if block.shape[1] > 1 and np.square(mean).mean() < CANCELLED * power.max():
        return np.ascontiguousarray(block[:, int(power.argmax())])
    return mean


def _without_offset(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the chunks through a high pass at 20 Hz, which removes a constant offset and nothing audible."""
    from scipy.signal import butter, sosfilt, sosfilt_zi

    sections = butter(2, LOWEST, "highpass", fs=RATE, output="sos")
    state = None
    for chunk in chunks:
        if not len(chunk):
            continue
        state = sosfilt_zi(sections) * chunk[0] if state is None else state
        filtered, state = sosfilt(sections, chunk, zi=state)
        yield filtered.astype(np.float32)


def _overlapping(chunks: Iterable[np.ndarray], fine: list[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield pieces whose windows tile the padded song, and whether each is the slower sound for pitch.

    Appends the fine peak envelope on the way.
    """
    import soxr

    slower = soxr.ResampleStream(RATE, RATE / PITCH_STEP, 1, dtype="float32", quality="MQ")
    queues = {deep: [np.zeros(WINDOW // 2, np.float32)] for deep in (False, True)}
    rest = np.zeros(0, np.float32)
    for chunk in _without_offset(chunks):
        rest = np.concatenate([rest, chunk])
        whole = len(rest) // FINE_HOP * FINE_HOP
        fine.append(np.abs(rest[:whole]).reshape(-1, FINE_HOP).max(axis=1, initial=0.0))
        rest = rest[whole:]
        queues[False].append(chunk)
        queues[True].append(slower.resample_chunk(chunk))
        for deep, queue in queues.items():
            if sum(map(len, queue)) >= _STRETCH:
                joined = np.concatenate(queue)
                hop = PITCH_HOP if deep else HOP
                count = (len(joined) - WINDOW) // hop + 1
                yield joined[: WINDOW + hop * (count - 1)], deep
                queues[deep] = [joined[hop * count :]]
    fine.append(np.abs(rest).max(keepdims=True) if len(rest) else rest)
    queues[True].append(slower.resample_chunk(np.zeros(0, np.float32), last=True))
    for deep, queue in queues.items():
        yield np.concatenate([*queue, np.zeros(WINDOW, np.float32)]), deep
