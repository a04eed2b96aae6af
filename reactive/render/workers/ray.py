"""Render on many machines: workers of a Ray cluster hold the model and write into the job folder that all of them share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reactive.diffusion.models.model import Model
from reactive.errors import ModelError, OutputError
from reactive.render.settings import ModelSpec, Rates
from reactive.render.spec import RenderSpec
from reactive.render.store.cache_keys import differences
from reactive.render.store.segments import SegmentStore
from reactive.render.workers.cluster import cluster, first_line, refuse_idle_gpus, require_ray, room_for
from reactive.render.workers.local import Tally
from reactive.render.workers.ray_worker import (
    Assignment,
    RayWorker,
    WorkerInfo,
    WorkResult,
    model_with_absolute_paths,
    with_absolute_paths,
)
from reactive.render.workers.scheduler import SegmentScheduler

# how often a dead worker is started again, and how often its task is tried again
RESTARTS = 4
RETRIES = 2
# a segment counts as the cause after it was lost with so many workers in turn
LOSSES = 3
# seconds to wait for the other workers once one is ready; later ones join
_TOGETHER = 60.0


@dataclass
class _WorkerHandle:
    """A worker of the cluster: its handle, its current segments, and the frames and seconds that it has rendered."""

    actor: Any
    numbers: list[int] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0


class RayExecutor:
    """Renders by workers of a Ray cluster.

    Parameters
    ----------
    address
        ``local`` for workers on this machine, ``auto`` or HOST:PORT for a running cluster.
    spec, model_spec
        The job; its folder and all its files are on paths that all workers share.
    prompts
        Numbers of the prompts that missing segments may show.
    owner
        The owner in the job's lease.
    sha256, environment
        The model's hash and the environment, which must be the same for workers unless `mixed`.
    workers
        How many; 0: as many as fit.
    anywhere
        Whether the device is chosen by rule: then a cluster's GPUs must not stay idle because this machine has none.
    rates
        Called with the frames a second of each worker.

    Raises
    ------
    ReactiveError
        If the cluster can't be reached or has no room, or a worker differs or does not see the job folder.
    """

    def __init__(
        self,
        address: str,
        spec: RenderSpec,
        model_spec: ModelSpec,
        *,
        prompts: Iterable[int],
        owner: str,
        sha256: str,
        environment: Mapping[str, Any],
        workers: int = 0,
        anywhere: bool = True,
        mixed: bool = False,
        rates: Rates | None = None,
    ) -> None:
        self.spec = with_absolute_paths(spec)
        self.model_spec = model_with_absolute_paths(model_spec)
        self.owner, self.sha256, self.environment, self.mixed = owner, sha256, dict(environment), mixed
        self.rates: Rates = rates or (lambda each: None)
        self.notes: tuple[str, ...] = ()
        self.lost: dict[int, int] = {}
        self.workers: list[_WorkerHandle] = []
        # workers that are still loading, by the reference of their answer
        self.starting: dict[Any, _WorkerHandle] = {}
        # workers hold models of their own
        self.model: Model | None = None
        self.open = contextlib.ExitStack()
        self.open.enter_context(cluster(address, room=max(1, workers) * self._cores()))
        self.ray = require_ray()
        try:
            if anywhere and not self._gpu():
                refuse_idle_gpus(self.ray)
            room = workers or room_for(self.ray, gpu=self._gpu(), cores=self._cores())
            self._begin(frozenset(prompts), room)
        except BaseException:
            self.close()
            raise

    def render(self, segments: SegmentStore, *, batch: int, done: Callable[[int], None], tally: Tally) -> None:
        """Render all that is missing."""
        scheduler = SegmentScheduler(
            segments.missing(), batch=self.spec.lane_count(batch), longest=segments.plan.longest
        )
        busy: dict[Any, _WorkerHandle] = {}
        memory = False
        with self._failures():
            while True:
                for worker in [] if memory else self.workers:
                    if not worker.numbers and (numbers := scheduler.take()):
                        worker.numbers = numbers
                        busy[worker.actor.render.remote(self.job, [segments.task(n) for n in numbers], batch)] = worker
                if not busy:
                    break
                finished, _ = self.ray.wait([*busy, *self.starting], num_returns=1)
                for reference in finished:
                    if reference in self.starting:
                        self._accept_worker(reference)
                        continue
                    worker = busy.pop(reference)
                    memory |= self._collect(reference, worker, scheduler, segments, done, tally)
        tally.notes += self.notes
        self.notes = ()
        if memory:
            raise MemoryError
        # else a worker that wrote nothing would get the same task for ever
        if segments.missing():
            raise OutputError("workers left pieces unfinished", where=str(self.spec.folder), remedy="run it again")

    def close(self) -> None:
        """Release the workers, and stop the cluster if it was started here."""
        with contextlib.suppress(Exception):
            for worker in (*self.workers, *self.starting.values()):
                self.ray.kill(worker.actor)
        self.open.close()

    def _gpu(self) -> bool:
        return self.model_spec.device == "cuda"

    def _cores(self) -> int:
        return 1 if self._gpu() else self.spec.threads

    def _begin(self, prompts: frozenset[int], count: int) -> None:
        """Start the workers, and wait until those that can start are ready."""
        with self._failures():
            # once through the object store: as an argument of the constructor, its loss would prevent a restart
            self.job = self.ray.put(Assignment(self.spec, self.model_spec, prompts))
            self.kind = self.ray.remote(RayWorker).options(
                num_cpus=self._cores(),
                num_gpus=1 if self._gpu() else 0,
                max_restarts=RESTARTS,
                max_task_retries=RETRIES,
            )
            for _ in range(count):
                self._start_worker()
            while not self.workers:
                self._accept_worker(self.ray.wait(list(self.starting), num_returns=1)[0][0])
            if self.starting:
                there, _ = self.ray.wait(list(self.starting), num_returns=len(self.starting), timeout=_TOGETHER)
                for reference in there:
                    self._accept_worker(reference)

    def _start_worker(self) -> None:
        worker = _WorkerHandle(self.kind.remote())
        self.starting[worker.actor.ready.remote(self.job, self.owner)] = worker

    def _accept_worker(self, reference: Any) -> None:
        """Accept a worker that is ready.

        Raises
        ------
        ReactiveError
            If it can't do the job.
        """
        worker = self.starting.pop(reference)
        try:
            told = self.ray.get(reference)
        except self.ray.exceptions.RayActorError:
            if self.workers or self.starting:
                return
            raise
        if not isinstance(told, WorkerInfo):
            raise ModelError(told[0], where=told[1], remedy=told[2])
        who = f"the worker on {told.host}"
        if not told.sees_job:
            raise OutputError(
                f"{who} does not see the job folder {self.spec.folder}",
                where="Ray",
                remedy="put it on a path that all workers share, with --job or -o",
            )
        if told.sha256 != self.sha256:
            raise ModelError(
                f"is another model for {who}", where=self.model_spec.name, remedy="bring the same files there"
            )
        if differs := differences(self.environment, told.environment):
            if not self.mixed:
                raise OutputError(
                    f"{who} differs: {differs}",
                    where="Ray",
                    remedy="install the same versions there, leave it out, or pass --mixed (pieces then agree to within "
                    "rounding, feedback only in kind)",
                )
            self.notes += (f"{who} differs ({differs}): pieces agree to within rounding, feedback in kind.",)
        self.workers.append(worker)

    def _collect(
        self,
        reference: Any,
        worker: _WorkerHandle,
        scheduler: SegmentScheduler,
        segments: SegmentStore,
        done: Callable[[int], None],
        tally: Tally,
    ) -> bool:
        """Record what a worker did; return whether memory ran out."""
        numbers, worker.numbers = worker.numbers, []
        try:
            result: WorkResult = self.ray.get(reference)
        except self.ray.exceptions.RayActorError:
            # restarted and retried in vain: another worker replaces it
            self._replace(worker, numbers, scheduler)
            return False
        for number, entries in result.pieces:
            segments.accept(number, list(entries))
            scheduler.finished(number)
            frames = scheduler.frames[number]
            worker.frames += frames
            done(frames)
        tally.pictures += result.pictures
        tally.retried += result.retried
        worker.seconds += result.seconds
        self.rates([each.frames / each.seconds if each.seconds else 0.0 for each in self.workers])
        if result.problem is not None:
            what, where, remedy = result.problem
            raise OutputError(what, where=where, remedy=remedy)
        return result.memory

    def _replace(self, worker: _WorkerHandle, numbers: Sequence[int], scheduler: SegmentScheduler) -> None:
        for number in numbers:
            self.lost[number] = self.lost.get(number, 0) + 1
            scheduler.put_back(number)
        if max((self.lost[number] for number in numbers), default=0) >= LOSSES:
            raise OutputError(
                "was lost with every worker that tried it; perhaps their memory does not hold it",
                where=f"Ray, segment {numbers[0]}",
                remedy="run it again with a smaller --batch or fewer --workers",
            )
        self.workers.remove(worker)
        self.ray.kill(worker.actor)
        self._start_worker()
        while not self.workers:
            self._accept_worker(next(iter(self.starting)))

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn errors of Ray itself into one line."""
        try:
            yield
        except self.ray.exceptions.RayTaskError:
            # no fault of the cluster's
            raise
        except self.ray.exceptions.RayError as problem:
            raise OutputError(first_line(problem), where="Ray", remedy="what is finished stays; run it again") from None
