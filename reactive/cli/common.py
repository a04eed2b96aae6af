"""What the commands share: options, errors as one line, progress, JSON."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import click

from reactive.cli.numbers import MAX_SEED, FloatOption, IntOption
from reactive.errors import PresetError, ReactiveError, foreseen

FAILED, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143
PHOTOS_UNSEEN = (
    'No part of it shows photographs, so --photo changed nothing; the preset needs a phase with mode = "photo".'
)
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
DEVICES_HELP = "Where pictures are imagined: cuda (NVIDIA, AMD), mps (Apple), xpu (Intel). auto: the best there is."
PRESETS_HELP = "Name of a preset that ships, or the path of a preset file or folder."


def yield_processors() -> None:
    """Let waiting threads sleep soon, since an encoder needs the processors too; call it before torch is loaded.

    libgomp's threads otherwise spin for milliseconds: a render of ember on two processors gains 6 %.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def printable(text: str) -> str:
    """Return text without control characters, which a file name or tag could send to the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def fail(error: ReactiveError, as_json: bool, code: int = FAILED) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": {"what": error.what, "where": error.where, "remedy": error.remedy}}))
    else:
        click.echo(f"Error: {printable(str(error))}", err=True)
    sys.exit(code)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP was received."""


NOTHING_LEFT = "nothing was left behind"


def stopped(as_json: bool, code: int, kept: str = NOTHING_LEFT) -> NoReturn:
    """Print that the program was interrupted and what can be resumed, and exit."""
    if as_json:
        click.echo(json.dumps({"error": {"what": "stopped", "where": "", "remedy": kept}}))
    click.echo(f"Stopped; {printable(kept)}.", err=True)
    sys.exit(code)


@contextmanager
def errors(
    as_json: bool = False, code: int = FAILED, *, stopping: Callable[[], str] = lambda: NOTHING_LEFT
) -> Iterator[None]:
    """Turn a user's error into one line and an exit code; `stopping` returns what an interruption leaves."""
    try:
        yield
    except ReactiveError as error:
        fail(error, as_json, code)
    except KeyboardInterrupt as interruption:
        stopped(as_json, TERMINATED if isinstance(interruption, Terminated) else INTERRUPTED, stopping())
    except (MemoryError, RuntimeError, OSError, ImportError) as problem:
        # `Program` reports output that can't be printed
        if isinstance(problem, OSError) and problem.filename is None and not _prints():
            raise
        told = foreseen(problem)
        if told is None:
            raise
        fail(told, as_json)


