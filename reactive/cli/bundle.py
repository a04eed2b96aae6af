"""``reactive preset pack``, ``install``, ``remove``, ``export``, ``fork`` and ``extract``: presets that bands share."""

from __future__ import annotations

import json
from pathlib import Path

import click

from reactive.cli.common import errors, json_option, printable


@click.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The bundle. Default: ./<name>.reactive.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that exists.")
@json_option
def pack(name: str, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write preset NAME (a name, a folder or a file) with all its files as one file to send.

    \b
    Example:
      reactive preset pack my-preset -o my-preset.reactive
    """
    with errors(as_json):
        from reactive.preset import bundle

        out = output or Path((Path(name).resolve().name if Path(name).is_dir() else Path(name).stem) + bundle.SUFFIX)
        packed = bundle.pack(name, out, overwrite=overwrite)
    files = {inside: note.bytes for inside, note in packed.manifest.files.items()}
    if as_json:
        click.echo(
            json.dumps({"output": str(out), "name": packed.manifest.name, "files": files, "left_out": packed.left_out})
        )
        return
    click.echo(f"{printable(str(out))}: {packed.manifest.name}, {len(files)} files, {sum(files.values()):,} bytes")
    if packed.left_out:
        click.echo(f"left out, since a bundle can't hold them: {printable(', '.join(packed.left_out))}")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--as", "name", metavar="NAME", help="The name to install it under.")
@click.option("--replace", is_flag=True, help="Replace another preset of that name that you installed.")
@json_option
def install(bundle: Path, name: str | None, replace: bool, as_json: bool) -> None:
    """Install a BUNDLE that somebody sent, after checking its contents.

    \b
    Example:
      reactive preset install tide.reactive
    """
    with errors(as_json):
        from reactive.preset.bundle import install as put

        done = put(bundle, name=name, replace=replace)
    facts = done.manifest
    if as_json:
        click.echo(
            json.dumps(
                {
                    "name": done.name,
                    "folder": str(done.folder),
                    "installed": done.fresh,
                    "title": facts.title,
                    "author": facts.author,
                    "licence": facts.licence,
                    "model": facts.model,
                }
            )
        )
        return
    what = "installed" if done.fresh else "was installed already"
    click.echo(f"{done.name} {what}: {printable(facts.title)} by {printable(facts.author)}, {printable(facts.licence)}")
    click.echo(f"use it with: reactive run song.wav --preset {done.name}")


@click.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove preset NAME that you installed.

    \b
    Example:
      reactive preset remove tide
    """
    with errors(as_json):
        from reactive.preset.bundle import remove as drop

        folder = drop(name)
    click.echo(json.dumps({"removed": name, "folder": str(folder)}) if as_json else f"{printable(name)} is removed")


@click.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder to make. Default: ./<name>.")
@json_option
def export(name: str, output: Path | None, as_json: bool) -> None:
    """Copy the files of preset NAME to a new folder, to look at, edit or keep.

    \b
    Example:
      reactive preset export loop-destroy -o my-loop
    """
    with errors(as_json):
        from reactive.preset.bundle import export as copy

        folder = output or Path(Path(name).name)
        files = copy(name, folder)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": files}))
        return
    click.echo(f"{printable(str(folder))}: {', '.join(map(printable, files))}")


@click.command()
@click.argument("name")
@click.argument("new")
@json_option
def fork(name: str, new: str, as_json: bool) -> None:
    """Install a copy of preset NAME called NEW, with a note of its origin, to change it.

    \b
    Example:
      reactive preset fork loop-destroy my-loop
    """
    with errors(as_json):
        from reactive.preset.bundle import fork as branch

        file = branch(name, new)
    if as_json:
        click.echo(json.dumps({"name": new, "file": str(file)}))
        return
    click.echo(f"{printable(new)} is yours to edit: {printable(str(file))}")


COMMANDS = (pack, install, remove, export, fork)
