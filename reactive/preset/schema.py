"""What a preset may say: TOML, checked key by key. Errors name the file, the key, the value and the remedy."""

from __future__ import annotations

import math
import re
import stat
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from reactive.errors import PresetError
from reactive.preset.expression import near, parse
from reactive.preset.toml import parse_toml
from reactive.preset.vocabulary import AFTER_PHASES

VERSION = 1
MAX_BYTES = 2_000_000
MAX_PROMPTS = 5000
_SPAN = re.compile(r"^\s*(\d+(?:/\d+)?|\d*\.\d+)\s*(beats?|bars?)\s*$")


def _expression(value: Any) -> str:
    text = str(value)
    try:
        parse(text)
    except PresetError as problem:
        raise ValueError(f"{problem.what}|{problem.remedy}") from None
    return text


def _fit(value: Any) -> str:
    text = str(value)
    try:
        parse(text, forbidden=AFTER_PHASES)
    except PresetError as problem:
        raise ValueError(f"{problem.what}|{problem.remedy}") from None
    return text


def _text(value: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Co") for letter in value):
        raise ValueError("holds control characters|write plain text")
    return value


def _span(value: str) -> str:
    span(value)
    return value


class Span(BaseModel):
    """A length of musical time."""

    count: float
    unit: Literal["beat", "bar"]


def span(text: str) -> Span:
    """Parse ``"2 bars"``, ``"1 beat"`` or ``"1/2 bar"``."""
    match = _SPAN.match(text)
    if not match:
        raise ValueError('is not a length|write for instance "2 bars" or "1 beat"')
    top, _, bottom = match.group(1).partition("/")
    count = float(top) / float(bottom or 1) if float(bottom or 1) else 0.0
    if not 1 / 16 <= count <= 1024:
        raise ValueError('is not a length between 1/16 and 1024|write for instance "2 bars"')
    return Span(count=count, unit="bar" if match.group(2).startswith("bar") else "beat")


Expression = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_expression)]
Fit = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_fit)]
Length = Annotated[str, AfterValidator(_span)]
Text = Annotated[str, Field(max_length=4000), AfterValidator(_text)]
Prompt = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_text)]


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


class Camera(Strict):
    """The move applied to a fed-back picture, per second."""

    zoom: Expression = Field("1", description="scale in a second: 1.2 flies forward by a fifth each second")
    rotate: Expression = Field("0", description="degrees a second, counter-clockwise")
    x: Expression = Field("0", description="picture widths a second, to the right")
    y: Expression = Field("0", description="picture heights a second, downwards")


class Switch(Strict):
    """When and how one prompt gives way to the next."""

    every: Length = Field("2 bars", description="how long a prompt holds")
    how: Literal["blend", "hit"] = Field("blend", description="a blend over `over`, or a hard cut")
    over: Length = Field("1 bar", description="how long a blend takes, at least a beat")
    accent: Expression = Field("0", description="where this exceeds 0.5 at a beat, a hard cut comes early")
    match: bool = Field(False, description="hard cuts keep seed and walk (match cut)")
    strobe: bool = Field(False, description="prompts may hold less than two beats")


class Phase(Strict):
    """A phase of the loop: which music it fits, how it looks and moves."""

    name: Text
    fits: Fit = Field("0.5", description="how well this phase fits a passage; the mean over the passage counts")
    bars: tuple[int, int] = Field((8, 32), description="fewest and most bars that the phase lasts")
    mode: Literal["walk", "photo", "feedback"] = "walk"
    prompts: list[Prompt] = Field(min_length=1)
    order: Literal["sequence", "shuffle"] = "shuffle"
    switch: Switch = Switch()
    walk: Expression | None = Field(None, description="walk speed, decorrelations a second")
    strength: Expression | None = Field(None, description="denoise strength 0..1 where a picture is fed in or back")
    lens: Lens | None = None
    camera: Camera | None = None

    @model_validator(mode="after")
    def _bars(self) -> Phase:
        if not 1 <= self.bars[0] <= self.bars[1] <= 4096:
            raise ValueError("bars are not two rising whole numbers from 1 on|write for instance bars = [8, 32]")
        return self


