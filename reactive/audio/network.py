"""The rhythm networks, which find beats, bars and drums: a small temporal convolutional one, and one with attention.

What `activations` returns is both networks' opinion: the mean of their log odds, weighted by `NETWORKS`. This file computes the
convolutional one, `attention` the other.

Row i of its inputs and outputs lies at ``(2 i + 1/2) * HOP / RATE`` seconds: 43 rows a second, each made of two rows of
the mel spectrum and the chroma around them. Layers: two convolutions over 3 rows, then residual blocks of dilated
convolutions over 5 rows (1, 2, 4 ... rows apart: 128 gives each output 12 s of context to either side, 512 some 47 s), then one linear
layer (in the manner of Davies and Böck, EUSIPCO 2019). Computed by numpy alone; `training/ear` has its training.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from reactive.audio import attention
from reactive.audio.spectrum import HOP, MELS, RATE, Spectra, loud_level, row_chunks

OUTPUTS = ("beat", "downbeat", "kick", "snare", "hat")
FRAME_SECONDS = 2 * HOP / RATE
INPUTS = 2 * MELS + 24
MODEL = Path(__file__).parent / "model" / "rhythm.safetensors"
# the networks that are asked, and how much each one's log odds count. The one with attention alone hears the pieces for tuning a little
# better, but waltzes and beginnings made by formula worse
NETWORKS: tuple[tuple[Path, float], ...] = ((MODEL, 0.2), (MODEL.with_name("attention.safetensors"), 0.8))
# compression as in `onset`: a gain of the whole song cancels out
COMPRESSION = 1000.0


def inputs(spectra: Spectra) -> np.ndarray:
    """Return the network's input, float32 [ceil(t / 2), 152], about 0 to 1."""
    rows = -(-len(spectra.mel) // 2)
    return _inputs(spectra, slice(0, rows), loud_level(spectra.mel), _pitch_floor(spectra))


def activations(spectra: Spectra) -> dict[str, np.ndarray]:
    """Return the probability of each output by name, float32 [ceil(t / 2)] in [0, 1]."""
    loud, floor = loud_level(spectra.mel), _pitch_floor(spectra)
    rows = -(-len(spectra.mel) // 2)
    odds = np.zeros((rows, len(OUTPUTS)), np.float32)
    for path, share in NETWORKS:
        known = weights(path)
        # the context on which an output of the convolutional one can depend
        margin = 2 * sum(dilations(known)) + 2
        first = 0
        for stretch, keep in attention.windows(rows) if _attends(known) else row_chunks(rows, margin):
            given = _inputs(spectra, stretch, loud, floor)
            heard = _odds(given, known)[keep]
            odds[first : first + len(heard)] += np.float32(share) * heard
            first += len(heard)
    return dict(zip(OUTPUTS, sigmoid(odds).T, strict=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return probabilities in [0, 1]."""
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def _inputs(spectra: Spectra, stretch: slice, loud: float, floor: np.ndarray) -> np.ndarray:
    count = stretch.stop - stretch.start
    part = spectra.mel[2 * stretch.start : 2 * stretch.stop]
    mel = np.log1p(part * np.float32(COMPRESSION / max(loud, 1e-12))) / np.float32(np.log1p(COMPRESSION))
    mel = np.pad(mel, ((0, 2 * count - len(mel)), (0, 0))).reshape(count, 2 * MELS)
    index = np.minimum(np.arange(stretch.start, stretch.stop) // 2, len(spectra.chroma) - 1)
    registers = spectra.chroma[index].reshape(-1, 2, 12)
    size = np.linalg.norm(registers, axis=2, keepdims=True)
    chroma = np.sqrt(np.maximum(registers, 0) / (size + floor)).reshape(-1, 24)
    return np.concatenate([np.minimum(mel, 1.5), chroma], axis=1).astype(np.float32)


def _pitch_floor(spectra: Spectra) -> np.ndarray:
    size = np.linalg.norm(spectra.chroma.reshape(-1, 2, 12), axis=2, keepdims=True)
    return 1e-3 * np.percentile(size, 95, axis=0, keepdims=True) + 1e-12


def dilations(weights: Mapping[str, np.ndarray]) -> list[int]:
    """Return how far apart the rows of each residual block are, in order."""
    return sorted(int(found[1]) for name in weights if (found := re.fullmatch(r"block(\d+)\.weight", name)))


def window_activations(given: np.ndarray) -> np.ndarray:
    """Return both networks' outputs, float32 [rows, outputs] in [0, 1], for `inputs` [rows, 152] of at most `attention.WINDOW` rows."""
    odds = np.zeros((len(given), len(OUTPUTS)), np.float32)
    for path, share in NETWORKS:
        odds += np.float32(share) * _odds(given, weights(path))
    return sigmoid(odds)


def _attends(weights: Mapping[str, np.ndarray]) -> bool:
    """Whether weights are of the network with attention: with one matrix for all taps, not with one for each."""
    return weights["first.weight"].ndim == 2


def _odds(given: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    return attention.forward(given, weights) if _attends(weights) else logits(given, weights)


def logits(given: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the convolutional network's log odds, float32 [rows, outputs], for `inputs` [rows, 152].

    `weights` has by layer name ``.weight`` [taps, in, out] and ``.bias`` [out].
    """
    x = _elu(_convolve(given, weights, "first", 1))
    x = _elu(_convolve(x, weights, "second", 1))
    for dilation in dilations(weights):
        name = f"block{dilation}"
        x = x + _convolve(_elu(_convolve(x, weights, name, dilation)), weights, f"{name}.out", 1)
    return _convolve(_elu(x), weights, "last", 1)


def _convolve(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str, dilation: int) -> np.ndarray:
    kernel = weights[f"{name}.weight"]
    reach = len(kernel) // 2 * dilation
    padded = np.pad(x, ((reach, reach), (0, 0))) if reach else x
    out = np.repeat(weights[f"{name}.bias"][None], len(x), axis=0)
    for tap, matrix in enumerate(kernel):
        out += padded[tap * dilation : tap * dilation + len(x)] @ matrix
    return out


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


@cache
def weights(path: Path = MODEL) -> dict[str, np.ndarray]:
    """Return the weights in a file (default: those of the convolutional network that ships), float32, by layer name."""
    from safetensors.numpy import load_file

    return {name: value.astype(np.float32) for name, value in load_file(path).items()}
