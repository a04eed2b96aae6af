"""``reactive run``: a song in, a finished clip out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reactive.cli.colours import chosen_colours, colour_options
from reactive.cli.common import (
    DEVICES,
    DEVICES_HELP,
    FAILED,
    PHOTOS_UNSEEN,
    USAGE,
    Progress,
    background_option,
    check_controls,
    check_loras,
    check_styles,
    control_option,
    counted,
    errors,
    fit_option,
    fps_option,
    frame_rate,
    hearing_options,
    json_option,
    lyrics_option,
    macro_option,
    minutes,
    named_focus,
    no_shots_option,
    photo_options,
    preset_option,
    printable,
    ray_options,
    sampling_options,
    seed_option,
    shots_file,
    shots_option,
    style_option,
    video_options,
    weights_options,
    yield_processors,
)
from reactive.cli.numbers import LONGEST, FloatOption, IntOption
from reactive.cli.recipe import check_beside, recipe_options, repeat
from reactive.video.codec import SUFFIXES

LEAST_TIMED = 96


@click.command()
@click.argument("songs", metavar="SONG...", nargs=-1, required=True, type=click.Path())
@preset_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The clip to write. Default: ./<song>.mp4.")
@click.option(
    "--for",
    "places",
    metavar="PLACES",
    help="Size, frame rate, length, loudness and file size for youtube, 4k, tiktok, reels, story, square, canvas (a loop) or "
    "stage; several with commas, each a clip of its own.",
)
@fps_option
@click.option("--size", metavar="WxH", help="Size of the clip. Default: the model's picture, doubled if it is small.")
@click.option("--imagine-size", metavar="WxH", help="Size that the model works at. Default: its native size.")
@click.option(
    "--model",
    default="ember",
    show_default=True,
    help="A name of `reactive models list`, a folder or a .safetensors file.",
)
@weights_options
@style_option
@control_option
@click.option("--guidance", type=FloatOption(0, 50), help="How strongly prompts lead. Default: the model's own.")
@click.option("--negative", default="", metavar="TEXT", help="What guidance leads away from.")
@click.option(
    "--dtype",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    help="Number format. auto: float16 on cards; on CPU bfloat16 if it multiplies that, else float32.",
)
@click.option(
    "--compile", "compiled", is_flag=True, help="Compile the model first: minutes, then somewhat faster pictures."
)
@click.option("--steps", type=IntOption(1, 200), help="Evaluations a picture. Default: the model's own.")
@sampling_options
@seed_option
@click.option(
    "--start", default=0.0, type=FloatOption(0, LONGEST), metavar="S", help="Begin so many seconds into the song."
)
@click.option(
    "--duration",
    type=FloatOption(0, LONGEST, min_open=True),
    metavar="S",
    help="Render so many seconds. Default: to the end.",
)
@photo_options
@macro_option
@lyrics_option
@video_options
@background_option
@fit_option
@click.option(
    "--imagine-rate",
    type=FloatOption(1, 240),
    metavar="R",
    help="Imagine R pictures a second and interpolate the rest by optical flow. Default: every frame.",
)
@click.option(
    "--upscale",
    type=click.Choice(["2", "4"]),
    help="Make finished pictures 2 or 4 times as large. Default: as they are.",
)
@click.option(
    "--upscaler",
    type=click.Choice(["lanczos", "esrgan"]),
    default="lanczos",
    show_default=True,
    help="How: plainly, or by the network Real-ESRGAN, which draws edges anew and takes its time.",
)
@shots_option
@no_shots_option
@click.option("--title", default="", metavar="TEXT", help="Write the song's name over its beginning.")
@click.option(
    "--logo", type=click.Path(path_type=Path), help="Lay a picture, for instance a transparent PNG, over a corner."
)
@colour_options
@click.option("--show-lyrics", is_flag=True, help="Write the lines of the song's words while they are sung.")
@click.option("--timeline", type=click.Path(path_type=Path), help="Render an edited timeline instead of a preset.")
@click.option("--take", type=click.Path(path_type=Path), help="Render what was recorded in `reactive preview`.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help=DEVICES_HELP)
@click.option("--batch", default="auto", show_default=True, metavar="N|auto", help="Pictures imagined at once.")
@click.option(
    "--lanes",
    default="auto",
    metavar="N|auto",
    help="Feedback shots imagined at once. Default: as many as fill a batch.",
)
@click.option("--threads", default=0, type=IntOption(0, 512), help="CPU threads. Default: one a core.")
@click.option(
    "--codec",
    type=click.Choice(list(SUFFIXES)),
    default="h264",
    show_default=True,
    help="nvenc, videotoolbox, qsv, amf: H.264 by an NVIDIA card's, a Mac's, Intel's or AMD's own encoder, if there is one.",
)
@click.option("--crf", default=18, show_default=True, type=IntOption(0, 51), help="H.264 quality; lower is better.")
@click.option("--encode-speed", default="veryfast", show_default=True, metavar="NAME", help="x264's preset.")
@click.option("--flash-safe", is_flag=True, help="Hold flashing within what is safe to watch (ITU-R BT.1702).")
@click.option(
    "--also",
    metavar="SHAPES",
    help="Further shapes, cropped from the same pictures: 9:16,1:1. With !, as 9:16!, imagined anew in that shape.",
)
@click.option(
    "--loop",
    metavar="BARS|A-B|auto",
    help="A silent loop of bars A to B, of N bars at the drop, or as many as fit in 8 seconds.",
)
@click.option(
    "--loudness",
    type=FloatOption(-40, -5),
    metavar="LUFS",
    help="Bring the sound to this loudness, as far as its peaks allow: -14.",
)
@click.option("--max-size", metavar="100MB", help="Keep the file below this size, by a second encoding in two passes.")
@click.option("--out-dir", type=click.Path(path_type=Path), help="Where the clips of several songs are written.")
@click.option(
    "--job",
    type=click.Path(path_type=Path),
    help="Keep what is finished here. Default: .reactive/<OUT>, or below the folder that REACTIVE_JOBS names.",
)
@click.option("--segment", default=0, type=IntOption(0, 10_000), help="Frames of a piece. Default: by rule.")
@click.option("--mixed", is_flag=True, help="Go on with a job begun with other versions, device or threads.")
@ray_options
@recipe_options
@click.option("--overwrite", is_flag=True, help="Replace an existing clip, once the new one is complete.")
@hearing_options
@json_option
def run(songs: tuple[str, ...], output: Path | None, as_json: bool, hearing: Callable[[], Any], **options: Any) -> None:
    """Make a finished clip of each SONG; run again, it goes on where it was interrupted.

    A folder that `reactive studio` made can be given instead of a song: its project.toml has the settings that no option overrides.

    \b
    Examples:
      reactive run song.wav
      reactive run our-clip/
      reactive run song.mp3 --preset loop-destroy --size 1280x720 -o clip.mp4
      reactive run song.flac --start 60 --duration 10 --photo band.jpg --video stage.mp4
      reactive run album/*.flac --out-dir clips/ --also 9:16,1:1
      reactive run song.wav --for youtube,reels,canvas
      reactive run song.wav --size 1920x1080 --also 9:16! --max-size 100MB
      reactive run song.wav --palette "#200010,dark red,white" --palette-strength 0.7
      reactive run song.wav --ray --workers 4
      reactive run album/*.flac --out-dir /shared/clips --ray 10.0.0.1:6379
    """
    _check_usage(songs, output, options)
    project = Path(songs[0]) if len(songs) == 1 and (Path(songs[0]) / "project.toml").is_file() else None
    if project is not None:
        with errors(as_json):
            songs, base = _project(project)
    with errors(as_json, USAGE):
        places = _places(options)
        chosen = [settings_of(song, options) for song in songs]
    if project is not None:
        chosen = [base.changed(**_said_by_options(chosen[0]))]
        output = output or Path(project.absolute().name + SUFFIXES[chosen[0].encoding.codec])
    with errors(as_json):
        told = hearing()
        chosen = [settings.changed(hearing=told) for settings in chosen]
    yield_processors()
    with errors(as_json, USAGE):
        clips = _clips(songs, chosen, places, output, options)
    if len(clips) > 1 or options["out_dir"]:
        _album(clips, options, as_json)
        return
    song, out, settings = clips[0]
    differs: tuple[str, ...] = ()
    if options["recipe_of"]:
        check_beside()
    with errors(as_json, stopping=lambda: going_on(options["job"], out)):
        from reactive.media.safe import regular_file

        # a mistyped name is reported at once, not after seconds of loading
        regular_file(song)
        from reactive.render.run import make_clip

        bar = Progress(not as_json and sys.stderr.isatty())
        with bar as report:
            _tell_better(settings, bar)
            if options["recipe_of"]:
                again = repeat(song, output, options, report)
                clip, differs = again.clip, again.differs
            else:
                clip = make_clip(song, out, settings, progress=report, rates=bar.rates, tell=bar.tell)
    save_speed(settings, clip)
    for note in clip.notes:
        if note in bar.notes:
            continue
        click.echo(printable(note), err=True)
    summary = clip.to_dict()
    if options["recipe_of"]:
        summary["differs"] = list(differs)
    if as_json:
        click.echo(json.dumps(summary))
        return
    if settings.sources.shots and not options["recipe_of"]:
        click.echo(f"Single shots follow {printable(str(settings.sources.shots))}.")
    if options["recipe_of"]:
        click.echo(
            printable(f"This may not be the very same clip: {', '.join(differs)}." if differs else "Made again.")
        )
    if options["photos"] and not clip.photos_shown:
        click.echo(PHOTOS_UNSEEN)
    print_clip(clip)


def save_speed(settings: Any, clip: Any) -> None:
    """Note how fast a clip was rendered, by which the next one's time is expected."""
    from reactive.render.rates import key_of_settings, save_rate

    made = clip.frames - clip.reused
    # of fewer frames, most of the time went into embedding prompts
    if made >= LEAST_TIMED and not clip.already and clip.render_s > 0:
        save_rate(key_of_settings(settings), made / clip.render_s)


def print_clip(clip: Any) -> None:
    """Print a clip's facts and how long it took."""
    summary = clip.to_dict()
    if clip.already:
        click.echo(f"{printable(str(clip.output))} is there already, made by this very command; nothing was done.")
        return
    if clip.silent:
        click.echo("The song is silent, so the clip is calm.")
    elif not clip.steady:
        click.echo("No steady beat was heard; the clip follows loudness and a slow, even pulse.")
    click.echo(
        f"{printable(str(clip.output))}: {counted(clip.frames, 'frame')}, {minutes(clip.duration)}, {summary['size']} at "
        f"{summary['fps']} frames/s, {counted(clip.prompts_used, 'prompt')}"
    )
    if 0 < clip.pictures < clip.frames - clip.reused:
        click.echo(f"{counted(clip.pictures, 'picture')} imagined, the other frames drawn between pictures")
    click.echo(
        f"heard in {clip.analysis_s:.1f} s, loaded in {clip.load_s:.1f} s, rendered in {minutes(clip.render_s)} "
        f"({summary['frames_per_s']:.1f} frames/s with {clip.model} on {clip.device})"
    )
    if clip.held_back:
        click.echo(f"{counted(clip.held_back, 'picture')} held back, so that the clip is safe to watch")
    if not clip.flashes.passes:
        click.echo(f"Warning: {clip.flashes.sentence()}. It can hurt people; --flash-safe holds it back.", err=True)
    for path in clip.also:
        click.echo(printable(str(path)))
    if clip.reused:
        click.echo(f"{counted(clip.reused, 'frame')} of an earlier run used again")


def going_on(given: Path | None, out: Path = Path()) -> str:
    """Return what an interrupted render left in its job folder, and how to resume it."""
    # the library may still be loading: nothing heavy is imported
    from reactive.render.store.folders import job_folder

    job = job_folder(out, given)
    if not (job / "journal").is_file():
        return "nothing was left behind"
    from reactive.render.request import segments_done

    pieces = counted(segments_done(job), "piece")
    return f"{pieces} kept in {job}: run the same command again, or `reactive resume {job}`"


def _check_usage(songs: tuple[str, ...], output: Path | None, options: dict[str, Any]) -> None:
    several = len(songs) > 1
    if output and (several or options["out_dir"]):
        raise click.UsageError("-o names one clip; with several songs or --out-dir, leave it out.")
    if options["recipe_of"] and (options["places"] or "!" in (options["also"] or "")):
        raise click.UsageError("--recipe makes one clip as it was; leave --for and --also with ! out.")
    if options["job"] and ("," in (options["places"] or "") or "!" in (options["also"] or "")):
        raise click.UsageError("--job belongs to one clip; leave it out, or name one place.")
    if several and (options["timeline"] or options["take"] or options["recipe_of"] or options["job"]):
        raise click.UsageError("--timeline, --take, --recipe and --job belong to one song.")
    if options["recipe_of"] and options["out_dir"]:
        raise click.UsageError("--recipe makes one clip; name it with -o.")


def _project(folder: Path) -> tuple[tuple[str, ...], Any]:
    """Return a project's song and its settings."""
    from reactive.studio.project import open_project, render_settings, song_of

    project = open_project(folder)
    return (str(song_of(folder, project)),), render_settings(folder, project)


def _said_by_options(settings: Any) -> dict[str, Any]:
    """Return the choices that are on the command line, by their plain names."""
    names = {"compiled": "compile", "encode_speed": "speed", "photo_folder": "photos"}
    context = click.get_current_context()
    given = [
        names.get(name, name)
        for name in context.params
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    choices = settings.choices()
    if "no_shots" in given:
        given = [*given, "shots"]
    return {name: choices[name] for name in given if name in choices}


def _places(options: dict[str, Any]) -> list[Any]:
    """Return the places that `--for` names, after checking that the length fits each of them."""
    if not options["places"]:
        return []
    from reactive.render.targets import check_length, parse_targets

    places = parse_targets(options["places"])
    for place in places:
        check_length(place, None if place.loop else options["duration"])
    return places


def _clips(
    songs: tuple[str, ...], chosen: list[Any], places: list[Any], output: Path | None, options: dict[str, Any]
) -> list[tuple[str, Path, Any]]:
    """Return every clip that is made: its song, its path and its settings."""
    from reactive.render.sizes import parse_shape, shaped_name, shaped_size

    folder: Path = options["out_dir"] or Path()
    anew = [parse_shape(shape[:-1]) for shape in _shapes(options) if shape.endswith("!")]
    clips = []
    for song, settings in zip(songs, chosen, strict=True):
        codec = settings.encoding.codec
        out = output or folder / (Path(song).stem + SUFFIXES[codec])
        if not places:
            clips.append((song, out, settings))
        for place in places:
            # what is said by an option goes before what the place takes
            own = {name: value for name, value in place.choices().items() if not _is_said(name)}
            file = out if output and len(places) == 1 else _for_place(out, place, own.get("codec", codec))
            clips.append((song, file, settings.changed(**own)))
    further = []
    for song, file, settings in clips:
        for shape in anew:
            size = shaped_size(settings.output.size, shape) if settings.output.size else None
            text = f"{shape[0]}:{shape[1]}"
            other = settings.changed(size=size, shape=text, imagine_size=None, also=(), job=None)
            further.append((song, shaped_name(file, shape), other))
    return clips + further


def _for_place(out: Path, place: Any, codec: str) -> Path:
    from reactive.render.targets import target_path

    return target_path(out, place, SUFFIXES[codec])


def _is_said(name: str) -> bool:
    """Return whether an option is on the command line."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _tell_better(settings: Any, bar: Progress) -> None:
    """Name the model that is recommended for this machine's card, if none was chosen."""
    if _is_said("model") or _is_said("recipe_of") or settings.model.name != "ember":
        return
    from reactive.cli.better_model import better_model

    if note := better_model(settings.model.device):
        bar.tell(note)


def _shapes(options: dict[str, Any]) -> list[str]:
    """Return the shapes that `--also` names, each once."""
    return list(dict.fromkeys(shape.strip() for shape in options["also"].split(","))) if options["also"] else []


def _album(clips: list[tuple[str, Path, Any]], options: dict[str, Any], as_json: bool) -> None:
    """Make several clips; one JSON line or a few words each; exit 1 if any failed."""
    folder: Path = options["out_dir"] or Path(".")
    failed = 0
    with errors(as_json, stopping=lambda: f"clips that are done stay in {folder}: run the same command again"):
        from reactive.errors import OutputError, ReactiveError
        from reactive.render.album import make_album

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            remedy = "choose another with --out-dir"
            raise OutputError(f"can't be made ({problem.strerror})", where=str(folder), remedy=remedy) from None
        bar = Progress(not as_json and sys.stderr.isatty())
        with bar as report:
            _tell_better(clips[0][2], bar)
            for song, made in make_album(clips, progress=report, rates=bar.rates):
                if isinstance(made, ReactiveError):
                    failed += 1
                    what = {"what": made.what, "where": made.where, "remedy": made.remedy}
                    if as_json:
                        click.echo(json.dumps({"song": song, "error": what}))
                    else:
                        click.echo(f"Error: {printable(song)}: {printable(str(made))}", err=True)
                elif as_json:
                    click.echo(json.dumps({"song": song, **made.to_dict()}))
                else:
                    print_clip(made)
    if failed:
        sys.exit(FAILED)


def settings_of(song: str, options: dict[str, Any]) -> Any:
    """Return the settings that the options of `reactive run` say."""
    from reactive.errors import OutputError
    from reactive.preset.macros import parse_macros
    from reactive.render.looping import check_loop
    from reactive.render.sizes import parse_shape, parse_size
    from reactive.video.codec import SPEEDS
    from reactive.video.fitted import parse_bytes

    if options["encode_speed"] not in SPEEDS:
        raise OutputError(
            f'"{options["encode_speed"]}" is not known',
            where="--encode-speed",
            remedy=f"use one of {', '.join(SPEEDS)}",
        )
    for shape in _shapes(options):
        parse_shape(shape.removesuffix("!"))
    check_loop(options["loop"] or "")
    batch = options["batch"]
    if batch != "auto" and not re.fullmatch("[1-9][0-9]{0,2}", batch):
        raise OutputError(
            f'"{batch}" is not a batch size', where="--batch", remedy="write auto, or a number from 1 to 999"
        )
    lanes = options["lanes"]
    if lanes != "auto" and not re.fullmatch("[1-9][0-9]{0,2}", lanes):
        raise OutputError(
            f'"{lanes}" is not a number of lanes', where="--lanes", remedy="write auto, or a number from 1 to 999"
        )
    check_loras(options)
    check_styles(options)
    check_controls(options)
    if options["timeline"] and options["take"]:
        raise OutputError("can't go with --timeline", where="--take", remedy="name one of the two")
    decided = bool(options["timeline"] or options["take"])
    from reactive.render.settings import Settings

    return Settings.of(
        preset=options["preset"],
        fps=frame_rate(options["fps"]),
        size=parse_size(options["size"], "--size") if options["size"] else None,
        imagine_size=parse_size(options["imagine_size"], "--imagine-size") if options["imagine_size"] else None,
        model=options["model"],
        loras=tuple(options["loras"]),
        vae=options["vae"],
        adapter=options["adapter"],
        styles=tuple(options["styles"]),
        control_models=tuple(options["control_models"]),
        controls=tuple(options["controls"]),
        quant=options["quant"],
        guidance=options["guidance"],
        negative=options["negative"],
        dtype=options["dtype"],
        compile=options["compiled"],
        steps=options["steps"],
        sampler=options["sampler"],
        spacing=options["spacing"],
        prediction=options["prediction"],
        seed=options["seed"],
        start=options["start"],
        duration=options["duration"],
        photos=tuple(options["photos"]),
        videos=tuple(options["videos"]),
        background=options["background"],
        fit=options.get("fit") or "",
        focus=named_focus(),
        imagine_rate=options["imagine_rate"] or 0.0,
        upscale=int(options["upscale"] or 1),
        upscaler=options["upscaler"],
        timeline=options["timeline"],
        take=options["take"],
        macros=parse_macros(options["macros"]),
        lyrics=options["lyrics"],
        title=printable(options["title"])[:200],
        logo=options["logo"],
        show_lyrics=options["show_lyrics"],
        **chosen_colours(options),
        shots=shots_file(song, options["shots"], options["no_shots"] or decided),
        device=options["device"],
        batch=0 if batch == "auto" else int(batch),
        lanes=0 if lanes == "auto" else int(lanes),
        threads=options["threads"],
        codec=options["codec"],
        speed=options["encode_speed"],
        crf=options["crf"],
        overwrite=options["overwrite"],
        flash_safe=options["flash_safe"],
        also=tuple(shape for shape in _shapes(options) if not shape.endswith("!")),
        loop=options["loop"] or "",
        loudness=options["loudness"],
        max_size=parse_bytes(options["max_size"]) if options["max_size"] else None,
        job=options["job"],
        segment=options["segment"],
        mixed=options["mixed"],
        ray=options["ray"],
        workers=options["workers"],
        recipe=not options["no_recipe"],
    )
