"""Measure the peak bytes of live tensors during a computation, on any device, including meta."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class Alive(TorchDispatchMode):
    """Counts the storages made by operations until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, int] = {}
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {
            part.untyped_storage()._cdata for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)
        }
        for part in tree_flatten(result)[0]:
            if isinstance(part, torch.Tensor):
                storage = part.untyped_storage()
                key = storage._cdata
                if key not in self.known and key not in given:
                    self.known[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._gone, key)
        self.peak = max(self.peak, self.now)
        return result

    def _gone(self, key: int) -> None:
        self.now -= self.known.pop(key)


def peak_bytes(compute: Callable[[], Any], *, fused: bool = True) -> int:
    """Return the peak bytes of live tensors, without those that existed before.

    Parameters
    ----------
    fused
        Whether attention is replaced by a kernel that writes only its result, as on GPUs.
    """
    with torch.inference_mode(), Alive() as alive:
        if fused:
            with mock.patch(
                "torch.nn.functional.scaled_dot_product_attention", lambda q, k, v, **more: torch.empty_like(q)
            ):
                compute()
        else:
            compute()
    return alive.peak
