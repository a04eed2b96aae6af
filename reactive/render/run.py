"""The whole way from a song to a finished clip: `make_clip`, which `reactive run` calls.

It takes the steps that the library offers one by one. A job folder keeps what is finished, so an interrupted run goes on:

    known_track        `open_track`, for a song that was heard before without decoding it
    hear               `analyze`, once for each song, and the corrections of its band
    resolve_timeline   `decide`; an edited timeline or a recorded take may stand in its place
    ModelSpec.load     `load_model`
    prepare_render     the plan: which segments, in which batches, under which keys
    imagine_missing    the segments that are missing, by the `open_imaginer` that `imagine` frames come from
    write_clips        the segments joined with the sound, by the `join` of `write_video`
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.audio.cache import known_track
from reactive.audio.hear import hear, merge_saved
from reactive.diffusion.backend.compile import check_compiler
from reactive.diffusion.models.load import choose_device, default_threads
from reactive.diffusion.models.model import Model
from reactive.errors import OutputError
from reactive.media.identity import carry_over
from reactive.media.sound import Track
from reactive.preset.shots import open_shots
from reactive.render.assemble import flashes_beside, sound_beside, title_notes, write_clips
from reactive.render.clip import Clip
from reactive.render.deliver import check_delivery
from reactive.render.inputs import RenderInputs, read_inputs
from reactive.render.kept import limit_jobs, most_bytes
from reactive.render.looping import LoopPlan, plan_loop
from reactive.render.loras import with_loras
from reactive.render.prepare import PreparedRender, chosen_range, prepare_render, prompts_between, texts_between
from reactive.render.rates import expected_line
from reactive.render.request import RenderRequest, finished_clip, is_made_by
from reactive.render.resolve import ResolvedTimeline, resolve_timeline
from reactive.render.settings import ModelSpec, Progress, Rates, Settings
from reactive.render.sizes import parse_shape, shaped_name
from reactive.render.steering import with_adapter, with_controls
from reactive.render.store.cache_keys import environment, model_hash
from reactive.render.store.folders import job_folder
from reactive.render.store.job import Job, folder_size, sweep
from reactive.render.store.segments import check_space
from reactive.render.workers.local import Executor, LocalExecutor, Tally, imagine_missing
from reactive.render.workers.segment_renderer import used_prompts
from reactive.score.flash import Flashes
from reactive.timeline.clock import frame_time, sound_range
from reactive.timeline.timeline import Timeline
from reactive.video.codec import container_format
from reactive.video.mux import with_aac
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
    load: Callable[[ModelSpec, Sequence[str]], Model] = ModelSpec.load,
) -> Clip:
    """Make a finished clip of a song; what an interrupted run finished is taken from its job folder.

    Parameters
    ----------
    song
        Any file with sound in it.
    out
        The clip to write; it appears there only when it is complete.
    settings
        How it is made.
    progress
        Called with how far each stage is.
    rates
        Called with how fast each worker of a Ray cluster is.
    tell
        Called with each note for the user as soon as it is known, which the clip's `notes` have too, and with how long it will take.
    load
        Loads the model, given the texts that it will embed; one that was loaded before may be returned.

    Raises
    ------
    ReactiveError
        If an input can't be used or the clip can't be written. Nothing is left behind then except a job folder in which
        something is finished.

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
    say = tell or (lambda note: None)
    clock = _Clock(time.perf_counter())
    container = container_format(out, settings.encoding.codec)
    check_delivery(out, settings)
    shapes = [parse_shape(shape) for shape in settings.output.also]
    outs = [out, *(shaped_name(out, shape) for shape in shapes)]
    inputs = read_inputs(song, outs, settings)
    if inputs.lut is not None:
        settings = settings.changed(lut=inputs.lut)
    settings = with_controls(with_adapter(settings, inputs.preset_data), inputs.preset_data)
    settings = with_loras(settings, inputs.preset_data, inputs.preset_path.parent if inputs.preset_path else None)
    for note in inputs.notes:
        say(note)
    device, threads = _choose_machine(settings)
    most = most_bytes()
    weights = model_hash(settings)
    folder = job_folder(out, settings.compute.job)
    if not folder.exists():
        _refuse_existing(outs, settings.output.overwrite)

    report("hearing", 0, 1)
    track = known_track(song)
    settings, inputs, notes = _with_saved(track, settings, inputs)
    settings, shortened = _within_longest(track, settings)
    notes = (*notes, *shortened)
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
    with Job(folder) as job, ExitStack() as threads_beside:
        sweep(outs)
        request = request.resumed(job)
        heard = None if settings.sources.timeline else hear(track.path, settings.hearing)
        resolved = resolve_timeline(track, heard, inputs, settings)
        loop = _chosen_loop(resolved, settings)
        frames = loop.rendered if loop else chosen_range(resolved, settings)
        _check_shortest(out, settings, loop.frames if loop else frames[1] - frames[0], resolved.timeline.fps)
        if loop:
            # the recipe names the very bars
            settings = settings.changed(loop=loop.bars)
        unseen = title_notes(settings, inputs, resolved.timeline, resolved.analysis, frames)
        for note in unseen:
            say(note)
        clock.heard = time.perf_counter()
        report("hearing", 1, 1)
        sound = _sound_range(resolved, frames)
        encoded = None
        if not loop and with_aac(settings.encoding.chosen):
            encoded = threads_beside.enter_context(sound_beside(job, resolved.track, sound))
        report("loading", 0, 1)
        model = load(_model_spec(settings, device, job, request), texts_between(resolved.timeline, frames, settings))
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
        for note in prepared.notes:
            say(note)
        segments = prepared.segments
        reused = segments.frames_done()
        left = frames[1] - frames[0] - reused
        if tell and left and not settings.compute.ray:
            # not a note of the clip: another run of it takes another time
            tell(expected_line(settings, left))
        sha256 = model.sha256
        judged = threads_beside.enter_context(
            flashes_beside(settings, segments=segments, resolved=resolved, inputs=inputs)
        )
        executor: Executor = LocalExecutor(model, prepared.spec)
        del model
        try:
            check_space(segments, outs, prepared.spec)
            if settings.compute.ray and segments.missing():
                # workers load models of their own, and this one would take memory from them
                executor.close()
                executor = _ray_executor(prepared, sha256, job, request, settings, rates)
            clock.loaded = time.perf_counter()
            report("loading", 1, 1)
            tally = imagine_missing(executor, segments, request, prepared.spec.batch, report)
            held_back, flashes = write_clips(
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
                sound=sound,
                encoded=encoded,
                judged=judged,
                loop=loop,
            )
        except OutputError as problem:
            # a user knows the clip, not the hidden piece that could not be written
            if problem.where and not problem.where.startswith((str(folder), str(folder.absolute()))):
                raise
            raise OutputError(problem.what, where=str(out), remedy=problem.remedy) from None
        finally:
            executor.close()
        clock.finished = time.perf_counter()
        kept = _kept_notes(job, most)
        for note in kept:
            say(note)
        told = (*inputs.notes, *notes, *unseen, *resolved.notes, *prepared.notes, *tally.notes)
        clip = _clip(outs, settings, prepared, resolved, tally, flashes, clock, device=device, held_back=held_back)
        clip = replace(clip, reused=reused, notes=told)
        if loop:
            clip = replace(clip, frames=loop.frames, duration=float(frame_time(loop.frames, clip.fps)))
        job.journal.append({"done": {"request": request.key, "clip": clip.stored()}})
        # what was kept and removed now is not true of this clip when it is asked for again
        return replace(clip, notes=(*clip.notes, *kept))