def _prints() -> bool:
    """Return whether stdout can be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True


def frame_rate(text: str) -> Fraction:
    """Return the frame rate of an option; if it is not exactly the given number, print a line, once a command."""
    from reactive.timeline.clock import ntsc_note, parse_fps

    fps = parse_fps(text)
    said = click.get_current_context().meta.setdefault("reactive.rates", set())
    if (note := ntsc_note(text)) and text not in said:
        said.add(text)
        click.echo(printable(note), err=True)
    return fps


class Progress:
    """A progress bar with frames a second and time left, on stderr; silent if it is not a terminal."""

    def __init__(self, shown: bool) -> None:
        self.bar: Any = None
        self.task: Any = None
        self.shown = shown
        self.workers: tuple[float, ...] = ()
        self.notes: list[str] = []

    def __enter__(self) -> Callable[[str, int, int], None]:
        """Return the progress callback for the library."""
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

    def rates(self, workers: Sequence[float]) -> None:
        """Show how many frames a second each worker renders."""
        self.workers = tuple(workers)

    def tell(self, note: str) -> None:
        """Show a note above the bar, at once."""
        self.notes.append(note)
        if self.bar is None:
            click.echo(printable(note), err=True)
        else:
            self.bar.console.print(printable(note), markup=False, highlight=False)

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
                self.task = self.bar.add_task(stage, total=total, completed=done, rate="")
        speed = self.bar._tasks[self.task].speed if self.task in self.bar._tasks else None
        rate = f"{speed:.1f} frames/s" if speed and stage == "rendering" else ""
        if rate and self.workers:
            rate += f" by {len(self.workers)} workers: {' '.join(f'{each:.1f}' for each in self.workers)}"
        self.bar.update(self.task, completed=done, total=total, rate=rate)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
fps_option = click.option(
    "--fps", default="24", show_default=True, metavar="RATE", help="Frames a second: 24, 25 or 30000/1001 (29.97)."
)
seed_option = click.option(
    "--seed", default=0, show_default=True, type=IntOption(0, MAX_SEED), help="Decides everything random."
)
preset_option = click.option("--preset", "-p", default="loop-destroy", show_default=True, help=PRESETS_HELP)
# where the places that matter in photographs wait, by the photographs' names
_FOCUS = "reactive.focus"


def _without_focus(context: click.Context, _: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    from reactive.timeline.framing import split_focus

    files = []
    for path in value:
        text, place = split_focus(str(path))
        if place is not None and not path.exists():
            path = Path(text)
            context.meta.setdefault(_FOCUS, {})[path.name] = f"{path.name}@{place[0]:g},{place[1]:g}"
        files.append(path)
    return tuple(files)


def named_focus() -> tuple[str, ...]:
    """Return the places that matter in photographs, as ``--photo FILE@X,Y`` names them: base names and places."""
    return tuple(click.get_current_context().meta.get(_FOCUS, {}).values())


fit_option = click.option(
    "--fit",
    type=click.Choice(("cover", "contain", "blur")),
    help="Photographs are cropped, whole between bars, or whole over a blurred copy. Default: as the preset says.",
)
_PHOTOS = (
    click.option(
        "--photo",
        "photos",
        multiple=True,
        metavar="FILE[@X,Y]",
        type=click.Path(path_type=Path),
        callback=_without_focus,
        help="A photograph to feed in, and what matters in it: band.jpg@0.5,0.2; may be repeated.",
    ),
    click.option(
        "--photos",
        "photo_folder",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="A folder of photographs to feed in; captions.tsv, their descriptions or names say what they show.",
    ),
)
# where short cuts wait until the knobs that are named are known
_SHORT_CUTS = "reactive.knobs"


def _calmer(context: click.Context, _: click.Parameter, value: bool) -> bool:
    from reactive.preset.macros import CALM

    knobs = context.meta.setdefault(_SHORT_CUTS, {})
    if value:
        # --speed says more
        context.meta[_SHORT_CUTS] = CALM | knobs
    return value


def _faster(context: click.Context, _: click.Parameter, value: float | None) -> float | None:
    from reactive.preset.macros import speed_knob

    if value is not None:
        context.meta.setdefault(_SHORT_CUTS, {})["speed"] = speed_knob(value)
    return value


def _with_short_cuts(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    # a knob that is named itself comes later, and wins
    named = {text.partition("=")[0].strip() for text in value}
    cuts = context.meta.get(_SHORT_CUTS, {})
    return (*(f"{name}={place:g}" for name, place in cuts.items() if name not in named), *value)


_MACROS = (
    click.option(
        "--macro",
        "macros",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_with_short_cuts,
        help="Turn a knob, 0 to 1: intensity, speed, colour, photographs or one of the preset's; may be repeated.",
    ),
    click.option(
        "--speed",
        type=FloatOption(0.25, 4),
        metavar="X",
        is_eager=True,
        expose_value=False,
        callback=_faster,
        help="Pictures wander, move and change X times as fast: 0.5 or 2.",
    ),
    click.option(
        "--calm",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_calmer,
        help="Half as fast, with little movement and no cuts on single hits.",
    ),
)


def macro_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that turn a preset's knobs."""
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_MACROS), command)


