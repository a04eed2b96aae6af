"""The rhythm network with bar-level context: convolutions around each row, attention over 48 s of the song between them.

Rows and inputs as in `network`. Convolutions at 43 rows a second (`FRONT`, `BACK`: dilations) detect strokes; every four rows
become one token, and four layers of self-attention with rotary positions (Su et al. 2021) compare the tokens of a window with
each other: so bars can be found from bars long before and after, in the manner of "Beat This!" (Foscarin, Schlüter and
Widmer, ISMIR 2024), though smaller and without its attention over frequencies. Computed by numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FRONT, BACK = (1, 2, 4, 8), (1, 2, 4)
TAPS, STRIDE = 3, 4
HEADS, LAYERS = 4, 4
# rotary positions turn at 1 to 1 / BASE radians a token
BASE = 1000.0
# rows of a window, and how many at either end are only context
WINDOW, MARGIN = 2048, 320
TINY = 1e-6


def windows(rows: int) -> list[tuple[slice, slice]]:
    """Return windows of at most WINDOW rows that cover a song, and the rows of each to keep."""
    found = []
    hop = WINDOW - 2 * MARGIN
    last = max(rows - WINDOW, 0)
    starts = [*list(range(0, last, hop)), last]
    # each window keeps up to the middle of its overlap with the next
    edges = [0, *((first + before + WINDOW) // 2 for before, first in zip(starts, starts[1:], strict=False)), rows]
    for start, begin, stop in zip(starts, edges, edges[1:], strict=False):
        found.append((slice(start, min(start + WINDOW, rows)), slice(begin - start, stop - start)))
    return found


def forward(given: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the logits, float32 [rows, outputs], of one window of inputs [rows, inputs].

    `weights` has by layer name ``.weight`` [in, out] (taps side by side in `in`), ``.bias`` [out] and norms' ``.scale``.
    """
    rows = len(given)
    x = _linear(_taps(given, 1), weights, "first")
    for dilation in FRONT:
        x = _block(x, weights, f"front{dilation}", dilation)
    padded = np.pad(x, ((0, -rows % STRIDE), (0, 0)))
    tokens = _linear(padded.reshape(-1, STRIDE * x.shape[1]), weights, "down")
    turn = rotations(len(tokens), tokens.shape[1] // HEADS)
    for number in range(LAYERS):
        name = f"layer{number}"
        tokens = tokens + _attended(_norm(tokens, weights, f"{name}.norm"), weights, name, turn)
        inner = np.maximum(_linear(_norm(tokens, weights, f"{name}.norm2"), weights, f"{name}.wide"), 0)
        tokens = tokens + _linear(inner, weights, f"{name}.narrow")
    x = x + _linear(_norm(tokens, weights, "up.norm"), weights, "up").reshape(-1, x.shape[1])[:rows]
    for dilation in BACK:
        x = _block(x, weights, f"back{dilation}", dilation)
    return _linear(_norm(x, weights, "last.norm"), weights, "last")


def rotations(tokens: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and sines of the rotary positions, float32 [tokens, width / 2] each."""
    speeds = BASE ** -(np.arange(width // 2) / (width // 2))
    angle = np.arange(tokens)[:, None] * speeds
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def _attended(
    x: np.ndarray, weights: Mapping[str, np.ndarray], name: str, turn: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    tokens, width = x.shape
    mixed = _linear(x, weights, f"{name}.mix").reshape(tokens, 3, HEADS, width // HEADS).transpose(1, 2, 0, 3)
    query, key = _turned(mixed[0], turn), _turned(mixed[1], turn)
    score = query @ key.transpose(0, 2, 1) * np.float32((width // HEADS) ** -0.5)
    score -= score.max(axis=2, keepdims=True)
    share = np.exp(score, out=score)
    share /= share.sum(axis=2, keepdims=True)
    return _linear((share @ mixed[2]).transpose(1, 0, 2).reshape(tokens, width), weights, f"{name}.back")


def _turned(x: np.ndarray, turn: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    half = x.shape[2] // 2
    first, second = x[:, :, :half], x[:, :, half:]
    return np.concatenate([first * turn[0] - second * turn[1], first * turn[1] + second * turn[0]], axis=2)


def _block(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str, dilation: int) -> np.ndarray:
    inner = _linear(_taps(_norm(x, weights, f"{name}.norm"), dilation), weights, f"{name}.wide")
    return x + _linear(np.maximum(inner, 0), weights, f"{name}.narrow")


def _taps(x: np.ndarray, dilation: int) -> np.ndarray:
    """Return each row beside those `dilation` before and after it, [rows, 3 * channels]; with zeros beyond the ends."""
    padded = np.pad(x, ((dilation, dilation), (0, 0)))
    return np.concatenate([padded[tap * dilation : tap * dilation + len(x)] for tap in range(TAPS)], axis=1)


def _norm(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    size = np.sqrt(np.mean(np.square(x), axis=1, keepdims=True) + np.float32(TINY))
    return x / size * weights[f"{name}.scale"]


def _linear(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]
