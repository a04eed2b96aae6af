"""The whole way from a song to a finished clip."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reactive.audio.analysis import Analysis
from reactive.audio.hear import NO_WISHES, Wishes, hear, settle
from reactive.diffusion.compiled import check_compiler
from reactive.diffusion.flow import require_flow
from reactive.diffusion.models import Model, choose_device, default_batch, default_threads, load_model
from reactive.errors import OutputError, TimelineError
from reactive.media.picture import read_picture
from reactive.media.sound import Track, open_track
from reactive.media.video import open_film
from reactive.preset.library import find_preset, get_preset, words_of
from reactive.preset.lyrics import Line
from reactive.preset.macros import macro_values
from reactive.preset.schema import Overlay, Preset
from reactive.preset.shots import Shots, load_shots, shot_photos
from reactive.render.asked import Asked, finished_clip, made_here, note_clip
from reactive.render.books import Books, check_space
from reactive.render.flashsafe import limit_pieces
from reactive.render.job import Job, folder_size, job_folder
from reactive.render.keys import environment, ground, hash_path, model_hash, picture_keys
from reactive.render.outputs import check_output
from reactive.render.overlay import Mark, make_marks, overlay_pieces
from reactive.render.pace import job_pace
from reactive.render.plan import make_plan, segment_frames
from reactive.render.recipe import clip_tags, make_recipe
from reactive.render.sizes import imagine_size, output_size, parse_shape, shaped_name, shaped_size
from reactive.render.take import load_take, perform_take
from reactive.render.work import Order, Worker, expected_rate, out_of_memory
from reactive.score.flash import Flashes, Kind, score_flashes
from reactive.timeline.captions import captions_of
from reactive.timeline.clock import format_fps, frame_sample, nearest_frame
from reactive.timeline.excerpt import telling_start
from reactive.timeline.file import load_timeline
from reactive.timeline.shots import apply_shots
from reactive.timeline.timeline import Timeline, build_timeline
from reactive.video.codec import container_format, video_codec
from reactive.video.mux import join
from reactive.video.nvenc import check_encoder
from reactive.video.upscale import Upscaling, check_upscaling

# called with a stage's name, how much of it is done, and how much there is
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How a clip is made. Sizes are width and height in pixels; None means: what suits the model.

    With `compile` the model's networks are compiled first.
    `imagine_rate` is how many pictures a second are imagined where feedback does not decide; 0 means: every frame.
    `start` and `duration` are seconds of the song; with `telling` the excerpt begins where it tells most, around the drop;
    `macros` says where the preset's knobs stand; `lyrics` is an LRC or SRT file, `shots` a file of wishes for single shots;
    `title`, `logo` and `show_lyrics` are laid over the finished pictures; `take` is a recorded performance, which brings its
    own presets, seed and frame rate; `batch`, `threads`, `segment`
    (frames) and `pace` (of the walk) 0 mean: by rule; with `recipe` the clip carries all that
    decides it. Finished pictures are made `upscale` times as large by the `upscaler` lanczos or esrgan. `also` names
    further shapes of the clip, ``9:16``; `job` is where what is finished is kept, by default beside the clip; `mixed` goes on
    with a job that was begun with other versions or on another device.
    """

    preset: str = "loop-destroy"
    fps: Fraction = Fraction(24)
    size: tuple[int, int] | None = None
    imagine_size: tuple[int, int] | None = None
    model: str = "ember"
    loras: tuple[str, ...] = ()
    vae: str | None = None
    guidance: float | None = None
    negative: str = ""
    dtype: str = "auto"
    compile: bool = False
    steps: int | None = None
    seed: int = 0
    start: float = 0.0
    duration: float | None = None
    photos: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    imagine_rate: float = 0.0
    upscale: int = 1
    upscaler: str = "lanczos"
    timeline: Path | None = None
    take: Path | None = None
    macros: Mapping[str, float] = field(default_factory=dict)
    lyrics: Path | None = None
    telling: bool = False
    shots: Path | None = None
    title: str = ""
    logo: Path | None = None
    show_lyrics: bool = False
    device: str = "auto"
    batch: int = 0
    threads: int = 0
    codec: str = "h264"
    speed: str = "veryfast"
    crf: int = 18
    overwrite: bool = False
    wishes: Wishes = NO_WISHES
    flash_safe: bool = False
    recipe: bool = True
    also: tuple[str, ...] = ()
    segment: int = 0
    pace: float = 0.0
    job: Path | None = None
    mixed: bool = False


