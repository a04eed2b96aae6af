"""A pretended CUDA card, so that GPU-only code is tested on any machine.

A tensor on the card (`OnCard`) reports the device ``cuda:0``, and holds a CPU tensor that does the computing. So pictures are
produced, and what a card refuses is refused with the same messages: an operation that mixes devices, numpy on a tensor of the
card, a graph that waits for the device while it is recorded, a replay that reads freed memory, and more memory than there is. A
copy to pinned memory arrives only when its event is waited for.

Not pretended: kernels, their rounding and their speed.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._device import _device_constructors

aten = torch.ops.aten
CARD = torch.device("cuda", 0)
_FACTORIES = ("arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros")
_LIKE = ("empty_like", "full_like", "ones_like", "rand_like", "randn_like", "zeros_like")
# these operations also take indices on the host for a tensor on the card
_INDEXED = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)
# these return a value to the host, which has to wait for it
_WAITS = (aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default, aten.nonzero.default)
_plain_to = torch.Tensor.to


class Card:
    """Counts the operations on the card and the memory in use.

    Attributes
    ----------
    ops
        How often each operation ran, by name and number format.
    waits
        How often the host waited for a value, without waits for events.
    used, limit
        Bytes in use, and in all; None for no limit.
    captures
        Pool and error mode of each graph that was recorded.
    """

    def __init__(self) -> None:
        self.ops: Counter[tuple[str, torch.dtype]] = Counter()
        self.waits = 0
        self.used = 0
        self.limit: int | None = None
        self.captures: list[tuple[Any, str]] = []
        # whether convolutions in float16 return NaN, as on some cards
        self.half_is_broken = False
        self.hip = False
        self.lock = threading.RLock()
        self.local = threading.local()
        self.global_capture: int | None = None
        self._alive: Counter[int] = Counter()
        self._sizes: dict[int, int] = {}

    @property
    def tape(self) -> Tape | None:
        """The graph that this thread is recording."""
        return getattr(self.local, "tape", None)

    @property
    def stream(self) -> Stream:
        """This thread's current stream."""
        if not hasattr(self.local, "stream"):
            self.local.stream = Stream()
        return self.local.stream

    def wait(self, what: str) -> None:
        """Count a wait of the host for a value; it is an error in a recorded graph."""
        if self.tape is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")
        self.waits += 1

    def take(self, tensor: OnCard) -> None:
        """Count a tensor's memory as used until the last reference to it on the card is gone."""
        place, size = tensor.held.untyped_storage().data_ptr(), tensor.held.untyped_storage().nbytes()
        with self.lock:
            if not self._alive[place]:
                if self.limit is not None and self.used + size > self.limit:
                    raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
                self.used += size
                self._sizes[place] = size
            self._alive[place] += 1
        weakref.finalize(tensor, self._drop, place, tensor.held)

    def _drop(self, place: int, held: torch.Tensor) -> None:
        del held
        with self.lock:
            self._alive[place] -= 1
            if not self._alive[place]:
                self.used -= self._sizes.pop(place)
                del self._alive[place]


_card = Card()


