"""CUDA graphs: a network of static shapes is recorded once and replayed, which saves every kernel launch.

Batches have one fixed shape, so a graph a network is enough. A replay runs the same kernels as the plain call on the same
memory, so its bits are the same. On the CPU nothing is recorded; the bookkeeping is the same and tested there.

All graphs of a model share one pool of memory, since no two of them run at once: their intermediate results use the
same memory. A result is copied out before the next replay, which may write over it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from reactive.errors import out_of_memory

# tensors by name, some of them grouped under a name of their own
NamedTensors = dict[str, Any]
Compute = Callable[[NamedTensors], torch.Tensor]
# makes a graph from a function, the fixed memory of its inputs and a pool; returns the replay function and the memory of
# the result
Recorder = Callable[[Compute, NamedTensors, Any], tuple[Callable[[], None], torch.Tensor]]
# shapes kept for each network: a preview has several batch sizes
_KEPT = 3


@dataclass(frozen=True)
class Graph:
    """A recorded computation: the fixed memory of its inputs, how to replay it, and the memory of its result."""

    inputs: NamedTensors
    replay: Callable[[], None]
    output: torch.Tensor


class Graphs:
    """The graphs of a model's networks, by name and by the shapes of their inputs.

    Parameters
    ----------
    record
        Makes a graph.
    new_pool
        Returns a new pool of memory for graphs.
    """

    def __init__(self, record: Recorder, new_pool: Callable[[], Any] = lambda: None) -> None:
        self.record = record
        self.new_pool = new_pool
        self.known: OrderedDict[Any, Graph | None] = OrderedDict()
        self._pool: Any = None
        # cores of one model may run in several threads, but a graph's memory is one
        self._lock = threading.Lock()

    def run(self, name: str, compute: Compute, inputs: NamedTensors) -> torch.Tensor:
        """Return what `compute` makes of `inputs`, by replay if it was recorded for such shapes.

        The first call of a shape records it. A function that can't be recorded is always called.
        """
        key = (name, _shapes(inputs))
        with self._lock:
            if key not in self.known:
                self.known[key] = self._recorded(compute, inputs)
                same = [known for known in self.known if known[0] == name]
                if len(same) > _KEPT:
                    del self.known[same[0]]
            self.known.move_to_end(key)
            graph = self.known[key]
            if graph is not None:
                _fill(graph.inputs, inputs)
                graph.replay()
                # the next replay, of this graph or another, writes to the same memory
                return graph.output.clone()
        return compute(inputs)

    def forget(self) -> None:
        """Forget all graphs, so that their memory is free: after a failed batch that leaves room for a smaller one."""
        with self._lock:
            self.known.clear()
            # a pool without graphs can't be used again
            self._pool = None

    def _recorded(self, compute: Compute, inputs: NamedTensors) -> Graph | None:
        held = _copies(inputs)
        if self._pool is None:
            self._pool = self.new_pool()
        try:
            replay, output = self.record(compute, held, self._pool)
        except RuntimeError as problem:
            if out_of_memory(problem):
                # the caller tries a smaller batch
                raise
            return None
        return Graph(held, replay, output)


def record_cuda(compute: Compute, inputs: NamedTensors, pool: Any) -> tuple[Callable[[], None], torch.Tensor]:
    """Record a computation as a CUDA graph, after two calls that let libraries choose and reserve what they need."""
    cuda: Any = torch.cuda
    aside = cuda.Stream()
    aside.wait_stream(cuda.current_stream())
    with cuda.stream(aside):
        for _ in range(2):
            compute(inputs)
    cuda.current_stream().wait_stream(aside)
    graph = cuda.CUDAGraph()
    # other threads wait for events meanwhile, which a capture of mode "global" forbids to the whole process
    with cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        output = compute(inputs)
    return graph.replay, output


def graphs_for(kind: str) -> Graphs | None:
    """Return an empty `Graphs` for a kind of device; None if it has no graphs."""
    cuda: Any = torch.cuda
    return Graphs(record_cuda, cuda.graph_pool_handle) if kind == "cuda" else None


def _shapes(inputs: NamedTensors) -> tuple[Any, ...]:
    return tuple(
        (name, _shapes(value)) if isinstance(value, dict) else (name, tuple(value.shape), value.dtype, value.stride())
        for name, value in sorted(inputs.items())
    )


def _copies(inputs: NamedTensors) -> NamedTensors:
    return {name: _copies(value) if isinstance(value, dict) else value.clone() for name, value in inputs.items()}


def _fill(held: NamedTensors, inputs: NamedTensors) -> None:
    for name, value in inputs.items():
        if isinstance(value, dict):
            _fill(held[name], value)
        else:
            held[name].copy_(value, non_blocking=True)
