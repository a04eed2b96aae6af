"""The interface between a render and its executors: this process, or workers of a Ray cluster.

Both take the same missing segments of the same plan, write into the same job folder, and render by the same `SegmentRenderer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from reactive.diffusion.backend.device import free_memory
from reactive.diffusion.backend.out_of_memory import smaller_batch
from reactive.diffusion.models.model import Model
from reactive.render.request import RenderRequest
from reactive.render.settings import Progress
from reactive.render.spec import RenderSpec
from reactive.render.store.segments import SegmentStore
from reactive.render.workers.segment_renderer import SegmentRenderer, used_prompts


@dataclass
class Tally:
    """What a render did: pictures imagined, how many of them again in float32, and notes for the user."""

    pictures: int = 0
    retried: int = 0
    notes: tuple[str, ...] = ()


class Executor(Protocol):
    """Renders segments.

    Attributes
    ----------
    model
        The model, where this process holds it.
    """

    model: Model | None

    def render(self, segments: SegmentStore, *, batch: int, done: Callable[[int], None], tally: Tally) -> None:
        """Render all that is missing, in batches of one shape; record each segment as soon as it is finished.

        Raises
        ------
        ReactiveError
            If it can't be done; what is finished stays.
        MemoryError, RuntimeError
            If memory runs out (`reactive.errors.out_of_memory`).
        """

    def close(self) -> None:
        """Free everything that it holds."""


class LocalExecutor:
    """Renders in this process."""

    def __init__(self, model: Model, spec: RenderSpec) -> None:
        self.model: Model | None = model
        self.spec = spec

    def render(self, segments: SegmentStore, *, batch: int, done: Callable[[int], None], tally: Tally) -> None:
        """Render all that is missing."""
        assert self.model is not None
        tasks = segments.missing()
        renderer = SegmentRenderer(self.model, self.spec, used_prompts(self.spec.timeline, tasks), batch=batch)
        try:
            renderer.render(tasks, finished=segments.accept, done=done)
        finally:
            tally.pictures += renderer.pictures
            tally.retried += renderer.retried
            renderer.close()

    def close(self) -> None:
        """Free the model and its memory."""
        self.model = None
        free_memory()


def imagine_missing(
    executor: Executor, segments: SegmentStore, request: RenderRequest, batch: int, report: Progress
) -> Tally:
    """Render what is missing; where memory runs out, go on in smaller batches and record that in the journal.

    Raises
    ------
    ReactiveError
        If it can't be done.
    """
    tally = Tally(notes=request.notes)
    total = segments.plan.last - segments.plan.first
    smaller = segments.job.last("batch")
    if smaller and smaller["request"] == request.key and smaller["batch"] < batch:
        batch = smaller["batch"]
        tally.notes += (_smaller(batch),)
    while segments.missing():
        done = segments.frames_done()
        report("rendering", done, total)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            report("rendering", done, total)

        try:
            executor.render(segments, batch=batch, done=advance, tally=tally)
        except (RuntimeError, MemoryError) as problem:
            batch = smaller_batch(problem, batch, executor.model)
            segments.job.journal.append({"batch": {"request": request.key, "batch": batch}})
            tally.notes += (_smaller(batch),)
    report("rendering", total, total)
    if tally.retried:
        tally.notes += (
            f"{tally.retried} pictures had NaN or infinite values (an overflow of the number format) and were imagined again in "
            "float32; --dtype bfloat16 or float32 avoids it.",
        )
    return tally


def _smaller(batch: int) -> str:
    return f"memory ran out, so some pieces were imagined in batches of {batch}; they are exact only with that record."
