"""``reactive shots``: the shots of a clip by name, and edits of single ones."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from reactive.cli.common import (
    DEVICES,
    DEVICES_HELP,
    USAGE,
    Progress,
    check_controls,
    check_loras,
    check_styles,
    control_option,
    errors,
    fps_option,
    frame_rate,
    json_option,
    lyrics_option,
    macro_option,
    photo_options,
    preset_option,
    printable,
    refuse_to_overwrite_inputs,
    sampling_options,
    seed_option,
    song_argument,
    style_option,
    video_options,
    weights_options,
)
from reactive.cli.numbers import IntOption


@click.command()
@song_argument
@preset_option
@fps_option
@seed_option
@photo_options
@macro_option
@lyrics_option
@video_options
@click.option(
    "--shot",
    "chosen",
    multiple=True,
    metavar="NAME|N|TEXT",
    help="A shot to change: name, number or words of its prompt; repeatable.",
)
@click.option("--at", "times", multiple=True, metavar="M:SS", help="The shot that shows at this time; repeatable.")
@click.option("--roll", is_flag=True, help="Roll the chosen shots again: another seed.")
@click.option("--lock/--unlock", default=None, help="Keep the chosen shots as they are now, or let them go.")
@click.option("--prompt", help="A prompt of their own.")
@click.option(
    "--own-photo", type=click.Path(path_type=Path), help="A photograph beside the song that they grow out of."
)
@click.option("--own-seed", type=IntOption(0, 2**62 - 1), help="A seed of their own.")
@click.option("--later", type=IntOption(-64, 64), metavar="N", help="They begin N beats later, or earlier if negative.")
@click.option("--split", is_flag=True, help="Divide each at the beat nearest to --at, or to its middle.")
@click.option("--merge", is_flag=True, help="Merge the chosen shots, or a single one with the next.")
@click.option("--reset", is_flag=True, help="Forget the edits of the chosen shots.")
@click.option(
    "--shots",
    "file",
    type=click.Path(path_type=Path),
    help="The shots file. Default: <song>.shots.toml beside the song.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Draw a contact sheet: .jpg, .png or .webp.")
@click.option("--model", default="ember", show_default=True, help="Imagines the contact sheet; as in `reactive run`.")
@weights_options
@style_option
@control_option
@click.option("--steps", type=IntOption(1, 200), help="Evaluations a picture. Default: what the model wants.")
@sampling_options
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help=DEVICES_HELP)
@json_option
def shots(song: str, as_json: bool, **options: Any) -> None:
    """List the shots of SONG's clip, draw them as a contact sheet, and change single ones.

    A shot shows one prompt on one picture; it begins with a cut or with a blend.

    Changes are kept in a file beside the song, which `reactive run` and `reactive timeline` follow. With --shot, only the chosen
    shots are imagined again for the contact sheet.

    \b
    Examples:
      reactive shots song.wav --preset loop-destroy -o sheet.jpg
      reactive shots song.wav --shot "drop 1 / shot 2" --roll -o sheet.jpg
      reactive shots song.wav --at 1:23 --roll
      reactive shots song.wav --at 1:23 --split
      reactive shots song.wav --shot 4 --shot 5 --merge
      reactive shots song.wav --shot 7 --prompt "a white door in the sea" --lock
    """
    flags = ("roll", "reset", "split", "merge", "prompt", "own_photo")
    changing = any(options[name] for name in flags)
    changing = changing or any(options[name] is not None for name in ("lock", "own_seed", "later"))
    if changing and not (options["chosen"] or options["times"]):
        raise click.UsageError("name the shots to change with --shot or --at")
    times = [parse_time(text) for text in options["times"]]
    with errors(as_json):
        from reactive.preset.library import open_lyrics_of, open_preset
        from reactive.preset.macros import parse_macros

        with errors(as_json, USAGE):
            rate = frame_rate(options["fps"])
            knobs = parse_macros(options["macros"])
            check_loras(options)
            check_styles(options)
            check_controls(options)
        preset = open_preset(options["preset"])
        words = open_lyrics_of(preset, options["lyrics"])
        wanted, lines = preset.preset, words.lines if words else ()
        for note in words.notes if words else ():
            click.echo(printable(note), err=True)
        refuse_to_overwrite_inputs([options["output"]], [Path(song), *options["photos"], *options["videos"]])
        if options["output"]:
            from reactive.render.contact import check_sheet

            check_sheet(options["output"])
        from reactive.audio.hear import hear
        from reactive.media.identity import carry_over
        from reactive.preset.shots import Shots, load_shots, save_shots, shot_photos, shots_path
        from reactive.render.decide import decide
        from reactive.timeline.shot_edits import apply_shots, change_shots
        from reactive.timeline.shots import chosen_shots, shot_at

        heard = hear(song)
        track, analysis = heard.track, heard.analysis
        file = options["file"] or shots_path(Path(song))
        shot_edits = Shots(song_sha256=track.sha256, file_sha256=track.file_sha256)
        notes = list(heard.notes)
        if file.is_file():
            notes += filter(None, [carry_over(file, track)])
            shot_edits = load_shots(file)
        decided = decide(
            analysis,
            wanted,
            fps=rate,
            seed=options["seed"],
            photos=options["photos"],
            videos=options["videos"],
            macros=knobs,
            lyrics=lines,
            styles=options["styles"],
            controls=options["controls"],
            loras=options["loras"],
        )
        before = apply_shots(decided, analysis, shot_edits).shots
        names = [*options["chosen"], *(shot_at(seconds, before, decided.fps).name for seconds in times)]
        picked = {shot.name for shot in chosen_shots(names, before)}
        if changing:
            shot_edits = change_shots(
                decided,
                analysis,
                shot_edits,
                options["chosen"],
                times=times,
                values=_said(options, file),
                roll=options["roll"],
                lock=options["lock"],
                split=options["split"],
                merge=options["merge"],
                reset=options["reset"],
            )
            save_shots(shot_edits, file)
        edited = apply_shots(decided, analysis, shot_edits)
        timeline, found, unknown, marks = edited.timeline, edited.shots, edited.unknown, _marks(edited.edits)
        for note in _fed_back_notes(found, picked, changing and not options["lock"]):
            notes.append(note)
        for note in notes:
            click.echo(printable(note), err=True)
        if options["output"]:
            from reactive.media.fonts import missing_letters, no_font_for
            from reactive.preset.control import split_control
            from reactive.preset.style import split_style
            from reactive.render.contact import contact_pictures, draw_sheet

            if lacking := missing_letters(shot.prompts[0] for shot in found):
                click.echo(printable(no_font_for(lacking, "install one that has them")), err=True)
            said = {name: options[name] for name in ("sampler", "spacing", "prediction") if options[name]}
            photos = [*options["photos"], *(file.parent / name for name in shot_photos(shot_edits))]
            with Progress(not as_json and sys.stderr.isatty()) as report:
                pictures = contact_pictures(
                    timeline,
                    [shot for shot in found if _drawn_anew(shot.name, picked)],
                    model=options["model"],
                    loras=options["loras"],
                    vae=options["vae"],
                    adapter=options["adapter"],
                    styles=[Path(split_style(style)[0]) for style in options["styles"]],
                    control_models=options["control_models"],
                    controls=[Path(file) for text in options["controls"] if (file := split_control(text)[1])],
                    quant=options["quant"],
                    overrides=said,
                    device=options["device"],
                    steps=options["steps"],
                    photos=photos,
                    videos=options["videos"],
                    folders=[preset.path.parent],
                    progress=report,
                )
            draw_sheet(options["output"], timeline, found, pictures, marks)
    from reactive.timeline.clock import frame_time

    seconds = [float(frame_time(shot.start, timeline.fps)) for shot in found]
    if as_json:
        rows = [
            {
                "name": shot.name,
                "start": round(at, 4),
                "frames": shot.stop - shot.start,
                "prompts": list(shot.prompts),
                "grounds": list(shot.grounds),
                "begins": _beginning(shot),
                "seed": shot.seed,
                "feedback": shot.fed_back,
                "mark": marks.get(shot.name, ""),
            }
            for shot, at in zip(found, seconds, strict=True)
        ]
        output = str(options["output"]) if options["output"] else None
        click.echo(json.dumps({"shots": rows, "unknown": unknown, "file": str(file), "output": output}))
        return
    for shot, at in zip(found, seconds, strict=True):
        mark = marks.get(shot.name, "")
        beneath = f"  over {', '.join(map(printable, shot.grounds))}" if shot.grounds else ""
        click.echo(
            f"{shot.number + 1:>4}  {int(at) // 60}:{at % 60:04.1f}  {_beginning(shot):<5}  {printable(shot.name):<22} {mark:<7} "
            f"{printable(shot.prompts[0])}{beneath}"
        )
    for name in unknown:
        click.echo(f"The shots file names {printable(name)}, which this clip does not have.")
    if options["output"]:
        click.echo(printable(str(options["output"])))


def parse_time(text: str) -> float:
    """Return the seconds of ``1:23``, ``1:23.5`` or ``83``.

    Raises
    ------
    click.BadParameter
        If it is no time.
    """
    match = re.fullmatch(r"(?:(\d{1,4}):)?(\d{1,6}(?:\.\d{1,6})?)", text.strip(), re.ASCII)
    if not match or (match.group(1) and float(match.group(2)) >= 60):
        raise click.BadParameter(f'"{printable(text[:40])}" is no time. Write 1:23 or 83.', param_hint="--at")
    return 60 * int(match.group(1) or 0) + float(match.group(2))


def _said(options: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return what the command line says about prompt, photograph and seed."""
    said: dict[str, Any] = {}
    if options["prompt"]:
        said["prompt"] = [options["prompt"]]
    if options["own_seed"] is not None:
        said["seed"] = options["own_seed"]
    if options["later"] is not None:
        said["beats"] = options["later"]
    if photo := options["own_photo"]:
        from reactive.errors import MediaError
        from reactive.media.picture import read_picture

        read_picture(photo)
        beside = file.resolve().parent
        if photo.resolve().parent != beside:
            raise MediaError("is not beside the shots file", where=str(photo), remedy=f"copy it to {beside}")
        said["photo"] = photo.name
    return said


def _beginning(shot: Any) -> str:
    return "cut" if shot.hard else "blend"


def _drawn_anew(name: str, picked: set[str]) -> bool:
    # a part of a shot that was just divided has its name and a letter
    return not picked or name in picked or name[:-1] in picked


def _fed_back_notes(shots: list[Any], picked: set[str], changed: bool) -> list[str]:
    """Return a note for chosen shots that are made from the picture before: what follows them changes too."""
    notes = []
    for shot, after in zip(shots, shots[1:], strict=False):
        if changed and shot.name in picked and shot.fed_back and after.fed_back and not after.hard:
            notes.append(f"Note: {shot.name} is fed back, so the shots after it change too, up to the next cut.")
    return notes


def _marks(edits: Any) -> dict[str, str]:
    return {
        name: "locked" if edit.locked else "rolled" if edit.rolls else "changed" for name, edit in edits.shot.items()
    }
