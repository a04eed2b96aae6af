"""The kinds of values that a preset holds, each checked as it is read: expressions, lengths, names, texts, templates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from reactive.errors import PresetError
from reactive.preset.expression import parse, parts_of
from reactive.preset.palette import MAX_COLOURS, colour_code
from reactive.preset.template import parse_template
from reactive.preset.vocabulary import AFTER_PHASES

MAX_WORDS = 1000
# parts of all expressions of a preset together; the largest shipped preset has three hundred
MAX_PARTS = 4000
NAME = r"[a-z][a-z0-9_]{0,39}"
# prefix of a ground from the shipped library: library:NAME
LIBRARY = "library:"
_SPAN = re.compile(r"^\s*(\d+(?:/\d+)?|\d*\.\d+)\s*(beats?|bars?)\s*$", re.ASCII)


@dataclass(frozen=True)
class MusicalLength:
    """A length of musical time."""

    count: float
    unit: Literal["beat", "bar"]


def parse_length(text: str) -> MusicalLength:
    """Parse ``"2 bars"``, ``"1 beat"`` or ``"1/2 bar"``.

    Raises
    ------
    ValueError
        If it is not such a length; the message has the remedy after a bar.
    """
    match = _SPAN.match(text) if len(text) <= 40 else None
    if not match:
        raise ValueError('is not a length|write for instance "2 bars" or "1 beat"')
    top, _, bottom = match.group(1).partition("/")
    count = float(top) / float(bottom or 1) if float(bottom or 1) else 0.0
    if not 1 / 16 <= count <= 1024:
        raise ValueError('is not a length between 1/16 and 1024|write for instance "2 bars"')
    return MusicalLength(count=count, unit="bar" if match.group(2).startswith("bar") else "beat")


def _expression(value: str, info: ValidationInfo) -> str:
    return _parsed(value, info, frozenset())


def _fit(value: str, info: ValidationInfo) -> str:
    return _parsed(value, info, AFTER_PHASES)


def _parsed(text: str, info: ValidationInfo, forbidden: Set[str]) -> str:
    context = info.context if isinstance(info.context, dict) else {}
    try:
        tree = parse(text, forbidden=forbidden, macros=context.get("macros"))
    except PresetError as problem:
        raise ValueError(f"{problem.what}|{problem.remedy}") from None
    # each expression is limited, and so are all of them together
    context["parts"] = context.get("parts", 0) + parts_of(tree)
    if context["parts"] > MAX_PARTS:
        raise ValueError(f"brings the preset's expressions to more than {MAX_PARTS} parts|write them more simply")
    return text


def _text(value: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Co") for letter in value):
        # TOML reads "C:\new\band" with control characters
        path = re.match(r"[A-Za-z]:.*[\t\n\b\f\r\x1b]", value, re.DOTALL)
        remedy = "write paths of Windows in '...', or with / for each \\" if path else "write plain text"
        raise ValueError(f"holds control characters|{remedy}")
    return value


def _part(value: str) -> str:
    return " ".join(value.lower().split())


def _length(value: str) -> str:
    parse_length(value)
    return value


def _hold(value: str) -> str:
    return value if value == "section" else _length(value)


def _change(value: str) -> str:
    return value if value in ("phase", "section") else _length(value)


def _ground_change(value: str) -> str:
    return value if value == "prompt" else _change(value)


def _ground(value: str) -> str:
    """Check the name of a ground: `match`, `none`, `library:NAME`, or a file in the preset's folder."""
    name = value.removeprefix(LIBRARY)
    if name != value and re.fullmatch(r"[\w.-]{1,100}", name) is None:
        raise ValueError(
            'names no picture of the library|write for instance "library:NAME"; see `reactive imagery list`'
        )
    if "/" in name or "\\" in name or ":" in name or name.startswith("."):
        raise ValueError("is not a plain file name|put the picture beside the preset and write its name")
    return value


def _template(value: str) -> str:
    try:
        parse_template(value)
    except PresetError as problem:
        raise ValueError(f"{problem.what}|{problem.remedy}") from None
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _plain_words(value: list[str]) -> list[str]:
    for word in value:
        if "{" in word or "}" in word:
            raise ValueError("holds braces|words are plain; write wildcards in the prompt itself")
    return value


_EXPRESSION = {"anyOf": [{"type": "string", "maxLength": 2000}, {"type": "number"}]}
Expression = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    AfterValidator(_expression),
    WithJsonSchema({**_EXPRESSION, "title": "Expression"}),
]
Fit = Annotated[
    str, Field(coerce_numbers_to_str=True), AfterValidator(_fit), WithJsonSchema({**_EXPRESSION, "title": "Expression"})
]
Length = Annotated[
    str, AfterValidator(_length), Field(json_schema_extra={"pattern": r"^\s*[0-9./]+\s*(beats?|bars?)\s*$"})
]
Hold = Annotated[str, AfterValidator(_hold)]
Change = Annotated[str, AfterValidator(_change)]
GroundChange = Annotated[str, AfterValidator(_ground_change)]
Text = Annotated[str, Field(max_length=4000), AfterValidator(_text)]
GroundName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_text), AfterValidator(_ground)]
GroundNames = Annotated[
    list[GroundName], Field(max_length=MAX_WORDS), BeforeValidator(_listed, json_schema_input_type=str | list[str])
]
Label = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_text)]
Parts = Annotated[
    tuple[Annotated[Label, AfterValidator(_part)], ...],
    Field(max_length=50),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
]
Palette = Annotated[
    tuple[Annotated[str, Field(max_length=80), AfterValidator(colour_code)], ...],
    Field(max_length=MAX_COLOURS),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
Template = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_text), AfterValidator(_template)]
Word = Annotated[str, Field(min_length=1, max_length=400), AfterValidator(_text)]
Words = Annotated[
    list[Word],
    Field(min_length=1, max_length=MAX_WORDS),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    AfterValidator(_plain_words),
]
