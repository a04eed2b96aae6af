"""``reactive try``: a few seconds of a clip, small and soon, and several of them beside each other."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from reactive.cli.common import (
    USAGE,
    Progress,
    errors,
    hearing_options,
    json_option,
    minutes,
    photo_options,
    printable,
    yield_processors,
)
from reactive.cli.numbers import LONGEST, MAX_SEED, FloatOption
from reactive.cli.run import run, save_speed, settings_of

SECONDS = 12.0
MOST = 36
# a quarter of the pixels that ember was made for, and the clip at twice its sides
SMALL, SHOWN = (192, 112), (384, 224)
# frames a second where none are given: enough to judge pictures and cuts by, and half the work
FEW = "12"
COARSE_CRF, COARSE_SPEED = 26, "ultrafast"
# what belongs to finished clips
LEFT_OUT = {
    "songs",
    "output",
    "duration",
    "start",
    "codec",
    "also",
    "places",
    "loop",
    "loudness",
    "max_size",
    "out_dir",
    "job",
    "segment",
    "mixed",
    "ray",
    "workers",
    "recipe_of",
    "no_recipe",
    "overwrite",
    "crf",
    "encode_speed",
    "as_json",
}


@dataclass(frozen=True)
class Variant:
    """One of the clips to compare: its caption, and what it has in place of the common choices."""

    caption: str
    choices: dict[str, Any]


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``1-6`` or ``3,5,8``.

    Raises
    ------
    click.BadParameter
        If it is neither, or a seed is too large.
    """
    found: list[int] = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"\s*(\d{1,19})\s*(?:-\s*(\d{1,19}))?\s*", part, re.ASCII)
        first, last = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if not first <= last <= MAX_SEED or last - first >= MOST:
            raise click.BadParameter(f'"{printable(text[:40])}" names no seeds. Write 1-6 or 3,5,8.')
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def variants(options: dict[str, Any]) -> list[Variant]:
    """Return every combination of the seeds, presets and knobs that were named.

    Raises
    ------
    click.UsageError
        If there are more than a grid holds.
    """
    presets = [name for name in (options["presets"] or "").split(",") if name] or [options["preset"]]
    seeds = parse_seeds(options["seeds"]) if options["seeds"] else [options["seed"]]
    knobs = [text.partition("=") for text in options["macros"]]
    values = [[f"{name}={value}" for value in told.split(",")] for name, _, told in knobs]
    several = [places for places in values if len(places) > 1]
    if len(presets) * len(seeds) * len(list(product(*values))) > MOST:
        raise click.UsageError(f"That is more than {MOST} clips; name fewer seeds, presets or values.")
    found = []
    for preset, seed, turned in product(presets, seeds, product(*values)):
        shown = [preset] if len(presets) > 1 else []
        shown += [f"seed {seed}"] if len(seeds) > 1 else []
        shown += [told for told, places in zip(turned, values, strict=True) if places in several]
        found.append(Variant(", ".join(shown) or preset, {"preset": preset, "seed": seed, "macros": turned}))
    return found


