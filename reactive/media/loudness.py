"""How loud a song is: integrated loudness and true peak by ITU-R BS.1770-5.

Conventions: loudness in LUFS, peaks in dBTP (decibels of full scale, between the samples). Only one power
for each tenth of a second is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reactive.media.sound import Track, blocks

OFFSET = -0.691
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
# gating blocks of 400 ms, a new one each 100 ms
STEPS_A_BLOCK = 4
OVERSAMPLING = 4
# channels behind the listener count more; the low-frequency channel does not count
SURROUND = {5: (1.0, 1.0, 1.0, 1.41, 1.41), 6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)}
SILENCE = -np.inf


@dataclass(frozen=True)
class Loudness:
    """Integrated loudness in LUFS and true peak in dBTP; both minus infinity for silence."""

    integrated: float
    true_peak: float


def song_loudness(track: Track) -> Loudness:
    """Measure a song.

    Raises
    ------
    MediaError
        If it can't be read.
    """
    return measure(blocks(track), rate=track.sample_rate, channels=track.channels)


def measure(parts: Iterable[np.ndarray], *, rate: int, channels: int) -> Loudness:
    """Measure sound given in blocks of float32 [n, channels].

    Raises
    ------
    ValueError
        If a block has another number of channels.
    """
    from scipy.signal import lfilter

    shelf, highpass = k_weighting(rate)
    states = [np.zeros((2, channels)), np.zeros((2, channels))]
    weights = np.array(SURROUND.get(channels, (1.0,) * channels))
    step = round(rate / 10)
    powers: list[np.ndarray] = []
    left = np.zeros((0, channels))
    peak = _Peak(channels)
    for block in parts:
        if block.shape[1] != channels:
            raise ValueError(f"{block.shape[1]} channels, not {channels}")
        peak.add(block)
        weighted, states[0] = lfilter(*shelf, block.astype(np.float64), axis=0, zi=states[0])
        weighted, states[1] = lfilter(*highpass, weighted, axis=0, zi=states[1])
        left = np.concatenate([left, weighted])
        whole = len(left) // step
        if whole:
            squares = (left[: whole * step] ** 2).reshape(whole, step, channels).mean(axis=1)
            powers.append(squares @ weights)
            left = left[whole * step :]
    return Loudness(_gated(np.concatenate(powers) if powers else np.zeros(0)), peak.decibels())


def _gated(steps: np.ndarray) -> float:
    """Return the integrated loudness of powers, one each 100 ms."""
    if len(steps) < STEPS_A_BLOCK:
        return SILENCE
    power = np.convolve(steps, np.full(STEPS_A_BLOCK, 1 / STEPS_A_BLOCK), mode="valid")
    for gate in (ABSOLUTE_GATE, None):
        threshold = gate if gate is not None else _lufs(float(power.mean())) + RELATIVE_GATE
        power = power[power > 10 ** ((threshold - OFFSET) / 10)]
        if not len(power):
            return SILENCE
    return _lufs(float(power.mean()))


def _lufs(power: float) -> float:
    return OFFSET + 10 * float(np.log10(power)) if power > 0 else SILENCE


def k_weighting(rate: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the two filters of K-weighting, each (numerator, denominator), for any sample rate.

    The recommendation gives coefficients at 48 kHz; these are its analogue prototypes converted to `rate` by the bilinear
    transform, and equal to them at 48 kHz to within rounding.
    """
    gain, quality, frequency = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = np.tan(np.pi * min(frequency, 0.49 * rate) / rate)
    high = 10 ** (gain / 20)
    # the exponent that reproduces the recommendation's table
    band = high**0.4996667741545416
    scale = 1 + k / quality + k * k
    shelf = (
        np.array([high + band * k / quality + k * k, 2 * (k * k - high), high - band * k / quality + k * k]) / scale,
        np.array([1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale]),
    )
    quality, frequency = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * frequency / rate)
    scale = 1 + k / quality + k * k
    highpass = (
        np.array([1.0, -2.0, 1.0]),
        np.array([1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale]),
    )
    return shelf, highpass


class _Peak:
    """The greatest value between the samples, block after block: four times as many samples by a windowed sinc."""

    def __init__(self, channels: int) -> None:
        from scipy.signal import firwin

        self.taps = firwin(48 * OVERSAMPLING + 1, 1 / OVERSAMPLING, window=("kaiser", 7.0)) * OVERSAMPLING
        self.tail = np.zeros((48, channels))
        self.highest = 0.0

    def add(self, block: np.ndarray) -> None:
        from scipy.signal import upfirdn

        joined = np.concatenate([self.tail, block.astype(np.float64)])
        between = upfirdn(self.taps, joined, up=OVERSAMPLING, axis=0)
        # the ends of the filtered block belong to the neighbouring blocks
        edge = len(self.taps) // 2 + 24 * OVERSAMPLING
        inner = between[edge:-edge] if len(between) > 2 * edge else between[:0]
        for values in (np.abs(inner), np.abs(block)):
            self.highest = max(self.highest, float(values.max(initial=0.0)))
        self.tail = joined[-48:]

    def decibels(self) -> float:
        return 20 * float(np.log10(self.highest)) if self.highest > 0 else SILENCE
