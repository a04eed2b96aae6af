"""The schema of presets: TOML, checked key by key. Errors name the file, the key, the value and the remedy."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from reactive.errors import PresetError
from reactive.preset.expression import closest_name
from reactive.preset.fields import (
    Change,
    Expression,
    Fit,
    GroundChange,
    GroundName,
    GroundNames,
    Hold,
    Label,
    Length,
    Name,
    Palette,
    Parts,
    Template,
    Text,
    Words,
    parse_length,
)
from reactive.preset.migrate import migrate
from reactive.preset.place import parse_place
from reactive.preset.template import LINE, gaps
from reactive.preset.toml import parse_toml

__all__ = [
    "Camera",
    "Colour",
    "Lens",
    "Phase",
    "Preset",
    "Switch",
    "check_preset",
    "load_preset",
    "parse_length",
    "parse_preset",
    "read_preset",
]

MAX_BYTES = 2_000_000
MAX_PROMPTS = 5000
MAX_STYLE_PICTURES = 8
MAX_CONTROL_PICTURES = 4
MAX_LORAS = 4


class Strict(BaseModel):
    """A table that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lens(Strict):
    """The move applied to the finished picture: a pure function of the frame, in every mode."""

    zoom: Expression = Field("1", description="scale; 1 leaves the picture as it is, 1.1 is a tenth closer")
    rotate: Expression = Field("0", description="degrees, counter-clockwise")
    x: Expression = Field("0", description="shift to the right, in picture widths")
    y: Expression = Field("0", description="shift downwards, in picture heights")
    shake: Expression = Field("0", description="random shift a frame, in picture widths")
    tilt: Expression = Field("0", description="degrees in depth: above 0 the top leans away")
    turn: Expression = Field("0", description="degrees in depth: above 0 the right side leans away")


class Camera(Strict):
    """The move applied to a fed-back picture, per second."""

    zoom: Expression = Field("1", description="scale in a second: 1.2 flies forward by a fifth each second")
    rotate: Expression = Field("0", description="degrees a second, counter-clockwise")
    x: Expression = Field("0", description="picture widths a second, to the right")
    y: Expression = Field("0", description="picture heights a second, downwards")
    tilt: Expression = Field("0", description="degrees a second in depth: above 0 the top leans away")
    turn: Expression = Field("0", description="degrees a second in depth: above 0 the right side leans away")
    shake: Expression = Field("0", description="random shift about the camera's path, in picture widths")
    flow: Expression = Field("0", description="how much of a video's own motion moves the fed-back picture, 0 to 1")


class Colour(Strict):
    """The colours of the finished picture, in every mode; what is fed back keeps its own."""

    palette: Palette = Field(
        (), description='colours that pictures are led to, by name or number: `["#200010", "dark red", "white"]`'
    )
    strength: Expression = Field("1", description="how far pictures are led to the palette, 0 to 1")
    tint: Expression = Field("0", description="-1 green to 1 magenta")
    temperature: Expression = Field("0", description="-1 cold to 1 warm")
    saturation: Expression = Field("1", description="0 grey, 1 as it is, up to 4")
    contrast: Expression = Field("1", description="1 as it is, 0 none, up to 4; black and white stay")
    brightness: Expression = Field("0", description="-1 dark to 1 light; black and white stay")


How = Literal["cut", "fade", "slerp"]


class Switch(Strict):
    """When and how one prompt gives way to the next."""

    every: Length = Field("2 bars", description="how long a prompt holds")
    how: How = Field(
        "fade", description="`cut` on the beat; `fade` straight, or `slerp` along the arc, from one prompt to the next"
    )
    over: Length | None = Field(
        None, description="how long a fade or slerp takes, at least a beat; unless given, a fade 1 beat, a slerp 1 bar"
    )
    accent: Expression = Field("0", description="where this exceeds 0.5 at a beat, a cut comes early")
    match: bool = Field(False, description="cuts keep seed and walk (match cut)")
    drops: bool = Field(
        True,
        description="a drop, and the end of a build-up, cuts to another prompt on its very beat, whatever `how` is",
    )
    strobe: bool = Field(False, description="prompts may hold less than two beats")
    join: Literal["cut", "dissolve", "morph", "through"] = Field(
        "cut", description="how a hard cut's two shots meet; `through`: by way of the painting alone, as in a morph"
    )
    join_over: Length = Field("1 beat", description="how long a dissolve, morph or `through` takes; it ends on the cut")


