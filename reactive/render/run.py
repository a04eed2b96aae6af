"""The whole way from a song to a finished clip."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reactive.audio.analysis import analyze
from reactive.diffusion.models import Model, choose_device, default_batch, default_threads, find_model, load_model
from reactive.errors import OutputError, TimelineError
from reactive.media.picture import read_picture
from reactive.media.sound import Track, open_track
from reactive.preset.library import get_preset
from reactive.preset.schema import Preset
from reactive.render.asked import Asked, finished_clip, keep_timeline, kept_timeline, made_here, note_clip
from reactive.render.books import Books, check_space
from reactive.render.job import Job, folder_size, job_folder
from reactive.render.keys import environment, ground, hash_path, picture_keys
from reactive.render.plan import make_plan, segment_frames
from reactive.render.sizes import imagine_size, output_size, parse_shape, shaped_name, shaped_size
from reactive.render.work import Order, Worker, expected_rate, out_of_memory
from reactive.timeline.clock import format_fps, frame_sample, nearest_frame
from reactive.timeline.file import load_timeline
from reactive.timeline.timeline import Timeline, build_timeline
from reactive.video.codec import container_format, video_codec
from reactive.video.mux import join

# called with a stage's name, how much of it is done, and how much there is
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How a clip is made. Sizes are width and height in pixels; None means: what suits the model.

    `start` and `duration` are seconds of the song; `batch`, `threads` and `segment` (frames) 0 mean: by rule. `also` names
    further shapes of the clip, ``9:16``; `job` is where what is finished is kept, by default beside the clip; `mixed`
    goes on with a job that was begun with other versions or on another device.
    """

    preset: str = "loop-destroy"
    fps: Fraction = Fraction(24)
    size: tuple[int, int] | None = None
    imagine_size: tuple[int, int] | None = None
    model: str = "ember"
    steps: int | None = None
    seed: int = 0
    start: float = 0.0
    duration: float | None = None
    photos: tuple[Path, ...] = ()
    timeline: Path | None = None
    device: str = "auto"
    batch: int = 0
    threads: int = 0
    codec: str = "h264"
    speed: str = "veryfast"
    crf: int = 18
    overwrite: bool = False
    also: tuple[str, ...] = ()
    segment: int = 0
    job: Path | None = None
    mixed: bool = False


