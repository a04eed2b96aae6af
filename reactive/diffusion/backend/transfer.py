"""Copies between host and device without waiting: pinned memory, a separate stream to the host, and an event to wait for.

On the CPU the same functions return tensors unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


@dataclass(frozen=True)
class HostCopy:
    """A tensor that is being copied to the host; `arrived` is the event of its arrival, None if it is there already."""

    tensor: torch.Tensor
    arrived: Any = None

    def wait(self) -> torch.Tensor:
        """Return the tensor on the host; waits for its copy only, not for later work of the device."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.tensor


def to_host(tensor: torch.Tensor) -> HostCopy:
    """Start copying a tensor to the host while the device goes on with the next batch."""
    if tensor.device.type != "cuda":
        return HostCopy(tensor.cpu())
    stream = _copies(tensor.device)
    stream.wait_stream(torch.cuda.current_stream(tensor.device))
    cuda: Any = torch.cuda
    with cuda.stream(stream):
        held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        held.copy_(tensor, non_blocking=True)
        # its memory must not be reused before it is copied
        tensor.record_stream(stream)
        arrived: Any = cuda.Event()
        arrived.record(stream)
    return HostCopy(held, arrived)


def stacked(tensors: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """Return tensors stacked on a device: those of the host are copied together, pinned and asynchronously."""
    if device.type == "cuda" and all(tensor.device.type == "cpu" for tensor in tensors):
        return torch.stack(list(tensors)).pin_memory().to(device, non_blocking=True)
    return torch.stack([tensor.to(device, non_blocking=True) for tensor in tensors])


@cache
def _copies(device: torch.device) -> Any:
    """Return the stream that a device's copies to the host run on."""
    cuda: Any = torch.cuda
    return cuda.Stream(device)
