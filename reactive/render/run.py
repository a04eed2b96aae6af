"""The whole way from a song to a finished clip."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.audio.analysis import Analysis
from reactive.audio.hear import NO_WISHES, Wishes, hear, settle
from reactive.diffusion.conditioning import PromptBank
from reactive.diffusion.core import Core, from_bytes
from reactive.diffusion.flow import require_flow
from reactive.diffusion.frames import Scenery, independent_frames, scenery
from reactive.diffusion.joins import prompts_at
from reactive.diffusion.lanes import feedback_frames
from reactive.diffusion.models import Model, choose_device, default_batch, default_threads, find_model, load_model
from reactive.diffusion.sparse import sparse_frames
from reactive.errors import OutputError, TimelineError
from reactive.media.picture import read_picture
from reactive.media.sound import Track, open_track
from reactive.media.video import open_film
from reactive.preset.library import find_preset, get_preset, words_of
from reactive.preset.lyrics import Line
from reactive.preset.macros import macro_values
from reactive.preset.schema import Overlay, Preset
from reactive.preset.shots import load_shots, shot_photos
from reactive.render.flashsafe import limit_pieces
from reactive.render.outputs import check_output
from reactive.render.overlay import Mark, make_marks, overlay_pieces
from reactive.render.plan import Plan, make_plan
from reactive.render.recipe import clip_tags, make_recipe
from reactive.render.sizes import imagine_size, output_size
from reactive.render.take import darkened, load_take, perform_take
from reactive.render.writer import SegmentWriter
from reactive.score.flash import Flashes, score_flashes
from reactive.sources.photo import load_photo
from reactive.sources.video import VideoSource
from reactive.timeline.captions import captions_of
from reactive.timeline.clock import format_fps, frame_sample, nearest_frame
from reactive.timeline.excerpt import telling_start
from reactive.timeline.file import load_timeline
from reactive.timeline.shots import apply_shots
from reactive.timeline.timeline import Timeline, build_timeline
from reactive.video.codec import Codec, container_format, video_codec
from reactive.video.mux import join

# called with a stage's name, how much of it is done, and how much there is
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How a clip is made. Sizes are width and height in pixels; None means: what suits the model.

    `imagine_rate` is how many pictures a second are imagined where feedback does not decide; 0 means: every frame.
    `start` and `duration` are seconds of the song; with `telling` the excerpt begins where it tells most, around the drop;
    `macros` says where the preset's knobs stand; `lyrics` is an LRC or SRT file, `shots` a file of wishes for single shots;
    `title`, `logo` and `show_lyrics` are laid over the finished pictures; `take` is a recorded performance, which brings its
    own presets, seed and frame rate; `batch` 0 and `threads` 0 mean: by rule; with `recipe` the clip carries all that
    decides it.
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
    steps: int | None = None
    seed: int = 0
    start: float = 0.0
    duration: float | None = None
    photos: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    imagine_rate: float = 0.0
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
    notes: tuple[str, ...] = ()

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
            "frames_per_s": round(self.frames / self.render_s, 3) if self.render_s > 0 else 0.0,
        }


def make_clip(song: str | os.PathLike[str], out: Path, settings: Settings, *, progress: Progress | None = None) -> Clip:
    """Make a finished clip of a song.

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
        For anything that is wrong with what was given, or if the clip can't be written; nothing is left behind then.
    """
    report = progress or (lambda stage, done, total: None)
    began = time.perf_counter()
    container = container_format(out, settings.codec)
    decided = [path for path in (settings.timeline, settings.take) if path]
    given = [Path(song), *settings.photos, *settings.videos, *decided]
    check_output(out, given, settings.overwrite)
    device = choose_device(settings.device)
    threads = settings.threads or default_threads()
    torch.set_num_threads(threads)
    if settings.take:
        load_take(settings.take)
    preset = None if decided else get_preset(settings.preset)
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
    find_model(settings.model)

    report("hearing", 0, 1)
    analysis: Analysis | None = None
    notes: tuple[str, ...] = ()
    black: np.ndarray | None = None
    if settings.timeline:
        track = open_track(song)
        timeline = edited_timeline(settings, track)
    else:
        settled, notes = settle(open_track(song), settings.wishes)
        settings = replace(settings, wishes=settled)
        heard_song = hear(song, settled)
        track, analysis, notes = heard_song.track, heard_song.analysis, notes + heard_song.notes
        timeline, black = _decide(track, analysis, preset, lines, settings)
        if wishes:
            timeline, _ = apply_shots(timeline, analysis, wishes)
        if settings.telling:
            settings = replace(settings, start=telling_start(analysis, settings.duration or track.duration))
    if (timeline.columns["guide"] >= 0).any():
        require_flow("camera.flow")
    if settings.imagine_rate:
        require_flow("--imagine-rate")
    first, last = frame_range(timeline, track, settings)
    heard = time.perf_counter()
    report("hearing", 1, 1)

    report("loading", 0, 1)
    model = load_model(
        settings.model, device=device, steps=settings.steps, guidance=settings.guidance, loras=settings.loras,
        vae=settings.vae, dtype=settings.dtype,
    )  # fmt: skip
    shape = settings.size or (16, 9)
    imagined = settings.imagine_size or imagine_size(model.native, shape)
    size = settings.size or output_size(imagined)
    _check_imagine_size(imagined, model)
    batch = settings.batch or default_batch(device, *imagined)
    plan = make_plan(timeline, first=first, last=last)
    bank = PromptBank(model, timeline.prompts, used_prompts(timeline, plan), negatives_of(timeline, settings.negative))
    core = Core(model, bank, batch=batch, width=imagined[0], height=imagined[1])
    videos = _videos(settings.videos, len(photos), imagined)
    scene = scenery(timeline, core, _photos(photos, imagined), videos)
    made = replace(
        settings, size=size, imagine_size=imagined, steps=model.steps, device=device, batch=batch, threads=threads
    )
    recipe = (
        make_recipe(made, song=song, track=track, timeline=timeline, model=model)
        if settings.recipe and not settings.take
        else None
    )
    loaded = time.perf_counter()
    report("loading", 1, 1)

    marks = overlay_marks(settings, preset, timeline, analysis, lines, size)
    codec = video_codec(settings.codec, speed=settings.speed, crf=settings.crf)
    work = _work_folder(out)
    try:
        pieces = _render(plan, core, scene, work, size, codec, settings.imagine_rate, black, report)
        if marks:
            pieces = overlay_pieces(pieces, marks, first=first, fps=timeline.fps, size=size, codec=codec)
        held = 0
        if settings.flash_safe:
            pieces, held = limit_pieces(pieces, fps=timeline.fps, size=size, codec=codec)
        title = os.fsencode(Path(song).stem).decode("utf-8", "replace")
        sound = (frame_sample(first, timeline.fps, track.sample_rate), _last_sample(last, timeline, track))
        join(
            pieces, track, out, fps=timeline.fps, container=container, codec=codec, sound=sound,
            metadata={"title": title, "comment": f"made with reactive, preset {timeline.title}", **clip_tags(recipe)},
        )  # fmt: skip
    except OutputError as problem:
        # what a user knows is the clip, not the hidden piece that could not be written
        raise OutputError(problem.what, where=str(out), remedy=problem.remedy) from None
    except (RuntimeError, MemoryError) as problem:
        if not isinstance(problem, MemoryError) and "memory" not in str(problem).lower():
            raise
        remedy = "use a smaller --batch or --imagine-size"
        raise OutputError("there is not enough memory to imagine it", where=str(out), remedy=remedy) from None
    finally:
        for source in videos.values():
            source.close()
        shutil.rmtree(work, ignore_errors=True)
    finished = time.perf_counter()
    report("watching", 0, 1)
    flashes = score_flashes(out)
    report("watching", 1, 1)
    return Clip(
        output=out,
        frames=last - first,
        pictures=core.pictures,
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
        silent=bool(analysis and analysis.silent),
        steady=bool(analysis is None or len(analysis.beats)),
        flashes=flashes,
        held_back=held,
        analysis_s=heard - began,
        load_s=loaded - heard,
        render_s=finished - loaded,
        wall_s=finished - began,
        notes=notes,
    )


def _decide(
    track: Track, analysis: Analysis, preset: Preset | None, lines: Sequence[Line], settings: Settings
) -> tuple[Timeline, np.ndarray | None]:
    """Return the timeline of a preset, or of a take with how black each frame is."""
    photos, videos = (tuple(file.name for file in files) for files in (settings.photos, settings.videos))
    if settings.take:
        performance = perform_take(settings.take, track, analysis, list(photos), list(videos))
        return performance.timeline, performance.black
    assert preset is not None
    timeline = build_timeline(
        analysis, preset, samples=track.samples, fps=settings.fps, seed=settings.seed, photos=photos, videos=videos,
        macros=settings.macros, lyrics=lines,
    )  # fmt: skip
    return timeline, None


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


def used_prompts(timeline: Timeline, plan: Plan) -> set[int]:
    """Return the prompts that a plan needs: a feedback shot begins before an excerpt that shows only its end."""
    begin = min([plan.first, *(start for start, _ in plan.shots)])
    return prompts_at(timeline.columns, np.arange(begin, plan.last))


def _check_imagine_size(size: tuple[int, int], model: Model) -> None:
    for side in size:
        if side % model.factor:
            raise OutputError(
                f"{size[0]}x{size[1]} is not in steps of {model.factor} pixels",
                where="--imagine-size",
                remedy=f"use {size[0] // model.factor * model.factor}x{size[1] // model.factor * model.factor}",
            )


def _photos(photos: Sequence[Path], size: tuple[int, int]) -> dict[int, torch.Tensor]:
    return {
        number: from_bytes(torch.from_numpy(load_photo(path, width=size[0], height=size[1]).copy()).permute(2, 0, 1))
        for number, path in enumerate(photos)
    }


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


def _videos(videos: Sequence[Path], first: int, size: tuple[int, int]) -> dict[int, VideoSource]:
    return {number: VideoSource(path, width=size[0], height=size[1]) for number, path in enumerate(videos, first)}


def _work_folder(out: Path) -> Path:
    try:
        # beside the output, so that the last step is a rename on the same disk
        return Path(tempfile.mkdtemp(prefix=f".{out.stem[:40]}.", suffix=".reactive-job", dir=out.parent))
    except OSError as problem:
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(out.parent), remedy="choose another with -o"
        ) from None


def _render(
    plan: Plan,
    core: Core,
    scene: Scenery,
    folder: Path,
    size: tuple[int, int],
    codec: Codec,
    rate: float,
    black: np.ndarray | None,
    report: Progress,
) -> list[tuple[Path, int]]:
    total, done = plan.last - plan.first, 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report("rendering", done, total)

    report("rendering", 0, total)
    imagined = (
        sparse_frames(core, scene, plan.independent, Fraction(rate).limit_denominator(1000))
        if rate
        else independent_frames(core, scene, plan.independent)
    )
    writer = SegmentWriter(plan, folder, size=size, fps=scene.timeline.fps, codec=codec, done=advance)
    try:
        for frames, pictures in darkened(imagined, black):
            writer.put(frames, pictures)
        for frames, pictures in darkened(feedback_frames(core, scene, plan.shots, until=plan.last), black):
            writer.put(frames, pictures)
        return writer.finish()
    except BaseException:
        writer.abandon()
        raise
