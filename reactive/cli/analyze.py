"""``reactive analyze``: what is heard in a song."""

from __future__ import annotations

from pathlib import Path

import click

from reactive.cli.common import clean, errors, keep_inputs, minutes, song_argument, write_json


@click.command()
@song_argument
@click.option("--json", "json_path", metavar="PATH", help="Write the analysis as JSON; - is stdout.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the analysis to a PNG, SVG or PDF.")
def analyze(song: str, json_path: str | None, plot: Path | None) -> None:
    """Hear SONG: tempo, beats, downbeats, onsets, sections.

    \b
    Example:
      reactive analyze song.wav --json song.json --plot song.png
    """
    with errors(json_path == "-"):
        keep_inputs([Path(json_path) if json_path else None, plot], [Path(song)])
        from reactive.media.sound import open_track

        track = open_track(song)
        from reactive.audio.analysis import analyze as hear

        analysis = hear(track)
        if plot:
            from reactive.audio.plot import plot_analysis

            plot_analysis(analysis, plot, title=clean(Path(song).name))
        if json_path:
            write_json(json_path, analysis.to_dict())
        if json_path == "-":
            return
    beat = f"{analysis.tempo:.1f} beats a minute, {len(analysis.beats)} beats" if analysis.tempo else "no steady beat"
    onsets = ", ".join(f"{len(found.times)} {band}" for band, found in analysis.onsets.items())
    click.echo(f"{minutes(analysis.duration)}, {beat}")
    click.echo(f"onsets: {onsets}")
    sections = ", ".join(f"{s.label} {s.start:.1f}-{s.end:.1f}" for s in analysis.sections)
    click.echo(f"sections: {sections}" + (" (the song is silent)" if analysis.silent else ""))
