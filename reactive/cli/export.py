"""``reactive export``: what people post, from a finished clip."""

from __future__ import annotations

import json
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
    "--loudness", type=FloatOption(-70, 0), metavar="LUFS", help="Bring the sound to this loudness, for instance -14."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The clip at --loudness, or signed.")
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
    "--c2pa-time", "authority", metavar="URL", help="Ask this time-stamping authority for the time of signing."
)
@click.option("--credits", is_flag=True, help="Print whose photographs it shows; your own are left out.")
@click.option("--overwrite", is_flag=True, help="Replace what exists.")
@json_option
def export(
    clip: Path,
    poster: Path | None,
    thumbnail: Path | None,
    gif: Path | None,
    webp: Path | None,
    loudness: float | None,
    output: Path | None,
    certificates: Path | None,
    key: Path | None,
    authority: str | None,
    credits: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make poster, thumbnail, loop, a clip of known loudness or a signed one from CLIP, without rendering again.

    The loudness is the song's integrated one (ITU-R BS.1770), reached by one gain for all of it and only as far as its
    true peaks stay below -1 dBTP. A signature is a C2PA manifest which says that the clip was made by generative AI; it is
    made by a certificate of your own and covers the whole file, so sign last.

    \b
    Examples:
      reactive export clip.mp4 --poster poster.jpg --gif loop.gif
      reactive export clip.mp4 --loudness -14 -o clip-14.mp4
      reactive export clip.mp4 --credits
      reactive export clip.mp4 --c2pa chain.pem --c2pa-key key.pem -o signed.mp4
    """
    with errors(as_json):
        from reactive.render.export import Wanted, export_clip

        wanted = Wanted(poster, thumbnail, gif, webp, output, loudness, certificates, key, authority, credits)
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
