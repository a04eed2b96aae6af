"""How a clip is made: everything that a person may choose, in one model of pydantic with a part for each question.

`Settings` is what the command line, jobs, recipes, Ray workers and the preview share. `Settings.of` takes every choice by its
plain name (``steps=1``), whichever part it belongs to; jobs and recipes store the choices by the same names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from reactive.audio.hear import DEFAULT_HEARING, File, HearingOptions
from reactive.diffusion.sampling.sampling import PREDICTIONS, SAMPLERS, SPACINGS
from reactive.errors import SettingsError
from reactive.preset.control import split_control
from reactive.preset.palette import MAX_COLOURS
from reactive.preset.style import split_style
from reactive.render.sizes import parse_size
from reactive.timeline.clock import as_fps
from reactive.timeline.colours import Colours
from reactive.timeline.framing import COVER, Framing
from reactive.video.codec import CODECS, SPEEDS, Codec, video_codec
from reactive.video.upscale import FACTORS, METHODS, Upscaling

if TYPE_CHECKING:
    from reactive.diffusion.models.model import Model

# called with a stage's name, how much of it is done, and how much there is
Progress = Callable[[str, int, int], None]
# called with the frames a second of each worker, where there are several
Rates = Callable[[Sequence[float]], None]


def _one_of(known: Sequence[object]) -> AfterValidator:
    def check(value: Any) -> Any:
        if value not in known:
            raise ValueError(f"is not one of {', '.join(map(str, known))}")
        return value

    return AfterValidator(check)


def _size(size: tuple[int, int]) -> tuple[int, int]:
    return parse_size(f"{size[0]}x{size[1]}", "size")


FrameRate = Annotated[Fraction, PlainValidator(as_fps), PlainSerializer(str, when_used="json")]
Size = Annotated[tuple[int, int], AfterValidator(_size)]
Seconds = Annotated[float, Field(ge=0, le=1e6)]
Colour = Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]
# checked when the model is loaded, since which values are possible depends on it
Name = Annotated[str, Field(max_length=4096)]


class Part(BaseModel):
    """A group of settings; frozen, and with no other names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSpec(Part):
    """Which model imagines, how it is loaded, and how it is sampled.

    Attributes
    ----------
    name
        A name of `reactive models list`, a folder or a ``.safetensors`` file.
    device
        ``auto`` for the best there is.
    steps, guidance
        None: the model's defaults.
    loras
        LoRA files or short names, each with an optional strength, fused in this order.
    vae
        Another autoencoder.
    adapter
        The adapter by which reference pictures steer the style; ``auto``: the usual one. Default: none.
    control_models
        Control networks, by which shapes are kept: what their pictures show (``canny``), with another network than the usual one
        as ``canny=FOLDER``.
    dtype
        The number format; ``auto`` chooses by device.
    quant
        How weights are quantised: ``int8``, ``fp8``, ``nf4``, or the name of a ``.gguf`` file.
    compile
        Whether the networks are compiled first.
    sampler, spacing, prediction
        How the model is sampled if its own files do not say so, or are wrong.
    """

    name: Name = "ember"
    device: Name = "auto"
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    guidance: Annotated[float, Field(ge=0, le=50)] | None = None
    loras: tuple[Name, ...] = ()
    vae: Name | None = None
    adapter: Name | None = None
    control_models: tuple[Name, ...] = ()
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    quant: Name | None = None
    compile: bool = False
    sampler: Annotated[str, _one_of(SAMPLERS)] | None = None
    spacing: Annotated[str, _one_of(SPACINGS)] | None = None
    prediction: Annotated[str, _one_of(PREDICTIONS)] | None = None

    @property
    def title(self) -> str:
        """How the model is called in messages: a folder or file by its base name."""
        return Path(self.name).name or self.name

    def changed(self, **changes: Any) -> Self:
        """Return these settings with some changed."""
        return type(self).model_validate({**dict(self), **changes})

    def load(self, prompts: Sequence[str] = ()) -> Model:
        """Load the model.

        Parameters
        ----------
        prompts
            Texts that will be shown, and their negatives; see `load_model`.

        Raises
        ------
        ModelError
            If it is missing or can't be used.
        """
        # settings are read where torch is not loaded
        from reactive.diffusion.models.load import load_model

        told = {"sampler": self.sampler, "spacing": self.spacing, "prediction": self.prediction}
        return load_model(
            self.name,
            device=self.device,
            steps=self.steps,
            guidance=self.guidance,
            loras=self.loras,
            vae=self.vae,
            adapter=self.adapter,
            controls=self.control_models,
            dtype=self.dtype,
            quant=self.quant,
            compiled=self.compile,
            overrides={option: value for option, value in told.items() if value},
            prompts=prompts,
        )


