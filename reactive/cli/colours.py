"""The options for a whole clip's colours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reactive.cli.numbers import FloatOption

_OPTIONS = (
    click.option(
        "--palette",
        metavar="COLOURS",
        help='Move pictures towards these colours: "#200010,dark red,white", dark to light.',
    ),
    click.option(
        "--palette-strength",
        default=1.0,
        show_default=True,
        type=FloatOption(0, 1),
        help="How strongly, 0 to 1.",
    ),
    click.option(
        "--saturation",
        default=1.0,
        show_default=True,
        type=FloatOption(0, 4),
        help="0 is grey, 2 is twice as colourful.",
    ),
    click.option("--contrast", default=1.0, show_default=True, type=FloatOption(0, 4), help="Black and white stay."),
    click.option(
        "--brightness",
        default=0.0,
        show_default=True,
        type=FloatOption(-1, 1),
        help="-1 is dark, 1 is light; black and white stay.",
    ),
    click.option(
        "--temperature", default=0.0, show_default=True, type=FloatOption(-1, 1), help="-1 is cold, 1 is warm."
    ),
    click.option("--tint", default=0.0, show_default=True, type=FloatOption(-1, 1), help="-1 is green, 1 is magenta."),
    click.option("--lut", metavar="FILE", type=click.Path(path_type=Path), help="Apply a colour table, a .cube file."),
)


def colour_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a clip's colours."""
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), command)


def chosen_colours(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options as `reactive.Settings` takes them.

    Raises
    ------
    PresetError
        If the palette has something that is not a colour.
    """
    from reactive.preset.palette import parse_palette

    names = ("palette_strength", "saturation", "contrast", "brightness", "temperature", "tint", "lut")
    palette = parse_palette(options["palette"], where="--palette") if options["palette"] is not None else ()
    return {name: options[name] for name in names} | {"palette": palette}