@dataclass
class _Clock:
    """When each stage of a render ended, in seconds of `time.perf_counter`."""

    began: float
    heard: float = 0.0
    loaded: float = 0.0
    finished: float = 0.0


def _choose_machine(settings: Settings) -> tuple[str, int]:
    """Check that what was chosen is there, and return the device and the number of CPU threads of a worker.

    Raises
    ------
    ReactiveError
        If the device, the encoder, the compiler or the upscaling is not there.
    """
    check_upscaling(settings.output.upscaling)
    check_encoder(settings.encoding.codec)
    device = choose_device(settings.model.device)
    if settings.model.compile:
        check_compiler(device)
    # workers of a Ray cluster on plain CPUs are many and have one core each, unless told
    threads = settings.compute.threads or (1 if settings.compute.ray and device == "cpu" else default_threads())
    torch.set_num_threads(threads)
    return device, threads


def _with_saved(
    track: Track, settings: Settings, inputs: RenderInputs
) -> tuple[Settings, RenderInputs, tuple[str, ...]]:
    """Return settings and inputs with what was saved for this song before, and notes for the user."""
    notes: tuple[str, ...] = ()
    if not settings.sources.timeline:
        merged, notes = merge_saved(track, settings.hearing)
        settings = settings.changed(hearing=merged)
    files = (settings.sources.timeline, settings.sources.take, settings.sources.shots)
    carried = [note for file in files if file and (note := carry_over(file, track))]
    if carried and inputs.shots is not None:
        inputs = replace(inputs, shots=open_shots(inputs.shots.path))
    return settings, inputs, (*notes, *carried)