class SourceFiles(Part):
    """What is fed in beside the song.

    Attributes
    ----------
    photos, videos
        Photographs and films.
    background
        The colour that shows where they are transparent, and in bars.
    fit
        How photographs fill the frame: ``cover``, ``contain`` or ``blur``; empty: as the preset says.
    styles
        Reference pictures, whose look the model takes on, each with an optional weight as in `preset.style_picture`:
        ``cover.jpg:0.6``.
    controls
        Pictures whose shapes are kept, as in `preset.control`: kind, file and weight (``depth:depth.mp4:0.8``), or kind and weight
        (``canny:0.8``) for what is fed in or lies beneath.
    focus
        What matters in photographs, as ``band.jpg@0.5,0.2``: base name, shares of width and height from the upper left corner.
    lyrics
        An LRC, SRT or WebVTT file.
    shots
        A file of edits of single shots.
    timeline
        An edited timeline, in place of a preset.
    take
        A recorded performance, which brings its own presets, seed and frame rate.
    """

    photos: tuple[File, ...] = ()
    videos: tuple[File, ...] = ()
    background: str = "black"
    fit: Literal["", "cover", "contain", "blur"] = ""
    focus: tuple[str, ...] = ()
    styles: tuple[Name, ...] = ()
    controls: tuple[Name, ...] = ()
    lyrics: File | None = None
    shots: File | None = None
    timeline: File | None = None
    take: File | None = None

    @property
    def style_paths(self) -> tuple[Path, ...]:
        """The files of the reference pictures."""
        return tuple(Path(split_style(text)[0]) for text in self.styles)

    @property
    def control_paths(self) -> tuple[Path, ...]:
        """The files of the pictures whose shapes are kept."""
        return tuple(Path(file) for text in self.controls if (file := split_control(text)[1]))

    @property
    def framing(self) -> Framing:
        """How photographs fill the frame where the preset says nothing."""
        return self.framing_over(COVER)

    def framing_over(self, own: Framing) -> Framing:
        """Return how photographs fill the frame: as told here, or else as a timeline has it."""
        return own.told(self.focus, self.fit)


class ColourSettings(Part):
    """The colours of the whole clip.

    Attributes
    ----------
    palette
        Colours ``#rrggbb``, dark to light, in place of the preset's.
    palette_strength
        How strongly pictures are moved towards the palette, 0 to 1.
    saturation, contrast
        1 leaves them as they are.
    temperature, tint, brightness
        -1 to 1.
    lut
        A colour table, a ``.cube`` file.
    """

    palette: Annotated[tuple[Colour, ...], Field(max_length=MAX_COLOURS)] = ()
    palette_strength: float = Field(1.0, ge=0, le=1)
    saturation: float = Field(1.0, ge=0, le=4)
    contrast: float = Field(1.0, ge=0, le=4)
    temperature: float = Field(0.0, ge=-1, le=1)
    tint: float = Field(0.0, ge=-1, le=1)
    brightness: float = Field(0.0, ge=-1, le=1)
    lut: File | None = None

    @property
    def colours(self) -> Colours:
        """What is done to every frame of the timeline."""
        names = ("saturation", "contrast", "temperature", "tint", "brightness")
        return Colours(self.palette, self.palette_strength, *(getattr(self, name) for name in names))


class OverlaySettings(Part):
    """What is laid over the finished pictures, in addition to the preset's own overlay."""

    title: str = ""
    logo: File | None = None
    show_lyrics: bool = False


class Encoding(Part):
    """The codec of the clip; `speed` and `crf` are x264's preset and its quality (lower is better)."""

    codec: Annotated[str, _one_of(CODECS)] = "h264"
    speed: Annotated[str, _one_of(SPEEDS)] = "veryfast"
    crf: int = Field(18, ge=0, le=51)

    @property
    def chosen(self) -> Codec:
        """What the encoder is given."""
        return video_codec(self.codec, speed=self.speed, crf=self.crf)


