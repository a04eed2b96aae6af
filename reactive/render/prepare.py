"""From the timeline to the render's plan: sizes, batch, segments, cache keys, recipe, and the job's manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reactive.diffusion.calibration import PROMPTS
from reactive.diffusion.controls import ControlFile, control_files, control_notes, has_controls, subject_files
from reactive.diffusion.grounds import grounds_of
from reactive.diffusion.joins import prompts_at
from reactive.diffusion.models.conditioning import texts_to_embed
from reactive.diffusion.models.model import Model
from reactive.diffusion.styles import style_files
from reactive.media.picture import BLACK, parse_colour
from reactive.render.inputs import RenderInputs
from reactive.render.pace import job_pace
from reactive.render.plan import make_plan, segment_frames
from reactive.render.recipe import Recipe, make_recipe
from reactive.render.request import RenderRequest
from reactive.render.resolve import ResolvedTimeline, negatives_of
from reactive.render.settings import ModelSpec, Settings
from reactive.render.sizes import clip_sizes, composed_size, crop_note, shaped_size
from reactive.render.spec import RenderSpec
from reactive.render.store.batch_shape import job_shape, model_notes, prompt_notes
from reactive.render.store.cache_keys import cache_key_inputs, hash_path, picture_keys
from reactive.render.store.job import Job
from reactive.render.store.segments import SegmentStore
from reactive.render.workers.lane_count import lane_lengths, lanes_for
from reactive.render.workers.segment_renderer import expected_rate
from reactive.timeline.edges import shot_around
from reactive.timeline.excerpt import excerpt_frames
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class PreparedRender:
    """What an executor needs, the segments that it fills, the recipe that the clip carries, and notes for the user."""

    model_spec: ModelSpec
    spec: RenderSpec
    segments: SegmentStore
    recipe: Recipe | None
    notes: tuple[str, ...]


def chosen_range(resolved: ResolvedTimeline, settings: Settings) -> tuple[int, int]:
    """Return the frames [first, last) that are rendered.

    Raises
    ------
    ReactiveError
        If the excerpt is not within the song.
    """
    return excerpt_frames(resolved.timeline, resolved.start, settings.duration, lasts=resolved.track.duration)


def prepare_render(
    song: str | os.PathLike[str],
    outs: Sequence[Path],
    shapes: Sequence[tuple[int, int]],
    settings: Settings,
    *,
    model: Model,
    job: Job,
    request: RenderRequest,
    resolved: ResolvedTimeline,
    frames: tuple[int, int],
    inputs: RenderInputs,
    threads: int,
) -> PreparedRender:
    """Choose sizes, batch and pieces, and write the job's manifest.

    Raises
    ------
    OutputError
        If a size is not possible, or the disk fails.
    """
    timeline, device = resolved.timeline, model.device.type
    output, compute = settings.output, settings.compute
    imagined, size = clip_sizes(
        model, size=output.size, imagined=output.imagine_size, upscale=output.upscale, shape=output.shape
    )
    shape = job_shape(job, model, imagined, request.environment, batch=compute.batch, slices=compute.slices)
    batch = shape.batch
    if compute.lanes < 0:
        lanes = batch
    else:
        lanes = min(compute.lanes, batch) or lanes_for(lane_lengths(timeline), batch=batch, device=device)
    longest = compute.segment or segment_frames(timeline, expected_rate(model, imagined))
    plan = make_plan(timeline, first=frames[0], last=frames[1], longest=longest)
    codec = settings.encoding.chosen
    colour = parse_colour(settings.sources.background, where="--background")
    walk, notes = job_pace(job, model, compute.pace, imagined=imagined)
    sizes = [size, *(shaped_size(size, wanted) for wanted in shapes)]
    beside = [path.parent for path in (settings.sources.timeline, settings.sources.take, inputs.preset_path) if path]
    grounds = grounds_of(timeline, inputs.photos, settings.sources.videos, beside)
    styles = style_files(timeline, settings.sources.style_paths, beside)
    controls: tuple[ControlFile, ...] = ()
    if has_controls(timeline):
        subjects = subject_files(timeline, inputs.photos, settings.sources.videos, beside)
        controls = control_files(timeline, subjects, settings.sources.control_paths, beside)
    spec = RenderSpec(
        job.folder.absolute(),
        timeline,
        negatives_of(timeline, settings.negative),
        imagined,
        batch,
        threads,
        inputs.photos,
        settings.sources.videos,
        codec,
        output.imagine_rate,
        resolved.black,
        output.upscaling,
        walk,
        shape.slices,
        lanes,
        colour,
        grounds,
        composed_size(imagined, sizes),
        settings.colours.lut,
        styles,
        controls,
    )
    named = [file.path for file in grounds[len(inputs.photos) + len(settings.sources.videos) :]]
    files = (*inputs.photos, *settings.sources.videos, *named)
    style_hashes = {path.name: hash_path(path) + ("" if colour == BLACK else f" over {colour}") for path in styles}
    hashes = {file: hash_path(file) for file in files}
    # pieces made over black keep the keys that they had before other colours could be chosen
    under = "" if colour == BLACK else f" over {settings.sources.background}"
    contents = {number: hashes[file] + under for number, file in enumerate(files)}
    contents |= {
        number: f"{contents[number]} near {hash_path(file.depth)}" for number, file in enumerate(grounds) if file.depth
    }
    contents |= {
        number: contents[number] + timeline.framing.named(photo.name) for number, photo in enumerate(inputs.photos)
    }
    keys = picture_keys(
        plan,
        spec.visible_timeline(),
        cache_key_inputs(model, spec, request.environment),
        contents,
        style_hashes,
        [
            [name, *([file.subject, hash_path(file.path) + under] for file in controls if file.control == number)]
            for number, name in enumerate(timeline.controls if has_controls(timeline) else ())
        ],
    )
    numbers = str(model.dtype).removeprefix("torch.")
    recipe = None
    if output.recipe and not settings.sources.take:
        made = settings.changed(
            size=size,
            shape="",
            imagine_size=imagined,
            steps=model.steps,
            device=device,
            batch=batch,
            slices=shape.slices,
            threads=threads,
            sampler=model.sampling.sampler,
            prediction=model.prediction,
            segment=longest,
            start=resolved.start,
            pace=walk,
            lanes=lanes,
            dtype=numbers,
        )
        recipe = make_recipe(
            made,
            song=song,
            track=resolved.track,
            timeline=timeline,
            model=model,
            inputs=inputs,
            hashes=hashes,
            grounds=named,
            styles=styles,
            controls=list(dict.fromkeys(file.path for file in controls)),
        )
    segments = SegmentStore(job, plan, keys, sizes, timeline.fps, codec, output.upscaling)
    by_rule = {"batch": batch, "lanes": lanes, "dtype": numbers}
    job.set_manifest(request.manifest(song, outs[0], plan, by_rule, folder=job.folder))
    # workers of other kinds must not choose another number format
    model_spec = settings.model.changed(device=device, dtype=numbers)
    cropped = crop_note(imagined, sizes[1:], shapes)
    notes = (
        *model_notes(model, imagined),
        *prompt_notes(model, timeline.prompts),
        *control_notes(timeline),
        *notes,
        *([cropped] if cropped else []),
    )
    return PreparedRender(model_spec, spec, segments, recipe, notes)


def texts_between(timeline: Timeline, frames: tuple[int, int], settings: Settings) -> tuple[str, ...]:
    """Return the texts that a render of frames embeds: those of all shots that it touches, and those that measure the walk."""
    columns = timeline.columns
    first, last = shot_around(columns, frames[0])[0], shot_around(columns, max(frames[1] - 1, frames[0]))[1]
    used = prompts_at(columns, np.arange(first, last))
    own = texts_to_embed(timeline.prompts, negatives_of(timeline, settings.negative), used)
    return own if settings.compute.pace else (*own, *PROMPTS)


def prompts_between(timeline: Timeline, first: int, last: int) -> set[int]:
    """Return the prompts that frames [first, last) show."""
    columns = timeline.columns
    return {*columns["prompt_from"][first:last].tolist(), *columns["prompt_to"][first:last].tolist()}
