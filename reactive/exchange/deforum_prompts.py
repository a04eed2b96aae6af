"""Convert prompts of Deforum and its web interface to plain words: weights, formulas and names of LoRAs are removed.

Supported: prompts by frame (a number or a formula of ``max_f``), a list of prompts, prompts with picture numbers (the notebooks
of 2022); ``--neg``; weights ``(ice:1.3)``, ``lake:0.5``, ``((sea))``, ``[mist]``; blends ``[a:b:0.5]`` and ``a AND b``; formulas
between backticks; ``<lora:name:0.7>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reactive.exchange.schedule import key_frame
from reactive.jsonfile import parse_json

MAX_WORDS = 1000
# characters of a prompt that are read, and levels of nested brackets
MAX_LENGTH, MAX_DEPTH = 10_000, 20
_TAG = re.compile(r"<\s*(lora|lyco|hypernet)\s*:\s*([^:<>]{1,200})(?::([^<>]{0,80}))?>", re.IGNORECASE)
_BACKTICKS = re.compile(r":?\s?`[^`]*`\s?:?")
_NEGATIVE = re.compile(r"--neg\b", re.IGNORECASE)
# in the web interface BREAK starts a new part of 75 tokens
_BREAK = re.compile(r"\bBREAK\b")
_ALSO = re.compile(r"\sAND\s")
_WEIGHT = r"[-+]?(?:\d+\.?\d*|\.\d+)"
# a text with its weight, as in the notebooks; a prompt may have several
_WEIGHED = re.compile(rf"([^:]+): ?({_WEIGHT})(?=[ ,]|$) ?,?")
_EMPHASIS = re.compile(rf"(?<!\\)\(([^()\[\]]*?)(?:(?<!\\):\s*{_WEIGHT}\s*)?(?<!\\)\)")
_BRACKETS = re.compile(r"(?<!\\)\[([^()\[\]]*?)(?<!\\)\]")
_PICTURE = re.compile(r"\s*(\d{1,9})(?:\.\w{1,5})?\s*", re.ASCII)


@dataclass(frozen=True)
class Prompts:
    """Frames in ascending order; each frame's prompt and negative; and what was removed, one clause each."""

    frames: tuple[int, ...]
    texts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def read_prompts(table: Any, names: Mapping[str, float], *, common: str = "") -> Prompts:
    """Return the prompts of Deforum's settings by frame, without empty ones.

    Parameters
    ----------
    table
        The value of ``prompts`` or ``animation_prompts``.
    names
        The values of ``max_f`` and ``s``.
    common
        Words added to every prompt.

    Raises
    ------
    ValueError
        If it is neither a table nor a list of texts.
    """
    if isinstance(table, str):
        table = parse_json(table)
    notes: list[str] = []
    if isinstance(table, list):
        table = {str(number): text for number, text in enumerate(table)}
    if not isinstance(table, dict):
        raise ValueError("prompts are not texts by frame")
    numbers = [_PICTURE.fullmatch(text) if isinstance(text, str) else None for text in table.values()]
    if all(numbers) and not any(_frame(place, names) is not None for place in table):
        # in the notebooks' batches each prompt has a picture's number
        rows = sorted((int(match[1]), text) for match, text in zip(numbers, table, strict=True) if match)
        table = {str(number): text for number, (_, text) in enumerate(rows)}
    found: dict[int, tuple[str, str]] = {}
    tags: dict[str, None] = {}
    formulas = shortened = 0
    unreadable: list[str] = []
    for place, text in table.items():
        frame = _frame(place, names)
        if frame is None:
            unreadable.append(place)
            continue
        words, negative, own = plain_prompt(text if isinstance(text, str) else "")
        tags |= own
        formulas += "`" in str(text)
        words = ", ".join(part for part in (words, plain_prompt(common)[0]) if part)
        shortened += len(words) > MAX_WORDS or len(str(text)) > MAX_LENGTH
        if words:
            found[frame] = words[:MAX_WORDS].rstrip(), negative[:MAX_WORDS]
    notes += [f"{tag}: {_remedy(tag)}" for tag in tags]
    if formulas:
        notes.append(f"formulas inside {formulas} of the prompts: a prompt's weight does not change here")
    if unreadable:
        notes.append(
            f"{len(unreadable)} prompts whose frame can't be read: {', '.join(place[:40] for place in unreadable[:5])}"
        )
    if shortened:
        notes.append(f"{shortened} prompts longer than {MAX_WORDS} characters, which were shortened")
    frames = sorted(found)
    return Prompts(tuple(frames), tuple(found[frame] for frame in frames), tuple(notes))


def plain_prompt(text: str) -> tuple[str, str, dict[str, None]]:
    """Return a prompt's words, its negative, and its tags of LoRAs and similar networks."""
    text = text[:MAX_LENGTH]
    tags = {match[0]: None for match in _TAG.finditer(text)}
    text = _BREAK.sub(", ", _BACKTICKS.sub(" ", _TAG.sub(" ", text)))
    text, _, negative = _NEGATIVE.sub("\0", text, count=1).partition("\0")
    parts = [_weighed(part) for part in _ALSO.split(text)]
    words = ", ".join(word for word, _ in parts if word)
    negative = ", ".join(word for word in (_words(negative), *(low for _, low in parts)) if word)
    return words, negative, tags


def _frame(place: str, names: Mapping[str, float]) -> int | None:
    try:
        return key_frame(place, names)
    except ValueError:
        return None


def _weighed(text: str) -> tuple[str, str]:
    """Return the words of ``lake:1.5 people:-0.5`` with positive weights, and those with negative weights."""
    text = " ".join(text.split())
    high: list[str] = []
    low: list[str] = []
    position = 0
    while match := _WEIGHED.match(text, position):
        # a number inside brackets is emphasis, one after a digit a ratio: 16:9
        if _open(match[1]) or match[1].rstrip()[-1:].isdigit():
            break
        (low if match[2].startswith("-") else high).append(match[1])
        position = match.end()
    if text[position:].strip():
        # text without a weight follows, so these are not weights of parts
        return _words(text), ""
    return ", ".join(filter(None, map(_words, high))), ", ".join(filter(None, map(_words, low)))


def _open(text: str) -> bool:
    return text.count("(") > text.count(")") or text.count("[") > text.count("]")


def _words(text: str) -> str:
    """Return a text without emphasis syntax; escaped brackets become plain brackets."""
    for _ in range(MAX_DEPTH):
        before = text
        text = _EMPHASIS.sub(r"\1", text)
        text = _BRACKETS.sub(lambda match: _blend(match[1]), text)
        if text == before:
            break
    text = re.sub(r"\\([()\[\]:])", r"\1", text)
    # in a preset braces would be template variables
    text = text.translate(str.maketrans("{}", "()"))
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return re.sub(r"(?:\s*,)+\s*(?=,)|\s+(?=,)", "", text).strip(" ,")


def _blend(text: str) -> str:
    """Return the texts of ``[a:b:0.5]`` or ``[a|b]``, separated by commas."""
    parts = [part.strip() for part in re.split(r"(?<!\\)[:|]", text)]
    return ", ".join(part for part in parts if part and not re.fullmatch(_WEIGHT, part))


def _remedy(tag: str) -> str:
    kind, name, weight = _TAG.fullmatch(tag).groups()  # type: ignore[union-attr]
    if kind.lower() == "hypernet":
        return "hypernetworks are not supported"
    strength = re.match(_WEIGHT, (weight or "").strip())
    return f"give it with --lora {name.strip()}.safetensors:{strength[0] if strength else 1}"
