"""``reactive studio``: the whole way from a song to a clip on one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import errors, json_option, printable
from reactive.cli.numbers import IntOption
from reactive.errors import ReactiveError, install_line


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("my-clip"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for phones too.")
@click.option(
    "--port", type=IntOption(0, 65535), help="Port to listen at; 0 any free one. Default: 7374 if it is free."
)
@click.option("--open/--no-open", "opening", default=True, help="Open the page in the browser.")
@click.option(
    "--keep-rendering/--stop-renders",
    "keep",
    default=True,
    show_default=True,
    help="Whether renders go on when the studio ends; stopped ones go on with its next start.",
)
@json_option
def studio(folder: Path, as_json: bool, opening: bool, **options: Any) -> None:
    """Make a clip in the browser: drop a song and photographs, choose a preset, look, render, download.

    FOLDER is the project: a folder that holds the song, the pictures, the clips and what was chosen (project.toml). It is made
    if it is not there. Default: my-clip. `reactive run FOLDER` renders it too.

    \b
    Examples:
      reactive studio
      reactive studio ~/clips/our-song
      reactive studio our-song --host 0.0.0.0
    """
    with errors(as_json):
        try:
            import aiohttp  # noqa: F401
        except ImportError:
            raise ReactiveError(
                "the studio needs a web server", remedy=f"install it with `{install_line('[preview]')}`"
            ) from None
        from reactive.studio.app import StudioAddress
        from reactive.studio.app import studio as serve

        def ready(address: StudioAddress) -> None:
            if as_json:
                click.echo(json.dumps({"url": address.here, "port": address.port, "more": list(address.more)}))
            else:
                click.echo(f"{printable(str(folder))} is open at {address.here}")
                for url in address.more:
                    click.echo(f"On other machines, for whom you give this address to: {url}")
                click.echo("Ctrl-C ends it.")
            if opening:
                import webbrowser

                webbrowser.open(address.here)

        serve(folder, host=options["host"], port=options["port"], keep_rendering=options["keep"], ready=ready)
