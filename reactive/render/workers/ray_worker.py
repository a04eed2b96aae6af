"""What runs in a worker's process: a model, held from segment to segment of one job.

It returns names and hashes of what it wrote, never pictures. A segment is the same bits whoever renders it and however often, so
one whose worker died is simply rendered again, from the trail that the dead one left.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.backend.shortage import let_go
from reactive.diffusion.models.locate import FOLDERS
from reactive.diffusion.models.lora import parse_lora
from reactive.errors import ReactiveError, out_of_memory
from reactive.render.store.cache_keys import environment
from reactive.render.store.job import Entry
from reactive.render.store.lease import lease_of
from reactive.render.workers.segment_renderer import Loading, Order, Todo, Worker


@dataclass(frozen=True)
class Told:
    """What a worker is: machine, process, the model's hash, what its bits rest on, and whether it sees the job folder."""

    host: str
    process: int
    sha256: str
    environment: dict[str, Any]
    sees: bool


@dataclass(frozen=True)
class Done:
    """What a worker did: finished segments and their files, and why it stopped, if it did.

    `problem` is what, where and remedy of an error that a user can do something about; `memory` says that memory ran out.
    """

    pieces: tuple[tuple[int, tuple[Entry, ...]], ...]
    pictures: int
    again: int
    seconds: float
    problem: tuple[str, str, str] | None = None
    memory: bool = False


@dataclass(frozen=True)
class Assignment:
    """What a worker is told with each call, since it may have been begun again: the job, the model, and the prompts."""

    order: Order
    loading: Loading
    prompts: frozenset[int]


class Renderer:
    """What runs in a worker's process. It knows nothing until it is called, so that it can be begun again at any time."""

    def __init__(self) -> None:
        self.worker: Worker | None = None

    def ready(self, job: Assignment, owner: str) -> Told | tuple[str, str, str]:
        """Load the model and tell of this worker, or what, where and remedy of what is wrong."""
        try:
            worker = self._worker(job, job.order.batch)
        except ReactiveError as problem:
            return problem.what, problem.where, problem.remedy
        held = lease_of(job.order.folder)
        around = environment(job.loading.device, job.order.threads)
        return Told(
            socket.gethostname(), os.getpid(), worker.model.sha256, around, held is not None and held.owner == owner
        )

    def render(self, job: Assignment, todos: Sequence[Todo], batch: int) -> Done:
        """Render segments into the job folder; those that are finished count, whatever becomes of the others."""
        began = time.perf_counter()
        finished: list[tuple[int, tuple[Entry, ...]]] = []
        problem: tuple[str, str, str] | None = None
        memory = False
        worker, pictures, again = None, 0, 0
        try:
            worker = self._worker(job, batch)
            pictures, again = worker.pictures, worker.again
            worker.render(
                todos,
                finished=lambda number, entries: finished.append((number, tuple(entries))),
                done=lambda count: None,
            )
        except ReactiveError as error:
            problem = error.what, error.where, error.remedy
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            let_go(error, worker.model if worker is not None else None)
            memory = True
        if worker is not None:
            pictures, again = worker.pictures - pictures, worker.again - again
        return Done(tuple(finished), pictures, again, time.perf_counter() - began, problem, memory)

    def _worker(self, job: Assignment, batch: int) -> Worker:
        # it belongs to the thread that computes
        torch.set_num_threads(job.order.threads)
        if self.worker is None or self.worker.core.batch != batch:
            model = self.worker.model if self.worker else job.loading.load()
            if self.worker:
                self.worker.close()
            self.worker = Worker(model, job.order, job.prompts, batch=batch)
        return self.worker


def placed_order(order: Order) -> Order:
    """Return an order whose files are named from the root, since workers stand elsewhere."""
    photos, videos = (tuple(path.absolute() for path in files) for files in (order.photos, order.videos))
    return replace(order, folder=order.folder.absolute(), photos=photos, videos=videos)


def placed_loading(loading: Loading) -> Loading:
    def placed(name: str) -> str:
        return str(Path(name).absolute()) if name not in FOLDERS and Path(name).exists() else name

    loras = []
    for text in loading.loras:
        name, _ = parse_lora(text)
        loras.append(placed(name) + text.removeprefix(name))
    vae = placed(loading.vae) if loading.vae else None
    return replace(loading, name=placed(loading.name), loras=tuple(loras), vae=vae)
