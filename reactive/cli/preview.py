"""``reactive preview``: pictures in the browser while the song plays."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reactive.cli.colours import chosen_colours, colour_options
from reactive.cli.common import (
    DEVICES,
    DEVICES_HELP,
    USAGE,
    background_option,
    check_controls,
    check_loras,
    check_styles,
    control_option,
    errors,
    fail,
    fit_option,
    fps_option,
    frame_rate,
    json_option,
    lyrics_option,
    macro_option,
    named_focus,
    no_shots_option,
    photo_options,
    preset_option,
    printable,
    sampling_options,
    seed_option,
    shots_file,
    shots_option,
    style_option,
    video_options,
    weights_options,
)
from reactive.cli.numbers import IntOption
from reactive.errors import ReactiveError, install_line


def _print_keys(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the default file of keys and leave."""
    del option
    if wanted:
        from reactive.live.control.keys import default_keys

        click.echo(default_keys(), nl=False)
        context.exit()


@click.command()
@click.argument("song", type=click.Path(), required=False)
@preset_option
@click.option("--with", "others", multiple=True, metavar="PRESET", help="A second preset to fade to; may be repeated.")
@fps_option
@seed_option
@photo_options
@video_options
@background_option
@fit_option
@macro_option
@colour_options
@lyrics_option
@shots_option
@no_shots_option
@click.option("--size", metavar="WxH", help="Size of the clip that is previewed. Default: as `reactive run` has it.")
@click.option("--imagine-size", metavar="WxH", help="Size that the model works at. Default: its native size.")
@click.option("--model", default="ember", show_default=True, help="As in `reactive run`.")
@weights_options
@style_option
@control_option
@click.option("--steps", type=IntOption(1, 200), help="Evaluations a picture. Default: the model's own.")
@sampling_options
@click.option("--draft", is_flag=True, help="Half the size: faster, and different from the final clip.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help=DEVICES_HELP)
@click.option("--threads", default=0, type=IntOption(0, 512), help="CPU threads. Default: one a core.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for phones too.")
@click.option(
    "--port", type=IntOption(0, 65535), help="Port to listen at; 0 any free one. Default: 7373 if it is free."
)
@click.option(
    "--framed-by", type=IntOption(1, 65535), hidden=True, help="Let the page at this port show this one in a frame."
)
@click.option("--open/--no-open", "opening", default=True, help="Open the page in the browser.")
@click.option(
    "--takes", type=click.Path(path_type=Path), default=Path(), help="Folder for takes. Default: the one you are in."
)
@click.option("--input", "live", type=click.Choice(["mic"]), help="Hear a live input instead of a song.")
@click.option("--input-device", metavar="N", help="Which input: its number, or part of its name.")
@click.option("--osc-in", metavar="[HOST:]PORT", help="Receive OSC at this port of this machine.")
@click.option("--osc-out", metavar="[HOST:]PORT", help="Send beats, sections and phases by OSC.")
@click.option("--midi", metavar="PORT", help='Be moved by MIDI: part of the port\'s name, or "any".')
@click.option(
    "--midi-map", "mapping", multiple=True, metavar="cc1=NAME", help="What MIDI moves, or a TOML file; may be repeated."
)
@click.option(
    "--print-midi-map",
    "printing",
    is_flag=True,
    help="Print what --midi-map gives as a file to share, or one to begin with.",
)
@click.option("--keys", type=click.Path(path_type=Path), metavar="FILE", help="Keys of the page, as a TOML file.")
@click.option(
    "--print-keys",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_keys,
    help="Print the default keys.",
)
@click.option("--mjpeg", is_flag=True, help="Print an address that shows the current picture, for OBS.")
@click.option("--link", is_flag=True, help="Share tempo, beat, start and stop by Ableton Link.")
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="KIND[=NAME]",
    help="Show the picture to other programs: ndi, camera, syphon or spout; may be repeated.",
)
@click.option("--output-size", metavar="WxH", help="Size of those outputs. Default: the clip's.")
@json_option
def preview(song: str | None, as_json: bool, opening: bool, printing: bool, **options: Any) -> None:
    """Play SONG in the browser with the pictures that are being imagined, or hear a live input.

    \b
    Examples:
      reactive preview song.wav --preset loop-destroy
      reactive preview song.wav --with my-preset.toml --no-open --port 8080
      reactive preview --input mic --preset warehouse --mjpeg
      reactive preview song.wav --osc-in 9000 --osc-out 9001
      reactive preview song.wav --midi nano --midi-map cc1=macro.storm --midi-map note36=next
      reactive preview song.wav --keys my-keys.toml
      reactive preview song.wav --output ndi=Drums --output camera --output-size 1920x1080
    """
    if printing:
        with errors(as_json, USAGE):
            from reactive.live.control.midi import read_mapping

            click.echo(read_mapping(options["mapping"]).text(), nl=False)
        return
    # the first message comes before torch is loaded, which takes seconds
    tell = _progress(shown=not as_json)
    tell("starting")
    with errors(as_json):
        try:
            import aiohttp  # noqa: F401
        except ImportError:
            raise ReactiveError(
                "the preview needs a web server", remedy=f"install it with `{install_line('[preview]')}`"
            ) from None
        if (song is None) == (options["live"] is None):
            fail(ReactiveError("give a song, or --input mic, and not both", remedy="see --help"), as_json, USAGE)
        if song is not None:
            from reactive.media.safe import regular_file

            regular_file(song)
            listed = Path(song).suffix.lower() == ".toml"
            if listed and options["shots"]:
                raise ReactiveError(
                    "names the edits of one song", where="--shots", remedy="put <song>.shots.toml beside each song"
                )
            if not listed:
                options["shots"] = shots_file(song, options["shots"], options["no_shots"])
        elif options["shots"]:
            raise ReactiveError("a live input has no shots", where="--shots", remedy="preview a song")
        if not options["takes"].is_dir():
            raise ReactiveError("is no folder", where=f"--takes {options['takes']}", remedy="make it first")
        from reactive.preset.library import open_preset

        # a mistyped name is reported at once, not after seconds of loading
        open_preset(options["preset"])
        for other in options["others"]:
            open_preset(other, option="--with")
        if options["lut"]:
            from reactive.media.cube import read_cube

            read_cube(options["lut"])
    with errors(as_json, USAGE):
        chosen = _options(options)
        io_options = _io_options(options)
    with errors(as_json):
        from reactive.live.preview import microphone, preview_input
        from reactive.live.preview import preview as serve

        common: dict[str, Any] = {
            "others": options["others"],
            "host": options["host"],
            "port": options["port"],
            "framed_by": options["framed_by"],
            "io_options": io_options,
            "ready": _teller(song, as_json, io_options),
            "doing": tell,
            "begun": _opener(opening),
        }
        if song is None:
            preview_input(lambda: microphone(options["input_device"]), chosen, **common)
        else:
            serve(song, chosen, takes=options["takes"], **common)


