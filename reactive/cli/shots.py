"""``reactive shots``: the shots of a clip by name; wishes for single ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    USAGE,
    Progress,
    clean,
    errors,
    fps_option,
    json_option,
    keep_inputs,
    lyrics_option,
    macro_option,
    photo_option,
    preset_option,
    seed_option,
    song_argument,
)


@click.command()
@song_argument
@preset_option
@fps_option
@seed_option
@photo_option
@macro_option
@lyrics_option
@click.option("--shot", "chosen", multiple=True, metavar="NAME|N", help="A shot to change; may be repeated.")
@click.option("--roll", is_flag=True, help="Roll the chosen shots again: another seed.")
@click.option("--lock/--unlock", default=None, help="Keep the chosen shots as they are now, or let them go.")
@click.option("--prompt", "prompts", multiple=True, help="A prompt of their own; repeated: one after the other.")
@click.option(
    "--own-photo", type=click.Path(path_type=Path), help="A photograph beside the song that they grow out of."
)
@click.option("--own-seed", type=click.IntRange(0, 2**62 - 1), help="A seed of their own.")
@click.option("--reset", is_flag=True, help="Forget what was wanted of the chosen shots.")
@click.option(
    "--shots",
    "file",
    type=click.Path(path_type=Path),
    help="The shots file. Default: <song>.shots.toml beside the song.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Draw a contact sheet: .jpg, .png or .webp.")
@click.option("--model", default="ember", show_default=True, help="Imagines the contact sheet; as in `reactive run`.")
@click.option("--steps", type=click.IntRange(1, 200), help="Evaluations a picture. Default: what the model wants.")
@json_option
def shots(song: str, as_json: bool, **options: Any) -> None:
    """List the shots of SONG's clip, draw them as a contact sheet, and change single ones.

    Changes are kept in a file beside the song, which `reactive run` and `reactive timeline` heed. With --shot, only the chosen
    shots are imagined again for the contact sheet.

    \b
    Examples:
      reactive shots song.wav --preset loop-destroy -o sheet.jpg
      reactive shots song.wav --shot "drop 1 / shot 2" --roll -o sheet.jpg
      reactive shots song.wav --shot 7 --prompt "a white door in the sea" --lock
    """
    changing = options["roll"] or options["reset"] or options["lock"] is not None or options["prompts"]
    changing = bool(changing or options["own_photo"] or options["own_seed"] is not None)
    if changing and not options["chosen"]:
        raise click.UsageError("name the shots to change with --shot")
    with errors(as_json):
        from reactive.preset.library import get_preset, words_of
        from reactive.preset.macros import parse_macros
        from reactive.timeline.clock import parse_fps

        with errors(as_json, USAGE):
            rate = parse_fps(options["fps"])
        wanted = get_preset(options["preset"])
        lines = words_of(options["preset"], wanted, options["lyrics"])
        keep_inputs([options["output"]], [Path(song), *options["photos"]])
        from reactive.audio.hear import hear
        from reactive.preset.shots import Shots, Wish, load_shots, save_shots, shot_photos, shots_path
        from reactive.timeline.shots import apply_shots, find_shot, locked, rolled, shots_of
        from reactive.timeline.timeline import build_timeline

        heard = hear(song)
        track, analysis = heard.track, heard.analysis
        file = options["file"] or shots_path(Path(song))
        wishes = load_shots(file) if file.is_file() else Shots(song_sha256=track.sha256)
        decided = build_timeline(
            analysis, wanted, samples=track.samples, fps=rate, seed=options["seed"], lyrics=lines,
            photos=tuple(photo.name for photo in options["photos"]), macros=parse_macros(options["macros"]),
        )  # fmt: skip
        plain = shots_of(decided, analysis)
        picked = [find_shot(name, plain) for name in options["chosen"]]
        if changing:
            present = {shot.name: shot for shot in shots_of(apply_shots(decided, analysis, wishes)[0], analysis)}
            table = dict(wishes.shot)
            for shot in picked:
                wish = Wish() if options["reset"] else table.get(shot.name, Wish())
                wish = _changed(wish, options, file)
                wish = rolled(shot, wish) if options["roll"] else wish
                if options["lock"] is False:
                    wish = wish.model_copy(update={"locked": False})
                table[shot.name] = wish
                if options["lock"]:
                    trial = wishes.model_copy(update={"shot": table})
                    present = {one.name: one for one in shots_of(apply_shots(decided, analysis, trial)[0], analysis)}
                    table[shot.name] = locked(present[shot.name], wish)
            wishes = wishes.model_copy(update={"shot": {name: wish for name, wish in table.items() if wish != Wish()}})
            save_shots(wishes, file)
        timeline, unknown = apply_shots(decided, analysis, wishes)
        found = shots_of(timeline, analysis)
        if options["output"]:
            from reactive.media.safe import regular_file
            from reactive.render.contact import contact_pictures, draw_sheet

            own = [file.parent / name for name in shot_photos(wishes)]
            photos = dict(enumerate([*options["photos"], *own]))
            for photo in photos.values():
                regular_file(photo)
            numbers = {shot.number for shot in picked}
            anew = [shot for shot in found if not numbers or shot.number in numbers]
            with Progress(not as_json and sys.stderr.isatty()) as report:
                pictures = contact_pictures(
                    timeline, anew, model=options["model"], steps=options["steps"], photos=photos, progress=report
                )
            draw_sheet(options["output"], timeline, found, pictures, _marks(wishes))
    seconds = [float(shot.start / timeline.fps) for shot in found]
    if as_json:
        rows = [
            {"name": shot.name, "start": round(at, 4), "frames": shot.stop - shot.start, "prompts": list(shot.prompts),
             "seed": shot.seed, "feedback": shot.fed_back, "mark": _marks(wishes).get(shot.name, "")}
            for shot, at in zip(found, seconds, strict=True)
        ]  # fmt: skip
        output = str(options["output"]) if options["output"] else None
        click.echo(json.dumps({"shots": rows, "unknown": unknown, "file": str(file), "output": output}))
        return
    for shot, at in zip(found, seconds, strict=True):
        mark = _marks(wishes).get(shot.name, "")
        click.echo(
            f"{shot.number + 1:>4}  {int(at) // 60}:{at % 60:04.1f}  {clean(shot.name):<22} {mark:<7} {clean(shot.prompts[0])}"
        )
    for name in unknown:
        click.echo(f"The shots file names {clean(name)}, which this clip does not have.")
    if options["output"]:
        click.echo(clean(str(options["output"])))


def _changed(wish: Any, options: dict[str, Any], file: Path) -> Any:
    """Return a wish with the prompt, photograph and seed that were given on the command line."""
    from reactive.errors import MediaError
    from reactive.media.picture import read_picture
    from reactive.preset.shots import Wish

    update: dict[str, Any] = {}
    if options["prompts"]:
        update["prompt"] = list(options["prompts"])
    if options["own_seed"] is not None:
        update["seed"] = options["own_seed"]
    if photo := options["own_photo"]:
        read_picture(photo)
        if photo.resolve().parent != file.resolve().parent:
            raise MediaError(
                "is not beside the shots file", where=str(photo), remedy=f"copy it to {file.resolve().parent}"
            )
        update["photo"] = photo.name
    return Wish.model_validate({**wish.model_dump(), **update})


def _marks(wishes: Any) -> dict[str, str]:
    return {
        name: "locked" if wish.locked else "rolled" if wish.rolls else "changed" for name, wish in wishes.shot.items()
    }
