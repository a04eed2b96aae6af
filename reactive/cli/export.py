"""``reactive export``: files to post, made from a finished clip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from reactive.cli.common import errors, json_option, printable
from reactive.cli.numbers import FloatOption


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option("--poster", type=click.Path(path_type=Path), help="The best picture, as .jpg, .png or .webp.")
@click.option("--thumbnail", type=click.Path(path_type=Path), help="The same, 320 pixels on its longer side.")
@click.option("--gif", type=click.Path(path_type=Path), help="A loop of a few seconds that closes on itself.")
@click.option("--webp", type=click.Path(path_type=Path), help="The same loop as WebP: smaller, in full colour.")
@click.option(
    "--loudness",
    type=FloatOption(-70, 0),
    metavar="LUFS",
    help="Set the sound to this loudness in LUFS, for instance -14.",
)
@click.option("--loop", metavar="BARS|A-B", help="A silent MP4 that loops: bars A to B, or the best N bars.")
@click.option(
    "--max-size", metavar="100MB", help="The clip in a file of at most this size, encoded again in two passes."
)
@click.option("--frames", metavar="DIR", type=click.Path(path_type=Path), help="Every frame as a picture in a folder.")
@click.option(
    "--frames-as",
    type=click.Choice(["png", "exr"]),
    default="png",
    show_default=True,
    help="png: 8 bits, as it looks; exr: linear light in half floats.",
)
@click.option(
    "--alpha",
    is_flag=True,
    help="The clip with black made transparent: ProRes 4444 (-o OUT.mov) or VP9 (-o OUT.webm).",
)
@click.option(
    "--alpha-by",
    type=click.Choice(["luminance", "depth"]),
    help="What is transparent with --alpha: black (luminance), or what is far in the photographs by their depth maps (depth).",
)
@click.option("--song", type=click.Path(path_type=Path), help="The clip's song, for --alpha-by depth.")
@click.option(
    "--photos",
    "places",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where else its photographs are, for --alpha-by depth; repeatable.",
)
@click.option(
    "--title",
    default="",
    metavar="TEXT",
    help="Written on the thumbnail, which has up to 1280 pixels then, and the poster.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The loop, or the clip with --alpha, at --loudness or signed.",
)
@click.option(
    "--c2pa",
    "certificates",
    metavar="PEM",
    type=click.Path(path_type=Path),
    help="Sign the clip as made by AI with this certificate and those above it.",
)
@click.option(
    "--c2pa-key", "key", metavar="PEM", type=click.Path(path_type=Path), help="The private key of that certificate."
)
@click.option(
    "--c2pa-time", "authority", metavar="URL", help="Get the time of signing from this time-stamping authority."
)
@click.option("--credits", is_flag=True, help="Print whose photographs it shows; your own are left out.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@json_option
def export(
    clip: Path,
    poster: Path | None,
    thumbnail: Path | None,
    gif: Path | None,
    webp: Path | None,
    loudness: float | None,
    loop: str | None,
    max_size: str | None,
    frames: Path | None,
    frames_as: str,
    alpha: bool,
    alpha_by: str | None,
    song: Path | None,
    places: tuple[Path, ...],
    title: str,
    output: Path | None,
    certificates: Path | None,
    key: Path | None,
    authority: str | None,
    credits: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make poster, thumbnail, loops, frames, a clip with transparency, of a given loudness or size, or signed, from CLIP.

    Nothing is rendered again.

    The loudness is the song's integrated one (ITU-R BS.1770), reached by one gain for all of it and only as far as its
    true peaks stay below -1 dBTP. A signature is a C2PA manifest which says that the clip was made by generative AI; it is
    made by a certificate of your own and covers the whole file, so sign last. --loop counts the bars of CLIP's own sound
    from 1; of a number of bars, the ones that join best are chosen, and the joint is faded over a third of a second. A clip
    that is under --max-size already is copied; else its pictures get the rate that the size allows, and its sound stays.

    \b
    Examples:
      reactive export clip.mp4 --poster poster.jpg --gif loop.gif
      reactive export clip.mp4 --thumbnail cover.jpg --title "First light"
      reactive export clip.mp4 --loop 17-20 -o canvas.mp4
      reactive export master.mkv --frames frames/ --frames-as exr
      reactive export clip.mp4 --alpha -o overlay.mov
      reactive export clip.mp4 --alpha-by depth --song song.wav -o near.mov
      reactive export clip.mp4 --max-size 100MB -o small.mp4
      reactive export clip.mp4 --loudness -14 -o clip-14.mp4
      reactive export clip.mp4 --credits
      reactive export clip.mp4 --c2pa chain.pem --c2pa-key key.pem -o signed.mp4
    """
    with errors(as_json):
        from reactive.render.export import ExportOptions, export_clip
        from reactive.video.fitted import parse_bytes

        wanted = ExportOptions(
            poster, thumbnail, gif, webp, output, loudness, certificates, key, authority, credits, loop
        )
        wanted = replace(wanted, frames=frames, frames_as=frames_as, title=printable(title)[:200])
        if alpha or alpha_by:
            wanted = replace(wanted, alpha=alpha_by or "luminance", song=song, places=places)
        if max_size is not None:
            wanted = replace(wanted, max_size=parse_bytes(max_size))
        if loop and output is None:
            wanted = replace(wanted, output=clip.with_name(f"{clip.stem}-loop.mp4"))
        made = export_clip(clip, wanted, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(made))
        return
    if credits:
        shown = made.pop("credits")
        assert isinstance(shown, list)
        for one in shown:
            click.echo(
                printable(f"{one['caption']} ({one['name']}): {one['author']}; {one['licence']}; {one['source']}")
            )
        if not shown:
            click.echo("It shows no photograph of the library.")
    for kind, facts in made.items():
        assert isinstance(facts, dict)
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if name != "path")
        click.echo(f"{kind:<10} {printable(str(facts['path']))}: {told}")
