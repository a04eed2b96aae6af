"""Recipes on the command line: ``run --recipe``, ``run --no-recipe`` and ``reactive preset extract``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from reactive.cli.common import errors, json_option, printable

# options allowed with --recipe: where files are, not what the clip is
BESIDE = (
    "songs",
    "output",
    "photos",
    "photo_folder",
    "lyrics",
    "timeline",
    "lut",
    "model",
    "loras",
    "vae",
    "adapter",
    "styles",
    "controls",
    "control_models",
    "quant",
    "overwrite",
    "as_json",
    "recipe_of",
)


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--recipe`` and ``--no-recipe`` to a command."""
    again = click.option(
        "--recipe",
        "recipe_of",
        metavar="CLIP",
        type=click.Path(path_type=Path),
        help="Make this clip again from the recipe in it; SONG must be its song.",
    )
    without = click.option("--no-recipe", is_flag=True, help="Write no recipe into the clip.")
    return again(without(command))


def check_beside() -> None:
    """Refuse options that change what ``--recipe`` has decided already."""
    context = click.get_current_context()
    for parameter in context.command.params:
        given = parameter.name and context.get_parameter_source(parameter.name) == ParameterSource.COMMANDLINE
        if given and parameter.name not in BESIDE:
            raise click.UsageError(f"--recipe decides everything; leave {parameter.opts[0]} out.")


def repeat(song: str, output: Path | None, options: dict[str, Any], report: Any) -> Any:
    """Make the clip that ``--recipe`` names again."""
    from reactive.media.safe import regular_file
    from reactive.preset.control import split_control
    from reactive.preset.style import split_style
    from reactive.render.recipe import read_recipe

    first: Path = options["recipe_of"]
    recipe = read_recipe(first)
    regular_file(song)
    out = output or Path(f"{Path(song).stem}-again{first.suffix}")
    from reactive.errors import OutputError
    from reactive.render.repeat import repeat_clip

    if out.exists() and out.samefile(first):
        raise OutputError("is the clip whose recipe this is", where=str(out), remedy="choose another name with -o")
    places = [
        *options["photos"],
        *options["videos"],
        *(Path(split_style(style)[0]) for style in options["styles"]),
        *(Path(file) for text in options["controls"] if (file := split_control(text)[1])),
        *filter(None, (options["lyrics"], options["timeline"], options["logo"], options["lut"])),
        *([Path(options["quant"])] if options["quant"] else []),
        first.parent,
    ]
    chosen = click.get_current_context().get_parameter_source("model") == ParameterSource.COMMANDLINE
    return repeat_clip(
        recipe,
        song,
        out,
        places=places,
        model=options["model"] if chosen else None,
        vae=options["vae"],
        adapter=options["adapter"],
        control_models=options["control_models"],
        loras=[Path(lora) for lora in options["loras"]],
        overwrite=options["overwrite"],
        progress=report,
    )


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write the preset to this file. Default: print it."
)
@json_option
def extract(clip: Path, output: Path | None, as_json: bool) -> None:
    """Print the preset that CLIP was made with; with --json, the whole recipe.

    \b
    Example:
      reactive preset extract clip.mp4 -o found.toml
    """
    with errors(as_json):
        from reactive.errors import PresetError
        from reactive.media.safe import plain
        from reactive.render.recipe import read_recipe

        recipe = read_recipe(clip)
        if recipe.preset is None and not as_json:
            raise PresetError("was made from an edited timeline, not from a preset", where=str(clip))
        if output and recipe.preset:
            try:
                with output.open("x", encoding="utf-8", newline="") as target:
                    target.write(recipe.preset.text)
            except FileExistsError:
                raise PresetError("exists already", where=str(output), remedy="choose another name with -o") from None
            except OSError as problem:
                raise PresetError(f"can't be written ({problem.strerror})", where=str(output)) from None
    if as_json:
        click.echo(json.dumps(recipe.model_dump()))
    elif output and recipe.preset:
        facts = recipe.settings
        click.echo(
            f"{printable(str(output))}: preset {printable(recipe.preset.name)}, of a clip of {printable(recipe.song.name)} made by "
            f"{printable(recipe.model.name)} with seed {printable(str(facts.get('seed')))}"
        )
    elif recipe.preset:
        click.echo(plain(recipe.preset.text, keep="\n\t"), nl=False)
