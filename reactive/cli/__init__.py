"""The command ``reactive``: parse, call the library, print. Heavy imports are inside the commands."""

from __future__ import annotations

import click

from reactive import __version__
from reactive.cli.analyze import analyze
from reactive.cli.assist import depth, lyrics, stems
from reactive.cli.bundle import COMMANDS as BUNDLES
from reactive.cli.doctor import doctor
from reactive.cli.export import export
from reactive.cli.imagery import imagery
from reactive.cli.jobs import jobs, resume
from reactive.cli.models import models
from reactive.cli.preset import preset
from reactive.cli.preview import preview
from reactive.cli.program import Program
from reactive.cli.recipe import extract
from reactive.cli.run import run
from reactive.cli.score import score
from reactive.cli.shots import shots
from reactive.cli.studio import studio
from reactive.cli.texts import refuse_empty
from reactive.cli.timeline import timeline
from reactive.cli.trying import try_clip, try_preset


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reactive")
def main() -> None:
    """A song goes in, a finished clip comes out whose pictures move with the music.

    \b
    Example:
      reactive run song.wav --preset loop-destroy
    """


for _command in (
    run,
    studio,
    try_clip,
    preview,
    resume,
    jobs,
    analyze,
    timeline,
    shots,
    score,
    export,
    preset,
    imagery,
    models,
    stems,
    lyrics,
    depth,
    doctor,
):
    main.add_command(_command)
for _command in (*BUNDLES, extract, try_preset):
    preset.add_command(_command)
refuse_empty(main)
