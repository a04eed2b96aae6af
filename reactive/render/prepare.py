"""From what was decided to what is rendered: the model, sizes, plan, keys, and what the job folder says of itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reactive.diffusion.models.model import Model
from reactive.diffusion.motion.flow import require_flow
from reactive.errors import OutputError
from reactive.media.picture import BLACK, parse_colour
from reactive.render.inputs import Given
from reactive.render.pace import job_pace
from reactive.render.plan import make_plan, segment_frames
from reactive.render.recipe import Recipe, make_recipe
from reactive.render.request import Asked
from reactive.render.resolve import Decided, frame_range, negatives_of
from reactive.render.settings import Settings
from reactive.render.sizes import imagine_size, output_size, shaped_size
from reactive.render.store.batch_shape import job_shape, model_notes
from reactive.render.store.cache_keys import ground, hash_path, picture_keys
from reactive.render.store.job import Job
from reactive.render.store.segments import Books
from reactive.render.workers.ladder import lane_lengths, lanes_for
from reactive.render.workers.segment_renderer import Loading, Order, expected_rate
from reactive.timeline.timeline import Timeline
from reactive.video.codec import video_codec
from reactive.video.upscale import Upscaling


@dataclass(frozen=True)
class Ready:
    """All that an executor needs, the books that it fills, the recipe that the clip shall carry, and notes for the user."""

    loading: Loading
    order: Order
    books: Books
    recipe: Recipe | None
    notes: tuple[str, ...]


def loading_of(settings: Settings, device: str) -> Loading:
    """Return how the model is loaded."""
    said = (("sampler", settings.sampler), ("spacing", settings.spacing), ("prediction", settings.prediction))
    return Loading(
        settings.model,
        device,
        settings.steps,
        settings.guidance,
        settings.loras,
        settings.vae,
        settings.dtype,
        settings.compile,
        tuple((option, value) for option, value in said if value),
    )


def chosen_range(decided: Decided, settings: Settings) -> tuple[int, int]:
    """Return the frames [first, last) that are rendered, and check what they need beside the model.

    Raises
    ------
    ReactiveError
        If the excerpt is not within the song, or an extra is missing.
    """
    if (decided.timeline.columns["guide"] >= 0).any():
        require_flow("camera.flow")
    if settings.imagine_rate:
        require_flow("--imagine-rate")
    return frame_range(decided.timeline, decided.track, replace(settings, start=decided.start))


def get_ready(
    song: str | os.PathLike[str],
    outs: Sequence[Path],
    shapes: Sequence[tuple[int, int]],
    settings: Settings,
    *,
    model: Model,
    job: Job,
    asked: Asked,
    decided: Decided,
    frames: tuple[int, int],
    given: Given,
    threads: int,
) -> Ready:
    """Choose sizes, batch and pieces, and write the job's manifest.

    Raises
    ------
    OutputError
        If a size can't be, or the disk fails.
    """
    timeline, device = decided.timeline, model.device.type
    imagined = settings.imagine_size or imagine_size(model.native, settings.size or (16, 9))
    _check_imagine_size(imagined, model)
    upscaling = Upscaling(settings.upscale, settings.upscaler)
    size = settings.size or output_size(imagined, upscale=upscaling.factor)
    shape = job_shape(job, model, imagined, asked.environment, batch=settings.batch, slices=settings.slices)
    batch = shape.batch
    if settings.lanes < 0:
        lanes = batch
    else:
        lanes = min(settings.lanes, batch) or lanes_for(lane_lengths(timeline), batch=batch, device=device)
    longest = settings.segment or segment_frames(timeline, expected_rate(model, imagined))
    plan = make_plan(timeline, first=frames[0], last=frames[1], longest=longest)
    codec = video_codec(settings.codec, speed=settings.speed, crf=settings.crf)
    colour = parse_colour(settings.background, where="--background")
    walk, notes = job_pace(job, model, settings.pace, imagined=imagined)
    order = Order(
        job.folder.absolute(), timeline, negatives_of(timeline, settings.negative), imagined, batch, threads, given.photos,
        settings.videos, codec, settings.imagine_rate, decided.black, upscaling, walk, shape.slices, lanes, colour,
        settings.lut,
    )  # fmt: skip
    files = (*given.photos, *settings.videos)
    hashes = {file: hash_path(file) for file in files}
    # pieces made over black keep the names that they had before there was another colour
    under = "" if colour == BLACK else f" over {settings.background}"
    contents = {number: hashes[file] + under for number, file in enumerate(files)}
    keys = picture_keys(plan, order.seen(), ground(model, order, asked.environment), contents)
    numbers = str(model.dtype).removeprefix("torch.")
    recipe = None
    if settings.recipe and not settings.take:
        made = replace(
            settings, size=size, imagine_size=imagined, steps=model.steps, device=device, batch=batch, slices=shape.slices,
            threads=threads, sampler=model.sampling.sampler, prediction=model.prediction,
            segment=longest, start=decided.start, pace=walk, lanes=lanes, dtype=numbers,
        )  # fmt: skip
        recipe = make_recipe(
            made, song=song, track=decided.track, timeline=timeline, model=model, given=given, hashes=hashes
        )
    sizes = [size, *(shaped_size(size, wanted) for wanted in shapes)]
    books = Books(job, plan, keys, sizes, timeline.fps, codec, upscaling)
    job.set_manifest(asked.manifest(song, outs[0], plan, {"batch": batch, "lanes": lanes, "dtype": numbers}))
    # workers of other kinds must not choose another number format
    loading = replace(loading_of(settings, device), dtype=numbers)
    return Ready(loading, order, books, recipe, (*model_notes(model, imagined), *notes))


def prompts_between(timeline: Timeline, first: int, last: int) -> set[int]:
    """Return the prompts that frames [first, last) show."""
    columns = timeline.columns
    return {*columns["prompt_from"][first:last].tolist(), *columns["prompt_to"][first:last].tolist()}


def _check_imagine_size(size: tuple[int, int], model: Model) -> None:
    for side in size:
        if side % model.factor:
            raise OutputError(
                f"{size[0]}x{size[1]} is not in steps of {model.factor} pixels",
                where="--imagine-size",
                remedy=f"use {size[0] // model.factor * model.factor}x{size[1] // model.factor * model.factor}",
            )
