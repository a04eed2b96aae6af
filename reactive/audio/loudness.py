"""Momentary loudness after ITU-R BS.1770-5, in LUFS: K-weighted mean square of 400 ms, each 100 ms.

The standard gives its two filters at 48 kHz; here they are derived for any rate from the analogue filters behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

LOUDNESS_RATE = 10.0
# what lies below is silence: the standard's absolute gate
SILENCE_LUFS = -70.0
# frequency in Hz and quality of the shelf and of the high pass, the shelf's gain in dB and where its middle lies
SHELF = (1681.974450955533, 0.7071752369554196)
HIGHPASS = (38.13547087602444, 0.5003270373238773)
SHELF_DB, SHELF_MIDDLE = 3.999843853973347, 0.4996667741545416


def k_weighting(rate: int) -> np.ndarray:
    """Return the K-weighting filter at a sample rate, as second-order sections [2, 6]."""
    tangent, quality = np.tan(np.pi * SHELF[0] / rate), SHELF[1]
    high = 10 ** (SHELF_DB / 20)
    middle = high**SHELF_MIDDLE
    scale = 1 + tangent / quality + tangent**2
    shelf = [
        high + middle * tangent / quality + tangent**2,
        2 * (tangent**2 - high),
        high - middle * tangent / quality + tangent**2,
        scale,
        2 * (tangent**2 - 1),
        1 - tangent / quality + tangent**2,
    ]
    tangent, quality = np.tan(np.pi * HIGHPASS[0] / rate), HIGHPASS[1]
    low = 1 + tangent / quality + tangent**2
    cut = [low, -2 * low, low, low, 2 * (tangent**2 - 1), 1 - tangent / quality + tangent**2]
    return np.array([np.array(shelf) / scale, np.array(cut) / low])


def metered(blocks: Iterable[np.ndarray], rate: int, energies: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass blocks [n, channels] through; append the K-weighted mean square of each 100 ms, summed over the channels."""
    from scipy.signal import sosfilt

    # above the shelf there must be room below half the rate; what is lost at lower rates is not there anyway
    sections = k_weighting(rate) if rate > 4000 else np.array([[1.0, 0, 0, 1, 0, 0]])
    step = rate / LOUDNESS_RATE
    state: np.ndarray | None = None
    rest = np.zeros(0)
    done = position = 0
    for block in blocks:
        yield block
        if state is None:
            state = np.zeros((len(sections), 2, block.shape[1]))
        weighted, state = sosfilt(sections.astype(np.float32), block, axis=0, zi=state.astype(np.float32))
        rest = np.concatenate([rest, np.square(weighted) @ _channel_weights(block.shape[1])])
        position += len(block)
        edges = []
        while round((done + 1) * step) <= position:
            done += 1
            edges.append(round(done * step))
        if edges:
            begin = position - len(rest)
            marks = np.array([begin, *edges]) - begin
            sums = np.add.reduceat(rest[: marks[-1]], marks[:-1])
            energies.append(sums / np.diff(marks))
            rest = rest[marks[-1] :]


def momentary(energies: list[np.ndarray]) -> np.ndarray:
    """Return momentary loudness in LUFS, value i that of the 400 ms around i / 10 seconds; at least -70."""
    energy = np.concatenate([np.zeros(2), *energies, np.zeros(2)])
    total = np.concatenate([[0.0], np.cumsum(energy)])
    mean = np.maximum(total[4:] - total[:-4], 0.0) / 4
    return np.maximum(-0.691 + 10 * np.log10(np.maximum(mean, 1e-10)), SILENCE_LUFS)


def _channel_weights(channels: int) -> np.ndarray:
    weights = np.ones(channels)
    if channels == 6:
        # 5.1: the subwoofer does not count, what comes from behind counts more
        weights[3:] = 0.0, 1.41, 1.41
    return weights