@click.command("try")
@click.argument("song", type=click.Path())
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The clip. Default: ./<song>-try.mp4.")
@click.option("--seeds", metavar="N-M", help="Compare seeds: 1-6 or 3,5,8.")
@click.option("--presets", metavar="A,B", help="Compare presets.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Stills of what is compared. Default: beside the clip.")
@click.option(
    "--start", type=FloatOption(0, LONGEST), metavar="S", help="Begin so many seconds in. Default: before the drop."
)
@click.option(
    "--duration", default=SECONDS, show_default=True, type=FloatOption(0.1, 600), metavar="S", help="How long it is."
)
@photo_options
@hearing_options
@json_option
def try_clip(song: str, as_json: bool, hearing: Callable[[], Any], **options: Any) -> None:
    """Make twelve seconds of SONG's clip, small, coarse and at 12 frames a second, around its strongest drop.

    It takes what `reactive run` takes. With --seeds, --presets or several values of a --macro, all of them play beside each
    other in one clip with captions, and a sheet shows stills of each. What was tried before is replaced.

    \b
    Examples:
      reactive try song.wav -p nocturne
      reactive try song.wav --seeds 1-6
      reactive try song.wav --presets drift,forge,nocturne --photos holiday/
      reactive try song.wav -p slow-burn --palette "#200010,dark red" --start 83
    """
    chosen = variants(options)
    # what `reactive run` has where nothing is said
    common = dict(run.make_context("run", ["--", song]).params)
    common |= {"overwrite": True, "no_recipe": True, "crf": COARSE_CRF, "encode_speed": COARSE_SPEED} | options
    common["start"] = options["start"] or 0.0
    if click.get_current_context().get_parameter_source("fps") is ParameterSource.DEFAULT:
        common["fps"] = FEW
    if common["model"] == "ember" and not common["size"] and not common["imagine_size"]:
        common |= {"imagine_size": "x".join(map(str, SMALL)), "size": "x".join(map(str, SHOWN))}
    with errors(as_json, USAGE):
        settings = [settings_of(song, common | variant.choices) for variant in chosen]
    with errors(as_json):
        told = hearing()
        settings = [one.changed(hearing=told, telling=options["start"] is None) for one in settings]
        from reactive.media.safe import regular_file
        from reactive.render.outputs import check_output

        regular_file(song)
        out = options["output"] or Path(f"{Path(song).stem}-try.mp4")
        inputs = [Path(song), *options["photos"], *options["videos"]]
        check_output(out, inputs, overwrite=True)
        sheet = options["sheet"] or (out.with_suffix(".jpg") if len(chosen) > 1 else None)
        if sheet:
            from reactive.render.contact import check_sheet

            check_sheet(sheet)
            check_output(sheet, inputs, overwrite=True)
        yield_processors()
        with tempfile.TemporaryDirectory(prefix="reactive-try-") as room:
            click.echo(_expected(settings), err=True)
            files = [Path(room, f"{number}.mp4") for number in range(len(chosen))] if len(chosen) > 1 else [out]
            with Progress(not as_json and sys.stderr.isatty()) as report:
                clips = list(_made(song, files, settings, Path(room), report))
            named = [(variant.caption, file) for variant, file in zip(chosen, files, strict=True)]
            if len(chosen) > 1:
                _compare(song, out, named, clips[0], settings[0])
            if sheet:
                from reactive.render.compare import write_stills

                write_stills(named, sheet, size=clips[0].size, frames=clips[0].frames)
    seconds = sum(clip.wall_s for clip in clips)
    if as_json:
        captions = [variant.caption for variant in chosen]
        shown = {
            "output": str(out),
            "sheet": str(sheet) if sheet else None,
            "clips": captions,
            "wall_s": round(seconds, 2),
        }
        click.echo(json.dumps({**shown, "frames": clips[0].frames, "duration": round(clips[0].duration, 3)}))
        return
    for note in dict.fromkeys(note for clip in clips for note in clip.notes):
        click.echo(printable(note), err=True)
    whose = f"{len(clips)} clips of {minutes(clips[0].duration)}" if len(clips) > 1 else minutes(clips[0].duration)
    click.echo(f"{printable(str(out))}: {whose}, made in {minutes(seconds)}")
    if sheet:
        click.echo(printable(str(sheet)))


def _made(song: str, files: list[Path], settings: list[Any], room: Path, report: Any) -> Iterator[Any]:
    """Make each clip; nothing of its pieces stays."""
    from dataclasses import replace

    from reactive.render.run import make_clip
    from reactive.render.settings import ModelSpec

    loaded: dict[ModelSpec, Any] = {}

    def load(spec: ModelSpec, prompts: Sequence[str]) -> Any:
        # one model is loaded once for all clips
        if spec not in loaded:
            loaded.clear()
            loaded[spec] = spec.load(prompts)
        return loaded[spec]

    for number, (file, one) in enumerate(zip(files, settings, strict=True)):
        clip = make_clip(song, file, one.changed(job=room / f"job{number}"), progress=report, load=load)
        save_speed(one, clip)
        yield replace(clip, job=None, job_bytes=0)


def _expected(settings: list[Any]) -> str:
    """Return a sentence about how long all of it will take; the song may be shorter than what is rendered of it."""
    from reactive.render.rates import expected_line
    from reactive.timeline.clock import frames_in

    first = settings[0]
    return expected_line(first, int(frames_in(first.duration, first.fps)), clips=len(settings))


def _compare(song: str, out: Path, named: list[tuple[str, Path]], clip: Any, settings: Any) -> None:
    """Write the clips beside each other with the sound that they share."""
    from reactive.audio.hear import hear
    from reactive.render.compare import write_grid
    from reactive.timeline.clock import frame_time, nearest_frame
    from reactive.timeline.excerpt import telling_start
    from reactive.video.codec import video_codec

    heard = hear(song, settings.hearing)
    begin = telling_start(heard.analysis, settings.duration) if settings.telling else settings.start
    rate = heard.track.sample_rate
    first = round(frame_time(nearest_frame(begin, clip.fps), clip.fps) * rate)
    sound = (first, min(first + round(frame_time(clip.frames, clip.fps) * rate), heard.track.samples))
    write_grid(
        named,
        out,
        size=clip.size,
        fps=clip.fps,
        codec=video_codec("h264", crf=COARSE_CRF, speed=COARSE_SPEED),
        track=heard.track,
        sound=sound,
    )


@click.command("try")
@click.argument("name")
def try_preset(name: str, **options: Any) -> None:
    """Make twelve seconds of SONG's clip with preset NAME, small and coarse, around its strongest drop.

    The same as `reactive try SONG -p NAME`, with all of its options.

    \b
    Examples:
      reactive preset try loop-destroy song.wav
      reactive preset try my-preset.toml song.wav --photos holiday/ --seeds 1-4
    """
    assert try_clip.callback is not None
    try_clip.callback(preset=name, presets=None, **options)


_taken = {parameter.name for parameter in try_clip.params}
try_clip.params += [option for option in run.params if option.name not in {*_taken, *LEFT_OUT}]
try_preset.params += [option for option in try_clip.params if option.name not in ("preset", "presets")]