lyrics_option = click.option(
    "--lyrics",
    type=click.Path(path_type=Path),
    help="The song's words, LRC or SRT: lines become prompts at their times.",
)
_VIDEOS = (
    click.option(
        "--video", "videos", multiple=True, type=click.Path(path_type=Path), help="A video to feed in; may be repeated."
    ),
    click.option(
        "--videos",
        "video_folder",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="A folder of videos to feed in; they are cut to the song, and captions.tsv or their names say what they show.",
    ),
)
background_option = click.option(
    "--background",
    default="black",
    show_default=True,
    metavar="COLOUR",
    help="What shows where photographs and videos are transparent: white, #ff8800 ...",
)
_WEIGHTS = (
    click.option(
        "--lora",
        "loras",
        multiple=True,
        metavar="FILE[:S]",
        help="A LoRA and its strength: a number from -4 to 4, or an expression, as 0.2+0.8*drop, which changes it from frame to "
        "frame; may be repeated.",
    ),
    click.option(
        "--vae",
        metavar="NAME",
        help="Another autoencoder: tiny (for previews), a name, a hub id, a folder or a .safetensors file.",
    ),
    click.option(
        "--adapter",
        metavar="NAME",
        help="The adapter for --style: a name, or a .safetensors file with its image_encoder folder. Default: the usual one.",
    ),
    click.option(
        "--control-model",
        "control_models",
        multiple=True,
        metavar="KIND=NAME",
        help="The network for a kind of --control: a name, a folder or a hub id, as depth=FOLDER. Default: the usual one.",
    ),
    click.option(
        "--quant",
        metavar="KIND",
        help="Store the model's weights in int8, fp8 or nf4, so that it fits a smaller card, or take its network from a .gguf file.",
    ),
)
style_option = click.option(
    "--style",
    "styles",
    multiple=True,
    metavar="FILE[:W]",
    help="A picture whose look the model takes on, and how strongly (0 to 2, usual 0.6; or an expression, as 0.3+0.5*build); may "
    "be repeated. The model needs an adapter: `reactive models pull ip-adapter`, or ip-adapter-xl.",
)
control_option = click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="KIND[:FILE][:W]",
    help="Keep the shapes of a picture or film, and how strongly (0 to 2, usual 1; or an expression, as 0.4+0.6*drop): canny finds "
    "edges, tile takes it as it is, depth, pose and others are ready pictures. Without a file: of what is fed in or lies beneath. "
    "May be repeated. The model needs a control network: `reactive models pull control-canny`.",
)
_SAMPLING = (
    click.option(
        "--sampler",
        type=click.Choice(["ddim", "euler", "lcm", "dpmpp_2m", "flow_euler"]),
        help="How the steps are taken. Default: what the model says, or its name.",
    ),
    click.option(
        "--spacing",
        type=click.Choice(["trailing", "leading", "linspace"]),
        help="How the times of the steps are laid out. Default: what the model says, or the times that it was trained on.",
    ),
    click.option(
        "--prediction",
        type=click.Choice(["epsilon", "v_prediction", "sample", "flow"]),
        help="What the network predicts. Default: what the model says, or its name.",
    ),
)


def weights_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name LoRAs, another autoencoder and an adapter, and quantise the weights."""
    for option in reversed(_WEIGHTS):
        command = option(command)
    return command


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of sampling."""
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


def check_loras(options: Mapping[str, Any]) -> None:
    """Refuse an invalid strength of a LoRA; torch is only loaded if there is one."""
    if options["loras"]:
        from reactive.diffusion.models.lora import parse_lora
        from reactive.timeline.loras import lora_strengths

        for lora in options["loras"]:
            parse_lora(lora)
        lora_strengths(options["loras"])


def check_varying(loras: Sequence[str]) -> None:
    """Refuse LoRAs whose strength is not an expression, or is not a valid one."""
    from reactive.timeline.loras import lora_strengths, split_lora, varies

    for lora in loras:
        if not varies(split_lora(lora)[1]):
            raise PresetError(
                "has no expression as strength",
                where=f"--lora {lora}",
                remedy="write for instance film.safetensors:0.2+0.8*drop; a number is given to `reactive run`",
            )
    lora_strengths(loras)


def check_styles(options: Mapping[str, Any]) -> None:
    """Refuse a weight of a reference picture that is no expression."""
    if options["styles"]:
        from reactive.preset.style import style_pictures

        style_pictures(options["styles"])


def check_controls(options: Mapping[str, Any]) -> None:
    """Refuse a control whose kind or weight is none, and a network without a kind."""
    if options["controls"]:
        from reactive.preset.control import control_pictures

        control_pictures(options["controls"])
    for text in options.get("control_models", ()):
        kind, _, name = text.partition("=")
        if not kind or not name:
            from reactive.errors import SettingsError

            raise SettingsError(
                "is no kind with a network", where=f"--control-model {text}", remedy="write depth=FOLDER"
            )


