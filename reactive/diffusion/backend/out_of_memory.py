"""When memory runs out: free what the failed attempt held and try half the batch, in one way for all callers."""

from __future__ import annotations

import contextlib
import functools
import gc
import traceback
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from reactive.diffusion.backend.device import free_memory
from reactive.diffusion.models.model import Model
from reactive.errors import ModelError, OutputError, out_of_memory

P = ParamSpec("P")
T = TypeVar("T")
REMEDY = "use a smaller --imagine-size or a smaller model, or close what else needs the memory"


def smaller_batch(problem: BaseException, batch: int, model: Model | None) -> int:
    """Return half of a batch size that memory did not hold, and free what the attempt left behind.

    Parameters
    ----------
    problem
        The exception.
    batch
        How many pictures the batch held.
    model
        The model whose recorded graphs are dropped; None if another process has it.

    Raises
    ------
    OutputError
        If the batch is a single picture already.
    BaseException
        The problem itself, if it is not a lack of memory.
    """
    if not out_of_memory(problem):
        raise problem
    free_failed_attempt(problem, model)
    if batch <= 1:
        raise OutputError("there is not enough memory to imagine it", remedy=REMEDY) from None
    return batch // 2


def in_batches_that_fit(work: Callable[[int], T], batch: int, model: Model) -> T:
    """Return what `work` makes with batches of a size, or half of it, and so on, as memory allows.

    Raises
    ------
    OutputError
        If not even a single picture fits.
    """
    while True:
        try:
            return work(batch)
        except (RuntimeError, MemoryError) as problem:
            batch = smaller_batch(problem, batch, model)


def free_failed_attempt(problem: BaseException, model: Model | None = None) -> None:
    """Free what a failed attempt left behind: variables of its calls, recorded graphs, and torch's cache."""
    seen: BaseException | None = problem
    while seen is not None:
        # the failed calls hold their tensors as long as the exception exists
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__
    if model is not None and model.graphs is not None:
        model.graphs.forget()
    gc.collect()
    free_memory()


@contextlib.contextmanager
def reported_in_one_line(what: str, where: str) -> Iterator[None]:
    """Turn a lack of memory into one line, for work that has no smaller batch.

    Raises
    ------
    ModelError
        If memory runs out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        free_failed_attempt(problem)
        raise ModelError(f"there is not enough memory to {what}", where=where, remedy=REMEDY) from None


def loading(load: Callable[P, T]) -> Callable[P, T]:
    """Decorate a loading function, whose first argument is a name, to report a lack of memory in one line."""

    @functools.wraps(load)
    def loaded(*args: P.args, **options: P.kwargs) -> T:
        with reported_in_one_line("load it", str(args[0] if args else options.get("name", "the model"))):
            return load(*args, **options)

    return loaded
