"""Renders segments into the job folder with one model. Local and Ray runs share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch

from reactive.diffusion.grade import any_colours, prepare_colours
from reactive.diffusion.imaginer import open_imaginer
from reactive.diffusion.joins import prompts_at
from reactive.diffusion.lanes import FeedbackRange, shot_ticks
from reactive.diffusion.models.model import Model
from reactive.media.cube import read_cube
from reactive.render.beside import beside
from reactive.render.plan import Segment
from reactive.render.spec import RenderSpec
from reactive.render.store.cache_keys import first_tick_at, last_tick_before
from reactive.render.store.checkpoint import append_tick, read_checkpoint, read_state, state_bytes
from reactive.render.store.job import JobFile
from reactive.render.workers.segment_writer import Finished, Piece, SegmentWriter
from reactive.timeline.edges import shot_around
from reactive.timeline.timeline import Timeline
from reactive.video.segment import output_error
from reactive.video.upscale import Upscale, upscaler


@dataclass(frozen=True)
class SegmentTask:
    """A segment that is missing.

    Attributes
    ----------
    number
        Its place in the plan.
    segment
        Its frames.
    piece
        What is written.
    checkpoint
        Name of the file that keeps a feedback segment's ticks while it is in progress.
    before
        Name of the state that it continues from, if that exists; else its shot starts again.
    """

    number: int
    segment: Segment
    piece: Piece
    checkpoint: str = ""
    before: str | None = None


@dataclass
class _Chain:
    """Missing segments of one shot that follow each other, rendered in one go; `current` is the one in progress."""

    tasks: list[tuple[int, SegmentTask]]
    ticks: list[Fraction]
    current: int = 0
    begun: bool = False


class SegmentRenderer:
    """A model with everything that it needs for a job's clip.

    Parameters
    ----------
    model
        The loaded model.
    spec
        The job.
    prompts
        Numbers of the prompts that its segments may show.
    batch
        A smaller batch than that of `spec`, if memory does not hold that.

    Raises
    ------
    MediaError
        If a photograph or video can't be read.
    """

    def __init__(self, model: Model, spec: RenderSpec, prompts: Iterable[int], *, batch: int | None = None) -> None:
        self.model = model
        self.spec = spec
        shape = batch or spec.batch
        self._opened = ExitStack()
        self.imaginer = self._opened.enter_context(
            open_imaginer(
                model,
                replace(spec.timeline, negatives=spec.negatives),
                spec.photos,
                spec.videos,
                size=spec.imagined,
                grounds=spec.grounds,
                composed=spec.composed,
                styles=spec.styles,
                controls=spec.controls,
                background=spec.background,
                batch=shape,
                lanes=spec.lane_count(shape),
                slices=spec.slices,
                prompts=prompts,
                pace=spec.pace,
                rate=spec.rate,
                black=spec.black,
                lut=read_cube(spec.lut) if spec.lut else None,
            )
        )

    @property
    def batch(self) -> int:
        """How many pictures a batch holds."""
        return self.imaginer.core.batch

    @property
    def pictures(self) -> int:
        """How many pictures were imagined so far."""
        return self.imaginer.pictures

    @property
    def retried(self) -> int:
        """How many of them were imagined again in float32."""
        return self.imaginer.retried

    def close(self) -> None:
        """Close the films."""
        self._opened.close()

    def render(self, tasks: Sequence[SegmentTask], *, finished: Finished, done: Callable[[int], None]) -> None:
        """Render segments into the job folder.

        Parameters
        ----------
        tasks
            What is missing, in the plan's order.
        finished
            Called, from another thread, with the number and the files of each segment that is complete on disk.
        done
            Called, from another thread, with how many frames were just encoded.

        Raises
        ------
        OutputError
            If the disk is full or fails.
        ModelError
            If the model makes pictures with NaN or infinite values.
        """
        spec, imaginer = self.spec, self.imaginer
        runs = [_Chain(chain, shot_ticks(spec.timeline, *shot)) for shot, chain in chains(tasks)]

        def complete(index: int, entries: list[JobFile]) -> None:
            finished(tasks[index].number, entries)

        writer = SegmentWriter(
            [task.piece for task in tasks],
            spec.folder,
            fps=spec.timeline.fps,
            codec=spec.codec,
            finished=complete,
            done=done,
            upscale=self._larger(),
            # an upscaling network uses all threads
            threads=1 if spec.upscaling.method == "esrgan" and spec.upscaling.factor > 1 else spec.threads,
        )

        def ticked(wanted: FeedbackRange, tick: int, picture: torch.Tensor) -> None:
            run = by_first[wanted.first]
            self._save_tick(run, tick, picture)
            self._use_tick(run, tick, picture, writer)

        wanted = [frame for task in tasks for frame in range(task.segment.start, task.segment.stop)]
        graded = self.model.device.type == "cpu" and any_colours(
            spec.timeline.columns, np.array(wanted, np.int64), imaginer.lut
        )
        try:
            if graded:
                self._opened.enter_context(beside("colours", lambda ended: prepare_colours()))
            if imaginer.grounds is not None and wanted:
                imaginer.grounds.read_ahead(wanted[0])
            # lanes first: each has an encoder open, so too little memory shows at once, not after an hour
            by_first = {run.tasks[0][1].segment.start: run for run in runs}
            ranges = [self._feedback_range(run, writer) for run in runs]
            for numbers, pictures in imaginer.feedback(ranges, on_tick=ticked):
                writer.put(numbers, pictures)
            alone = [index for index, task in enumerate(tasks) if task.segment.shot is None]
            if alone:
                if imaginer.rate:
                    spans = [tasks[index].segment for index in alone]
                    made = imaginer.independent(np.concatenate([np.arange(span.start, span.stop) for span in spans]))
                else:
                    made = imaginer.independent(writer.runs(alone, self.batch))
                for numbers, pictures in made:
                    writer.put(numbers, pictures, few=True)
            writer.finish()
        except BaseException:
            writer.abandon()
            raise

    def _larger(self) -> Upscale:
        """Return what upscales pictures; those with a ground beneath them have the clip's size already."""
        upscale, imagined = upscaler(self.spec.upscaling, threads=self.spec.threads), self.spec.imagined
        return lambda picture: upscale(picture) if picture.shape[1::-1] == imagined else picture

    def _feedback_range(self, run: _Chain, writer: SegmentWriter) -> FeedbackRange:
        """Return the part of its shot that a chain needs, from the last state and the checkpoint of its first segment on."""
        first, last = run.tasks[0][1], run.tasks[-1][1]
        assert first.segment.shot is not None
        start, stop = first.segment.shot
        tick, picture = -1, None
        if first.before is not None:
            tick = last_tick_before(run.ticks, first.segment.start)
            picture = read_state(self.spec.folder / first.before).to(self.model.device)
            # a segment too short for a tick passes on the state that it began with
            self._use_tick(run, tick, picture, writer)
        return FeedbackRange(
            start, stop, first.segment.start, last.segment.stop, tick, picture, self._saved_ticks(run, tick + 1, writer)
        )

    def _saved_ticks(self, run: _Chain, tick: int, writer: SegmentWriter) -> Iterator[torch.Tensor]:
        """Yield the pictures of ticks that an interrupted run left in the first segment's checkpoint."""
        shape = (3, self.spec.imagined[1], self.spec.imagined[0])
        path = self.spec.folder / run.tasks[0][1].checkpoint
        for picture in read_checkpoint(path, tick, shape):
            run.begun = True
            self._use_tick(run, tick, picture, writer)
            yield picture.to(self.model.device)
            tick += 1

    def _save_tick(self, run: _Chain, tick: int, picture: torch.Tensor) -> None:
        path = self.spec.folder / run.tasks[run.current][1].checkpoint
        try:
            append_tick(path, tick, picture, anew=not run.begun)
        except OSError as problem:
            raise output_error(path, problem) from None
        run.begun = True

    def _use_tick(self, run: _Chain, tick: int, picture: torch.Tensor, writer: SegmentWriter) -> None:
        """Give a tick's picture to the segments that end after it, and go on to the next segment after the last tick."""
        for index, task in run.tasks[run.current :]:
            if task.piece.state is not None and tick == last_tick_before(run.ticks, task.segment.stop):
                writer.hand_over(index, state_bytes(picture))
        while run.current < len(run.tasks) - 1 and tick >= first_tick_at(
            run.ticks, run.tasks[run.current][1].segment.stop - 1
        ):
            run.current, run.begun = run.current + 1, False