shots_option = click.option(
    "--shots",
    type=click.Path(path_type=Path),
    help="A file of edits of single shots. Default: <song>.shots.toml beside the song.",
)
no_shots_option = click.option("--no-shots", is_flag=True, help="Ignore the edits of single shots beside the song.")


def photo_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that feed photographs in; the command gets all of them as `photos`, those of a folder last."""

    def pictures(folder: Path) -> tuple[Path, ...]:
        from reactive.sources.imagery import pictures_in

        return pictures_in(folder)

    return _gathering(command, _PHOTOS, "photos", "photo_folder", pictures)


def video_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that feed videos in; the command gets all of them as `videos`, those of a folder last."""

    def films(folder: Path) -> tuple[Path, ...]:
        from reactive.sources.footage import films_in

        return films_in(folder)

    return _gathering(command, _VIDEOS, "videos", "video_folder", films)


def _gathering(
    command: Callable[..., Any],
    options: Sequence[Callable[..., Any]],
    files: str,
    folder: str,
    read: Callable[[Path], tuple[Path, ...]],
) -> Callable[..., Any]:
    """Add one option for files and one for a folder of them; the command gets all as `files`."""

    @functools.wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        named = kwargs.pop(folder)
        if named is not None:
            with errors(kwargs.get("as_json") is True):
                kwargs[files] = (*kwargs[files], *read(named))
        return command(*args, **kwargs)

    for option in reversed(options):
        gathered = option(gathered)
    return gathered