@dataclass(frozen=True)
class Clip:
    """A finished clip and what it took: durations in seconds."""

    output: Path
    frames: int
    pictures: int
    fps: Fraction
    duration: float
    size: tuple[int, int]
    imagine_size: tuple[int, int]
    prompts_used: int
    photos_shown: int
    model: str
    device: str
    batch: int
    threads: int
    silent: bool
    steady: bool
    flashes: Flashes
    held_back: int
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
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("output", "also", "job", "already")
        } | {"fps": format_fps(self.fps), "flashes": asdict(self.flashes)}

    @classmethod
    def restored(cls, data: dict[str, Any], *, outs: Sequence[Path], job: Path) -> Clip:
        """Return a clip that an earlier run finished."""
        kinds = {
            name: Kind(**kind | {"stretches": tuple(map(tuple, kind["stretches"]))})
            for name, kind in data["flashes"].items()
        }
        told: dict[str, Any] = {name: tuple(data[name]) for name in ("size", "imagine_size", "notes")}
        told |= {"fps": Fraction(data["fps"]), "flashes": Flashes(**kinds)}
        return cls(**data | told, output=outs[0], also=tuple(outs[1:]), job=job, already=True)

    def to_dict(self) -> dict[str, object]:
        """Return the summary as plain data for JSON."""
        return {
            "output": str(self.output),
            "frames": self.frames,
            "pictures": self.pictures,
            "fps": format_fps(self.fps),
            "duration": round(self.duration, 6),
            "size": "x".join(map(str, self.size)),
            "imagine_size": "x".join(map(str, self.imagine_size)),
            "prompts_used": self.prompts_used,
            "photos_shown": self.photos_shown,
            "model": self.model,
            "device": self.device,
            "batch": self.batch,
            "threads": self.threads,
            "silent": self.silent,
            "beat": self.steady,
            "flashes": self.flashes.to_dict(),
            "held_back": self.held_back,
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
    written = [path for path in (settings.timeline, settings.take) if path]
    inputs = [Path(song), *settings.photos, *settings.videos, *written]
    for path in outs:
        check_output(path, inputs, overwrite=True)
    upscaling = Upscaling(settings.upscale, settings.upscaler)
    check_upscaling(upscaling)
    check_encoder(settings.codec)
    if settings.compile:
        check_compiler()
    device = choose_device(settings.device)
    threads = settings.threads or default_threads()
    torch.set_num_threads(threads)
    if settings.take:
        load_take(settings.take)
    preset = None if written else get_preset(settings.preset)
    lines = words_of(settings.preset, preset, settings.lyrics) if preset else ()
    wishes = load_shots(settings.shots) if preset and settings.shots else None
    if preset:
        macro_values(preset, settings.macros)
    photos = settings.photos
    if wishes and settings.shots:
        photos = (*photos, *(settings.shots.parent / name for name in shot_photos(wishes)))
    # what is broken is said before seconds of hearing and loading
    for photo in photos:
        read_picture(photo)
    for video in settings.videos:
        open_film(video)
    weights = model_hash(settings)
    folder = job_folder(out, settings.job)
    if not folder.exists():
        _refuse_existing(outs, settings.overwrite)

    report("hearing", 0, 1)
    track = open_track(song)
    notes: tuple[str, ...] = ()
    if not settings.timeline:
        settled, notes = settle(track, settings.wishes)
        settings = replace(settings, wishes=settled)
    contents = tuple(hash_path(file) for file in (*photos, *settings.videos))
    asked = Asked(track.sha256, settings, preset, lines, weights, environment(device, threads))
    known = finished_clip(folder, asked, outs)
    if known is not None and not settings.overwrite:
        return known
    _refuse_existing([path for path in outs if not made_here(folder, asked, path)], settings.overwrite)
    with Job(folder) as job:
        asked = asked.going_on(job)
        decided = _decide(track, preset, lines, wishes, settings)
        timeline, track, notes = decided.timeline, decided.track, notes + decided.notes
        if (timeline.columns["guide"] >= 0).any():
            require_flow("camera.flow")
        if settings.imagine_rate:
            require_flow("--imagine-rate")
        first, last = frame_range(timeline, track, replace(settings, start=decided.start))
        heard = time.perf_counter()
        report("hearing", 1, 1)

        report("loading", 0, 1)
        model = load_model(
            settings.model, device=device, steps=settings.steps, guidance=settings.guidance, loras=settings.loras,
            vae=settings.vae, dtype=settings.dtype, compiled=settings.compile,
        )  # fmt: skip
        shape = settings.size or (16, 9)
        imagined = settings.imagine_size or imagine_size(model.native, shape)
        size = settings.size or output_size(imagined, upscale=upscaling.factor)
        _check_imagine_size(imagined, model)
        batch = settings.batch or default_batch(device, *imagined)
        longest = settings.segment or segment_frames(timeline, expected_rate(model, imagined))
        plan = make_plan(timeline, first=first, last=last, longest=longest)
        codec = video_codec(settings.codec, speed=settings.speed, crf=settings.crf)
        walk, more = job_pace(job, model, settings.pace, imagined=imagined)
        notes += more
        order = Order(
            job.folder, timeline, negatives_of(timeline, settings.negative), imagined, batch, threads, photos,
            settings.videos, codec, settings.imagine_rate, decided.black, upscaling, walk,
        )  # fmt: skip
        sizes = [size, *(shaped_size(size, wanted) for wanted in shapes)]
        keys = picture_keys(
            plan, order.seen(), ground(model, order, asked.environment), dict(enumerate(contents)),
        )  # fmt: skip
        made = replace(
            settings, size=size, imagine_size=imagined, steps=model.steps, device=device, batch=batch, threads=threads,
            segment=longest, start=decided.start, pace=walk,
        )  # fmt: skip
        recipe = None
        if settings.recipe and not settings.take:
            recipe = make_recipe(made, song=song, track=track, timeline=timeline, model=model)
        books = Books(job, plan, keys, sizes, timeline.fps, codec, upscaling)
        job.set_manifest(asked.manifest(song, out, plan))
        loaded = time.perf_counter()
        report("loading", 1, 1)
        reused = books.frames_there()
        try:
            check_space(books, outs)
            pictures, told = _render(model, order, books, asked, report)
            # where a clip's own tags are made
            title = os.fsencode(Path(song).stem).decode("utf-8", "replace")
            metadata = {"title": title, "comment": f"made with reactive, preset {timeline.title}", **clip_tags(recipe)}
            sound = (frame_sample(first, timeline.fps, track.sample_rate), _last_sample(last, timeline, track))
            held = 0
            for number, path in enumerate(outs):
                pieces = books.pieces(number)
                marks = overlay_marks(settings, preset, timeline, decided.analysis, lines, sizes[number])
                if marks:
                    pieces = overlay_pieces(
                        pieces, marks, first=first, fps=timeline.fps, size=sizes[number], codec=codec
                    )
                if settings.flash_safe:
                    pieces, count = limit_pieces(pieces, fps=timeline.fps, size=sizes[number], codec=codec)
                    held = max(held, count)
                join(
                    pieces, track, path, fps=timeline.fps, container=container, codec=codec, sound=sound,
                    metadata=metadata, whole=partial(note_clip, job, asked, path),
                )  # fmt: skip
                for piece, _ in set(pieces) - set(books.pieces(number)):
                    piece.unlink()
        except OutputError as problem:
            # what a user knows is the clip, not the hidden piece that could not be written
            raise OutputError(problem.what, where=str(out), remedy=problem.remedy) from None
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem):
                raise
            remedy = "use a smaller --batch or --imagine-size"
            raise OutputError("there is not enough memory to imagine it", where=str(out), remedy=remedy) from None
        finished = time.perf_counter()
        report("watching", 0, 1)
        flashes = score_flashes(out)
        report("watching", 1, 1)
        clip = Clip(
            output=out,
            frames=last - first,
            pictures=pictures,
            fps=timeline.fps,
            duration=float((last - first) / timeline.fps),
            size=size,
            imagine_size=imagined,
            prompts_used=len(_prompts_between(timeline, first, last)),
            photos_shown=len({source for source in timeline.columns["source"][first:last].tolist() if source >= 0}),
            model=settings.model,
            device=device,
            batch=batch,
            threads=threads,
            silent=bool(decided.analysis and decided.analysis.silent),
            steady=bool(decided.analysis is None or len(decided.analysis.beats)),
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
            notes=(*notes, *told),
        )
        job.journal.append({"done": {"request": asked.key, "clip": clip.stored()}})
        return clip


