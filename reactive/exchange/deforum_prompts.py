"""Prompts as Deforum and its web interface write them, to plain words: weights, formulas and names of LoRAs are taken off.

What is read: prompts by frame (a number or a formula of ``max_f``), a list of prompts, prompts with a picture's number each
(the notebooks of 2022); ``--neg``; weights ``(ice:1.3)``, ``lake:0.5``, ``((sea))``, ``[mist]``; blends ``[a:b:0.5]`` and
``a AND b``; formulas between backticks; ``<lora:name:0.7>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reactive.exchange.schedule import key_frame
from reactive.jsonfile import parse_json

LONGEST = 1000
# letters of a prompt with all its signs, and brackets within brackets, beyond which no more is read
MOST, MAX_DEPTH = 10_000, 20
_TAG = re.compile(r"<\s*(lora|lyco|hypernet)\s*:\s*([^:<>]{1,200})(?::([^<>]{0,80}))?>", re.IGNORECASE)
_BACKTICKS = re.compile(r":?\s?`[^`]*`\s?:?")
_NEGATIVE = re.compile(r"--neg\b", re.IGNORECASE)
# the web interface begins another part of 75 tokens there
_BREAK = re.compile(r"\bBREAK\b")
_ALSO = re.compile(r"\sAND\s")
_WEIGHT = r"[-+]?(?:\d+\.?\d*|\.\d+)"
# a text with its weight, as in the notebooks: several of them make a prompt
_WEIGHED = re.compile(rf"([^:]+): ?({_WEIGHT})(?=[ ,]|$) ?,?")
_EMPHASIS = re.compile(rf"(?<!\\)\(([^()\[\]]*?)(?:(?<!\\):\s*{_WEIGHT}\s*)?(?<!\\)\)")
_BRACKETS = re.compile(r"(?<!\\)\[([^()\[\]]*?)(?<!\\)\]")
_PICTURE = re.compile(r"\s*(\d{1,9})(?:\.\w{1,5})?\s*", re.ASCII)


@dataclass(frozen=True)
class Prompts:
    """Frames, rising; for each its words and what it keeps away from; and what was taken off, one clause each."""

    frames: tuple[int, ...]
    texts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def read_prompts(given: Any, names: Mapping[str, float], *, common: str = "") -> Prompts:
    """Return the prompts of Deforum's settings in the order of their frames; those without words are left out.

    Parameters
    ----------
    given
        What stands under ``prompts`` or ``animation_prompts``.
    names
        What ``max_f`` and ``s`` stand for.
    common
        Words that every prompt gets.

    Raises
    ------
    ValueError
        If it is neither a table nor a list of texts.
    """
    if isinstance(given, str):
        given = parse_json(given)
    notes: list[str] = []
    if isinstance(given, list):
        given = {str(number): text for number, text in enumerate(given)}
    if not isinstance(given, dict):
        raise ValueError("prompts are no texts by frame")
    numbers = [_PICTURE.fullmatch(text) if isinstance(text, str) else None for text in given.values()]
    if all(numbers) and not any(_frame(place, names) is not None for place in given):
        # the notebooks' batches name a picture for each prompt
        rows = sorted((int(match[1]), text) for match, text in zip(numbers, given, strict=True) if match)
        given = {str(number): text for number, (_, text) in enumerate(rows)}
    found: dict[int, tuple[str, str]] = {}
    tags: dict[str, None] = {}
    formulas = cut = 0
    lost: list[str] = []
    for place, text in given.items():
        frame = _frame(place, names)
        if frame is None:
            lost.append(place)
            continue
        words, away, own = plain_prompt(text if isinstance(text, str) else "")
        tags |= own
        formulas += "`" in str(text)
        words = ", ".join(part for part in (words, plain_prompt(common)[0]) if part)
        cut += len(words) > LONGEST or len(str(text)) > MOST
        if words:
            found[frame] = words[:LONGEST].rstrip(), away[:LONGEST]
    notes += [f"{tag}: {_remedy(tag)}" for tag in tags]
    if formulas:
        notes.append(f"formulas inside {formulas} of the prompts: a prompt's weight does not change here")
    if lost:
        notes.append(f"{len(lost)} prompts whose frame can't be read: {', '.join(place[:40] for place in lost[:5])}")
    if cut:
        notes.append(f"{cut} prompts longer than {LONGEST} letters, which were cut there")
    frames = sorted(found)
    return Prompts(tuple(frames), tuple(found[frame] for frame in frames), tuple(notes))


def plain_prompt(text: str) -> tuple[str, str, dict[str, None]]:
    """Return a prompt's words, what it keeps away from, and the LoRAs and the like that it names, as they stand there."""
    text = text[:MOST]
    tags = {match[0]: None for match in _TAG.finditer(text)}
    text = _BREAK.sub(", ", _BACKTICKS.sub(" ", _TAG.sub(" ", text)))
    text, _, away = _NEGATIVE.sub("\0", text, count=1).partition("\0")
    parts = [_weighed(part) for part in _ALSO.split(text)]
    words = ", ".join(word for word, _ in parts if word)
    away = ", ".join(word for word in (_words(away), *(low for _, low in parts)) if word)
    return words, away, tags


def _frame(place: str, names: Mapping[str, float]) -> int | None:
    try:
        return key_frame(place, names)
    except ValueError:
        return None


def _weighed(text: str) -> tuple[str, str]:
    """Return the words of ``lake:1.5 people:-0.5`` with a weight above 0, and those with one below."""
    text = " ".join(text.split())
    high: list[str] = []
    low: list[str] = []
    position = 0
    while match := _WEIGHED.match(text, position):
        # a number inside a bracket is emphasis, one behind a number a proportion: 16:9
        if _open(match[1]) or match[1].rstrip()[-1:].isdigit():
            break
        (low if match[2].startswith("-") else high).append(match[1])
        position = match.end()
    if text[position:].strip():
        # weights of a prompt's parts leave no part without one
        return _words(text), ""
    return ", ".join(filter(None, map(_words, high))), ", ".join(filter(None, map(_words, low)))


def _open(text: str) -> bool:
    return text.count("(") > text.count(")") or text.count("[") > text.count("]")


def _words(text: str) -> str:
    """Return words without signs of emphasis; brackets behind a backslash are meant as brackets."""
    for _ in range(MAX_DEPTH):
        before = text
        text = _EMPHASIS.sub(r"\1", text)
        text = _BRACKETS.sub(lambda match: _blend(match[1]), text)
        if text == before:
            break
    text = re.sub(r"\\([()\[\]:])", r"\1", text)
    # braces would be gaps to fill
    text = text.translate(str.maketrans("{}", "()"))
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return re.sub(r"(?:\s*,)+\s*(?=,)|\s+(?=,)", "", text).strip(" ,")


def _blend(text: str) -> str:
    """Return the texts of ``[a:b:0.5]`` or ``[a|b]`` beside each other."""
    parts = [part.strip() for part in re.split(r"(?<!\\)[:|]", text)]
    return ", ".join(part for part in parts if part and not re.fullmatch(_WEIGHT, part))


def _remedy(tag: str) -> str:
    kind, name, weight = _TAG.fullmatch(tag).groups()  # type: ignore[union-attr]
    if kind.lower() == "hypernet":
        return "hypernetworks are not known here"
    strength = re.match(_WEIGHT, (weight or "").strip())
    return f"give it with --lora {name.strip()}.safetensors:{strength[0] if strength else 1}"