def _progress(*, shown: bool) -> Callable[[str], None]:
    """Return a callback that prints on stderr what is being done, with the seconds since the start."""
    began = time.monotonic()

    def tell(what: str) -> None:
        if shown:
            click.echo(f"{time.monotonic() - began:5.1f} s  {printable(what)} ...", err=True)

    return tell


def _opener(opening: bool) -> Callable[[str], None]:
    """Return a callback that opens the page in the browser, if that is wanted."""

    def begun(url: str) -> None:
        if opening:
            import webbrowser

            webbrowser.open(url)

    return begun


def _teller(song: str | None, as_json: bool, io_options: Any) -> Any:
    """Return a callback that prints the preview's addresses and ports."""
    from reactive.live.control.osc import exposure_warning

    def ready(address: Any) -> None:
        for note in address.notes:
            click.echo(printable(note), err=True)
        if as_json:
            data = {"url": address.url, "port": address.port, "host": address.host, "here": address.here}
            data |= {"remote": address.remote, "look": address.look}
            click.echo(
                json.dumps(
                    data
                    | ({"mjpeg": address.mjpeg} if address.mjpeg else {})
                    | ({"osc": address.osc} if address.osc else {})
                )
            )
        else:
            click.echo(f"{printable(address.input or Path(song or '').name)} plays at {address.url}")
            for url in address.more:
                click.echo(f"In another network of this machine: {url}")
            if address.open and address.url == address.here:
                click.echo("No network was found, so nobody but this machine reaches it yet.")
            elif address.open:
                click.echo(f"On this machine: {address.here}")
                click.echo("Other machines can reach this page with that address; who has it can play and edit.")
                click.echo(f"Remote control for a phone, the same: {address.remote}")
                click.echo(f"Who has this address can look, and no more: {address.look}")
            if address.mjpeg:
                click.echo(f"Who has this address can look at the picture, and no more: {address.mjpeg}")
            if address.osc:
                click.echo(f"OSC is heard at port {address.osc}.")
                if warning := exposure_warning(io_options.osc_in):
                    click.echo(warning)
            click.echo("Ctrl-C ends it.")

    return ready