class OnCard(torch.Tensor):
    """A tensor on the card; `held` is its CPU tensor."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnCard:
        """Wrap a CPU tensor that has no other owner."""
        made: OnCard = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="cpu"
        )
        made.held = held
        _card.take(made)
        return made

    @property
    def device(self) -> torch.device:
        """The card."""
        return CARD

    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def to(self, *args: Any, **options: Any) -> torch.Tensor:
        return _to(self, *args, **options)

    def cpu(self, **options: Any) -> torch.Tensor:
        return _to(self, "cpu", **options)

    def cuda(self, *args: Any, **options: Any) -> torch.Tensor:
        return self

    def tolist(self) -> Any:
        _card.wait("tolist")
        return self.held.tolist()

    def numpy(self, *args: Any, **options: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def pin_memory(self, *args: Any) -> torch.Tensor:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")

    def record_stream(self, stream: Stream) -> None:
        assert isinstance(stream, Stream)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnCard:
        copied = OnCard(self.held.clone())
        if getattr(self, "_is_param", False):
            copied._is_param = True
        memo[id(self)] = copied
        return copied

    def __repr__(self, **options: Any) -> str:
        return f"OnCard({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU what the card would compute, or raise its error."""
        kwargs = kwargs or {}
        _refuse_mixing(func, args, kwargs)
        masks = func in _INDEXED and any(part is not None and part.dtype == torch.bool for part in args[1])
        if func in _WAITS or masks:
            _card.wait(str(func))
        if func is aten.copy_.default and not all(isinstance(part, OnCard) for part in args[:2]):
            return _copied(*args[:2], non_blocking=bool(kwargs.get("non_blocking", (*args, False, False)[2])))
        # views of tensors made outside of inference mode must not become inference tensors
        with torch.inference_mode(False), torch.no_grad():
            return cls._computed(func, args, kwargs)

    @staticmethod
    def _computed(func: Any, args: Any, kwargs: Any) -> Any:
        plain_args, plain_options = _each(_held, args), _each(_held, kwargs)
        result = func(*plain_args, **plain_options)
        if (
            _card.half_is_broken
            and func in (aten.convolution.default, aten.conv2d.default)
            and result.dtype == torch.float16
        ):
            result = torch.full_like(result, torch.nan)
        given = {id(_held(part)): part for part in _tensors((args, kwargs))}
        wrapped = _each(lambda part: _wrapped(part, given), result)
        for made in _tensors(wrapped):
            _card.ops[func._schema.name.removeprefix("aten::"), made.dtype] += 1
        if _card.tape is not None:
            _card.tape.note(func, args, kwargs, wrapped)
        return wrapped


def _held(part: Any) -> Any:
    return part.held if isinstance(part, OnCard) else part


def _each(change: Callable[[Any], Any], parts: Any) -> Any:
    """Map a function over the arguments or results of an operation; torch's own pytree takes ten times as long."""
    if type(parts) in (tuple, list):
        return type(parts)(_each(change, part) for part in parts)
    if type(parts) is dict:
        return {name: _each(change, part) for name, part in parts.items()}
    return change(parts)


def _tensors(parts: Any) -> list[torch.Tensor]:
    """Return all tensors in an operation's arguments or results."""
    if isinstance(parts, torch.Tensor):
        return [parts]
    if type(parts) in (tuple, list):
        return [found for part in parts for found in _tensors(part)]
    if type(parts) is dict:
        return [found for part in parts.values() for found in _tensors(part)]
    return []


def _wrapped(part: Any, given: dict[int, Any]) -> Any:
    if not isinstance(part, torch.Tensor):
        return part
    # an output argument is returned as it was passed in
    return given[id(part)] if id(part) in given else OnCard(part)


def _refuse_mixing(func: Any, args: Any, kwargs: Any) -> None:
    """Refuse to mix tensors of host and card, except for single numbers and indices, as torch does."""
    if func is aten.copy_.default:
        return
    checked = args
    if func in _INDEXED and isinstance(args[0], OnCard):
        checked = (args[0], *args[2:])
    scalars = torch.Tag.pointwise in func.tags or func in _INDEXED
    for part in _tensors((checked, kwargs)):
        if not isinstance(part, OnCard) and (part.dim() or not scalars):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"({func}, {tuple(part.shape)} on the cpu)"
            )


def _copied(target: torch.Tensor, source: torch.Tensor, *, non_blocking: bool) -> torch.Tensor:
    """Copy between host and card; a copy to pinned memory arrives when its event is waited for."""
    host = source if isinstance(target, OnCard) else target
    pinned = getattr(host, "pinned", False)
    if not pinned:
        _card.wait("copy of pageable memory")
    if isinstance(target, OnCard):
        target.held.copy_(source)
    elif pinned and non_blocking:
        seen = _held(source).clone()
        _card.stream.coming.append(lambda: target.copy_(seen))
    else:
        target.copy_(_held(source))
    return target


