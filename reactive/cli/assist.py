"""``reactive stems``, ``reactive lyrics`` and ``reactive depth``: files from larger models that other commands take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click

from reactive.cli.common import DEVICES, DEVICES_HELP, counted, errors, json_option, printable, song_argument


@click.command()
@song_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for the stems. Default: SONG.stems beside it."
)
@click.option("--model", default="htdemucs", show_default=True, help="A name of `reactive models list`, or a folder.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help=DEVICES_HELP)
@click.option("--force", is_flag=True, help="Replace stems that are there.")
@json_option
def stems(song: str, output: Path | None, model: str, device: str, force: bool, as_json: bool) -> None:
    """Take SONG apart into drums, bass, vocals and the rest (extra [stems]).

    The weights are fetched once by `reactive models pull htdemucs`; nothing is downloaded here.

    \b
    Examples:
      reactive stems song.wav
      reactive run song.wav --stem song.stems
    """
    with errors(as_json):
        from reactive.assist.stems import load_separator, separate, write_stems
        from reactive.diffusion.models.load import choose_device
        from reactive.errors import OutputError
        from reactive.media.sound import open_track

        folder = output or Path(song).with_suffix(".stems")
        if not force and folder.is_dir() and any(folder.glob("*.wav")):
            raise OutputError("holds stems already", where=str(folder), remedy="use --force, or another folder with -o")
        track = open_track(song)
        separator = load_separator(model)
        found = separate(track, separator, device=choose_device(device), progress=_teller(shown=not as_json))
        written = write_stems(found, separator.sample_rate, folder)
    if as_json:
        click.echo(json.dumps({"stems": {name: str(path) for name, path in written.items()}}))
    else:
        click.echo(f"{printable(', '.join(written))} are in {printable(str(folder))}")
        click.echo(f"The clip hears them with: --stem {printable(str(folder))}")


@click.command()
@song_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File for the words. Default: SONG.lrc beside it."
)
@click.option("--from", "heard", type=click.Path(path_type=Path), help="Hear the words in this file: the vocals' stem.")
@click.option("--language", metavar="CODE", help="What is sung, as en or de. Default: what is heard.")
@click.option(
    "--model", default="whisper-small", show_default=True, help="A name of `reactive models list`, or a folder."
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help=DEVICES_HELP)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
def lyrics(
    song: str,
    output: Path | None,
    heard: Path | None,
    language: str | None,
    model: str,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Write the words of SONG with their times as LRC, for a person to correct.

    The weights are fetched once by `reactive models pull whisper-small`; nothing is downloaded here.

    \b
    Examples:
      reactive lyrics song.wav --language en
      reactive lyrics song.wav --from song.stems/vocals.wav
      reactive run song.wav --lyrics song.lrc
    """
    with errors(as_json):
        from reactive.assist.lyrics import load_transcriber, lrc_text, song_words, transcribe
        from reactive.diffusion.models.load import choose_device
        from reactive.errors import MediaError, OutputError
        from reactive.files import write_text
        from reactive.media.sound import open_track

        path = output or song_words(Path(song))
        if path.exists() and not force:
            raise OutputError("is there already", where=str(path), remedy="use --force, or another file with -o")
        track = open_track(heard or song)
        lines = transcribe(track, load_transcriber(model, device=choose_device(device)), language=language)
        if not lines:
            raise MediaError(
                "no words were heard", where=str(heard or song), remedy="try --language, or --from the vocals"
            )
        try:
            write_text(path, lrc_text(lines))
        except OSError as problem:
            said = problem.strerror or str(problem)
            raise OutputError(f"can't be written ({said})", where=str(path), remedy="choose another with -o") from None
    if as_json:
        rows = [{"start": line.start, "end": line.end, "text": line.text} for line in lines]
        click.echo(json.dumps({"path": str(path), "lines": rows}))
    else:
        click.echo(f"{counted(len(lines), 'line')} in {printable(str(path))}: listen, and correct what was misheard.")
        click.echo(f"The clip sings them with: --lyrics {printable(str(path))}")


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTO...")
@click.option(
    "--model", default="depth-anything-small", show_default=True, help="A name of `reactive models list`, or a folder."
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help=DEVICES_HELP)
@click.option("--force", is_flag=True, help="Replace depth maps that are there.")
@json_option
def depth(photos: tuple[Path, ...], model: str, device: str, force: bool, as_json: bool) -> None:
    """Estimate how near each place of each PHOTO is, so that clips move through it in depth; a PHOTO may be a folder.

    Writes NAME.depth.png beside each photograph: white is near. Every command that takes the photograph uses it; delete it and the
    photograph is flat again. The weights are fetched once by `reactive models pull depth-anything-small`; nothing is downloaded here.

    \b
    Examples:
      reactive depth band.jpg tower.jpg
      reactive depth photos
      reactive run song.wav --photos photos
    """
    with errors(as_json):
        from reactive.assist.depth import load_depth, write_depth_map
        from reactive.diffusion.models.load import choose_device
        from reactive.sources.depth_map import depth_map_of, is_map
        from reactive.sources.imagery import pictures_in

        every = [file for photo in photos for file in (pictures_in(photo) if photo.is_dir() else (photo,))]
        wanted = [file for file in every if not is_map(file) and (force or depth_map_of(file) is None)]
        written = []
        if wanted:
            network = load_depth(model, device=choose_device(device))
            for file in wanted:
                written.append(write_depth_map(file, network))
                if not as_json:
                    click.echo(f"{printable(str(written[-1]))} written")
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}))
    elif len(wanted) < len(every):
        click.echo(f"{counted(len(every) - len(wanted), 'photograph')} had a depth map already: --force replaces it.")


def _teller(*, shown: bool) -> Callable[[float], None]:
    """Return a callback that prints each tenth of progress on stderr."""
    told = 0

    def tell(share: float) -> None:
        nonlocal told
        tenth = int(share * 10 + 1e-6)
        if shown and tenth > told:
            told = tenth
            click.echo(f"taking apart: {tenth * 10} %", err=True)

    return tell
