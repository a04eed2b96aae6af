"""``reactive analyze``: the analysis of a song."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    clock_time,
    errors,
    hearing_options,
    lyrics_option,
    minutes,
    printable,
    refuse_to_overwrite_inputs,
    song_argument,
    write_json,
)


@click.command()
@song_argument
@click.option("--json", "json_path", metavar="PATH", help="Write the analysis as JSON; - is stdout.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the analysis to a PNG, SVG or PDF.")
@click.option(
    "--click", "click_path", type=click.Path(path_type=Path), help="Write a WAV with the grid clicked over it."
)
@click.option(
    "--bars", "list_bars", is_flag=True, help="List the bars: numbers, times, and the numbers of their beats."
)
@lyrics_option
@hearing_options
def analyze(
    song: str,
    lyrics: Path | None,
    json_path: str | None,
    plot: Path | None,
    click_path: Path | None,
    list_bars: bool,
    hearing: Callable[[], Any],
) -> None:
    """Hear SONG: tempo, metre, beats, downbeats, drums, parts, key.

    Corrections of the grid are kept in SONG.reactive.json, and every command follows them.

    \b
    Examples:
      reactive analyze song.wav --json song.json --plot song.png
      reactive analyze song.wav --bars
      reactive analyze song.wav --half --downbeat 3 --click heard.wav
      reactive analyze song.wav --section C=chorus --section 1=intro
      reactive analyze song.wav --stem kick=kick.wav --markers song.mid
    """
    with errors(json_path == "-"):
        outputs = [Path(json_path) if json_path else None, plot, click_path]
        from reactive.audio.hear import hear

        wanted = hearing()
        refuse_to_overwrite_inputs(outputs, [Path(song), *(path for _, path in wanted.stems)])
        heard = hear(song, wanted)
        analysis = heard.analysis
        from reactive.audio.bar_list import song_bars
        from reactive.audio.parts import song_parts

        words: Any = ()
        if lyrics:
            from reactive.preset.lyrics import open_lyrics

            words = open_lyrics(lyrics).lines
        parts = song_parts(analysis, words)
        if plot:
            from reactive.audio.plot import plot_analysis

            plot_analysis(analysis, plot, title=printable(Path(song).name))
        if click_path:
            from reactive.audio.click import write_click
            from reactive.audio.grid import grid_of

            write_click(heard.track, grid_of(analysis), click_path)
        if json_path:
            bars = {"bars": [asdict(bar) for bar in song_bars(analysis)]} if list_bars else {}
            write_json(json_path, {**analysis.to_dict(), "parts": [asdict(part) for part in parts], **bars})
        for note in heard.notes:
            click.echo(printable(note), err=True)
        if json_path == "-":
            return
    if analysis.tempo:
        sure = "" if analysis.confidence >= 0.2 else ", not sure"
        beat = f"{analysis.tempo:.1f} beats a minute in {analysis.metre}{sure}, {len(analysis.beats)} beats"
    else:
        beat = "no steady beat: signals follow loudness and a slow, even pulse"
    click.echo(", ".join(filter(None, [minutes(analysis.duration), beat, analysis.key])))
    if analysis.doubt.other:
        doubt = analysis.doubt
        others = "; ".join(filter(None, (doubt.other, doubt.further)))
        click.echo(f'sure of the tempo by {doubt.level:.0%}, of the "one" by {doubt.one:.0%}; {others}')
    click.echo("onsets: " + ", ".join(f"{len(found.times)} {name}" for name, found in analysis.onsets.items()))
    click.echo("parts:" + (" (the song is silent)" if analysis.silent else ""))
    for number, part in enumerate(parts, 1):
        click.echo(
            f"  {number:>3}  {printable(part.label):<3} {printable(part.name):<8} bars {part.first_bar}-{part.last_bar}, "
            f"{part.start:.1f}-{part.end:.1f} s"
        )
    if analysis.moments:
        click.echo("moments: " + ", ".join(f"{m.kind} {m.start:.1f}-{m.end:.1f}" for m in analysis.moments))
    if list_bars:
        names = {part.first_bar: part.name for part in reversed(parts)}
        click.echo('bars (number, time, beats; --downbeat N makes beat N a "one"):')
        counted_bars = song_bars(analysis)
        if counted_bars and counted_bars[0].first_beat > 1:
            click.echo(
                f"        {clock_time(float(analysis.beats[0])):>8}  beats 1-{counted_bars[0].first_beat - 1}, before the first bar"
            )
        for bar in counted_bars:
            beats = f"beats {bar.first_beat}-{bar.last_beat}" if bar.first_beat else "no beat heard"
            click.echo(
                f"  {bar.number:>4}  {clock_time(bar.start):>8}  {beats:<15} {printable(names.get(bar.number, ''))}".rstrip()
            )
