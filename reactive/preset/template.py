"""Prompts with gaps: ``{material} cathedral`` takes a word from a list, ``{a|b}`` one of the two.

    template = (text | "{" name "}" | "{" text ("|" text)+ "}" | "{{" | "}}")*

Gaps are not nested, so a template of a thousand letters has at most a few hundred of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reactive.errors import PresetError

# the gap that is filled with a line of the song's words
LINE = "line"
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


@dataclass(frozen=True)
class Gap:
    """A gap that is filled by a word of the list `name`, or by one of `choices` if it has no name."""

    name: str
    choices: tuple[str, ...] = ()


def parse_template(text: str) -> tuple[str | Gap, ...]:
    """Return a template's parts in order: plain text and gaps.

    Raises
    ------
    PresetError
        If a brace has no partner or a gap is neither a name nor a choice; the caller sets `where`.
    """
    parts: list[str | Gap] = []
    for match in _PIECE.finditer(text):
        piece = match.group()
        if piece in ("{{", "}}"):
            parts.append(piece[0])
        elif piece in ("{", "}"):
            raise PresetError(
                f'"{piece}" at character {match.start() + 1} has no partner', remedy="write {{ or }} for a brace itself"
            )
        elif match.group(1) is not None:
            parts.append(_gap(match.group(1)))
        else:
            parts.append(piece)
    return tuple(parts)


def _gap(inside: str) -> Gap:
    if "|" in inside:
        return Gap("", tuple(choice.strip() for choice in inside.split("|")))
    if not _NAME.fullmatch(inside.strip()):
        raise PresetError(
            f'"{{{inside}}}" is neither a name nor a choice',
            remedy="write {material}, or {glass|ice}, or {{ for a brace",
        )
    return Gap(inside.strip())


def gaps(text: str) -> Iterator[Gap]:
    """Yield a template's gaps in order."""
    yield from (part for part in parse_template(text) if isinstance(part, Gap))


def is_plain(text: str) -> bool:
    """Return whether a prompt has no gaps."""
    return next(gaps(text), None) is None


def fill(text: str, draw: Callable[[int, Gap], str]) -> str:
    """Return a template filled: `draw` is called with each gap's number and the gap."""
    filled, number = "", 0
    for part in parse_template(text):
        if isinstance(part, Gap):
            filled += draw(number, part)
            number += 1
        else:
            filled += part
    # an empty choice leaves a double space behind
    return " ".join(filled.split())


def variety(text: str, words: Mapping[str, Sequence[str]]) -> int:
    """Return how many different prompts a template can make with these lists of words."""
    return math.prod(len(set(gap.choices or words.get(gap.name, ("",)))) for gap in gaps(text))


def escaped(text: str) -> str:
    """Return plain text as a template, with braces escaped."""
    return text.replace("{", "{{").replace("}", "}}")
