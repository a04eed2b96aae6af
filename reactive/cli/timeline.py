"""``reactive timeline``: what every frame of a song's clip shall be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    USAGE,
    clean,
    errors,
    fps_option,
    hearing_options,
    json_option,
    keep_inputs,
    photo_option,
    preset_option,
    seed_option,
    song_argument,
)


@click.command()
@song_argument
@preset_option
@fps_option
@seed_option
@photo_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the timeline as JSON, to edit and render.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the timeline to a PNG, SVG or PDF.")
@hearing_options
@json_option
def timeline(
    song: str,
    preset: str,
    fps: str,
    seed: int,
    photos: tuple[Path, ...],
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    wishes: Callable[[], Any],
) -> None:
    """Decide what every frame of SONG's clip shall be, without rendering.

    \b
    Example:
      reactive timeline song.wav --preset loop-destroy -o timeline.json --plot timeline.png
    """
    with errors(as_json):
        from reactive.preset.library import get_preset
        from reactive.timeline.clock import parse_fps

        with errors(as_json, USAGE):
            rate = parse_fps(fps)
        wanted = get_preset(preset)
        keep_inputs([output, plot], [Path(song), *photos])
        for photo in photos:
            from reactive.media.safe import regular_file

            regular_file(photo)
        from reactive.audio.hear import hear
        from reactive.timeline.file import save_timeline
        from reactive.timeline.timeline import build_timeline

        heard = hear(song, wishes())
        track, analysis = heard.track, heard.analysis
        for note in heard.notes:
            click.echo(clean(note), err=True)
        names = tuple(photo.name for photo in photos)
        decided = build_timeline(analysis, wanted, samples=track.samples, fps=rate, seed=seed, photos=names)
        if output:
            save_timeline(decided, output)
        if plot:
            from reactive.timeline.plot import plot_timeline

            plot_timeline(decided, analysis, plot, title=clean(Path(song).name))
    prompts = sorted({*decided.columns["prompt_to"].tolist(), *decided.columns["prompt_from"].tolist()})
    summary = {
        "frames": decided.frames,
        "fps": str(decided.fps),
        "cuts": len(decided.cuts),
        "prompts_used": len(prompts),
        "output": str(output) if output else None,
        "plot": str(plot) if plot else None,
    }
    if as_json:
        click.echo(json.dumps(summary))
        return
    click.echo(f"{decided.frames} frames, {len(prompts)} prompts, {len(decided.cuts)} cuts")
    for path in (output, plot):
        if path:
            click.echo(clean(str(path)))