def _cluster(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check the address of a cluster: the text after ``--ray`` may be a song."""
    if (
        value is None
        or value in ("local", "auto")
        or re.fullmatch(r"[\w.-]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", value)
    ):
        return value
    raise click.BadParameter(f'"{value}" is no HOST:PORT. Write --ray behind the songs, or --ray=local.')


_RAY = (
    click.option(
        "--ray",
        is_flag=False,
        flag_value="local",
        metavar="[HOST:PORT]",
        callback=_cluster,
        help="Render by workers of a Ray cluster: on this machine, or of the one at this address (extra [ray]).",
    ),
    click.option(
        "--workers",
        default=0,
        type=IntOption(0, 10_000),
        metavar="N",
        help="With --ray: how many. Default: one a GPU, or one a core.",
    ),
)


def ray_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a Ray cluster."""
    for option in reversed(_RAY):
        command = option(command)
    return command


song_argument = click.argument("song", type=click.Path())


def _metre(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check a metre before the song is analysed."""
    if value is not None and not re.fullmatch(r"([1-9]|[12][0-9]|3[0-2])/(2|4|8|16)", value):
        raise click.BadParameter(f'"{printable(value[:60])}" is no metre. Write it as 3/4, 4/4, 5/4 or 6/8.')
    return value


_HEARING = (
    click.option("--bpm", type=FloatOption(20, 400), metavar="N", help="The tempo is N beats a minute, steady."),
    click.option(
        "--offset-ms",
        type=FloatOption(-10_000, 10_000),
        metavar="MS",
        help="Move the grid later (or earlier, if negative).",
    ),
    click.option("--half", is_flag=True, help="Half the tempo: every second beat."),
    click.option("--double", is_flag=True, help="Twice the tempo."),
    click.option(
        "--downbeat",
        type=IntOption(1, 100_000),
        metavar="N",
        help='Beat N of `analyze --bars` is a "one".',
    ),
    click.option("--meter", metavar="N/N", callback=_metre, help="The metre, as 3/4 or 6/8."),
    click.option(
        "--beats", "beats_file", type=click.Path(path_type=Path), help="Beats from a text file, one time a line."
    ),
    click.option(
        "--ear",
        metavar="NAME",
        help="Beats as another program hears them: beat-this (extra [beats]; beat-this=CHECKPOINT names its weights) or madmom.",
    ),
    click.option(
        "--section",
        "sections",
        multiple=True,
        metavar="C=NAME",
        help="Call the sections of letter C, or section 3, by a name, as C=chorus or 3=drop; repeatable.",
    ),
    click.option("--forget-grid", is_flag=True, help="Drop the corrections and names saved for this song."),
    click.option(
        "--stem",
        "stems",
        multiple=True,
        metavar="NAME=FILE",
        help="A stem, as kick=kick.wav, or a folder of stems, as `reactive stems` makes it; repeatable.",
    ),
    click.option(
        "--midi", type=click.Path(path_type=Path), help="The song's notes as MIDI; drums give kick, snare, hat."
    ),
    click.option("--markers", type=click.Path(path_type=Path), help="Sections from a WAV's or MIDI file's markers."),
)


def hearing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that correct and complete the analysis; the command gets them as one callable `hearing`.

    Called inside `errors`, it reads the files that they name and returns `reactive.audio.hear.HearingOptions`.
    """

    @functools.wraps(command)
    def gathered(
        *args: Any,
        beats_file: Path | None,
        ear: str | None,
        forget_grid: bool,
        stems: tuple[str, ...],
        midi: Path | None,
        markers: Path | None,
        bpm: float | None,
        offset_ms: float | None,
        half: bool,
        double: bool,
        downbeat: int | None,
        meter: str | None,
        sections: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        def hearing() -> Any:
            from reactive.audio.beats_file import read_beats
            from reactive.audio.corrections import Corrections
            from reactive.audio.hear import HearingOptions
            from reactive.errors import GridError

            if beats_file and ear:
                raise GridError("beats from a file and from an ear at once", where="--ear", remedy="give one of them")
            beats, downbeats = read_beats(beats_file) if beats_file else (None, None)
            if ear:
                from reactive.assist.ears import hear_beats
                from reactive.media.sound import open_track

                songs = kwargs["songs"] if "songs" in kwargs else (kwargs["song"],)
                if len(songs) > 1:
                    raise GridError("an ear hears one song at a time", where="--ear", remedy="give one song")
                beats, downbeats = hear_beats(open_track(songs[0]), ear)
            named: list[tuple[str, Path]] = []
            for stem in stems:
                name, _, file = stem.partition("=")
                inside = sorted(Path(stem).glob("*.wav")) if Path(stem).is_dir() else []
                if not inside and not (name and file):
                    raise GridError(f'"{stem}" is not NAME=FILE', where="--stem", remedy="write vocals=voc.wav")
                named += [(path.stem, path) for path in inside] or [(name, Path(file))]
            corrections = Corrections(bpm, offset_ms, half, double, downbeat, meter, beats, downbeats, sections or None)
            return HearingOptions(
                corrections=corrections,
                forget=forget_grid,
                stems=tuple(named),
                midi=midi,
                markers=markers,
            )

        return command(*args, hearing=hearing, **kwargs)

    for option in reversed(_HEARING):
        gathered = option(gathered)
    return gathered


def counted(number: int, one: str) -> str:
    """Return ``1 prompt`` or ``1,200 prompts``."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def clock_time(seconds: float) -> str:
    """Return a time of a song as ``1:02.50``."""
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def minutes(seconds: float) -> str:
    return f"{int(seconds // 60)} min {seconds % 60:.1f} s" if seconds >= 60 else f"{seconds:.1f} s"


def shots_file(song: str, given: Path | None, ignored: bool) -> Path | None:
    """Return the shots file to use: the one that was given, or the one beside the song if there is one."""
    from reactive.preset.shots import shots_path

    beside = shots_path(Path(song))
    return None if ignored else given or (beside if beside.is_file() else None)


def refuse_to_overwrite_inputs(outputs: list[Path | None], inputs: list[Path]) -> None:
    """Refuse to write a report over one of its inputs."""
    from reactive.errors import OutputError
    from reactive.render.outputs import check_name

    for output in outputs:
        if output is not None:
            check_name(output)
        for given in inputs:
            if output is not None and output.exists() and given.exists() and output.samefile(given):
                raise OutputError("is what it is made from", where=str(output), remedy="choose another name")


def write_json(path: str, data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1) + "\n"
    if path == "-":
        click.echo(text, nl=False)
        return
    write_text(Path(path), text)


def write_text(path: Path, text: str) -> None:
    """Write a report; the file appears only when it is complete."""
    from reactive import files
    from reactive.errors import OutputError

    try:
        files.write_text(path, text)
    except OSError as problem:
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place"
        ) from None
