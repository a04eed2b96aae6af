"""A worker's process: it keeps a model loaded from segment to segment of one job.

It returns names and hashes of what it wrote, never pictures. A segment is the same bits whoever renders it and however often, so
one whose worker died is simply rendered again, from the checkpoint that the dead one left.
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

from reactive.diffusion.backend.out_of_memory import free_failed_attempt
from reactive.diffusion.models.conditioning import texts_to_embed
from reactive.diffusion.models.locate import FOLDERS
from reactive.diffusion.models.lora import parse_lora
from reactive.errors import ReactiveError, out_of_memory
from reactive.render.settings import ModelSpec
from reactive.render.spec import RenderSpec
from reactive.render.store.cache_keys import environment
from reactive.render.store.job import JobFile
from reactive.render.store.lease import lease_of
from reactive.render.workers.segment_renderer import SegmentRenderer, SegmentTask


@dataclass(frozen=True)
class WorkerInfo:
    """A worker: machine, process, the model's hash, its environment, and whether it sees the job folder."""

    host: str
    process: int
    sha256: str
    environment: dict[str, Any]
    sees_job: bool


@dataclass(frozen=True)
class WorkResult:
    """What a worker did: finished segments and their files, and why it stopped if it failed.

    `problem` is what, where and remedy of an error that a user can do something about; `memory` says that memory ran out.
    """

    pieces: tuple[tuple[int, tuple[JobFile, ...]], ...]
    pictures: int
    retried: int
    seconds: float
    problem: tuple[str, str, str] | None = None
    memory: bool = False


@dataclass(frozen=True)
class Assignment:
    """The arguments of each call, since a worker may have been restarted: the job, the model, and the prompts."""

    spec: RenderSpec
    model_spec: ModelSpec
    prompts: frozenset[int]


class RayWorker:
    """Runs in a worker's process. It has no state until it is called, so it can be restarted at any time."""

    def __init__(self) -> None:
        self.renderer: SegmentRenderer | None = None

    def ready(self, job: Assignment, owner: str) -> WorkerInfo | tuple[str, str, str]:
        """Load the model and describe this worker, or return what, where and remedy of an error."""
        try:
            renderer = self._renderer(job, job.spec.batch)
        except ReactiveError as problem:
            return problem.what, problem.where, problem.remedy
        held = lease_of(job.spec.folder)
        around = environment(job.model_spec.device, job.spec.threads)
        return WorkerInfo(
            socket.gethostname(), os.getpid(), renderer.model.sha256, around, held is not None and held.owner == owner
        )

    def render(self, job: Assignment, tasks: Sequence[SegmentTask], batch: int) -> WorkResult:
        """Render segments into the job folder; finished ones count even if another fails."""
        began = time.perf_counter()
        finished: list[tuple[int, tuple[JobFile, ...]]] = []
        problem: tuple[str, str, str] | None = None
        memory = False
        renderer, pictures, again = None, 0, 0
        try:
            renderer = self._renderer(job, batch)
            pictures, again = renderer.pictures, renderer.retried
            renderer.render(
                tasks,
                finished=lambda number, entries: finished.append((number, tuple(entries))),
                done=lambda count: None,
            )
        except ReactiveError as error:
            problem = error.what, error.where, error.remedy
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            free_failed_attempt(error, renderer.model if renderer is not None else None)
            memory = True
        if renderer is not None:
            pictures, again = renderer.pictures - pictures, renderer.retried - again
        return WorkResult(tuple(finished), pictures, again, time.perf_counter() - began, problem, memory)

    def _renderer(self, job: Assignment, batch: int) -> SegmentRenderer:
        # it belongs to the thread that computes
        torch.set_num_threads(job.spec.threads)
        if self.renderer is None or self.renderer.batch != batch:
            texts = texts_to_embed(job.spec.timeline.prompts, job.spec.negatives, job.prompts)
            model = self.renderer.model if self.renderer else job.model_spec.load(texts)
            if self.renderer:
                self.renderer.close()
            self.renderer = SegmentRenderer(model, job.spec, job.prompts, batch=batch)
        return self.renderer


def with_absolute_paths(spec: RenderSpec) -> RenderSpec:
    """Return a spec with absolute paths, since workers run in other folders."""
    photos, videos, styles = (
        tuple(path.absolute() for path in files) for files in (spec.photos, spec.videos, spec.styles)
    )
    controls = tuple(replace(file, path=file.path.absolute()) for file in spec.controls)
    return replace(spec, folder=spec.folder.absolute(), photos=photos, videos=videos, styles=styles, controls=controls)


def model_with_absolute_paths(model_spec: ModelSpec) -> ModelSpec:
    def placed(name: str) -> str:
        return str(Path(name).absolute()) if name not in FOLDERS and Path(name).exists() else name

    loras = []
    for text in model_spec.loras:
        name, _ = parse_lora(text)
        loras.append(placed(name) + text.removeprefix(name))
    vae = placed(model_spec.vae) if model_spec.vae else None
    adapter = placed(model_spec.adapter) if model_spec.adapter else None
    quant = placed(model_spec.quant) if model_spec.quant else None
    return model_spec.changed(name=placed(model_spec.name), loras=tuple(loras), vae=vae, adapter=adapter, quant=quant)
