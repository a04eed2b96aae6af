"""``reactive run``: a song in, a finished clip out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    PHOTOS_UNSEEN,
    USAGE,
    Progress,
    clean,
    counted,
    errors,
    fps_option,
    hearing_options,
    json_option,
    lyrics_option,
    macro_option,
    minutes,
    no_shots_option,
    photo_option,
    preset_option,
    seed_option,
    shots_file,
    shots_option,
    song_argument,
    video_option,
)
from reactive.cli.recipe import check_beside, recipe_options, repeat


@click.command()
@song_argument
@preset_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The clip to write. Default: ./<song>.mp4.")
@fps_option
@click.option(
    "--size", metavar="WxH", help="Size of the clip. Default: the model's picture, doubled where it is small."
)
@click.option("--imagine-size", metavar="WxH", help="Size that the model works at. Default: what it was made for.")
@click.option(
    "--model",
    default="ember",
    show_default=True,
    help="A name of `reactive models list`, a folder or a .safetensors file.",
)
@click.option("--lora", "loras", multiple=True, metavar="FILE[:S]", help="A LoRA and its strength; may be repeated.")
@click.option("--vae", metavar="NAME", help="Another autoencoder: tiny (for previews), a name or a folder.")
@click.option("--guidance", type=click.FloatRange(0, 50), help="How hard prompts lead. Default: what the model wants.")
@click.option("--negative", default="", metavar="TEXT", help="What guidance leads away from.")
@click.option(
    "--dtype",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    help="Number format. auto: float32 on CPU, float16 on CUDA.",
)
@click.option("--steps", type=click.IntRange(1, 200), help="Evaluations a picture. Default: what the model wants.")
@seed_option
@click.option("--start", default=0.0, metavar="S", help="Begin so many seconds into the song.")
@click.option("--duration", type=float, metavar="S", help="Render so many seconds. Default: to the end.")
@photo_option
@macro_option
@lyrics_option
@video_option
@click.option(
    "--imagine-rate",
    type=click.FloatRange(1, 240),
    metavar="R",
    help="Imagine R pictures a second and draw the rest by optical flow. Default: every frame.",
)
@shots_option
@no_shots_option
@click.option("--title", default="", metavar="TEXT", help="Write the song's name over its beginning.")
@click.option(
    "--logo", type=click.Path(path_type=Path), help="Lay a picture, for instance a transparent PNG, over a corner."
)
@click.option("--show-lyrics", is_flag=True, help="Write the lines of the song's words while they are sung.")
@click.option("--timeline", type=click.Path(path_type=Path), help="Render an edited timeline instead of a preset.")
@click.option("--take", type=click.Path(path_type=Path), help="Render what was recorded in `reactive preview`.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--batch", default="auto", show_default=True, metavar="N|auto", help="Pictures imagined at once.")
@click.option("--threads", default=0, type=click.IntRange(0, 512), help="CPU threads. Default: one a core.")
@click.option("--codec", type=click.Choice(["h264", "prores", "ffv1"]), default="h264", show_default=True)
@click.option(
    "--crf", default=18, show_default=True, type=click.IntRange(0, 51), help="H.264 quality; lower is better."
)
@click.option("--encode-speed", default="veryfast", show_default=True, metavar="NAME", help="x264's preset.")
@click.option("--flash-safe", is_flag=True, help="Hold flashing within what is safe to watch (ITU-R BT.1702).")
@recipe_options
@click.option("--overwrite", is_flag=True, help="Replace an existing clip, once the new one is complete.")
@hearing_options
@json_option
def run(song: str, output: Path | None, as_json: bool, wishes: Callable[[], Any], **options: Any) -> None:
    """Make a finished clip of SONG.

    \b
    Examples:
      reactive run song.wav
      reactive run song.mp3 --preset loop-destroy --size 1280x720 -o clip.mp4
      reactive run song.flac --start 60 --duration 10 --photo band.jpg --video stage.mp4
    """
    with errors(as_json, USAGE):
        settings = _settings(song, options)
    differs: tuple[str, ...] = ()
    if options["recipe_of"]:
        check_beside()
    with errors(as_json):
        settings = replace(settings, wishes=wishes())
        suffix = {"h264": ".mp4", "prores": ".mov", "ffv1": ".mkv"}[options["codec"]]
        out = output or Path(Path(song).stem + suffix)
        from reactive.media.safe import regular_file

        # a mistyped name is said at once, not after seconds of loading
        regular_file(song)
        from reactive.render.run import make_clip

        with Progress(not as_json and sys.stderr.isatty()) as report:
            if options["recipe_of"]:
                again = repeat(song, output, options, report)
                clip, differs = again.clip, again.differs
            else:
                clip = make_clip(song, out, settings, progress=report)
    for note in clip.notes:
        click.echo(clean(note), err=True)
    summary = clip.to_dict()
    if options["recipe_of"]:
        summary["differs"] = list(differs)
    if as_json:
        click.echo(json.dumps(summary))
        return
    if settings.shots and not options["recipe_of"]:
        click.echo(f"Single shots follow {clean(str(settings.shots))}.")
    if options["recipe_of"]:
        click.echo(clean(f"This may not be the very same clip: {', '.join(differs)}." if differs else "Made again."))
    if clip.silent:
        click.echo("The song is silent, so the clip is calm.")
    elif not clip.steady:
        click.echo("No steady beat was heard; the clip follows loudness and a slow, even pulse.")
    if options["photos"] and not clip.photos_shown:
        click.echo(PHOTOS_UNSEEN)
    click.echo(
        f"{clean(str(clip.output))}: {counted(clip.frames, 'frame')}, {minutes(clip.duration)}, {summary['size']} at "
        f"{summary['fps']} frames/s, {counted(clip.prompts_used, 'prompt')}"
    )
    if settings.imagine_rate:
        click.echo(f"{counted(clip.pictures, 'picture')} imagined, the other frames drawn between them")
    click.echo(
        f"heard in {clip.analysis_s:.1f} s, loaded in {clip.load_s:.1f} s, rendered in {minutes(clip.render_s)} "
        f"({summary['frames_per_s']:.1f} frames/s with {clip.model} on {clip.device})"
    )
    if clip.held_back:
        click.echo(f"{counted(clip.held_back, 'picture')} held back, so that the clip is safe to watch")
    if not clip.flashes.passes:
        click.echo(f"Warning: {clip.flashes.sentence()}. It can hurt people; --flash-safe holds it back.", err=True)


def _settings(song: str, options: dict[str, Any]) -> Any:
    from reactive.errors import OutputError
    from reactive.preset.macros import parse_macros
    from reactive.render.sizes import parse_size
    from reactive.timeline.clock import parse_fps
    from reactive.video.codec import SPEEDS

    if options["encode_speed"] not in SPEEDS:
        raise OutputError(
            f'"{options["encode_speed"]}" is not known',
            where="--encode-speed",
            remedy=f"use one of {', '.join(SPEEDS)}",
        )
    batch = options["batch"]
    if batch != "auto" and not re.fullmatch("[1-9][0-9]{0,2}", batch):
        raise OutputError(
            f'"{batch}" is not a batch size', where="--batch", remedy="write auto, or a number from 1 to 999"
        )
    if options["timeline"] and options["take"]:
        raise OutputError("can't go with --timeline", where="--take", remedy="name one of the two")
    decided = bool(options["timeline"] or options["take"])
    from reactive.render.run import Settings

    return Settings(
        preset=options["preset"],
        fps=parse_fps(options["fps"]),
        size=parse_size(options["size"], "--size") if options["size"] else None,
        imagine_size=parse_size(options["imagine_size"], "--imagine-size") if options["imagine_size"] else None,
        model=options["model"],
        loras=tuple(options["loras"]),
        vae=options["vae"],
        guidance=options["guidance"],
        negative=options["negative"],
        dtype=options["dtype"],
        steps=options["steps"],
        seed=options["seed"],
        start=options["start"],
        duration=options["duration"],
        photos=tuple(options["photos"]),
        videos=tuple(options["videos"]),
        imagine_rate=options["imagine_rate"] or 0.0,
        timeline=options["timeline"],
        take=options["take"],
        macros=parse_macros(options["macros"]),
        lyrics=options["lyrics"],
        title=clean(options["title"])[:200],
        logo=options["logo"],
        show_lyrics=options["show_lyrics"],
        shots=shots_file(song, options["shots"], options["no_shots"] or decided),
        device=options["device"],
        batch=0 if batch == "auto" else int(batch),
        threads=options["threads"],
        codec=options["codec"],
        speed=options["encode_speed"],
        crf=options["crf"],
        overwrite=options["overwrite"],
        flash_safe=options["flash_safe"],
        recipe=not options["no_recipe"],
    )
