"""The command ``reactive``: parse, call the library, print. Heavy imports stand inside the commands."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from reactive import __version__
from reactive.errors import ReactiveError

FAILED, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143
PRESETS_HELP = "Name of a preset that ships, or the path of a preset file or folder."


def _clean(text: str) -> str:
    """Return text without control characters, which a file name or tag could smuggle into the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _fail(error: ReactiveError, as_json: bool, code: int = FAILED) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": {"what": error.what, "where": error.where, "remedy": error.remedy}}))
    else:
        click.echo(f"Error: {_clean(str(error))}", err=True)
    sys.exit(code)


@contextmanager
def _errors(as_json: bool = False, code: int = FAILED) -> Iterator[None]:
    """Turn what a user caused into one line and an exit code."""
    try:
        yield
    except ReactiveError as error:
        _fail(error, as_json, code)
    except KeyboardInterrupt:
        click.echo("Stopped; nothing was left behind.", err=True)
        sys.exit(INTERRUPTED)
    except MemoryError:
        _fail(ReactiveError("there is not enough memory", remedy="use a smaller --batch or --imagine-size"), as_json)


def _terminate(number: int, frame: Any) -> None:
    del number, frame
    # an orderly exit: what is half-written is removed on the way out
    sys.exit(TERMINATED)


class Progress:
    """A progress bar with frames a second and time left, on stderr; silent where nobody looks."""

    def __init__(self, shown: bool) -> None:
        self.bar: Any = None
        self.task: Any = None
        self.shown = shown

    def __enter__(self) -> Callable[[str, int, int], None]:
        """Return the callback that the library reports to."""
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(
                TextColumn("{task.description:<10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.bar.start()
        return self.report

    def __exit__(self, *error: object) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()

    def report(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if self.bar is None:
            return
        if self.task is None or self.bar.tasks[self.task].description != stage:
            if self.task is not None:
                self.bar.remove_task(self.task)
            tasks = {task.description: task.id for task in self.bar.tasks}
            self.task = tasks.get(stage)
            if self.task is None:
                self.task = self.bar.add_task(stage, total=total, rate="")
        speed = self.bar._tasks[self.task].speed if self.task in self.bar._tasks else None
        rate = f"{speed:.1f} frames/s" if speed and stage == "rendering" else ""
        self.bar.update(self.task, completed=done, total=total, rate=rate)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
fps_option = click.option(
    "--fps", default="24", show_default=True, metavar="RATE", help="Frames a second: 24, 25 or 30000/1001."
)
seed_option = click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Decides everything random."
)
preset_option = click.option("--preset", "-p", default="loop-destroy", show_default=True, help=PRESETS_HELP)
photo_option = click.option(
    "--photo",
    "photos",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A photograph to feed in; may be repeated.",
)
song_argument = click.argument("song", type=click.Path())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reactive")
def main() -> None:
    """A song goes in, a finished clip comes out whose pictures move with the music.

    \b
    Example:
      reactive run song.wav --preset loop-destroy
    """
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminate)


@main.command()
@song_argument
@preset_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The clip to write. Default: ./<song>.mp4.")
@fps_option
@click.option(
    "--size", metavar="WxH", help="Size of the clip. Default: the model's picture, doubled where it is small."
)
@click.option("--imagine-size", metavar="WxH", help="Size that the model works at. Default: what it was made for.")
@click.option(
    "--model", default="ember", show_default=True, help="ember, a diffusers folder, or a hub id fetched before."
)
@click.option("--steps", type=click.IntRange(1, 200), help="Evaluations a picture. Default: what the model wants.")
@seed_option
@click.option("--start", default=0.0, metavar="S", help="Begin so many seconds into the song.")
@click.option("--duration", type=float, metavar="S", help="Render so many seconds. Default: to the end.")
@photo_option
@click.option("--timeline", type=click.Path(path_type=Path), help="Render an edited timeline instead of a preset.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--batch", default="auto", show_default=True, metavar="N|auto", help="Pictures imagined at once.")
@click.option("--threads", default=0, type=click.IntRange(0, 512), help="CPU threads. Default: one a core.")
@click.option("--codec", type=click.Choice(["h264", "prores", "ffv1"]), default="h264", show_default=True)
@click.option(
    "--crf", default=18, show_default=True, type=click.IntRange(0, 51), help="H.264 quality; lower is better."
)
@click.option("--encode-speed", default="veryfast", show_default=True, metavar="NAME", help="x264's preset.")
@click.option("--overwrite", is_flag=True, help="Replace an existing clip, once the new one is complete.")
@json_option
def run(song: str, output: Path | None, as_json: bool, **options: Any) -> None:
    """Make a finished clip of SONG.

    \b
    Examples:
      reactive run song.wav
      reactive run song.mp3 --preset loop-destroy --size 1280x720 -o clip.mp4
      reactive run song.flac --start 60 --duration 10 --photo band.jpg
    """
    with _errors(as_json, USAGE):
        settings = _settings(options)
    with _errors(as_json):
        suffix = {"h264": ".mp4", "prores": ".mov", "ffv1": ".mkv"}[options["codec"]]
        out = output or Path(Path(song).stem + suffix)
        from reactive.media.safe import regular_file

        # a mistyped name is said at once, not after seconds of loading
        regular_file(song)
        from reactive.render.run import make_clip

        with Progress(not as_json and sys.stderr.isatty()) as report:
            clip = make_clip(song, out, settings, progress=report)
    summary = clip.to_dict()
    if as_json:
        click.echo(json.dumps(summary))
        return
    if clip.silent:
        click.echo("The song is silent, so the clip is calm.")
    elif not clip.steady:
        click.echo("No steady beat was heard; the clip follows loudness and a slow, even pulse.")
    click.echo(
        f"{_clean(str(clip.output))}: {clip.frames} frames, {_minutes(clip.duration)}, {summary['size']} at "
        f"{summary['fps']} frames/s, {clip.prompts_used} prompts"
    )
    click.echo(
        f"heard in {clip.analysis_s:.1f} s, loaded in {clip.load_s:.1f} s, rendered in {_minutes(clip.render_s)} "
        f"({summary['frames_per_s']:.1f} frames/s with {clip.model} on {clip.device})"
    )


def _settings(options: dict[str, Any]) -> Any:
    from reactive.errors import OutputError
    from reactive.render.sizes import parse_size
    from reactive.timeline.clock import parse_fps
    from reactive.video.codec import SPEEDS

    if options["encode_speed"] not in SPEEDS:
        raise OutputError(
            f'"{options["encode_speed"]}" is not known',
            where="--encode-speed",
            remedy=f"use one of {', '.join(SPEEDS)}",
        )
    batch = options["batch"]
    if batch != "auto" and not re.fullmatch("[1-9][0-9]{0,2}", batch):
        raise OutputError(
            f'"{batch}" is not a batch size', where="--batch", remedy="write auto, or a number from 1 to 999"
        )
    from reactive.render.run import Settings

    return Settings(
        preset=options["preset"],
        fps=parse_fps(options["fps"]),
        size=parse_size(options["size"], "--size") if options["size"] else None,
        imagine_size=parse_size(options["imagine_size"], "--imagine-size") if options["imagine_size"] else None,
        model=options["model"],
        steps=options["steps"],
        seed=options["seed"],
        start=options["start"],
        duration=options["duration"],
        photos=tuple(options["photos"]),
        timeline=options["timeline"],
        device=options["device"],
        batch=0 if batch == "auto" else int(batch),
        threads=options["threads"],
        codec=options["codec"],
        speed=options["encode_speed"],
        crf=options["crf"],
        overwrite=options["overwrite"],
    )


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)} min {seconds % 60:.1f} s" if seconds >= 60 else f"{seconds:.1f} s"