class Feedback(Strict):
    """How a picture is fed back."""

    rate: float = Field(12.0, ge=1, le=60, description="pictures a second, whatever the clip's frame rate")
    fresh: float = Field(0.7, ge=0, le=1, description="share of new noise in each picture's noise")


class Preset(Strict):
    """All that a band writes."""

    version: Literal[1]
    title: Text
    description: Text = ""
    author: Text = ""
    licence: Text = ""
    model: Text = Field("", description="a stronger model that suits it")
    style: Text = Field("", description="words added to every prompt")
    walk: Expression = "0.15 + 0.3 * loudness"
    strength: Expression = "0.6"
    lens: Lens = Lens()
    camera: Camera = Camera()
    feedback: Feedback = Feedback()
    loop: bool = Field(True, description="the walk closes on itself at the end of each round of the phases")
    phase: list[Phase] = Field(min_length=1, max_length=64)

    @model_validator(mode="after")
    def _names(self) -> Preset:
        names = [phase.name for phase in self.phase]
        if len(set(names)) < len(names):
            raise ValueError("two phases have the same name|give each phase a name of its own")
        if sum(len(phase.prompts) for phase in self.phase) > MAX_PROMPTS:
            raise ValueError(f"there are more than {MAX_PROMPTS} prompts|remove some")
        return self


def load_preset(path: Path) -> Preset:
    """Read and check a preset file.

    Raises
    ------
    PresetError
        If it can't be read, is not TOML, or says something a preset can't say.
    """
    return check_preset(parse_toml(read_preset(path), where=str(path)), where=str(path))


def read_preset(path: Path) -> str:
    """Return the text of a preset file.

    Raises
    ------
    PresetError
        If it can't be read, is no regular file, too large, or not UTF-8.
    """
    where, remedy = str(path), "a preset is a small text file"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PresetError("is no regular file", where=where, remedy=remedy)
        if status.st_size > MAX_BYTES:
            raise PresetError(f"is larger than {MAX_BYTES:,} bytes", where=where, remedy=remedy)
        return path.read_bytes().decode("utf-8")
    except OSError as problem:
        raise PresetError(f"can't be read ({problem.strerror})", where=where, remedy="check the name") from None
    except UnicodeDecodeError:
        raise PresetError("is not UTF-8 text", where=where, remedy="save it as UTF-8") from None


def check_preset(data: dict[str, Any], *, where: str) -> Preset:
    """Check a preset given as plain data; `where` names it in errors.

    Raises
    ------
    PresetError
        For the first thing that is wrong, with key, value and remedy.
    """
    if isinstance(data.get("version"), int) and data["version"] != VERSION:
        raise PresetError(
            f"version = {data['version']} is not known", where=where, remedy=f"this program reads version {VERSION}"
        )
    try:
        return Preset.model_validate(data)
    except ValidationError as problem:
        raise _translate(problem, where) from None


def _translate(problem: ValidationError, where: str) -> PresetError:
    # an unknown key is often the cause of a missing one, so it is named first
    errors = sorted(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")
    error = errors[0]
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in error["loc"]) or "the preset"
    value = error.get("input")
    shown = repr(value) if not isinstance(value, (dict, list)) else f"a {type(value).__name__}"
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if error["type"] == "extra_forbidden":
        return PresetError(
            f"unknown key {key}", where=where, remedy=near(str(error["loc"][-1]), _keys_beside(error["loc"]))
        )
    if error["type"] == "missing":
        return PresetError(f"the key {key} is missing", where=where, remedy="add it")
    what, _, remedy = error["msg"].removeprefix("Value error, ").partition("|")
    if isinstance(value, float) and not math.isfinite(value):
        remedy = "write a finite number"
    return PresetError(
        f"{key} = {shown}: {what}", where=where, remedy=remedy or "see `reactive preset show loop-destroy`"
    )


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table holding an unknown key does know."""
    tables: dict[str, type[BaseModel]] = {
        "lens": Lens, "camera": Camera, "switch": Switch, "phase": Phase, "feedback": Feedback,
    }  # fmt: skip
    holder = next((part for part in reversed(location[:-1]) if isinstance(part, str)), None)
    return list(tables.get(holder or "", Preset).model_fields)
