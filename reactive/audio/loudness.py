"""Momentary loudness after ITU-R BS.1770-5, in LUFS: K-weighted mean square of 400 ms, each 100 ms.

The filters are those of `media.loudness`; here they run in single precision and the curve is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from reactive.media.loudness import OFFSET, SURROUND, k_weighting

LOUDNESS_RATE = 10.0
# the standard's absolute gate: below is silence
SILENCE_LUFS = -70.0


def metered(blocks: Iterable[np.ndarray], rate: int, energies: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass blocks [n, channels] through; append the K-weighted mean square of each 100 ms, summed over the channels."""
    from scipy.signal import sosfilt

    sections = np.array([np.concatenate(part) for part in k_weighting(rate)])
    step = rate / LOUDNESS_RATE
    state: np.ndarray | None = None
    rest = np.zeros(0)
    done = position = 0
    for block in blocks:
        yield block
        if state is None:
            state = np.zeros((len(sections), 2, block.shape[1]))
        weighted, state = sosfilt(sections.astype(np.float32), block, axis=0, zi=state.astype(np.float32))
        rest = np.concatenate(
            [rest, np.square(weighted) @ np.array(SURROUND.get(block.shape[1], (1.0,) * block.shape[1]))]
        )
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
    return np.maximum(OFFSET + 10 * np.log10(np.maximum(mean, 1e-10)), SILENCE_LUFS)