@main.command()
@song_argument
@click.option("--json", "json_path", metavar="PATH", help="Write the analysis as JSON; - is stdout.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the analysis to a PNG, SVG or PDF.")
def analyze(song: str, json_path: str | None, plot: Path | None) -> None:
    """Hear SONG: tempo, beats, downbeats, onsets, sections.

    \b
    Example:
      reactive analyze song.wav --json song.json --plot song.png
    """
    with _errors(json_path == "-"):
        _keep_inputs([Path(json_path) if json_path else None, plot], [Path(song)])
        from reactive.media.sound import open_track

        track = open_track(song)
        from reactive.audio.analysis import analyze as hear

        analysis = hear(track)
        if plot:
            from reactive.audio.plot import plot_analysis

            plot_analysis(analysis, plot, title=_clean(Path(song).name))
        if json_path:
            _write_json(json_path, analysis.to_dict())
        if json_path == "-":
            return
    beat = f"{analysis.tempo:.1f} beats a minute, {len(analysis.beats)} beats" if analysis.tempo else "no steady beat"
    onsets = ", ".join(f"{len(found.times)} {band}" for band, found in analysis.onsets.items())
    click.echo(f"{_minutes(analysis.duration)}, {beat}")
    click.echo(f"onsets: {onsets}")
    sections = ", ".join(f"{s.label} {s.start:.1f}-{s.end:.1f}" for s in analysis.sections)
    click.echo(f"sections: {sections}" + (" (the song is silent)" if analysis.silent else ""))


