"""The short-time spectrum of a stream: block by block, the rows that `spectrum.fold` gives for a song.

Row i is centred on sample ``i * HOP`` at 22050 Hz and is known once half a window more has come: `ROW_DELAY` seconds
later. Nothing depends on what comes after that, and the size of the blocks makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.spectrum import (
    FINE_HOP,
    HOP,
    LOWEST,
    MELS,
    PITCH_STEP,
    RATE,
    WINDOW,
    pitch_classes,
    power_basis,
    window_power,
)

ROW_DELAY = WINDOW / 2 / RATE
# pitch needs a window four times as long, and changes slowly
PITCH_WINDOW = WINDOW * PITCH_STEP
PITCH_EVERY = 4
# rows of the fine envelope for each row of the spectrum
FINE = HOP // FINE_HOP


@dataclass(frozen=True)
class SpectrumRows:
    """New rows, n of them from number `first` on; as `spectrum.Spectra` has them, the chroma repeated for each row.

    `fine` float32 [n, 4] is the peak envelope of the samples that each row brought.
    """

    first: int
    mel: np.ndarray
    bands: np.ndarray
    power: np.ndarray
    centroid: np.ndarray
    chroma: np.ndarray
    fine: np.ndarray

    def __len__(self) -> int:
        return len(self.mel)


class StreamingSpectrum:
    """Computes the spectrum of a stream.

    Parameters
    ----------
    sample_rate
        Sample rate of the blocks.
    """

    def __init__(self, sample_rate: int) -> None:
        import soxr
        from scipy.signal import butter

        # a short filter: a longer one would be purer but later
        self._resampler: soxr.ResampleStream | None = None
        if sample_rate != RATE:
            self._resampler = soxr.ResampleStream(sample_rate, RATE, 1, dtype="float32", quality="QQ")
        self._sections = butter(2, LOWEST, "highpass", fs=RATE, output="sos")
        self._state = np.zeros((len(self._sections), 2))
        self._basis = power_basis()
        self._pitches = pitch_classes(np.fft.rfftfreq(PITCH_WINDOW, 1 / RATE))
        self._past = np.zeros(PITCH_WINDOW - WINDOW // 2, np.float32)
        self._chroma = np.zeros(24, np.float32)
        self.rows = 0

    def close(self) -> None:
        """Free the resampler, which must not outlive the interpreter."""
        self._resampler = None

    def feed(self, block: np.ndarray) -> SpectrumRows:
        """Add a block, float [n] or [n, channels] in [-1, 1]; return the rows that it completes, perhaps none.

        NaN and infinite values count as silence.
        """
        from scipy.signal import sosfilt

        mono = np.asarray(block, np.float32)
        mono = mono.mean(axis=1) if mono.ndim == 2 else mono
        mono = np.clip(np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0), -8, 8)
        slower = self._resampler.resample_chunk(mono) if self._resampler is not None and len(mono) else mono
        filtered, self._state = (
            sosfilt(self._sections, slower, zi=self._state) if len(slower) else (slower, self._state)
        )
        sound = np.concatenate([self._past, filtered.astype(np.float32)])
        # `sound` begins with the long window of the next row
        count = max((len(sound) - PITCH_WINDOW) // HOP + 1, 0)
        first = self.rows
        if not count:
            self._past = sound
            return _empty(first)
        windows = np.lib.stride_tricks.sliding_window_view(sound, PITCH_WINDOW)[::HOP][:count]
        table = window_power(windows[:, -WINDOW:]) @ self._basis
        chroma = np.empty((count, 24), np.float32)
        for number in range(count):
            if (first + number) % PITCH_EVERY == 0:
                self._chroma = (window_power(windows[number : number + 1]) @ self._pitches)[0]
            chroma[number] = self._chroma
        fine = np.abs(windows[:, -HOP:]).reshape(count, FINE, FINE_HOP).max(axis=2)
        self.rows += count
        self._past = sound[count * HOP :].copy()
        power = np.maximum(table[:, MELS + 3], 0.0)
        return SpectrumRows(
            first=first,
            mel=table[:, :MELS],
            bands=np.maximum(table[:, MELS : MELS + 3], 0.0),
            power=power,
            centroid=table[:, MELS + 4] / np.maximum(power, 1e-12) * (power > 1e-10),
            chroma=chroma,
            fine=fine,
        )


def _empty(first: int) -> SpectrumRows:
    none = np.zeros(0, np.float32)
    return SpectrumRows(
        first, none.reshape(0, MELS), none.reshape(0, 3), none, none, none.reshape(0, 24), none.reshape(0, FINE)
    )