class Source(Strict):
    """Which photographs and videos a phase feeds in, and how long each stays."""

    every: Change = Field("phase", description="the next one comes with each phase, section, or so many bars or beats")
    order: Literal["sequence", "shuffle"] = Field("sequence", description="as given, or shuffled by seed")
    use: list[Annotated[int, Field(ge=1, le=999)]] = Field([], description="their numbers from 1; empty: all")


class Ground(Strict):
    """A photograph or film beneath the picture, lit and coloured by what the model paints."""

    show: GroundNames = Field(
        [],
        description="pictures in the preset's folder or the library (`library:NAME`), in turn; `match`: the one of the library "
        "whose words fit the prompt best",
    )
    own: bool = Field(True, description="photographs and videos that are fed in come before those named here")
    every: GroundChange = Field(
        "prompt", description="the next one comes with each prompt, phase or section, or after so many bars or beats"
    )
    order: Literal["sequence", "shuffle"] = Field("sequence", description="as given, or shuffled by seed")
    over: Length = Field(
        "1 beat", description="how long a change takes that is no hard cut: detail falls to 0 and rises again"
    )
    detail: Expression = Field(
        "1",
        description="1 shows the ground, lit by the painting; towards 0 the painting takes its place, fine scales last",
    )
    colour: Expression = Field("0.45", description="how much of the ground's own colour stays, 0 to 1")
    light: Expression = Field("1", description="how strongly the painting lights the ground, 0 to 2; 0: not at all")
    zoom: Expression = Field("1", description="how close the ground is seen, from 1 on")
    x: Expression = Field("0", description="shift of the ground to the right, in picture widths")
    y: Expression = Field("0", description="shift of the ground downwards, in picture heights")
    push: Expression = Field(
        "0",
        description="how fast one comes closer while a ground stays: 0.02 is a fiftieth a second; below 0 backs away",
    )
    drift: Expression = Field(
        "0", description="picture widths a second that the ground drifts sideways while it stays, one way or the other"
    )
    parallax: Expression = Field(
        "0",
        description="how much further than the middle the lower edge is shifted, as what is near; -1 to 1. A photograph with a depth"
        " map moves in depth: near parts 0.25 and this much further than the middle, -0.25 not at all",
    )
    double: Expression = Field(
        "0", description="double exposure: how much of the picture's light comes from the ground before, 0 to 1"
    )


class Film(Strict):
    """How films run that are not as long as the song: each shot begins at a place of its own, and runs on from there."""

    rate: Expression = Field(
        "1", description="seconds of the film a second: 0 holds it, 0.5 slows it, -1 runs it backwards"
    )
    jump: Expression = Field(
        "0",
        description="seconds that the film jumps in this frame: `-0.5 * gate(kick, 0.5)` throws it back on each kick",
    )
    again: Length | None = Field(None, description="after how many bars or beats a shot begins again; default: never")


# names for no ground, and for one that the library chooses
NO_GROUND, MATCH = "none", "match"


class PromptEntry(Strict):
    """A prompt of a pool; a plain text is one with all other keys at their defaults."""

    text: Template = Field(description="the prompt; `{name}` and `{a|b}` are gaps that are filled anew each time")
    weight: float = Field(1.0, ge=0.05, le=20, description="how often it comes beside the others; 2 is twice as often")
    negative: Text = Field("", description="what this prompt avoids, added to the phase's `negative`")
    palette: Palette = Field((), description="its own palette, in place of the phase's")
    parts: Parts = Field(
        (), description='the parts of the song that it belongs to, as `["chorus"]`; where a song has none of them, any'
    )
    ground: GroundName | None = Field(
        None, description="the ground of this prompt where its phase has one: as in `ground.show`, or `none`"
    )

    def __str__(self) -> str:
        """Return the text."""
        return self.text


