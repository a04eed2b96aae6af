"""``reactive score``: how well a clip moves with its sound, and whether it is safe to watch."""

from __future__ import annotations

import json
from pathlib import Path

import click

from reactive.cli.common import errors, json_option


@click.command()
@click.argument("clip", type=click.Path())
@click.option(
    "--timeline", "timeline_path", type=click.Path(path_type=Path), help="Its timeline, whose cuts are no pops."
)
@json_option
def score(clip: str, timeline_path: Path | None, as_json: bool) -> None:
    """Measure how well the pictures of CLIP move with its sound, and whether it flashes more than is safe.

    \b
    Example:
      reactive score clip.mp4 --json
    """
    with errors(as_json):
        from reactive.score.flash import score_flashes
        from reactive.score.sync import score_clip

        cuts: tuple[int, ...] = ()
        if timeline_path:
            from reactive.timeline.file import load_timeline

            cuts = load_timeline(timeline_path).cuts
        found = score_clip(clip, cuts=cuts)
        flashes = score_flashes(clip)
    if as_json:
        click.echo(json.dumps(found.to_dict() | {"flashes": flashes.to_dict()}))
        return
    click.echo(f"lag          {found.lag_ms:+.1f} ms (positive: the picture is late)")
    click.echo(f"correlation  {found.correlation:.3f} of picture change with onsets")
    click.echo(
        f"dead         {found.dead_s:.2f} s is the longest stretch without visible change while the song is loud"
    )
    click.echo(f"pops         {len(found.pops)} jumps that neither an onset nor a cut explains")
    click.echo(f"boil         {found.boil:.2f} change between hits over change on hits")
    click.echo(f"frames       {found.frames} at {found.fps} frames/s")
    click.echo(f"flashes      {'passes' if flashes.passes else 'FAILS'}: {flashes.sentence()}")
