"""The noise of a walk: a closed, infinitely smooth path of unit variance.

    noise(w) = sum over k = 1..M of (A_k cos(2 pi k w / P) + B_k sin(2 pi k w / P)) / sqrt(M),  P = 2 M

A_k and B_k are standard normal, drawn by a counter-based generator keyed by (seed, k), so any frame's noise can be computed at
any time on any machine. Each element is exactly N(0, 1) at every w, and two points one unit of w apart are
uncorrelated (their correlation is the Dirichlet kernel, which for large M is sinc).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from reactive.diffusion.backend.parallel import one_thread

# counters of fresh noise for feedback ticks, after all harmonics of a seed
_FRESH = 1 << 32
# bit shift of the seeds of a picture's further steps
_SISTER = 48
# the lanes of a batch may each have a seed of their own
_KEPT_SEEDS = 48
# bytes of coefficients that a device keeps beside its model
_ON_DEVICE = 256 << 20
# threads that draw noise ahead
_DRAWING = 2


class NoisePath:
    """Noise of one shape for any seed and walk; the coefficients of the last few seeds are cached.

    Parameters
    ----------
    channels, height, width
        Shape of the latent.
    harmonics
        M of the timeline: the path closes after 2 M of its walk.
    pace
        How fast a model's walk must go, see `calibration`: with `pace` times M harmonics in the same period, the noise
        moves `pace` times as fast and still closes with the timeline.
    device
        The device that computes noise: reading 8 MB of coefficients a picture at 1024x1024, a processor needs 0.4 ms and more, a
        GPU a hundredth of that.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        harmonics: int,
        *,
        pace: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = (channels, height, width)
        self.half_period = harmonics
        self.harmonics = max(1, round(harmonics * pace))
        self.device = torch.device(device)
        self._coefficients: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._placed: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._drawing: dict[tuple[int, int, int], Future[torch.Tensor]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def at(self, seed: int, walk: float) -> torch.Tensor:
        """Return noise(walk) for a seed, float32 [channels, height, width] on the path's device."""
        angles = np.arange(1, self.harmonics + 1) * (np.pi * walk / self.half_period)
        basis = np.concatenate([np.cos(angles), np.sin(angles)]) / np.sqrt(self.harmonics)
        # one product of fixed shape an item, so that its bits do not depend on the batch
        row = torch.from_numpy(basis.astype(np.float32))
        if self.device.type == "cpu":
            # one thread: the product is so small that a second thread would only add waiting
            with one_thread():
                return (row[None] @ self._of(seed)).view(self.shape)
        # no matrix product: a GPU may compute it in TF32
        return (self._on_device(seed) * row.to(self.device)[:, None]).sum(0).view(self.shape)

    def fresh(self, seed: int, shot: int, tick: int) -> torch.Tensor:
        """Return noise of a shot's feedback tick that is independent of the path and of every other tick and shot."""
        drawn = self._drawing.pop((seed, shot, tick), None)
        noise = self._fresh(seed, shot, tick) if drawn is None else drawn.result()
        return noise.to(self.device, non_blocking=True)

    def draw_ahead(self, ticks: Iterable[tuple[int, int, int]]) -> None:
        """Start drawing noise that `fresh` will need (seed, shot, tick), in the background."""
        wanted = set(ticks)
        # drop noise that was not used
        self._drawing = {key: future for key, future in self._drawing.items() if key in wanted}
        for key in sorted(wanted - self._drawing.keys()):
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_DRAWING, "reactive-noise")
            self._drawing[key] = self._pool.submit(self._fresh, *key)

    def _fresh(self, seed: int, shot: int, tick: int) -> torch.Tensor:
        counter = _FRESH + (shot << 20) + tick
        return torch.from_numpy(_normal(seed, counter, int(np.prod(self.shape)))).view(self.shape)

    def _on_device(self, seed: int) -> torch.Tensor:
        if seed not in self._placed:
            self._placed[seed] = self._of(seed).to(self.device)
            size = self._placed[seed].numel() * 4
            while len(self._placed) > max(1, _ON_DEVICE // size):
                self._placed.popitem(last=False)
        self._placed.move_to_end(seed)
        return self._placed[seed]

    def _of(self, seed: int) -> torch.Tensor:
        if seed not in self._coefficients:
            size = int(np.prod(self.shape))
            pairs = [_normal(seed, k, 2 * size) for k in range(1, self.harmonics + 1)]
            rows = [pair[:size] for pair in pairs] + [pair[size:] for pair in pairs]
            self._coefficients[seed] = torch.from_numpy(np.stack(rows))
            if len(self._coefficients) > _KEPT_SEEDS:
                self._coefficients.popitem(last=False)
        self._coefficients.move_to_end(seed)
        return self._coefficients[seed]


def walk_noises(path: NoisePath, seed: int, walk: float, count: int) -> tuple[torch.Tensor, ...]:
    """Return the noise of a walk, and for further steps that of sister seeds on the same walk.

    This is the one rule from seeds to noise: sister seeds move as smoothly as the first, so a clip of several steps does
    not flicker.
    """
    return tuple(path.at(seed + (step << _SISTER), walk) for step in range(count))


def turned(first: torch.Tensor, second: torch.Tensor, weight: float) -> torch.Tensor:
    """Return noise between two noises, of unit variance: those of a match cut are equal, others are independent."""
    if torch.equal(first, second):
        return first
    angle = weight * math.pi / 2
    return math.cos(angle) * first + math.sin(angle) * second


def _normal(seed: int, counter: int, size: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, counter]))
    return generator.standard_normal(size, dtype=np.float32)