@dataclass(frozen=True)
class _Decided:
    """The timeline, where an excerpt begins in seconds, the song, what was heard (None: an edited timeline), notes, and how
    black each frame of a take is."""

    timeline: Timeline
    start: float
    track: Track
    analysis: Analysis | None = None
    notes: tuple[str, ...] = ()
    black: np.ndarray | None = None


def _decide(
    track: Track, preset: Preset | None, lines: Sequence[Line], wishes: Shots | None, settings: Settings
) -> _Decided:
    """Hear the song and decide its timeline."""
    if settings.timeline:
        return _Decided(edited_timeline(settings, track), settings.start, track)
    heard = hear(track.path, settings.wishes)
    photos, videos = (tuple(file.name for file in files) for files in (settings.photos, settings.videos))
    black = None
    if settings.take:
        performance = perform_take(settings.take, heard.track, heard.analysis, photos, videos)
        timeline, black = performance.timeline, performance.black
    else:
        assert preset is not None
        timeline = build_timeline(
            heard.analysis, preset, samples=heard.track.samples, fps=settings.fps, seed=settings.seed,
            photos=photos, videos=videos, macros=settings.macros, lyrics=lines,
        )  # fmt: skip
    if wishes:
        timeline, _ = apply_shots(timeline, heard.analysis, wishes)
    start = settings.start
    if settings.telling:
        start = telling_start(heard.analysis, settings.duration or heard.track.duration)
    return _Decided(timeline, start, heard.track, heard.analysis, heard.notes, black)