@dataclass(frozen=True)
class Clip:
    """A finished clip and what it took: durations in seconds."""

    output: Path
    frames: int
    fps: Fraction
    duration: float
    size: tuple[int, int]
    imagine_size: tuple[int, int]
    prompts_used: int
    model: str
    device: str
    batch: int
    threads: int
    silent: bool
    steady: bool
    analysis_s: float
    load_s: float
    render_s: float
    wall_s: float
    also: tuple[Path, ...] = ()
    reused: int = 0
    job: Path | None = None
    job_bytes: int = 0
    notes: tuple[str, ...] = ()
    already: bool = False

    def stored(self) -> dict[str, Any]:
        """Return all that `restored` needs, as plain data."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("output", "also", "job", "already", "fps")
        } | {"fps": format_fps(self.fps)}

    @classmethod
    def restored(cls, data: dict[str, Any], *, outs: Sequence[Path], job: Path) -> Clip:
        """Return a clip that an earlier run finished."""
        sizes = {name: tuple(data[name]) for name in ("size", "imagine_size", "notes")}
        return cls(
            **data | sizes | {"fps": Fraction(data["fps"])}, output=outs[0], also=tuple(outs[1:]), job=job, already=True
        )

    def to_dict(self) -> dict[str, object]:
        """Return the summary as plain data for JSON."""
        return {
            "output": str(self.output),
            "frames": self.frames,
            "fps": format_fps(self.fps),
            "duration": round(self.duration, 6),
            "size": "x".join(map(str, self.size)),
            "imagine_size": "x".join(map(str, self.imagine_size)),
            "prompts_used": self.prompts_used,
            "model": self.model,
            "device": self.device,
            "batch": self.batch,
            "threads": self.threads,
            "silent": self.silent,
            "beat": self.steady,
            "analysis_s": round(self.analysis_s, 3),
            "load_s": round(self.load_s, 3),
            "render_s": round(self.render_s, 3),
            "wall_s": round(self.wall_s, 3),
            "frames_per_s": round((self.frames - self.reused) / self.render_s, 3) if self.render_s > 0 else 0.0,
            "also": [str(path) for path in self.also],
            "reused": self.reused,
            "job": str(self.job) if self.job else None,
            "job_bytes": self.job_bytes,
            "notes": list(self.notes),
            "already": self.already,
        }


def make_clip(song: str | os.PathLike[str], out: Path, settings: Settings, *, progress: Progress | None = None) -> Clip:
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

    Raises
    ------
    ReactiveError
        For anything that is wrong with what was given, or if the clip can't be written; nothing is left behind then but
        a job folder in which something is finished.
    """
    report = progress or (lambda stage, done, total: None)
    began = time.perf_counter()
    container = container_format(out, settings.codec)
    shapes = [parse_shape(shape) for shape in settings.also]
    outs = [out, *(shaped_name(out, shape) for shape in shapes)]
    inputs = [Path(song), *settings.photos, *([settings.timeline] if settings.timeline else [])]
    for path in outs:
        check_output(path, inputs, overwrite=True)
    device = choose_device(settings.device)
    threads = settings.threads or default_threads()
    torch.set_num_threads(threads)
    preset = None if settings.timeline else get_preset(settings.preset)
    # what is broken is said before seconds of hearing and loading
    for photo in settings.photos:
        read_picture(photo)
    weights = find_model(settings.model)
    folder = job_folder(out, settings.job)
    if not folder.exists():
        _refuse_existing(outs, settings.overwrite)

    report("hearing", 0, 1)
    track = open_track(song)
    asked = Asked(track.sha256, settings, preset, hash_path(weights), environment(device, threads))
    known = finished_clip(folder, asked, outs)
    if known is not None and not settings.overwrite:
        return known
    _refuse_existing([path for path in outs if not made_here(folder, asked, path)], settings.overwrite)
    with Job(folder) as job:
        asked = asked.going_on(job)
        decided = kept_timeline(job, asked.timeline_key)
        if decided is None:
            decided = _decide(track, preset, settings)
            keep_timeline(job, asked.timeline_key, *decided)
        timeline, silent, steady = decided
        first, last = frame_range(timeline, track, settings)
        heard = time.perf_counter()
        report("hearing", 1, 1)

        report("loading", 0, 1)
        model = load_model(settings.model, device=device, steps=settings.steps)
        shape = settings.size or (16, 9)
        imagined = settings.imagine_size or imagine_size(model.native, shape)
        size = settings.size or output_size(imagined)
        _check_imagine_size(imagined, model)
        batch = settings.batch or default_batch(device, *imagined)
        longest = settings.segment or segment_frames(timeline, expected_rate(model, imagined))
        plan = make_plan(timeline, first=first, last=last, longest=longest)
        codec = video_codec(settings.codec, speed=settings.speed, crf=settings.crf)
        order = Order(job.folder, timeline, imagined, batch, threads, settings.photos, codec)
        sizes = [size, *(shaped_size(size, wanted) for wanted in shapes)]
        keys = picture_keys(
            plan, timeline, ground(model, order, asked.environment),
            {number: hash_path(photo) for number, photo in enumerate(settings.photos)},
        )  # fmt: skip
        books = Books(job, plan, keys, sizes, timeline.fps, codec)
        job.set_manifest(asked.manifest(song, out, plan))
        loaded = time.perf_counter()
        report("loading", 1, 1)
        reused = books.frames_there()
        try:
            check_space(books, outs)
            notes = _render(model, order, books, asked, report)
            # where a clip's own tags are made
            title = os.fsencode(Path(song).stem).decode("utf-8", "replace")
            metadata = {"title": title, "comment": f"made with reactive, preset {timeline.title}"}
            sound = (frame_sample(first, timeline.fps, track.sample_rate), _last_sample(last, timeline, track))
            for number, path in enumerate(outs):
                join(
                    books.pieces(number), track, path, fps=timeline.fps, container=container, codec=codec, sound=sound,
                    metadata=metadata, whole=partial(note_clip, job, asked, path),
                )  # fmt: skip
        except OutputError as problem:
            # what a user knows is the clip, not the hidden piece that could not be written
            raise OutputError(problem.what, where=str(out), remedy=problem.remedy) from None
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem):
                raise
            remedy = "use a smaller --batch or --imagine-size"
            raise OutputError("there is not enough memory to imagine it", where=str(out), remedy=remedy) from None
        finished = time.perf_counter()
        clip = Clip(
            output=out,
            frames=last - first,
            fps=timeline.fps,
            duration=float((last - first) / timeline.fps),
            size=size,
            imagine_size=imagined,
            prompts_used=len(_prompts_between(timeline, first, last)),
            model=settings.model,
            device=device,
            batch=batch,
            threads=threads,
            silent=silent,
            steady=steady,
            analysis_s=heard - began,
            load_s=loaded - heard,
            render_s=finished - loaded,
            wall_s=finished - began,
            also=tuple(outs[1:]),
            reused=reused,
            job=job.folder,
            job_bytes=folder_size(job.folder),
            notes=tuple(notes),
        )
        job.journal.append({"done": {"request": asked.key, "clip": clip.stored()}})
        return clip


