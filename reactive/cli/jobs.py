"""``reactive jobs`` and ``reactive resume``: list, clean and resume renders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from reactive.cli.common import Progress, counted, errors, json_option, printable, ray_options, yield_processors
from reactive.cli.run import going_on, print_clip


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@click.group()
def jobs() -> None:
    """List and clean job folders, in which renders keep what they have finished.

    They lie in .reactive/ beside the clips, or in the folder that the variable REACTIVE_JOBS names, and take at most 5 GB there
    (REACTIVE_JOBS_SIZE): the oldest of finished clips leave first.
    """


@jobs.command("list")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("."))
@json_option
def jobs_list(folder: Path, as_json: bool) -> None:
    """List the jobs of the clips in FOLDER (default: here) and their sizes.

    \b
    Example:
      reactive jobs list clips/
    """
    with errors(as_json):
        from reactive.render.kept import find_jobs

        found = find_jobs(folder)
    if as_json:
        click.echo(json.dumps({"jobs": [job.to_dict() for job in found]}))
        return
    for job in found:
        click.echo(
            f"{printable(str(job.folder))}: {job.state}, {job.done} of {job.segments} segments, {megabytes(job.size)}"
        )
    if not found:
        click.echo("No jobs here.")


@jobs.command("clean")
@click.argument("places", metavar="[JOB]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Unfinished ones too.")
@json_option
def jobs_clean(places: tuple[Path, ...], everything: bool, as_json: bool) -> None:
    """Remove jobs whose clip is finished: those named, or all of the clips in the folders named (default: here).

    \b
    Example:
      reactive jobs clean
      reactive jobs clean .reactive/clip.mp4 --all
    """
    with errors(as_json):
        from reactive.render.kept import clean_jobs

        removed = clean_jobs(places or (Path("."),), everything=everything)
    size = sum(job.size for job in removed)
    if as_json:
        click.echo(json.dumps({"removed": [str(job.folder) for job in removed], "bytes": size}))
        return
    click.echo(f"{counted(len(removed), 'job')} removed, {megabytes(size)} freed")


@click.command()
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--song", type=click.Path(path_type=Path), help="Where the song is now, if it was moved.")
@click.option(
    "--look-in",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder in which files that were moved are found by name and hash; may be repeated.",
)
@click.option("--mixed", is_flag=True, help="Go on although versions, device or threads have changed.")
@ray_options
@json_option
def resume(
    job: Path, song: Path | None, look_in: tuple[Path, ...], mixed: bool, ray: str | None, workers: int, as_json: bool
) -> None:
    """Go on with the render of a clip, from any folder; JOB is the clip's path or its job folder.

    Photographs, words, presets and LoRAs that were moved are found beside the job, or in the folders of --look-in.

    \b
    Examples:
      reactive resume clip.mp4
      reactive resume clips/.reactive/clip.mp4 --look-in ~/pictures
    """
    yield_processors()
    with errors(as_json, stopping=lambda: going_on(job)):
        from reactive.render.jobs import resume_job

        bar = Progress(not as_json and sys.stderr.isatty())
        with bar as report:
            clip = resume_job(
                job, song=song, look_in=look_in, mixed=mixed, ray=ray, workers=workers, progress=report, rates=bar.rates
            )
    for note in clip.notes:
        click.echo(printable(note), err=True)
    if as_json:
        click.echo(json.dumps(clip.to_dict()))
        return
    print_clip(clip)