class Output(Part):
    """What is written. Sizes are width and height in pixels; None: what suits the model.

    Attributes
    ----------
    size
        The size of the clip.
    imagine_size
        The size that the model works at.
    imagine_rate
        Pictures a second that are imagined outside feedback shots; the frames between them are interpolated. 0: every frame.
    upscale, upscaler
        How many times as large finished pictures are made, by ``lanczos`` or ``esrgan``.
    shape
        The clip's shape if it has no size, as ``9:16``.
    also
        Further shapes of the same render, cropped from its pictures, as ``9:16``.
    loop
        Bars of a silent loop in place of the whole song: ``17-20``, a number of bars, or ``auto``; empty: no loop.
    longest
        Seconds that the clip lasts at most; of a longer song the part around its drop is rendered.
    shortest
        Seconds that the clip lasts at least; a shorter one is refused.
    loudness
        The integrated loudness of the sound in LUFS, as far as its peaks allow it; None: as the song is.
    max_size
        Bytes that the clip's file has at most.
    flash_safe
        Whether flashing is kept within the limits of what is safe to watch.
    recipe
        Whether the clip carries everything that is needed to make it again.
    overwrite
        Whether a clip that exists is replaced.
    """

    size: Size | None = None
    imagine_size: Size | None = None
    imagine_rate: float = Field(0.0, ge=0, le=240)
    upscale: Annotated[int, _one_of(FACTORS)] = 1
    upscaler: Annotated[str, _one_of(METHODS)] = "lanczos"
    shape: str = ""
    also: tuple[str, ...] = ()
    loop: str = ""
    longest: float | None = Field(None, gt=0, le=1e6)
    shortest: float | None = Field(None, gt=0, le=1e6)
    loudness: float | None = Field(None, ge=-40, le=-5)
    max_size: int | None = Field(None, ge=10_000)
    flash_safe: bool = False
    recipe: bool = True
    overwrite: bool = False

    @property
    def upscaling(self) -> Upscaling:
        """How finished pictures are made larger."""
        return Upscaling(self.upscale, self.upscaler)


class Compute(Part):
    """Who computes, and in batches of which size; 0 means by rule.

    Attributes
    ----------
    batch
        Pictures that are imagined at once.
    slices
        Pictures that are encoded or decoded at once.
    lanes
        Feedback shots that are imagined at once; -1: as many as a batch (as in clips from before there was a rule).
    threads
        CPU threads of a worker.
    segment
        Frames of a piece.
    pace
        The pace of the walk through noise.
    job
        Where finished pieces are kept; default: beside the clip.
    mixed
        Whether to go on with a job that was begun with other versions or on another device.
    ray
        A Ray cluster whose workers render, ``local`` for one on this machine; None: this process.
    workers
        How many of them.
    """

    batch: int = Field(0, ge=0, le=999)
    slices: int = Field(0, ge=0, le=999)
    lanes: int = Field(0, ge=-1, le=999)
    threads: int = Field(0, ge=0, le=512)
    segment: int = Field(0, ge=0, le=1_000_000)
    pace: float = Field(0.0, ge=0, le=100)
    job: File | None = None
    mixed: bool = False
    ray: str | None = None
    workers: int = Field(0, ge=0, le=100_000)