def _io_options(options: dict[str, Any]) -> Any:
    from reactive.live.control.external_io import ExternalIOOptions
    from reactive.live.control.keys import read_keys
    from reactive.live.control.midi import read_mapping
    from reactive.live.control.osc import parse_address
    from reactive.live.outputs.sink import parse_output
    from reactive.render.sizes import parse_size

    size = parse_size(options["output_size"], "--output-size") if options["output_size"] else None
    mapped = read_mapping(options["mapping"])
    port = options["midi"]
    if options["mapping"] and port is None:
        # a mapping alone enables MIDI
        port = "any"
    if port == "any":
        port = mapped.port
    return ExternalIOOptions(
        osc_in=parse_address(options["osc_in"], "--osc-in") if options["osc_in"] else None,
        osc_out=parse_address(options["osc_out"], "--osc-out") if options["osc_out"] else None,
        midi=port,
        mapped=mapped,
        mjpeg=options["mjpeg"],
        outputs=tuple(parse_output(text, size) for text in options["outputs"]),
        link=options["link"],
        keys=read_keys(options["keys"]),
    )


def _options(options: dict[str, Any]) -> Any:
    from reactive.live.material import PreviewOptions
    from reactive.preset.macros import parse_macros
    from reactive.render.sizes import parse_size

    check_loras(options)
    check_styles(options)
    check_controls(options)
    return PreviewOptions.of(
        preset=options["preset"],
        fps=frame_rate(options["fps"]),
        size=parse_size(options["size"], "--size") if options["size"] else None,
        imagine_size=parse_size(options["imagine_size"], "--imagine-size") if options["imagine_size"] else None,
        model=options["model"],
        loras=tuple(options["loras"]),
        vae=options["vae"],
        adapter=options["adapter"],
        styles=tuple(options["styles"]),
        control_models=tuple(options["control_models"]),
        controls=tuple(options["controls"]),
        quant=options["quant"],
        steps=options["steps"],
        sampler=options["sampler"],
        spacing=options["spacing"],
        prediction=options["prediction"],
        seed=options["seed"],
        photos=tuple(options["photos"]),
        videos=tuple(options["videos"]),
        background=options["background"],
        fit=options.get("fit") or "",
        focus=named_focus(),
        macros=parse_macros(options["macros"]),
        lyrics=options["lyrics"],
        **chosen_colours(options),
        shots=options["shots"],
        no_shots=options["no_shots"],
        device=options["device"],
        threads=options["threads"],
        draft=options["draft"],
    )