def _entry(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


Pool = Annotated[
    list[Annotated[PromptEntry, BeforeValidator(_entry, json_schema_input_type=str | PromptEntry)]], Field(min_length=1)
]


class StylePicture(Strict):
    """A reference picture: the model takes on its look. The text key `style` is older; a picture has a weight, so it is a table."""

    file: Text = Field(
        min_length=1, max_length=255, description="a picture in the preset's folder, such as the last cover"
    )
    weight: Expression = Field(
        "0.6",
        description="how strongly the model takes on its look, 0 not at all, 1 fully, at most 2: `0.3 + 0.5 * build`",
    )


class ControlPicture(Strict):
    """A picture whose shapes the model keeps, by a control network (ControlNet)."""

    kind: str = Field(
        pattern="^[a-z][a-z0-9-]{0,31}$",
        description="what the control network sees: `canny` edges, found in the picture; `tile` the picture as it is; "
        "`edges`, `depth`, `pose` and others: ready pictures",
    )
    file: Text = Field(
        "",
        max_length=255,
        description="a picture or film in the preset's folder; without one: what the phase feeds in or lays beneath, and for ready "
        "pictures the file beside it that has the kind in its name, as `band.depth.png`",
    )
    weight: Expression = Field(
        "1", description="how strongly shapes are kept, 0 not at all, 1 fully, at most 2: `0.4 + 0.6 * drop`"
    )


class PresetLora(Strict):
    """A LoRA whose strength may change with the music."""

    file: Text = Field(
        min_length=1,
        max_length=255,
        description="a LoRA in the preset's folder, or a short name of `reactive models list`",
    )
    strength: Expression = Field(
        "1", description="how strongly it changes the model, from -4 to 4, 0 not at all: `0.2 + 0.8 * drop`"
    )


class Phase(Strict):
    """A phase of the loop: which music it fits, how it looks and moves."""

    name: Label = Field(description="the phase's name, a different one for each")
    fits: Fit = Field("0.5", description="how well this phase fits a passage; the mean over the passage counts")
    parts: Parts = Field(
        (),
        description='the parts of the song where it lies, as `["chorus", "drop"]`; where a song has none of them, `fits` decides',
    )
    bars: tuple[int, int] = Field((8, 32), description="fewest and most bars that the phase lasts")
    mode: Literal["walk", "photo", "video", "feedback"] = Field(
        "walk",
        description="`walk`: every picture from noise; `photo`, `video`: from what is fed in; "
        "`feedback`: from the picture before",
    )
    prompts: Pool = Field(description="the pool: texts, or tables with text, weight and negative")
    order: Literal["sequence", "shuffle", "ladder"] = Field(
        "shuffle",
        description="`shuffle` by seed; `sequence` as written; `ladder`: written from calm to wild, `climb` picks the rung",
    )
    climb: Expression = Field("loudness", description="the height on the ladder, 0 the first prompt, 1 the last")
    words: dict[Name, Words] = Field({}, description="lists for this phase's gaps, before the preset's own")
    negative: Text = Field("", description="what this phase avoids, added to the preset's `negative`")
    switch: Switch = Field(Switch(), description="when and how prompts change")
    walk: Expression | None = Field(None, description="walk speed in this phase")
    strength: Expression | None = Field(None, description="denoise strength in this phase")
    lens: Lens | None = Field(None, description="the lens in this phase, whole")
    camera: Camera | None = Field(None, description="the camera in this phase, whole")
    colour: Colour | None = Field(None, description="the colours in this phase, whole")
    film: Film | None = Field(None, description="how films run in this phase, whole")
    source: Source = Field(Source(), description="which photographs and videos are fed in, and when they change")
    ground: Ground | None = Field(None, description="the ground in this phase, whole")
    style_picture: list[StylePicture] | None = Field(
        None, max_length=MAX_STYLE_PICTURES, description="the reference pictures in this phase, all of them"
    )
    control: list[ControlPicture] | None = Field(
        None, max_length=MAX_CONTROL_PICTURES, description="what keeps shapes in this phase, all of it"
    )
    lora: list[PresetLora] | None = Field(
        None, max_length=MAX_LORAS, description="the LoRAs in this phase, all of them"
    )

    @model_validator(mode="after")
    def _bars(self) -> Phase:
        if not 1 <= self.bars[0] <= self.bars[1] <= 4096:
            raise ValueError("bars are not two rising whole numbers from 1 on|write for instance bars = [8, 32]")
        return self


class Feedback(Strict):
    """How a picture is fed back."""

    rate: float = Field(12.0, ge=1, le=60, description="pictures a second, whatever the clip's frame rate")
    fresh: float = Field(0.7, ge=0, le=1, description="share of new noise in each picture's noise")
    colour: float = Field(0.0, ge=0, le=1, description="how firmly the prompt's own palette is kept; 0 lets it drift")


class Macro(Strict):
    """A knob that a band turns: expressions read it as ``macro.NAME``."""

    name: Name = Field(description="its name: small letters, digits, underscores")
    default: float = Field(0.5, ge=0, le=1, description="where it stands unless it is turned")
    description: Text = Field("", description="what it does, for the person who turns it")


class Knobs(Strict):
    """Where the knobs stand that every preset has; in the middle, at 0.5, a preset is as it is written."""

    intensity: float = Field(
        0.5, ge=0, le=1, description="how far camera and lens move, and below 0.25 no cuts on single hits"
    )
    speed: float = Field(
        0.5, ge=0, le=1, description="how fast pictures wander, move and change: 0.25 is half as fast, 0.75 twice"
    )
    colour: float = Field(0.5, ge=0, le=1, description="how colourful it is: 0 is grey, 1 twice as colourful")
    photographs: float = Field(
        0.5, ge=0, le=1, description="how much is seen of photographs and films: 0 nothing, 1 all of them"
    )


class Pin(Strict):
    """A prompt held at one place of the song, whatever phase is there."""

    at: Label = Field(
        description='where: "start", "drop 1", "last chorus", "part solo", "section 3", "bar 17", "loop 2", or a phase: "bloom 2"'
    )
    prompt: Template = Field(description="the prompt, with gaps as in a pool")
    negative: Text = Field("", description="what it avoids, added to the preset's `negative`")
    ground: GroundName | None = Field(None, description="its ground, as in `phase.prompts.ground`")
    how: How = Field("cut", description="how it comes, as in `switch.how`")
    over: Length | None = Field(None, description="how long a fade or slerp takes, as in `switch.over`")
    hold: Hold = Field("2 bars", description='how long it stays: a length, or "section" to stay until that place ends')


class Lyrics(Strict):
    """What the lines of a song's words become, if an LRC or SRT file has them."""

    file: Text = Field("", description="an LRC or SRT file in the preset's folder, for a preset made for one song")
    prompts: Pool = Field(
        [PromptEntry(text="{line}")],
        validate_default=False,
        description="templates in turn; `{line}` is the line of the song",
    )
    how: How = Field("fade", description="how a line comes, as in `switch.how`")
    over: Length | None = Field(None, description="how long a fade or slerp takes, as in `switch.over`")
    hold: Length = Field(
        "4 bars", description="how long a line stays at most; else until it ends or the next one comes"
    )


Corner = Literal["top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right"]


class Title(Strict):
    """A text written over the finished picture."""

    text: Text = Field(description="what is written; `{title}` is the song's name as given by `--title`")
    at: Label = Field("start", description="where in the song it comes, as in `pin.at`")
    hold: Hold = Field("4 bars", description='how long it stays: a length, or "section"')
    place: Corner = Field("bottom left", description="where in the picture it stands")
    size: float = Field(0.07, ge=0.01, le=0.5, description="height of its letters, in picture heights")


class Overlay(Strict):
    """What is written and drawn over the finished pictures."""

    font: Text = Field("", description="a TTF or OTF file in the preset's folder; unless given, a plain one")
    colour: Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")] = Field("#ffffff", description="of the letters")
    logo: Text = Field("", description="a picture in the preset's folder, shown all through; a PNG may be transparent")
    logo_place: Corner = Field("top right", description="where the logo stands")
    logo_size: float = Field(0.12, ge=0.01, le=1, description="height of the logo, in picture heights")
    logo_strength: float = Field(0.8, ge=0, le=1, description="how firmly the logo stands over the picture")
    lyrics: bool = Field(False, description="show the lines of the song's words while they are sung")
    lyrics_place: Corner = Field("bottom", description="where lines stand")
    lyrics_size: float = Field(0.055, ge=0.01, le=0.5, description="height of their letters, in picture heights")
    title: list[Title] = Field([], max_length=50, description="texts at places of the song")


class Preset(Strict):
    """A preset."""

    version: Literal[2] = Field(description="the language's version")
    title: Text = Field(description="its name for people")
    description: Text = Field("", description="its idea in a sentence")
    author: Text = Field("", description="who made it")
    licence: Text = Field("", description="under which licence it is passed on")
    credits: list[Text] = Field([], max_length=200, description="whose pictures and words are in its folder")
    music: Text = Field("", description="the music it was made for")
    model: Text = Field("", description="a stronger model that suits it")
    style: Text = Field("", description="words added to every prompt")
    negative: Text = Field("", description="what every prompt avoids; works with models that use guidance")
    variables: dict[Name, Words] = Field(
        {}, description="texts for gaps; of a list, the seed picks one for the whole clip"
    )
    words: dict[Name, Words] = Field({}, description="lists for gaps; each use takes the next word of a shuffle")
    macro: list[Macro] = Field([], max_length=32, description="knobs that expressions read as `macro.NAME`")
    knobs: Knobs = Field(Knobs(), description="where the knobs stand that every preset has")
    walk: Expression = Field("0.15 + 0.3 * loudness", description="walk speed: 1 is a new picture each second")
    strength: Expression = Field("0.6", description="how much of a picture fed in or back is imagined anew, 0 to 1")
    lens: Lens = Field(Lens(), description="the lens where a phase has none of its own")
    camera: Camera = Field(Camera(), description="the camera where a phase has none of its own")
    colour: Colour = Field(Colour(), description="the colours where a phase has none of its own")
    lut: str = Field(
        "",
        description="a colour table (`.cube`) in the preset's folder, applied last to the finished clip unless `--lut` is given",
    )
    film: Film = Field(Film(), description="how films run in phases without a `film` of their own")
    ground: Ground | None = Field(
        None, description="what lies beneath the pictures in phases without a `ground` of their own"
    )
    style_picture: list[StylePicture] = Field(
        [],
        max_length=MAX_STYLE_PICTURES,
        description="reference pictures in phases without a `style_picture` of their own; needs a model with an adapter",
    )
    control: list[ControlPicture] = Field(
        [],
        max_length=MAX_CONTROL_PICTURES,
        description="what keeps shapes in phases without a `control` of their own; needs a model with control networks",
    )
    lora: list[PresetLora] = Field(
        [],
        max_length=MAX_LORAS,
        description="LoRAs in phases without a `lora` of their own; they fit one family of models",
    )
    fit: Literal["cover", "contain", "blur"] = Field(
        "cover", description="how own photographs fill the frame: cropped, whole, or whole over a blurred copy"
    )
    feedback: Feedback = Field(Feedback(), description="how a picture is fed back")
    loop: bool = Field(True, description="the walk closes on itself at the end of each round of the phases")
    motifs: bool = Field(False, description="a section that comes back brings its prompts and pictures back")
    phase: list[Phase] = Field(min_length=1, max_length=64, description="the phases, in their order, round and round")
    pin: list[Pin] = Field([], max_length=200, description="prompts held at one place of the song")
    lyrics: Lyrics = Field(Lyrics(), description="what the lines of the song's words become")
    overlay: Overlay = Field(Overlay(), description="titles, logo and words over the finished pictures")

    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def macros(self) -> tuple[Macro, ...]:
        """The preset's own knobs, and after them those that every preset has; of one name its own."""
        own = {macro.name for macro in self.macro}
        common = [
            Macro(name=name, default=getattr(self.knobs, name), description=field.description or "")
            for name, field in Knobs.model_fields.items()
            if name not in own
        ]
        return (*self.macro, *common)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was changed when an older version was read."""
        return self._notes

    @model_validator(mode="after")
    def _names(self) -> Preset:
        for what, names in (
            ("phases", [phase.name for phase in self.phase]),
            ("macros", [macro.name for macro in self.macro]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two {what} have the same name|give each a name of its own")
        if sum(len(phase.prompts) for phase in self.phase) > MAX_PROMPTS:
            raise ValueError(f"there are more than {MAX_PROMPTS} prompts|remove some")
        return self


def load_preset(path: str | os.PathLike[str]) -> Preset:
    """Read and check a preset file.

    Raises
    ------
    PresetError
        If it can't be read, is not TOML, or is not valid.

    Examples
    --------
    >>> import reactive
    >>> from pathlib import Path
    >>> text = 'version = 2\\ntitle = "Sea"\\n[[phase]]\\nname = "one"\\nprompts = ["a red sea"]\\n'
    >>> _ = Path("sea.toml").write_text(text)
    >>> reactive.load_preset("sea.toml").title
    'Sea'
    """
    return parse_preset(read_preset(Path(path)), where=str(path))


def parse_preset(text: str, *, where: str) -> Preset:
    """Check a preset given as the text of its file; `where` names it in errors.

    Raises
    ------
    PresetError
        If it is not TOML, or is not valid.
    """
    return check_preset(parse_toml(text, where=where), where=where)


def read_preset(path: Path) -> str:
    """Return the text of a preset file.

    Raises
    ------
    PresetError
        If it can't be read, is not a regular file, too large, or not UTF-8.
    """
    return read_text(path, limit=MAX_BYTES, remedy="a preset is a small text file")


def read_bytes(path: Path, *, limit: int, remedy: str) -> bytes:
    """Return the bytes of a small file.

    Raises
    ------
    PresetError
        If it can't be read, is not a regular file, or holds more than `limit` bytes.
    """
    where = str(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PresetError("is not a regular file", where=where, remedy=remedy)
        if status.st_size > limit:
            raise PresetError(f"is larger than {limit:,} bytes", where=where, remedy=remedy)
        return path.read_bytes()
    except OSError as problem:
        raise PresetError(f"can't be read ({problem.strerror})", where=where, remedy="check the name") from None


def read_text(path: Path, *, limit: int, remedy: str) -> str:
    """Return the text of a small UTF-8 file, with or without a mark at its start.

    Raises
    ------
    PresetError
        If it can't be read, is not a regular file, holds more than `limit` bytes, or is not UTF-8.
    """
    try:
        return read_bytes(path, limit=limit, remedy=remedy).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PresetError("is not UTF-8 text", where=str(path), remedy="save it as UTF-8") from None


def check_preset(data: dict[str, Any], *, where: str) -> Preset:
    """Check a preset given as plain data; `where` names it in errors. Data of older versions is migrated.

    Raises
    ------
    PresetError
        For the first problem, with key, value and remedy.
    """
    data, notes = migrate(data, where=where)
    try:
        preset = Preset.model_validate(data, context={"macros": _macro_names(data)})
    except ValidationError as problem:
        raise translate(problem, where) from None
    if loose := next(_loose_ends(preset), None):
        raise PresetError(loose.what, where=where, remedy=loose.remedy)
    preset._notes = tuple(notes)
    return preset


def _macro_names(data: dict[str, Any]) -> frozenset[str]:
    macros = data.get("macro")
    named = [macro.get("name") for macro in macros if isinstance(macro, dict)] if isinstance(macros, list) else []
    return frozenset(name for name in named if isinstance(name, str))


def _loose_ends(preset: Preset) -> Iterator[PresetError]:
    """Yield errors between tables that are valid by themselves: gaps without words, pins without a place."""
    shared = {**preset.variables, **preset.words}
    if both := sorted(set(preset.variables) & set(preset.words)):
        yield PresetError(f"{both[0]} is among variables and words", remedy="keep one of them")
    for number, phase in enumerate(preset.phase, 1):
        known = [*shared, *phase.words]
        for place, entry in enumerate(phase.prompts, 1):
            yield from _gaps_without_words(f"phase.{number}.prompts.{place}", entry.text, known)
    for number, pin in enumerate(preset.pin, 1):
        yield from _gaps_without_words(f"pin.{number}.prompt", pin.prompt, [*shared])
        try:
            parse_place(pin.at, [phase.name for phase in preset.phase])
        except PresetError as problem:
            yield PresetError(f'pin.{number}.at = "{pin.at}": {problem.what}', remedy=problem.remedy)
    for place, entry in enumerate(preset.lyrics.prompts, 1):
        yield from _gaps_without_words(f"lyrics.prompts.{place}", entry.text, [*shared, LINE])
    for number, title in enumerate(preset.overlay.title, 1):
        try:
            parse_place(title.at, [phase.name for phase in preset.phase])
        except PresetError as problem:
            yield PresetError(f'overlay.title.{number}.at = "{title.at}": {problem.what}', remedy=problem.remedy)
    holders = [preset.style_picture, *(phase.style_picture or [] for phase in preset.phase)]
    pictures = [picture for held in holders for picture in held]
    for held in holders:
        names = [picture.file for picture in held]
        if twice := next((name for name in names if names.count(name) > 1), None):
            yield PresetError(f'style_picture.file = "{twice}" is there twice', remedy="give it one weight")
    if len({picture.file for picture in pictures}) > MAX_STYLE_PICTURES:
        yield PresetError(
            f"there are more than {MAX_STYLE_PICTURES} files in all its style_picture", remedy="use the same ones again"
        )
    steering = [preset.control, *(phase.control or [] for phase in preset.phase)]
    for here in steering:
        told = [(control.kind, control.file) for control in here]
        if again := next((one for one in told if told.count(one) > 1), None):
            yield PresetError(
                f'control.kind = "{again[0]}" is there twice', remedy="give it one weight, or another file"
            )
    if len({(control.kind, control.file) for held in steering for control in held}) > MAX_CONTROL_PICTURES:
        yield PresetError(
            f"there are more than {MAX_CONTROL_PICTURES} different tables in all its control",
            remedy="use the same ones again",
        )
    loras = [preset.lora, *(phase.lora or [] for phase in preset.phase)]
    for names in ([lora.file for lora in held] for held in loras):
        if twice := next((name for name in names if names.count(name) > 1), None):
            yield PresetError(f'lora.file = "{twice}" is there twice', remedy="give it one strength")
    lora_files = {lora.file for held in loras for lora in held}
    if len(lora_files) > MAX_LORAS:
        yield PresetError(f"there are more than {MAX_LORAS} files in all its lora", remedy="use the same ones again")
    for key, file in (
        ("lyrics.file", preset.lyrics.file),
        ("overlay.font", preset.overlay.font),
        ("overlay.logo", preset.overlay.logo),
        ("lut", preset.lut),
        *(("style_picture.file", picture.file) for picture in pictures),
        *(("control.file", control.file) for held in steering for control in held),
        *(("lora.file", name) for name in sorted(lora_files)),
    ):
        if "\\" in file or (file and Path(file).name != file):
            yield PresetError(f'{key} = "{file}" is not a plain file name', remedy="put it beside the preset")


def _gaps_without_words(key: str, text: str, known: list[str]) -> Iterator[PresetError]:
    for gap in gaps(text):
        if gap.name and gap.name not in known:
            remedy = closest_name(gap.name, known) if known else f'add [words] with {gap.name} = ["one", "another"]'
            yield PresetError(f'{key}: there are no words for "{{{gap.name}}}"', remedy=remedy)


def translate(problem: ValidationError, where: str, tables: dict[str, type[BaseModel]] | None = None) -> PresetError:
    """Return pydantic's error as one of ours: the first problem, with key, value and remedy.

    `tables` maps keys to models ("" for the top) if they are not a preset's.
    """
    # an unknown key is often the cause of a missing one, so it is named first
    errors = sorted(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")
    error = errors[0]
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in error["loc"]) or "the preset"
    value = error.get("input")
    text = repr(value) if not isinstance(value, (dict, list)) else "a table" if isinstance(value, dict) else "a list"
    text = text if len(text) <= 80 else text[:77] + "..."
    if error["type"] == "extra_forbidden":
        return PresetError(
            f"unknown key {key}",
            where=where,
            remedy=closest_name(str(error["loc"][-1]), _keys_beside(error["loc"], tables)),
        )
    if error["type"] == "missing":
        return PresetError(f"the key {key} is missing", where=where, remedy="add it")
    what, _, remedy = error["msg"].removeprefix("Value error, ").partition("|")
    if isinstance(value, float) and not math.isfinite(value):
        remedy = "write a finite number"
    if error["type"] == "literal_error" and isinstance(value, str):
        remedy = closest_name(value, re.findall("'([^']*)'", str(error["ctx"]["expected"])))
    return PresetError(
        f"{key} = {text}: {what}", where=where, remedy=remedy or "see `reactive preset show loop-destroy`"
    )


def _keys_beside(location: tuple[int | str, ...], tables: dict[str, type[BaseModel]] | None) -> list[str]:
    """Return the valid keys of the table that has an unknown key."""
    if tables is not None:
        return list(next((tables[str(part)] for part in reversed(location) if part in tables), tables[""]).model_fields)
    known: dict[str, type[BaseModel]] = {
        "lens": Lens,
        "camera": Camera,
        "switch": Switch,
        "phase": Phase,
        "feedback": Feedback,
        "prompts": PromptEntry,
        "macro": Macro,
        "knobs": Knobs,
        "pin": Pin,
        "lyrics": Lyrics,
        "source": Source,
        "overlay": Overlay,
        "colour": Colour,
        "title": Title,
        "style_picture": StylePicture,
        "control": ControlPicture,
        "lora": PresetLora,
    }
    holder = next((part for part in reversed(location[:-1]) if isinstance(part, str)), None)
    return list(known.get(holder or "", Preset).model_fields)