@main.command()
@song_argument
@preset_option
@fps_option
@seed_option
@photo_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the timeline as JSON, to edit and render.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the timeline to a PNG, SVG or PDF.")
@json_option
def timeline(
    song: str,
    preset: str,
    fps: str,
    seed: int,
    photos: tuple[Path, ...],
    output: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Decide what every frame of SONG's clip shall be, without rendering.

    \b
    Example:
      reactive timeline song.wav --preset loop-destroy -o timeline.json --plot timeline.png
    """
    with _errors(as_json):
        from reactive.preset.library import get_preset
        from reactive.timeline.clock import parse_fps

        with _errors(as_json, USAGE):
            rate = parse_fps(fps)
        wanted = get_preset(preset)
        _keep_inputs([output, plot], [Path(song), *photos])
        for photo in photos:
            from reactive.media.safe import regular_file

            regular_file(photo)
        from reactive.media.sound import open_track

        track = open_track(song)
        from reactive.audio.analysis import analyze as hear
        from reactive.timeline.file import save_timeline
        from reactive.timeline.timeline import build_timeline

        analysis = hear(track)
        names = tuple(photo.name for photo in photos)
        decided = build_timeline(analysis, wanted, samples=track.samples, fps=rate, seed=seed, photos=names)
        if output:
            save_timeline(decided, output)
        if plot:
            from reactive.timeline.plot import plot_timeline

            plot_timeline(decided, analysis, plot, title=_clean(Path(song).name))
    prompts = sorted({*decided.columns["prompt_to"].tolist(), *decided.columns["prompt_from"].tolist()})
    summary = {
        "frames": decided.frames,
        "fps": str(decided.fps),
        "cuts": len(decided.cuts),
        "prompts_used": len(prompts),
        "output": str(output) if output else None,
        "plot": str(plot) if plot else None,
    }
    if as_json:
        click.echo(json.dumps(summary))
        return
    click.echo(f"{decided.frames} frames, {len(prompts)} prompts, {len(decided.cuts)} cuts")
    for path in (output, plot):
        if path:
            click.echo(_clean(str(path)))


@main.command()
@click.argument("clip", type=click.Path())
@click.option(
    "--timeline", "timeline_path", type=click.Path(path_type=Path), help="Its timeline, whose cuts are no pops."
)
@json_option
def score(clip: str, timeline_path: Path | None, as_json: bool) -> None:
    """Measure how well the pictures of CLIP move with its sound.

    \b
    Example:
      reactive score clip.mp4 --json
    """
    with _errors(as_json):
        from reactive.score.sync import score_clip

        cuts: tuple[int, ...] = ()
        if timeline_path:
            from reactive.timeline.file import load_timeline

            cuts = load_timeline(timeline_path).cuts
        found = score_clip(clip, cuts=cuts)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    click.echo(f"lag          {found.lag_ms:+.1f} ms (positive: the picture is late)")
    click.echo(f"correlation  {found.correlation:.3f} of picture change with onsets")
    click.echo(
        f"dead         {found.dead_s:.2f} s is the longest stretch without visible change while the song is loud"
    )
    click.echo(f"pops         {len(found.pops)} jumps that neither an onset nor a cut explains")
    click.echo(f"boil         {found.boil:.2f} change between hits over change on hits")
    click.echo(f"frames       {found.frames} at {found.fps} frames/s")


@main.group()
def preset() -> None:
    """List, show and check presets."""


@preset.command("list")
@json_option
def preset_list(as_json: bool) -> None:
    """List the presets that ship.

    \b
    Example:
      reactive preset list
    """
    with _errors(as_json):
        from reactive.preset.library import find_preset, names
        from reactive.preset.schema import load_preset

        found = {name: load_preset(find_preset(name)) for name in names()}
    if as_json:
        click.echo(
            json.dumps([{"name": name, "title": p.title, "description": p.description} for name, p in found.items()])
        )
        return
    for name, one in found.items():
        prompts = sum(len(phase.prompts) for phase in one.phase)
        click.echo(f"{name:<16} {len(one.phase)} phases, {prompts} prompts. {one.description}")


@preset.command("show")
@click.argument("name")
def preset_show(name: str) -> None:
    """Print the file of preset NAME.

    \b
    Example:
      reactive preset show loop-destroy
    """
    with _errors():
        from reactive.preset.library import find_preset
        from reactive.preset.schema import read_preset

        text = read_preset(find_preset(name))
        click.echo("".join(letter for letter in text if letter.isprintable() or letter in "\n\t"), nl=False)


@preset.command("check")
@click.argument("name")
@json_option
def preset_check(name: str, as_json: bool) -> None:
    """Check preset NAME (a name or a path) and say what is in it.

    \b
    Example:
      reactive preset check my-preset.toml
    """
    with _errors(as_json):
        from reactive.preset.library import get_preset

        checked = get_preset(name)
    counts = {phase.name: len(phase.prompts) for phase in checked.phase}
    if as_json:
        click.echo(json.dumps({"title": checked.title, "prompts": counts}))
        return
    click.echo(
        f"{_clean(checked.title)} is a valid preset: " + ", ".join(f"{n} ({c} prompts)" for n, c in counts.items())
    )


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what reactive would use on this machine, and what is missing.

    \b
    Example:
      reactive doctor
    """
    with _errors(as_json):
        from reactive.doctor import examine

        facts = examine()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:<14} {value}")


def _keep_inputs(outputs: list[Path | None], inputs: list[Path]) -> None:
    """Refuse to write a report over what it is made from."""
    from reactive.errors import OutputError

    for output in outputs:
        for given in inputs:
            if output is not None and output.exists() and given.exists() and output.samefile(given):
                raise OutputError("is what it is made from", where=str(output), remedy="choose another name")


def _write_json(path: str, data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1) + "\n"
    if path == "-":
        click.echo(text, nl=False)
        return
    from reactive.errors import OutputError

    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise OutputError(f"can't be written ({problem.strerror})", where=path, remedy="choose another place") from None