def _decide(track: Track, preset: Preset | None, settings: Settings) -> tuple[Timeline, bool, bool]:
    """Return the timeline, whether the song is silent, and whether it has a beat (an edited timeline counts as one)."""
    if preset is None:
        return edited_timeline(settings, track), False, True
    analysis = analyze(track)
    timeline = build_timeline(
        analysis, preset, samples=track.samples, fps=settings.fps, seed=settings.seed,
        photos=tuple(photo.name for photo in settings.photos),
    )  # fmt: skip
    return timeline, analysis.silent, bool(len(analysis.beats))


def _render(model: Model, order: Order, books: Books, asked: Asked, report: Progress) -> list[str]:
    """Render what is missing; return what a user should know about it."""
    notes = list(asked.notes)
    total = books.plan.last - books.plan.first
    smaller = books.job.last("batch")
    batch = smaller["batch"] if smaller and smaller["request"] == asked.key else order.batch
    if batch < order.batch:
        notes.append(_smaller(batch))
    while todos := books.missing():
        done = books.frames_there()
        report("rendering", done, total)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            report("rendering", done, total)

        try:
            Worker(model, order, batch=batch).render(todos, finished=books.accept, done=advance)
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem) or batch == 1:
                raise
            batch //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            books.job.journal.append({"batch": {"request": asked.key, "batch": batch}})
            notes.append(_smaller(batch))
    report("rendering", total, total)
    return notes


def _smaller(batch: int) -> str:
    return f"memory ran out, so some pieces were imagined in batches of {batch}; they are exact only with that record"


def _refuse_existing(outs: Sequence[Path], overwrite: bool) -> None:
    for path in outs:
        if not overwrite and path.exists():
            raise OutputError(
                "exists already", where=str(path), remedy="choose another name with -o, or pass --overwrite"
            )


def check_output(out: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Check that a clip may be written to `out`.

    Raises
    ------
    OutputError
        If it is one of the inputs, exists without `overwrite`, or its folder can't be written.
    """
    try:
        exists = out.exists()
    except OSError as problem:
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(out), remedy="choose a shorter name"
        ) from None
    for given in inputs:
        if exists and given.exists() and given.exists() and os.path.samefile(out, given):
            raise OutputError("is what the clip is made from", where=str(out), remedy="choose another name with -o")
    if out.is_dir():
        raise OutputError("is a folder", where=str(out), remedy="name a file, for instance clip.mp4")
    if exists and not overwrite:
        _refuse_existing([out], overwrite)
    if not out.parent.is_dir():
        raise OutputError(
            "the folder does not exist", where=str(out.parent), remedy="make it, or choose another with -o"
        )
    if not os.access(out.parent, os.W_OK):
        raise OutputError("the folder can't be written", where=str(out.parent), remedy="choose another place with -o")


def edited_timeline(settings: Settings, track: Track) -> Timeline:
    """Load the timeline that was asked for and check that it belongs to this song and these photographs."""
    assert settings.timeline is not None
    timeline = load_timeline(settings.timeline)
    where = str(settings.timeline)
    if timeline.song_sha256 != track.sha256:
        raise TimelineError("was made for another song", where=where, remedy="name that song, or write a new timeline")
    names = tuple(photo.name for photo in settings.photos)
    if timeline.photos != names:
        wanted = ", ".join(timeline.photos) or "none"
        raise TimelineError(
            f"wants the photographs: {wanted}", where=where, remedy="name them with --photo, in this order"
        )
    return timeline


def frame_range(timeline: Timeline, track: Track, settings: Settings) -> tuple[int, int]:
    """Return the frames [first, last) that `start` and `duration` ask for."""
    if not 0 <= settings.start < track.duration:
        raise TimelineError(
            f"{settings.start:g} s is not within the song", where="--start", remedy=f"it lasts {track.duration:.2f} s"
        )
    first = min(nearest_frame(settings.start, timeline.fps), timeline.frames - 1)
    if settings.duration is None:
        return first, timeline.frames
    if not 0 < settings.duration < math.inf:
        raise TimelineError(f"{settings.duration:g} s is no length", where="--duration", remedy="give seconds above 0")
    last = nearest_frame(settings.start + settings.duration, timeline.fps)
    return first, min(max(last, first + 1), timeline.frames)


def _last_sample(last: int, timeline: Timeline, track: Track) -> int:
    return track.samples if last == timeline.frames else frame_sample(last, timeline.fps, track.sample_rate)


def _prompts_between(timeline: Timeline, first: int, last: int) -> set[int]:
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
