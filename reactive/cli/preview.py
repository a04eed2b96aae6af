"""``reactive preview``: pictures in the browser while the song plays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    USAGE,
    clean,
    errors,
    fps_option,
    json_option,
    lyrics_option,
    macro_option,
    photo_option,
    preset_option,
    seed_option,
    song_argument,
    video_option,
)
from reactive.errors import ReactiveError


@click.command()
@song_argument
@preset_option
@click.option("--with", "others", multiple=True, metavar="PRESET", help="A second preset to fade to; may be repeated.")
@fps_option
@seed_option
@photo_option
@video_option
@macro_option
@lyrics_option
@click.option("--size", metavar="WxH", help="Size of the clip that is previewed. Default: as `reactive run` has it.")
@click.option("--imagine-size", metavar="WxH", help="Size that the model works at. Default: what it was made for.")
@click.option("--model", default="ember", show_default=True, help="ember, a diffusers folder, or a hub id.")
@click.option("--steps", type=click.IntRange(1, 200), help="Evaluations a picture. Default: what the model wants.")
@click.option("--draft", is_flag=True, help="Half the size: sooner, and not what the final clip shows.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", default=0, type=click.IntRange(0, 512), help="CPU threads. Default: one a core.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen at; 0 any free one. Default: 7373 if it is free."
)
@click.option("--open/--no-open", "opening", default=True, help="Open the page in the browser.")
@click.option(
    "--takes", type=click.Path(path_type=Path), default=Path(), help="Folder for takes. Default: the one you are in."
)
@json_option
def preview(song: str, as_json: bool, opening: bool, **options: Any) -> None:
    """Play SONG in the browser with the pictures that are being imagined.

    \b
    Examples:
      reactive preview song.wav --preset loop-destroy
      reactive preview song.wav --with my-preset.toml --no-open --port 8080
    """
    with errors(as_json):
        try:
            import aiohttp  # noqa: F401
        except ImportError:
            raise ReactiveError(
                "the preview needs a web server", remedy="install it with `pip install 'reactive-clip[preview]'`"
            ) from None
        from reactive.media.safe import regular_file

        regular_file(song)
        if not options["takes"].is_dir():
            raise ReactiveError("is no folder", where=f"--takes {options['takes']}", remedy="make it first")
    with errors(as_json, USAGE):
        chosen = _options(options)
    with errors(as_json):
        from reactive.live.preview import Address
        from reactive.live.preview import preview as serve

        def ready(address: Address) -> None:
            if as_json:
                click.echo(json.dumps({"url": address.url, "port": address.port, "host": address.host}))
            else:
                click.echo(f"{clean(Path(song).name)} plays at {address.url}")
                if address.open:
                    click.echo("Other machines can reach this page with that address; who has it can play and edit.")
                click.echo("Ctrl-C ends it.")
            if opening:
                import webbrowser

                webbrowser.open(address.url)

        serve(
            song, chosen, others=options["others"], host=options["host"], port=options["port"],
            takes=options["takes"], ready=ready,
        )  # fmt: skip


def _options(options: dict[str, Any]) -> Any:
    from reactive.live.material import Options
    from reactive.preset.macros import parse_macros
    from reactive.render.sizes import parse_size
    from reactive.timeline.clock import parse_fps

    return Options(
        preset=options["preset"],
        fps=parse_fps(options["fps"]),
        size=parse_size(options["size"], "--size") if options["size"] else None,
        imagine_size=parse_size(options["imagine_size"], "--imagine-size") if options["imagine_size"] else None,
        model=options["model"],
        steps=options["steps"],
        seed=options["seed"],
        photos=tuple(options["photos"]),
        videos=tuple(options["videos"]),
        macros=parse_macros(options["macros"]),
        lyrics=options["lyrics"],
        device=options["device"],
        threads=options["threads"],
        draft=options["draft"],
    )
