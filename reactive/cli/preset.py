"""``reactive preset``: list, show and check presets."""

from __future__ import annotations

import json
from pathlib import Path

import click

from reactive.cli.common import clean, errors, json_option, write_text


@click.group()
def preset() -> None:
    """List, show and check presets."""


@preset.command("list")
@json_option
def preset_list(as_json: bool) -> None:
    """List the presets that ship.

    \b
    Example:
      reactive preset list
    """
    with errors(as_json):
        from reactive.preset.library import find_preset, names
        from reactive.preset.schema import load_preset

        found = {name: load_preset(find_preset(name)) for name in names()}
    if as_json:
        click.echo(
            json.dumps(
                {
                    "presets": [
                        {"name": name, "title": p.title, "description": p.description} for name, p in found.items()
                    ]
                }
            )
        )
        return
    for name, one in found.items():
        prompts = sum(len(phase.prompts) for phase in one.phase)
        click.echo(f"{name:<16} {len(one.phase)} phases, {prompts} prompts. {one.description}")


@preset.command("show")
@click.argument("name")
def preset_show(name: str) -> None:
    """Print the file of preset NAME.

    \b
    Example:
      reactive preset show loop-destroy
    """
    with errors():
        from reactive.preset.library import find_preset
        from reactive.preset.schema import read_preset

        text = read_preset(find_preset(name))
        click.echo("".join(letter for letter in text if letter.isprintable() or letter in "\n\t"), nl=False)


@preset.command("check")
@click.argument("name")
@json_option
def preset_check(name: str, as_json: bool) -> None:
    """Check preset NAME (a name or a path) and say what is in it.

    \b
    Example:
      reactive preset check my-preset.toml
    """
    with errors(as_json):
        from reactive.preset.library import get_preset

        checked = get_preset(name)
    counts = {phase.name: len(phase.prompts) for phase in checked.phase}
    if as_json:
        click.echo(json.dumps({"title": checked.title, "prompts": counts}))
        return
    click.echo(
        f"{clean(checked.title)} is a valid preset: " + ", ".join(f"{n} ({c} prompts)" for n, c in counts.items())
    )


@preset.command("import-deforum")
@click.argument("settings", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The preset file to write.")
@click.option(
    "--tempo", default=120.0, show_default=True, type=click.FloatRange(20, 400), help="Of the song it was for."
)
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
    click.echo(clean(str(output)))
    for clause in made.without:
        click.echo(f"no counterpart: {clean(clause)}")
