"""``reactive preset``: find, read, begin, check and try presets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    counted,
    errors,
    json_option,
    photo_options,
    printable,
    seed_option,
    video_options,
    write_text,
)
from reactive.cli.numbers import FloatOption


@click.group()
def preset() -> None:
    """Find, read, begin, check and try presets."""


@preset.command("list")
@click.option(
    "--gallery", type=click.Path(path_type=Path), help="Write a page with posters and moving pictures: gallery.html."
)
@json_option
def preset_list(gallery: Path | None, as_json: bool) -> None:
    """List the presets as a table: those that ship, and those that you installed.

    \b
    Examples:
      reactive preset list
      reactive preset list --gallery gallery.html
    """
    with errors(as_json):
        from reactive.errors import OutputError
        from reactive.preset.describe import preset_table, prompt_count
        from reactive.preset.gallery import Shown, gallery_page
        from reactive.preset.library import find_preset, get_preset, names, shipped_names

        found, shipped = {name: get_preset(name) for name in names()}, set(shipped_names())
        origins = {name: "ships" if name in shipped else "installed" for name in found}
        if gallery:
            if gallery.suffix.lower() not in (".html", ".htm"):
                raise OutputError("is no name for a page", where=str(gallery), remedy="let it end in .html")
            shown = [Shown(name, find_preset(name).parent, one, origins[name]) for name, one in found.items()]
            write_text(gallery, gallery_page(shown))
    if gallery and not as_json:
        click.echo(f"{printable(str(gallery))}: {counted(len(found), 'preset')}")
        return
    if as_json:
        keys = ("title", "description", "author", "licence", "music", "model")
        rows = [
            {
                "name": name,
                "origin": origins[name],
                **{key: getattr(one, key) for key in keys},
                "prompts": prompt_count(one),
            }
            for name, one in found.items()
        ]
        click.echo(json.dumps({"presets": rows}))
        return
    click.echo(printable_lines(preset_table(found, shipped=shipped, width=shutil.get_terminal_size((110, 40)).columns)))


@preset.command("show")
@click.argument("name")
@click.option("--toml", is_flag=True, help="Print the file itself.")
@json_option
def preset_show(name: str, toml: bool, as_json: bool) -> None:
    """Print what preset NAME (a name, a path or a bundle) shows and how the music moves it.

    \b
    Examples:
      reactive preset show loop-destroy
      reactive preset show tide.reactive
    """
    with errors(as_json), _or_bundle(name) as file:
        from reactive.preset.schema import load_preset, read_preset

        if toml:
            click.echo(printable_lines(read_preset(file)), nl=False)
            return
        found = load_preset(file)
        from reactive.preset.describe import preset_page
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json")))
        return
    click.echo(printable_lines(preset_page(name, found)))


@contextmanager
def _or_bundle(name: str) -> Iterator[Path]:
    """Yield the file of a preset given by name or path; a bundle is unpacked and checked for as long as the block lasts."""
    from reactive.preset.bundle import SUFFIX, unpacked
    from reactive.preset.library import find_preset

    if not name.endswith(SUFFIX) or Path(name).is_dir():
        yield find_preset(name, option="")
        return
    with unpacked(Path(name)) as (file, manifest):
        files = f"{counted(len(manifest.files), 'file')}, {sum(note.bytes for note in manifest.files.values()):,} bytes"
        click.echo(f"{printable(name)} is not installed ({files}); `reactive preset install` installs it.", err=True)
        yield file


@preset.command("language")
@click.argument("word", required=False)
def preset_language(word: str | None) -> None:
    """Print the page of the language of presets; with WORD, only what mentions it.

    \b
    Examples:
      reactive preset language
      reactive preset language ground
    """
    with errors():
        from reactive.preset.reference import language_page

        page = language_page(word)
    click.echo(printable_lines(page))


@preset.command("schema")
def preset_schema() -> None:
    """Print the JSON Schema of preset files, for editors that complete and check.

    \b
    Example:
      reactive preset schema > preset.schema.json
    """
    from reactive.preset.reference import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


@preset.command("new")
@click.argument("name")
@click.option("--from", "source", default="loop-destroy", show_default=True, help="The preset to begin from.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(), help="Where its folder is made. Default: here."
)
@json_option
def preset_new(name: str, source: str, folder: Path, as_json: bool) -> None:
    """Begin a preset called NAME as a commented copy of another.

    \b
    Example:
      reactive preset new my-preset --from loop-destroy
    """
    with errors(as_json):
        from reactive.preset.scaffold import new_preset

        file = new_preset(name, source=source, folder=folder)
    if as_json:
        click.echo(json.dumps({"file": str(file)}))
        return
    click.echo(f"{printable(str(file))}: change it, then `reactive preset check {printable(str(file))} SONG`")


@preset.command("check")
@click.argument("name")
@click.argument("song", type=click.Path(), required=False)
@seed_option
@photo_options
@video_options
@json_option
def preset_check(
    name: str, song: str | None, seed: int, photos: tuple[Path, ...], videos: tuple[Path, ...], as_json: bool
) -> None:
    """Check preset NAME (a name, a path or a bundle); with SONG, describe what it does to that song.

    \b
    Examples:
      reactive preset check my-preset.toml song.wav
      reactive preset check my-preset.toml song.wav --photos holiday/
      reactive preset check tide.reactive
    """
    with errors(as_json), _or_bundle(name) as file:
        from reactive.media.safe import regular_file
        from reactive.preset.bounds import held_expressions
        from reactive.preset.describe import phase_variety
        from reactive.preset.library import open_preset
        from reactive.preset.photographs import source_notes

        for given in (*photos, *videos):
            regular_file(given)
        opened = open_preset(str(file), option="")
        checked = opened.preset
        counts = {phase.name: phase_variety(checked, phase) for phase in checked.phase}
        notes = [*checked.notes, *held_expressions(checked)]
        report = _report(opened, song, seed, photos, videos) if song else None
        if song or photos or videos:
            notes += (note.rstrip(".") for note in source_notes(checked, photos=len(photos), videos=len(videos)))
    if as_json:
        facts: dict[str, Any] = {"title": checked.title, "prompts": counts, "notes": notes}
        click.echo(json.dumps(facts | ({"song": report.to_dict()} if report else {})))
        return
    said = ", ".join(f"{printable(n)} ({counted(c, 'prompt')})" for n, c in counts.items())
    click.echo(f"{printable(checked.title)} is a valid preset: {said}")
    if report:
        from reactive.timeline.report import sentences

        click.echo(printable_lines("\n".join(sentences(report))))
    for note in notes:
        click.echo(f"Note: {printable(note)}.")


def _report(opened: Any, song: str, seed: int, photos: tuple[Path, ...], videos: tuple[Path, ...]) -> Any:
    from reactive.preset.library import lyrics_of

    checked, lines = opened.preset, lyrics_of(opened)
    from reactive.audio.hear import hear
    from reactive.render.decide import decide
    from reactive.timeline.report import preset_report

    analysis = hear(song).analysis
    timeline = decide(analysis, checked, seed=seed, photos=photos, videos=videos, lyrics=lines)
    return preset_report(timeline, checked, analysis)


def printable_lines(text: str) -> str:
    """Return text without control characters, its lines kept."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


@preset.command("import-deforum")
@click.argument("settings", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The preset file to write.")
@click.option("--tempo", default=120.0, show_default=True, type=FloatOption(20, 400), help="Of the song it was for.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@json_option
def preset_import_deforum(settings: Path, output: Path, tempo: float, overwrite: bool, as_json: bool) -> None:
    """Make a preset from a Deforum SETTINGS file, and list what has no counterpart.

    \b
    Example:
      reactive preset import-deforum settings.txt -o my-preset.toml
    """
    with errors(as_json):
        from reactive.exchange.deforum_import import import_deforum
        from reactive.render.outputs import check_output

        check_output(output, [settings], overwrite)
        made = import_deforum(settings, tempo=tempo)
        write_text(output, made.toml)
    if as_json:
        click.echo(json.dumps({"output": str(output), "without_counterpart": list(made.without)}))
        return
    click.echo(printable(str(output)))
    for clause in made.without:
        click.echo(f"no counterpart: {printable(clause)}")
