"""Evaluate a preset's expressions on whole per-frame arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from reactive.preset.expression import Call, Node, Number, Operation, Signal, parse
from reactive.preset.vocabulary import OWN
from reactive.timeline.clock import frames_in

# values are clipped to this: larger ones are a mistake of the preset, and infinities must not reach the picture
LIMIT = 1e6
# a live preview evaluates the same texts for every frame
_parsed = lru_cache(2048)(parse)
# largest standard deviation, in frames, of a Gaussian that is convolved directly
LONG = 600


@dataclass(frozen=True)
class Scope:
    """The inputs of an expression.

    Attributes
    ----------
    signals
        Named curves, each float64 [frames].
    bars
        How many bars have passed at each frame, float64 [frames].
    fps
        Frames a second.
    """

    signals: Mapping[str, np.ndarray]
    bars: np.ndarray
    fps: Fraction


def evaluate(expression: str, scope: Scope) -> np.ndarray:
    """Return an expression's curve, float64 [frames], finite.

    Division by zero gives 0. The text must be one that `parse` accepts.
    """
    # overflows on the way are clipped at the end
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        curve = _value(_parsed(expression), scope)
    return np.clip(np.nan_to_num(curve, nan=0.0, posinf=LIMIT, neginf=-LIMIT), -LIMIT, LIMIT)


def _value(node: Node, scope: Scope) -> np.ndarray:
    if isinstance(node, Number):
        return np.full(len(scope.bars), node.value)
    if isinstance(node, Signal):
        if node.name.startswith(OWN) and node.name not in scope.signals:
            return np.zeros(len(scope.bars))
        return scope.signals[node.name]
    if isinstance(node, Operation):
        return _operate(node.operator, _value(node.left, scope), _value(node.right, scope))
    return _call(node, scope)


def _operate(operator: str, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return np.divide(left, right, out=np.zeros_like(left), where=right != 0)


def _call(node: Call, scope: Scope) -> np.ndarray:
    name, constants = node.function, node.constants
    curves = [_value(curve, scope) for curve in node.curves]
    if name == "min":
        return np.minimum.reduce(curves)
    if name == "max":
        return np.maximum.reduce(curves)
    if name == "abs":
        return np.abs(curves[0])
    if name == "sqrt":
        return np.sqrt(np.maximum(curves[0], 0))
    if name == "clamp":
        return np.clip(curves[0], constants[0], max(constants))
    if name == "mix":
        return curves[0] + (curves[1] - curves[0]) * np.clip(curves[2], 0, 1)
    if name == "gate":
        return (curves[0] >= constants[0]).astype(np.float64)
    if name == "ease":
        return ease(curves[0])
    if name == "pow":
        return np.power(np.maximum(curves[0], 0), constants[0])
    if name == "smooth":
        return smooth(curves[0], frames_in(constants[0], scope.fps))
    if name == "decay":
        return decay(curves[0], frames_in(constants[0], scope.fps))
    if name == "swell":
        return decay(curves[0][::-1], frames_in(constants[0], scope.fps))[::-1]
    if name == "hold":
        return hold(curves[0], int(constants[0]))
    turns = scope.bars / constants[0]
    if name == "lfo":
        return 0.5 - 0.5 * np.cos(2 * np.pi * (turns + constants[1]))
    if name == "triangle":
        return 1 - np.abs(2 * np.mod(turns + constants[1], 1.0) - 1)
    if name == "saw":
        return np.mod(turns + constants[1], 1.0)
    return wander(turns, int(constants[1]))


def ease(curve: np.ndarray) -> np.ndarray:
    """Return smoothstep of the curve clamped to [0, 1]."""
    inside = np.clip(curve, 0, 1)
    return inside * inside * (3 - 2 * inside)


def smooth(curve: np.ndarray, frames: float) -> np.ndarray:
    """Return the curve averaged by a Gaussian whose central 95 % span `frames`, without delay."""
    from scipy.ndimage import gaussian_filter1d

    deviation = max(frames, 1e-3) / 4
    if deviation <= LONG:
        return np.asarray(gaussian_filter1d(curve, deviation, mode="nearest", truncate=4.0))
    # the same by FFT: smoothing by minutes costs no more than by seconds
    from scipy.signal import fftconvolve

    reach = int(4 * deviation + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return np.asarray(fftconvolve(np.pad(curve, reach, mode="edge"), weights / weights.sum(), mode="valid"))


def decay(curve: np.ndarray, frames: float) -> np.ndarray:
    """Return the curve with each peak falling to a tenth in `frames` frames; values below 0 count as 0.

    ``y[k] = max(x[k], y[k-1] * 10^(-1/frames))``, as a running maximum of logarithms.
    """
    slope = np.arange(len(curve)) * (np.log(10) / max(frames, 1e-3))
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.maximum(curve, 0)) + slope
    tail = np.exp(np.maximum.accumulate(logarithm) - slope)
    # a tail below a thousandth is invisible, and must not last for ever
    return np.where(tail < 1e-3, np.maximum(curve, 0), tail)


def wander(turns: np.ndarray, seed: int) -> np.ndarray:
    """Return a smooth random curve in [0, 1]: uniform values at whole turns, eased between them."""
    index = np.floor(turns).astype(int)
    share = ease(turns - np.floor(turns))
    return random_turns(index, seed) * (1 - share) + random_turns(index + 1, seed) * share


def hold(curve: np.ndarray, seed: int) -> np.ndarray:
    """Return a random curve in [0, 1) that jumps wherever the given one rises above 0, and holds between."""
    above = curve > 0
    rises = above & ~np.concatenate([[False], above[:-1]])
    return random_turns(np.cumsum(rises), seed)


def random_turns(turns: np.ndarray, seed: int) -> np.ndarray:
    """Return a uniform value in [0, 1) for each whole turn, int [n]; keyed by turn, independent of where an excerpt starts."""
    if not len(turns):
        return np.zeros(0)
    first = int(turns.min())
    values = np.array(
        [
            np.random.Generator(np.random.Philox(key=[seed % 2**63, turn % 2**63])).random()
            for turn in range(first, int(turns.max()) + 1)
        ]
    )
    return np.asarray(values[turns - first])
