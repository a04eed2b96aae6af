"""CUDA graphs: a network of static shapes is recorded once and replayed, which spares the processor every kernel launch.

Batches have one fixed shape, so a graph a network is enough. A replay runs the very kernels of the plain call on the very
memory, so its bits are the plain call's. On the CPU nothing is recorded; the bookkeeping is the same and tested there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

# tensors by name, some of them grouped under a name of their own
Named = dict[str, Any]
Compute = Callable[[Named], torch.Tensor]
# makes a graph: given what computes and its inputs' fixed memory, returns how to replay it and where the result then lies
Recorder = Callable[[Compute, Named], tuple[Callable[[], None], torch.Tensor]]
# shapes kept for each network: a preview has batches of several
_KEPT = 3


@dataclass(frozen=True)
class Graph:
    """A recorded computation: the fixed memory of its inputs, how to replay it, and the memory of its result."""

    inputs: Named
    replay: Callable[[], None]
    output: torch.Tensor


class Graphs:
    """The graphs of a model's networks, by name and by the shapes of their inputs.

    Parameters
    ----------
    record
        Makes a graph.
    """

    def __init__(self, record: Recorder) -> None:
        self.record = record
        self.known: OrderedDict[Any, Graph | None] = OrderedDict()

    def run(self, name: str, compute: Compute, inputs: Named) -> torch.Tensor:
        """Return what `compute` makes of `inputs`, by replay where it was recorded for such shapes.

        The first call of a shape records it. What can't be recorded is computed plainly, now and later.
        """
        key = (name, _shapes(inputs))
        if key not in self.known:
            self.known[key] = self._recorded(compute, inputs)
            same = [known for known in self.known if known[0] == name]
            if len(same) > _KEPT:
                del self.known[same[0]]
        self.known.move_to_end(key)
        graph = self.known[key]
        if graph is None:
            return compute(inputs)
        _fill(graph.inputs, inputs)
        graph.replay()
        # the next replay writes to the same memory
        return graph.output.clone()

    def _recorded(self, compute: Compute, inputs: Named) -> Graph | None:
        held = _copies(inputs)
        try:
            replay, output = self.record(compute, held)
        except torch.OutOfMemoryError:
            # a smaller batch is the answer to that
            raise
        except RuntimeError:
            return None
        return Graph(held, replay, output)


def record_cuda(compute: Compute, inputs: Named) -> tuple[Callable[[], None], torch.Tensor]:
    """Record a computation as a CUDA graph, after two calls that let libraries choose and reserve what they need."""
    cuda: Any = torch.cuda
    aside = cuda.Stream()
    aside.wait_stream(cuda.current_stream())
    with cuda.stream(aside):
        for _ in range(2):
            compute(inputs)
    cuda.current_stream().wait_stream(aside)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        output = compute(inputs)
    return graph.replay, output


def graphs_for(kind: str) -> Graphs | None:
    """Return where a model's graphs are kept on a kind of device; None where there are none."""
    return Graphs(record_cuda) if kind == "cuda" else None


def _shapes(inputs: Named) -> tuple[Any, ...]:
    return tuple(
        (name, _shapes(value)) if isinstance(value, dict) else (name, tuple(value.shape), value.dtype, value.stride())
        for name, value in sorted(inputs.items())
    )


def _copies(inputs: Named) -> Named:
    return {name: _copies(value) if isinstance(value, dict) else value.clone() for name, value in inputs.items()}


def _fill(held: Named, inputs: Named) -> None:
    for name, value in inputs.items():
        if isinstance(value, dict):
            _fill(held[name], value)
        else:
            held[name].copy_(value, non_blocking=True)