def expected_rate(model: Model, imagined: tuple[int, int]) -> float:
    """Estimate how many pictures a second a model makes, by a fixed rule, since it decides where the clip is divided.

    The cost is that of the network at its native size for the families known (a ninth of weights times latents), the
    speed that of a modest machine.
    """
    weights = sum(parameter.numel() for parameter in model.network.parameters())
    latents = imagined[0] * imagined[1] / model.vae_scale_factor**2
    cost = 2 * weights * latents / 9 * model.steps * (1 if model.guidance == 1.0 else 2)
    return (5e10 if model.device.type == "cpu" else 2e13) / cost


def used_prompts(timeline: Timeline, tasks: Sequence[SegmentTask]) -> set[int]:
    """Return the prompts that segments need: a feedback shot begins before an excerpt that shows only its end."""
    columns = timeline.columns
    used: set[int] = set()
    for task in tasks:
        begin, end = task.segment.shot or (task.segment.start, task.segment.stop)
        if task.segment.shot is None:
            # pictures drawn between others have neighbours anywhere in the shot
            begin, end = shot_around(columns, begin)
        used |= prompts_at(columns, np.arange(begin, end))
    return used


def chains(tasks: Sequence[SegmentTask]) -> list[tuple[tuple[int, int], list[tuple[int, SegmentTask]]]]:
    """Return the missing feedback segments in runs that continue each other: their shot, and each with its index."""
    found: list[tuple[tuple[int, int], list[tuple[int, SegmentTask]]]] = []
    for index, task in enumerate(tasks):
        shot = task.segment.shot
        if shot is None:
            continue
        before = found[-1][1][-1][1].segment if found else None
        if before is not None and before.shot == shot and before.stop == task.segment.start:
            found[-1][1].append((index, task))
        else:
            found.append((shot, [(index, task)]))
    return found