def _to(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
    """Stand in for `torch.Tensor.to`."""
    given = list(args)
    device = options.pop("device", None)
    dtype = options.pop("dtype", None)
    if given and isinstance(given[0], torch.Tensor):
        device, dtype = given[0].device, given[0].dtype
        given.pop(0)
    if given and (given[0] is None or isinstance(given[0], (str, torch.device, int))) and given[0] is not True:
        device = given.pop(0)
    if given and (given[0] is None or isinstance(given[0], torch.dtype)):
        dtype = given.pop(0) or dtype
    names = ("non_blocking", "copy")
    options |= dict(zip(names, given, strict=False))
    target = tensor.device if device is None else torch.device("cuda" if isinstance(device, int) else device)
    dtype = dtype or tensor.dtype
    if target.type == tensor.device.type or "cuda" not in (target.type, tensor.device.type):
        where = {} if isinstance(tensor, OnCard) else {"device": target}
        return _plain_to(tensor, dtype=dtype, **where, **options)
    options.pop("copy", None)
    blocking = not options.pop("non_blocking", False)
    if target.type == "cuda":
        if not getattr(tensor, "pinned", False):
            if _card.tape is not None:
                raise RuntimeError("operation not permitted when stream is capturing: copy of pageable memory")
        elif blocking:
            _card.wait("copy to the card")
        with torch.inference_mode(False), torch.no_grad():
            return OnCard(_plain_to(tensor, dtype=dtype, copy=True, **options).detach())
    _card.wait("copy to the host")
    return _plain_to(_held(tensor).detach(), dtype=dtype, copy=True, **options)


class Stream:
    """A stream with the copies that have not arrived yet."""

    def __init__(self, device: Any = None, **options: Any) -> None:
        self.coming: list[Callable[[], Any]] = []

    def wait_stream(self, other: Stream) -> None:
        assert isinstance(other, Stream)

    def synchronize(self) -> None:
        arrive(self.coming)


class Event:
    """An event; waiting for it makes the copies before it arrive."""

    def __init__(self, **options: Any) -> None:
        self.coming: list[Callable[[], Any]] = []

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or _card.stream
        self.coming, stream.coming = stream.coming, []

    def synchronize(self) -> None:
        if _card.global_capture is not None:
            raise RuntimeError("operation not permitted when stream is capturing: cudaEventSynchronize")
        arrive(self.coming)


def arrive(coming: list[Callable[[], Any]]) -> None:
    while coming:
        coming.pop(0)()


class Tape:
    """A recorded graph: operations on fixed memory. It owns its outputs and only refers to its inputs."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []
        self.own: dict[int, torch.Tensor] = {}

    def note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        tensors = [part for part in _tensors((args, kwargs)) if isinstance(part, OnCard)]
        others = [weakref.ref(part) for part in tensors if id(part) not in self.own]
        plain_args, plain_options = _each(_held, args), _each(_held, kwargs)
        outputs = [part for part in _tensors(result) if isinstance(part, OnCard)]
        read = {part.held.untyped_storage().data_ptr() for part in tensors}
        # a view of fixed memory needs no copy, and an in-place result is already there
        fresh = [part.held.untyped_storage().data_ptr() not in read for part in outputs]
        self.own |= {id(part): part for part in outputs}
        held = [part.held for part in outputs]

        def step() -> None:
            if any(other() is None for other in others):
                raise RuntimeError(f"a graph reads memory that was given back ({func})")
            again = _tensors(func(*plain_args, **plain_options))
            for into, value, new in zip(held, again, fresh, strict=True):
                if new:
                    into.copy_(value)

        self.steps.append(step)

    def keep(self, made: OnCard) -> None:
        """Record a tensor made by a factory function."""
        self.own[id(made)] = made
        value = made.held.clone()

        def again() -> None:
            made.held.copy_(value)

        self.steps.append(again)


class CUDAGraph:
    """Stands in for torch's."""

    def __init__(self) -> None:
        self.tape: Tape | None = Tape()

    def replay(self) -> None:
        assert self.tape is not None
        with torch.inference_mode(False), torch.no_grad():
            for step in self.tape.steps:
                step()

    def reset(self) -> None:
        self.tape = None


@contextmanager
def _graph(
    graph: CUDAGraph, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"
) -> Iterator[None]:
    assert _card.tape is None
    _card.captures.append((pool, capture_error_mode))
    _card.local.tape = graph.tape
    if capture_error_mode == "global":
        _card.global_capture = threading.get_ident()
    try:
        yield
    finally:
        _card.local.tape = None
        _card.global_capture = None


@contextmanager
def _on_stream(stream: Stream) -> Iterator[None]:
    before, _card.local.stream = _card.stream, stream
    try:
        yield
    finally:
        _card.local.stream = before


def _factory(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a factory function that makes tensors on the card if that device is passed."""

    def make(*args: Any, **options: Any) -> torch.Tensor:
        pinned = options.pop("pin_memory", False)
        device = options.get("device")
        if device is None or isinstance(device, int) or torch.device(device).type != "cuda":
            made = original(*args, **options)
            if device is not None and isinstance(made, OnCard):
                return _to(made, "cpu")
            if pinned:
                made.pinned = True  # type: ignore[attr-defined]
            return made
        if original.__name__ in ("tensor", "as_tensor") and _card.tape is not None:
            raise RuntimeError("operation not permitted when stream is capturing: copy of pageable memory")
        with torch.inference_mode(False), torch.no_grad():
            made = original(*args, **(options | {"device": "cpu"}))
        if isinstance(made, OnCard):
            return made
        with torch.inference_mode(False):
            wrapped = OnCard(made)
        if _card.tape is not None:
            _card.tape.keep(wrapped)
        return wrapped

    return make


def _pinned(tensor: torch.Tensor, *args: Any) -> torch.Tensor:
    made = tensor.clone()
    made.pinned = True  # type: ignore[attr-defined]
    return made


@contextmanager
def pretended_card() -> Iterator[Card]:
    """Pretend that there is one card within the context; models loaded on it can't be used afterwards."""
    global _card
    _card = card = Card()
    # a context like torch.device("meta") stores the set of factory functions: it must be torch's own, not the ones below
    _device_constructors()
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    properties = SimpleNamespace(name="Pretended", total_memory=8 * 2**30, major=8, minor=6)
    with pytest.MonkeyPatch.context() as patch:
        for name in (*_FACTORIES, *_LIKE):
            patch.setattr(torch, name, _factory(getattr(torch, name)))
        patch.setattr(torch.Tensor, "to", _to)
        patch.setattr(torch.Tensor, "cuda", lambda tensor, *args, **options: _to(tensor, "cuda"))
        patch.setattr(torch.Tensor, "pin_memory", _pinned)
        for name, value in {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "Stream": Stream,
            "Event": Event,
            "current_stream": lambda device=None: card.stream,
            "stream": _on_stream,
            "graph": _graph,
            "CUDAGraph": CUDAGraph,
            "graph_pool_handle": object,
            "empty_cache": gc.collect,
            "synchronize": lambda device=None: None,
            "get_device_name": lambda device=None: "Pretended",
            "get_device_properties": lambda device=None: properties,
            "get_device_capability": lambda device=None: (properties.major, properties.minor),
            "mem_get_info": lambda device=None: ((card.limit or 8 * 2**30) - card.used, card.limit or 8 * 2**30),
        }.items():
            patch.setattr(torch.cuda, name, value)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        from reactive.diffusion.backend import transfer

        transfer._copies.cache_clear()
        try:
            yield card
        finally:
            transfer._copies.cache_clear()
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = tf32