def _within_longest(track: Track, settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Return settings whose clip is not longer than allowed, and a note for the user if that takes something away."""
    longest = settings.output.longest
    if longest is None or settings.output.loop or settings.sources.timeline or settings.duration is not None:
        return settings, ()
    if track.duration - settings.start <= longest:
        return settings, ()
    telling = settings.start == 0
    where = "around the drop" if telling else f"from {settings.start:g} s on"
    note = f"The clip may last {longest:g} s, so those {where} are rendered; --start chooses others."
    return settings.changed(duration=longest, telling=telling), (note,)


def _check_shortest(out: Path, settings: Settings, frames: int, fps: Fraction) -> None:
    """Check that a clip of so many frames is as long as the place that it is for takes at least."""
    least, lasts = settings.output.shortest, float(frame_time(frames, fps))
    if least is not None and lasts < least:
        where, remedy = str(out), "choose more of the song with --start, --duration or --loop"
        raise OutputError(
            f"would last {lasts:.2f} s, and this place takes at least {least:g} s", where=where, remedy=remedy
        )


def _sound_range(resolved: ResolvedTimeline, frames: tuple[int, int]) -> tuple[int, int]:
    """Return the first sample that sounds with frames [first, last), and the one after the last."""
    timeline, track = resolved.timeline, resolved.track
    return sound_range(
        *frames, timeline.fps, frames=timeline.frames, samples=track.samples, sample_rate=track.sample_rate
    )


def _chosen_loop(resolved: ResolvedTimeline, settings: Settings) -> LoopPlan | None:
    """Return the loop that is rendered in place of the song, if one is asked for."""
    if not settings.output.loop:
        return None
    if resolved.analysis is None:
        raise OutputError("can't go with --timeline", where="--loop", remedy="leave one of the two out")
    return plan_loop(resolved.analysis, resolved.timeline, settings.output.loop, longest=settings.output.longest)


def _clip(
    outs: Sequence[Path],
    settings: Settings,
    prepared: PreparedRender,
    resolved: ResolvedTimeline,
    tally: Tally,
    flashes: Flashes,
    clock: _Clock,
    *,
    device: str,
    held_back: int,
) -> Clip:
    """Return the finished clip and what it took."""
    timeline, plan, folder = resolved.timeline, prepared.segments.plan, prepared.segments.job.folder
    return Clip(
        output=outs[0],
        frames=plan.last - plan.first,
        pictures=tally.pictures,
        fps=timeline.fps,
        duration=float(frame_time(plan.last - plan.first, timeline.fps)),
        size=prepared.segments.sizes[0],
        imagine_size=prepared.spec.imagined,
        prompts_used=len(prompts_between(timeline, plan.first, plan.last)),
        photos_shown=_pictures_shown(timeline, plan.first, plan.last),
        model=settings.model.name,
        device=device,
        batch=prepared.spec.batch,
        threads=prepared.spec.threads,
        silent=bool(resolved.analysis and resolved.analysis.silent),
        steady=bool(resolved.analysis is None or len(resolved.analysis.beats)),
        flashes=flashes,
        held_back=held_back,
        analysis_s=clock.heard - clock.began,
        load_s=clock.loaded - clock.heard,
        render_s=clock.finished - clock.loaded,
        wall_s=clock.finished - clock.began,
        also=tuple(outs[1:]),
        job=folder,
        job_bytes=folder_size(folder),
    )


def _pictures_shown(timeline: Timeline, first: int, last: int) -> int:
    """Return how many photographs and videos frames [first, last) are made from or lie over."""
    shown = np.concatenate([timeline.columns[name][first:last] for name in ("source", "ground")])
    return len(np.unique(shown[shown >= 0]))


def _ray_executor(
    prepared: PreparedRender, sha256: str, job: Job, request: RenderRequest, settings: Settings, rates: Rates | None
) -> Executor:
    """Return workers of a Ray cluster, with the model and the versions of this process."""
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


def _kept_notes(job: Job, most: int) -> tuple[str, ...]:
    """Keep the jobs of finished clips within a size, and return sentences about where they lie and which ones left."""
    root = job.folder.parent
    notes = []
    if job.began_root:
        notes.append(
            f"Finished pieces of renders are kept in {root}, at most {most / 1e9:g} GB, for resuming and changing single shots. "
            "The oldest leave first; `reactive jobs clean` removes them."
        )
    if removed := limit_jobs(root, most=most, keep=job.folder):
        names = ", ".join(Path(one.clip).name for one in removed)
        freed = sum(one.size for one in removed) / 1e6
        notes.append(
            f"To stay below {most / 1e9:g} GB, the pieces of {names} were removed from {root} ({freed:,.1f} MB)."
        )
    return tuple(notes)


def _refuse_existing(outs: Sequence[Path], overwrite: bool) -> None:
    for path in outs:
        if not overwrite and path.exists():
            raise OutputError(
                "exists already", where=str(path), remedy="choose another name with -o, or pass --overwrite"
            )
