"""The whole way from a song to a finished clip."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from reactive.audio.hear import merge_saved
from reactive.diffusion.backend.compile import check_compiler
from reactive.diffusion.models.load import choose_device, default_threads
from reactive.errors import OutputError
from reactive.media.cube import read_cube
from reactive.media.fonts import missing_letters, no_font_for
from reactive.media.identity import carry_over
from reactive.media.picture import parse_colour, read_picture, read_transparent
from reactive.media.sound import open_track
from reactive.media.video import open_film
from reactive.preset.library import open_lyrics_of, open_preset
from reactive.preset.macros import macro_values
from reactive.preset.photographs import source_notes
from reactive.preset.schema import Overlay
from reactive.preset.shots import open_shots
from reactive.render.assemble import title_notes, write_clips
from reactive.render.clip import Clip
from reactive.render.inputs import RenderInputs
from reactive.render.outputs import check_output
from reactive.render.overlay import load_font
from reactive.render.prepare import PreparedRender, chosen_range, prepare_render, prompts_between
from reactive.render.request import RenderRequest, finished_clip, is_made_by
from reactive.render.resolve import resolve_timeline
from reactive.render.settings import ModelSpec, Progress, Rates, Settings
from reactive.render.sizes import parse_shape, shaped_name
from reactive.render.store.cache_keys import environment, model_hash
from reactive.render.store.job import Job, folder_size, job_folder, sweep
from reactive.render.store.segments import check_space
from reactive.render.take import load_take
from reactive.render.workers.local import Executor, LocalExecutor, render_missing
from reactive.render.workers.segment_renderer import used_prompts
from reactive.timeline.clock import frame_time
from reactive.timeline.timeline import Timeline
from reactive.video.codec import container_format
from reactive.video.nvenc import check_encoder
from reactive.video.upscale import check_upscaling


def make_clip(
    song: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: Settings,
    *,
    progress: Progress | None = None,
    rates: Rates | None = None,
    tell: Callable[[str], None] | None = None,
) -> Clip:
    """Make a finished clip of a song; what an interrupted run finished of it is taken from its job folder.

    Parameters
    ----------
    song
        Any file with sound in it.
    out
        The clip to write; it appears there only when it is complete.
    settings
        How.
    progress
        Told how far each stage is.
    rates
        Told how fast each worker of a Ray cluster is.
    tell
        Told what a user should know before a long wait, as soon as it is known; the clip's notes hold it too.

    Raises
    ------
    ReactiveError
        For anything that is wrong with what was given, or if the clip can't be written; nothing is left behind then but
        a job folder in which something is finished.

    Examples
    --------
    >>> import reactive
    >>> from fractions import Fraction
    >>> settings = reactive.Settings.of(
    ...     preset="nocturne", steps=1, device="cpu", fps=Fraction(8), duration=0.5, imagine_size=(64, 48), size=(64, 48)
    ... )
    >>> clip = reactive.make_clip("song.wav", "nocturne.mp4", settings)
    >>> clip.frames, clip.size
    (4, (64, 48))
    """
    out = Path(out)
    report = progress or (lambda stage, done, total: None)
    began = time.perf_counter()
    container = container_format(out, settings.encoding.codec)
    shapes = [parse_shape(shape) for shape in settings.output.also]
    outs = [out, *(shaped_name(out, shape) for shape in shapes)]
    inputs = _read_inputs(song, outs, settings)
    say = tell or (lambda note: None)
    for note in inputs.notes:
        say(note)
    check_upscaling(settings.output.upscaling)
    check_encoder(settings.encoding.codec)
    device = choose_device(settings.model.device)
    if settings.model.compile:
        check_compiler(device)
    # workers of a Ray cluster on plain CPUs are many and have one core each, unless told
    threads = settings.compute.threads or (1 if settings.compute.ray and device == "cpu" else default_threads())
    torch.set_num_threads(threads)
    weights = model_hash(settings)
    folder = job_folder(out, settings.compute.job)
    if not folder.exists():
        _refuse_existing(outs, settings.output.overwrite)

    report("hearing", 0, 1)
    track = open_track(song)
    notes: tuple[str, ...] = ()
    if not settings.sources.timeline:
        settled, notes = merge_saved(track, settings.hearing)
        settings = settings.changed(hearing=settled)
    carried = [
        note
        for file in (settings.sources.timeline, settings.sources.take, settings.sources.shots)
        if file and (note := carry_over(file, track))
    ]
    notes = (*notes, *carried)
    if carried and inputs.shots is not None:
        inputs = replace(inputs, shots=open_shots(inputs.shots.path))
    request = RenderRequest(
        track.sha256,
        settings,
        inputs.preset_data,
        inputs.lines,
        weights,
        environment(device, threads),
        song_file=track.file_sha256,
    )
    known = finished_clip(folder, request, outs)
    if known is not None and not settings.output.overwrite:
        return known
    _refuse_existing([path for path in outs if not is_made_by(folder, request, path)], settings.output.overwrite)
    with Job(folder) as job:
        sweep(outs)
        request = request.resumed(job)
        resolved = resolve_timeline(track, inputs.preset_data, inputs.lines, inputs.shot_edits, settings)
        frames = chosen_range(resolved, settings)
        unseen = title_notes(settings, inputs, resolved.timeline, resolved.analysis, frames)
        notes = (*notes, *unseen)
        for note in unseen:
            say(note)
        heard = time.perf_counter()
        report("hearing", 1, 1)

        report("loading", 0, 1)
        model = _model_spec(settings, device, job, request).load()
        prepared = prepare_render(
            song,
            outs,
            shapes,
            settings,
            model=model,
            job=job,
            request=request,
            resolved=resolved,
            frames=frames,
            inputs=inputs,
            threads=threads,
        )
        if tell is not None:
            for note in prepared.notes:
                tell(note)
        segments = prepared.segments
        reused = segments.frames_done()
        sha256 = model.sha256
        executor: Executor = LocalExecutor(model, prepared.spec)
        del model
        try:
            check_space(segments, outs, prepared.spec)
            if settings.compute.ray and segments.missing():
                # workers hold models of their own, and this one would take room from them
                executor.close()
                executor = _ray_executor(prepared, sha256, job, request, settings, rates)
            loaded = time.perf_counter()
            report("loading", 1, 1)
            tally = render_missing(executor, segments, request, prepared.spec.batch, report)
            held, flashes = write_clips(
                song,
                outs,
                settings,
                job=job,
                request=request,
                segments=segments,
                resolved=resolved,
                inputs=inputs,
                container=container,
                recipe=prepared.recipe,
            )
        except OutputError as problem:
            # what a user knows is the clip, not the hidden piece that could not be written
            if problem.where and not problem.where.startswith((str(folder), str(folder.absolute()))):
                raise
            raise OutputError(problem.what, where=str(out), remedy=problem.remedy) from None
        finally:
            executor.close()
        finished = time.perf_counter()
        timeline, (first, last) = resolved.timeline, frames
        clip = Clip(
            output=out,
            frames=last - first,
            pictures=tally.pictures,
            fps=timeline.fps,
            duration=float(frame_time(last - first, timeline.fps)),
            size=segments.sizes[0],
            imagine_size=prepared.spec.imagined,
            prompts_used=len(prompts_between(timeline, first, last)),
            photos_shown=_pictures_shown(timeline, first, last),
            model=settings.model.name,
            device=device,
            batch=prepared.spec.batch,
            threads=threads,
            silent=bool(resolved.analysis and resolved.analysis.silent),
            steady=bool(resolved.analysis is None or len(resolved.analysis.beats)),
            flashes=flashes,
            held_back=held,
            analysis_s=heard - began,
            load_s=loaded - heard,
            render_s=finished - loaded,
            wall_s=finished - began,
            also=tuple(outs[1:]),
            reused=reused,
            job=job.folder,
            job_bytes=folder_size(job.folder),
            notes=(*inputs.notes, *notes, *resolved.notes, *prepared.notes, *tally.notes),
        )
        job.journal.append({"done": {"request": request.key, "clip": clip.stored()}})
        return clip


def _pictures_shown(timeline: Timeline, first: int, last: int) -> int:
    """Return how many photographs and videos frames [first, last) are made from or lie over."""
    shown = np.concatenate([timeline.columns[name][first:last] for name in ("source", "ground")])
    return len(np.unique(shown[shown >= 0]))


def _read_inputs(song: str | os.PathLike[str], outs: Sequence[Path], settings: Settings) -> RenderInputs:
    """Read what was given and say what is broken, before seconds of hearing and loading."""
    written = [path for path in (settings.sources.timeline, settings.sources.take) if path]
    inputs = [Path(song), *settings.sources.photos, *settings.sources.videos, *written]
    for path in outs:
        check_output(path, inputs, overwrite=True)
    if settings.sources.take:
        load_take(settings.sources.take)
    preset = None if written else open_preset(settings.preset)
    lyrics = open_lyrics_of(preset, settings.sources.lyrics) if preset else None
    shots = open_shots(settings.sources.shots) if preset and settings.sources.shots else None
    if preset:
        macro_values(preset.preset, settings.macros)
    photos = (*settings.sources.photos, *(shots.photos if shots else ()))
    background = parse_colour(settings.sources.background, where="--background")
    for photo in photos:
        read_picture(photo, background=background)
    if settings.colours.lut:
        read_cube(settings.colours.lut)
    found = RenderInputs(preset, lyrics, shots, photos)
    shown = _check_overlay(settings, found)
    notes = [note for video in settings.sources.videos for note in open_film(video).notes]
    fed = source_notes(preset.preset, photos=len(photos), videos=len(settings.sources.videos)) if preset else []
    return replace(found, notes=(*notes, *(lyrics.notes if lyrics else ()), *shown, *fed))


def _check_overlay(settings: Settings, inputs: RenderInputs) -> list[str]:
    """Read what is laid over the pictures, and return a sentence if a letter of it is in no font."""
    overlay, folder = (
        (inputs.preset.preset.overlay, inputs.preset.path.parent) if inputs.preset else (Overlay(), Path())
    )
    logo = settings.overlay.logo or (folder / overlay.logo if overlay.logo else None)
    if logo:
        read_transparent(logo)
    font = folder / overlay.font if overlay.font else None
    if font:
        load_font(font, 12)
    texts = [settings.overlay.title, *(title.text for title in overlay.title)]
    if settings.overlay.show_lyrics or overlay.lyrics:
        texts += [line.text for line in inputs.lines]
    lacking = missing_letters((text for text in texts if text), font)
    if not lacking:
        return []
    return [no_font_for(lacking)]


def _ray_executor(
    prepared: PreparedRender, sha256: str, job: Job, request: RenderRequest, settings: Settings, rates: Rates | None
) -> Executor:
    """Return workers of a Ray cluster that have the very model and versions of this process."""
    from reactive.render.workers.ray import RayExecutor

    assert settings.compute.ray is not None
    return RayExecutor(
        settings.compute.ray,
        prepared.spec,
        prepared.model_spec,
        prompts=used_prompts(prepared.spec.timeline, prepared.segments.missing()),
        owner=job.owner,
        sha256=sha256,
        environment=request.environment,
        workers=settings.compute.workers,
        anywhere=settings.model.device == "auto",
        mixed=settings.compute.mixed,
        rates=rates,
    )


def _model_spec(settings: Settings, device: str, job: Job, request: RenderRequest) -> ModelSpec:
    """Return how the model is loaded: a job that goes on elsewhere keeps the number format that it was begun in."""
    before, model_spec = job.last("manifest"), settings.model.changed(device=device)
    if before is not None and before["request"] == request.key and settings.model.dtype == "auto":
        return model_spec.changed(dtype=before.get("dtype", "auto"))
    return model_spec


def _refuse_existing(outs: Sequence[Path], overwrite: bool) -> None:
    for path in outs:
        if not overwrite and path.exists():
            raise OutputError(
                "exists already", where=str(path), remedy="choose another name with -o, or pass --overwrite"
            )
