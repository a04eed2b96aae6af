"""``reactive timeline``: what is decided for every frame of a song's clip."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    PHOTOS_UNSEEN,
    USAGE,
    check_varying,
    control_option,
    counted,
    errors,
    fps_option,
    frame_rate,
    hearing_options,
    json_option,
    lyrics_option,
    macro_option,
    no_shots_option,
    photo_options,
    preset_option,
    printable,
    refuse_to_overwrite_inputs,
    seed_option,
    shots_file,
    shots_option,
    song_argument,
    style_option,
    video_options,
)

FORMATS = ("deforum", "parseq", "csv", "otio", "midi", "srt")


@click.command()
@song_argument
@preset_option
@fps_option
@seed_option
@photo_options
@macro_option
@lyrics_option
@style_option
@control_option
@video_options
@shots_option
@no_shots_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the timeline as JSON, to edit and render.")
@click.option(
    "--export",
    "exports",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Write it for another tool: .otio, .csv, .mid, .srt, .deforum.txt, .parseq.json; may be repeated.",
)
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="Format of --export, where its suffix does not tell."
)
@click.option(
    "--clip",
    "rendered",
    type=click.Path(path_type=Path),
    help="The rendered clip that .otio refers to. Default: ./<song>.mp4.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the timeline to a PNG, SVG or PDF.")
@click.option(
    "--lora",
    "loras",
    multiple=True,
    metavar="FILE:S",
    help="A LoRA and an expression for its strength, as film.safetensors:0.2+0.8*drop; may be repeated.",
)
@hearing_options
@json_option
def timeline(
    song: str,
    preset: str,
    fps: str,
    seed: int,
    photos: tuple[Path, ...],
    styles: tuple[str, ...],
    controls: tuple[str, ...],
    loras: tuple[str, ...],
    macros: tuple[str, ...],
    lyrics: Path | None,
    videos: tuple[Path, ...],
    shots: Path | None,
    no_shots: bool,
    output: Path | None,
    exports: tuple[Path, ...],
    kind: str | None,
    rendered: Path | None,
    plot: Path | None,
    as_json: bool,
    hearing: Callable[[], Any],
) -> None:
    """Decide every frame of SONG's clip, without rendering.

    \b
    Examples:
      reactive timeline song.wav --preset loop-destroy -o timeline.json --plot timeline.png
      reactive timeline song.wav --export shots.otio --export cues.mid --export settings.deforum.txt
    """
    with errors(as_json):
        from reactive.exchange.formats import export_timeline, format_of
        from reactive.preset.library import open_lyrics_of, open_preset
        from reactive.preset.macros import macro_values, parse_macros

        with errors(as_json, USAGE):
            rate = frame_rate(fps)
            check_varying(loras)
            knobs = parse_macros(macros)
        opened = open_preset(preset)
        wanted = opened.preset
        turned = macro_values(wanted, knobs)
        words = open_lyrics_of(opened, lyrics)
        lines = words.lines if words else ()
        for note in words.notes if words else ():
            click.echo(printable(note), err=True)
        shots_path = shots_file(song, shots, no_shots)
        formats = [format_of(path, kind) for path in exports]
        refuse_to_overwrite_inputs(
            [output, plot, *exports], [Path(song), *photos, *videos, *([lyrics] if lyrics else [])]
        )
        for given in (*photos, *videos):
            from reactive.media.safe import regular_file

            regular_file(given)
        from reactive.audio.hear import hear
        from reactive.render.decide import decide
        from reactive.timeline.file import save_timeline

        heard = hear(song, hearing())
        track, analysis = heard.track, heard.analysis
        for note in heard.notes:
            click.echo(printable(note), err=True)
        decided = decide(
            analysis,
            wanted,
            fps=rate,
            seed=seed,
            photos=photos,
            videos=videos,
            macros=turned,
            lyrics=lines,
            styles=styles,
            controls=controls,
            loras=loras,
        )
        if shots_path:
            from reactive.media.identity import carry_over
            from reactive.preset.shots import load_shots
            from reactive.timeline.shot_edits import apply_shots

            if note := carry_over(shots_path, track):
                click.echo(printable(note), err=True)
            decided = apply_shots(decided, analysis, load_shots(shots_path)).timeline
        if output:
            save_timeline(decided, output)
        clip = rendered or Path(f"{Path(song).stem}.mp4")
        if "otio" in formats and not clip.is_file():
            click.echo(f"Note: {printable(str(clip))}, which the .otio file refers to, is not there yet.", err=True)
        for path, format_name in zip(exports, formats, strict=True):
            export_timeline(
                decided,
                path,
                kind=format_name,
                song=_beside(Path(song), path),
                clip=_beside(clip, path),
                tempo=analysis.tempo or 120.0,
                sections=[(section.start, section.end, section.label) for section in analysis.sections],
            )
        if plot:
            from reactive.timeline.plot import plot_timeline

            plot_timeline(decided, analysis, plot, title=printable(Path(song).name))
    prompts = sorted({*decided.columns["prompt_to"].tolist(), *decided.columns["prompt_from"].tolist()})
    summary = {
        "frames": decided.frames,
        "fps": str(decided.fps),
        "cuts": len(decided.cuts),
        "prompts_used": len(prompts),
        "output": str(output) if output else None,
        "plot": str(plot) if plot else None,
        "exports": [str(path) for path in exports],
    }
    if as_json:
        click.echo(json.dumps(summary))
        return
    click.echo(
        ", ".join(
            [counted(decided.frames, "frame"), counted(len(prompts), "prompt"), counted(len(decided.cuts), "cut")]
        )
    )
    if photos and not (decided.columns["source"] >= 0).any():
        click.echo(PHOTOS_UNSEEN)
    for written in (output, plot, *exports):
        if written:
            click.echo(printable(str(written)))


def _beside(file: Path, document: Path) -> str:
    """Return a file's path as seen from a document's folder, with slashes, so that both can move together."""
    try:
        return Path(os.path.relpath(file, document.parent)).as_posix()
    except ValueError:
        # on another drive
        return file.absolute().as_posix()