def _render(model: Model, order: Order, books: Books, asked: Asked, report: Progress) -> tuple[int, list[str]]:
    """Render what is missing; return how many pictures were imagined, and what a user should know about it."""
    pictures = 0
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
            worker = Worker(model, order, batch=batch)
            worker.render(todos, finished=books.accept, done=advance)
            pictures += worker.pictures
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem) or batch == 1:
                raise
            batch //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            books.job.journal.append({"batch": {"request": asked.key, "batch": batch}})
            notes.append(_smaller(batch))
    report("rendering", total, total)
    return pictures, notes


def _smaller(batch: int) -> str:
    return f"memory ran out, so some pieces were imagined in batches of {batch}; they are exact only with that record."


def _refuse_existing(outs: Sequence[Path], overwrite: bool) -> None:
    for path in outs:
        if not overwrite and path.exists():
            raise OutputError(
                "exists already", where=str(path), remedy="choose another name with -o, or pass --overwrite"
            )


def edited_timeline(settings: Settings, track: Track) -> Timeline:
    """Load the timeline that was asked for and check that it belongs to this song and these photographs."""
    assert settings.timeline is not None
    timeline = load_timeline(settings.timeline)
    where = str(settings.timeline)
    if timeline.song_sha256 != track.sha256:
        raise TimelineError("was made for another song", where=where, remedy="name that song, or write a new timeline")
    for kind, option, files, named in (
        ("photographs", "--photo", settings.photos, timeline.photos),
        ("videos", "--video", settings.videos, timeline.videos),
    ):
        if named != tuple(file.name for file in files):
            wanted = ", ".join(named) or "none"
            raise TimelineError(
                f"wants the {kind}: {wanted}", where=where, remedy=f"name them with {option}, in this order"
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


def negatives_of(timeline: Timeline, more: str) -> tuple[str, ...]:
    """Return what each of a timeline's prompts keeps away from, with `more` for all of them; empty for nothing."""
    own = timeline.negatives or ("",) * len(timeline.prompts)
    return tuple(", ".join(text for text in (one, more) if text) for one in own) if any(own) or more else ()


def overlay_marks(
    settings: Settings,
    preset: Preset | None,
    timeline: Timeline,
    analysis: Analysis | None,
    lines: Sequence[Line],
    size: tuple[int, int],
) -> list[Mark]:
    """Return what is laid over the finished pictures: the preset's overlay, and what the settings add to it.

    An edited timeline has no preset to say more than the logo.
    """
    overlay, folder = Overlay(), None
    if preset:
        overlay, folder = preset.overlay, find_preset(settings.preset).parent
    if settings.show_lyrics:
        overlay = overlay.model_copy(update={"lyrics": True})
    captions = captions_of(overlay, timeline, analysis, title=settings.title, lyrics=lines) if analysis else []
    logo = settings.logo or (folder / overlay.logo if folder and overlay.logo else None)
    font = folder / overlay.font if folder and overlay.font else None
    if not captions and not logo:
        return []
    return make_marks(overlay, captions, font=font, logo=logo, fps=timeline.fps, frames=timeline.frames, size=size)


def _check_imagine_size(size: tuple[int, int], model: Model) -> None:
    for side in size:
        if side % model.factor:
            raise OutputError(
                f"{size[0]}x{size[1]} is not in steps of {model.factor} pixels",
                where="--imagine-size",
                remedy=f"use {size[0] // model.factor * model.factor}x{size[1] // model.factor * model.factor}",
            )
