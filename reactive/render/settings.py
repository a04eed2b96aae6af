"""How a clip is made: everything that a user may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from reactive.audio.hear import DEFAULT_HEARING, HearingOptions

# called with a stage's name, how much of it is done, and how much there is
Progress = Callable[[str, int, int], None]
# called with the frames a second of each worker, where there are several
Rates = Callable[[Sequence[float]], None]


@dataclass(frozen=True)
class Settings:
    """How a clip is made. Sizes are width and height in pixels; None means: what suits the model.

    With `compile` the model's networks are compiled first. `sampler`, `spacing` and `prediction` say how the model is sampled
    where it does not say so itself, or says it wrong.
    `imagine_rate` is how many pictures a second are imagined where feedback does not decide; 0 means: every frame.
    `start` and `duration` are seconds of the song; with `telling` the excerpt begins where it tells most, around the drop;
    `macros` says where the preset's knobs stand; `lyrics` is an LRC or SRT file, `shots` a file of wishes for single shots;
    `background` is the colour that shows where photographs and videos are transparent;
    `palette` (colours ``#rrggbb``, in place of the preset's), `palette_strength`, `saturation`, `contrast` (1: as it is),
    `temperature`, `tint` (-1 to 1) and `lut`, a `.cube` file, are the colours of the whole clip;
    `title`, `logo` and `show_lyrics` are laid over the finished pictures; `take` is a recorded performance, which brings its
    own presets, seed and frame rate; `batch`, `slices` (pictures that are decoded at once), `threads`, `segment`
    (frames) and `pace` (of the walk) 0 mean: by rule; `lanes` is the shape of a batch of feedback lanes, 0 by rule, -1 that
    of any batch (what clips had before there was a rule); with `recipe` the clip carries all that
    decides it. Finished pictures are made `upscale` times as large by the `upscaler` lanczos or esrgan. `also` names
    further shapes of the clip, ``9:16``; `job` is where what is finished is kept, by default beside the clip; `mixed` goes on
    with a job that was begun with other versions or on another device. `ray` names a Ray cluster whose workers render,
    ``local`` for one on this machine, None for this process; `workers` 0 means: as many as there is room for.
    """

    preset: str = "loop-destroy"
    fps: Fraction = Fraction(24)
    size: tuple[int, int] | None = None
    imagine_size: tuple[int, int] | None = None
    model: str = "ember"
    loras: tuple[str, ...] = ()
    vae: str | None = None
    guidance: float | None = None
    negative: str = ""
    dtype: str = "auto"
    compile: bool = False
    steps: int | None = None
    sampler: str | None = None
    spacing: str | None = None
    prediction: str | None = None
    seed: int = 0
    start: float = 0.0
    duration: float | None = None
    photos: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    background: str = "black"
    imagine_rate: float = 0.0
    upscale: int = 1
    upscaler: str = "lanczos"
    timeline: Path | None = None
    take: Path | None = None
    macros: Mapping[str, float] = field(default_factory=dict)
    lyrics: Path | None = None
    telling: bool = False
    shots: Path | None = None
    title: str = ""
    logo: Path | None = None
    show_lyrics: bool = False
    palette: tuple[str, ...] = ()
    palette_strength: float = 1.0
    saturation: float = 1.0
    contrast: float = 1.0
    temperature: float = 0.0
    tint: float = 0.0
    lut: Path | None = None
    device: str = "auto"
    batch: int = 0
    slices: int = 0
    lanes: int = 0
    threads: int = 0
    codec: str = "h264"
    speed: str = "veryfast"
    crf: int = 18
    overwrite: bool = False
    hearing: HearingOptions = DEFAULT_HEARING
    flash_safe: bool = False
    recipe: bool = True
    also: tuple[str, ...] = ()
    segment: int = 0
    pace: float = 0.0
    job: Path | None = None
    mixed: bool = False
    ray: str | None = None
    workers: int = 0