class Settings(Part):
    """How a clip is made.

    Attributes
    ----------
    preset
        The name of a preset, its file or folder.
    fps
        Frames a second, 1 to 240.
    seed
        Decides prompt order, noise and shake.
    macros
        Where the preset's knobs stand, 0 to 1, by name.
    negative
        What guidance leads away from, in addition to the preset's own.
    start, duration
        Seconds of the song; without `duration`, to its end.
    telling
        Whether the excerpt begins at the most telling place, around the drop, instead of at `start`.
    hearing
        What a person adds to what is heard.
    model, sources, colours, overlay, encoding, output, compute
        The other groups; see their classes.

    Examples
    --------
    >>> import reactive
    >>> settings = reactive.Settings.of(preset="nocturne", steps=1, size=(1280, 720))
    >>> settings.model.steps, settings.output.size
    (1, (1280, 720))
    >>> settings.changed(steps=2).model.steps
    2
    >>> reactive.Settings.from_data(settings.to_data()) == settings
    True
    """

    preset: Name = "loop-destroy"
    fps: FrameRate = Fraction(24)
    seed: int = Field(0, ge=0, le=1 << 63)
    macros: dict[str, float] = Field(default_factory=dict)
    negative: str = ""
    start: Seconds = 0.0
    duration: Seconds | None = None
    telling: bool = False
    hearing: HearingOptions = DEFAULT_HEARING
    model: ModelSpec = ModelSpec()
    sources: SourceFiles = SourceFiles()
    colours: ColourSettings = ColourSettings()
    overlay: OverlaySettings = OverlaySettings()
    encoding: Encoding = Encoding()
    output: Output = Output()
    compute: Compute = Compute()

    @classmethod
    def of(cls, **choices: Any) -> Self:
        """Return settings from choices by their plain names: ``steps`` for ``model.steps``, ``model`` for ``model.name``.

        Raises
        ------
        SettingsError
            If a name is not known, or a value is not possible.
        ReactiveError
            If a frame rate, a size or a correction of the grid is not possible.
        """
        try:
            return cls.model_validate(_nested(cls, choices))
        except ValidationError as problem:
            raise _settings_error(problem) from None

    def changed(self, **choices: Any) -> Self:
        """Return these settings with other choices, by their plain names."""
        return self.of(**{**self.choices(), **choices})

    def choices(self) -> dict[str, Any]:
        """Return all choices by their plain names, as Python's values."""
        return {name: _value(self, place) for name, place in _places(type(self)).items()}

    def to_data(self) -> dict[str, Any]:
        """Return all choices by their plain names as JSON; files by their full names."""
        data = self.model_dump(mode="json")
        return {
            name: data[field] if part is None else data[part][field]
            for name, (part, field) in _places(type(self)).items()
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return settings from what `to_data` gave; missing ones have their defaults.

        Raises
        ------
        SettingsError
            If a name is not known, or a value is not possible; nothing is converted.
        ReactiveError
            If a frame rate, a size or a correction of the grid is not possible.
        """
        try:
            return cls.model_validate_json(json.dumps(_nested(cls, data)), strict=True)
        except ValidationError as problem:
            raise _settings_error(problem) from None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the plain names of all choices."""
        return tuple(_places(cls))


@cache
def _places(kind: type[Settings]) -> dict[str, tuple[str | None, str]]:
    """Return the part (None: `Settings` itself) and field of each choice by its plain name."""
    places: dict[str, tuple[str | None, str]] = {}
    for name, info in kind.model_fields.items():
        part = info.annotation
        if isinstance(part, type) and issubclass(part, Part):
            # a model is named by its name
            own = {"model" if (name, field) == ("model", "name") else field: field for field in part.model_fields}
            places |= {plain: (name, field) for plain, field in own.items()}
        else:
            places[name] = (None, name)
    return places


def _value(settings: Settings, place: tuple[str | None, str]) -> Any:
    part, field = place
    return getattr(settings if part is None else getattr(settings, part), field)


def _settings_error(problem: ValidationError) -> SettingsError:
    """Return the first error that pydantic found, with the setting's plain name."""
    found = problem.errors(include_url=False)[0]
    own = [str(place) for place in found["loc"]]
    # an unknown choice has no group; the model's name is called model
    name = own[0] if len(own) < 2 or own[:2] == ["model", "name"] else own[1]
    if own[0] in ("hearing", "macros"):
        name = own[0]
    if found["type"] == "extra_forbidden":
        return SettingsError("is no setting", where=name[:80], remedy="check its spelling")
    return SettingsError(
        f"{found['input']!r:.80} can't be used: {found['msg'][:1].lower()}{found['msg'][1:]}", where=name
    )


def _nested(kind: type[Settings], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return choices by their plain names as pydantic takes them; unknown names stay, so that it refuses them."""
    places, nested = _places(kind), dict[str, Any]()
    for name, value in choices.items():
        part, field = places.get(name, (None, name))
        if part is None:
            nested[field] = value
        else:
            nested.setdefault(part, {})[field] = value
    return nested
