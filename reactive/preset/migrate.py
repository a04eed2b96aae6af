"""Presets of older versions: each step turns plain data of one version into the next and reports what it changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from reactive.errors import PresetError

VERSION = 2


def migrate(data: dict[str, Any], *, where: str) -> tuple[dict[str, Any], list[str]]:
    """Return a preset's data in the current version, and what was changed, in sentences without a full stop.

    Invalid data stays invalid; the schema reports it.

    Raises
    ------
    PresetError
        If the version is not known.
    """
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version == VERSION:
        return data, []
    if version != 1:
        raise PresetError(
            f"version = {version} is not known",
            where=where,
            remedy=f"this program reads version 1 and version {VERSION}",
        )
    return _from_1(copy.deepcopy(data))


def _from_1(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Version 2 calls a hit a cut and a blend a fade, fades over a beat by default, and gives braces a meaning."""
    notes = ['it is of version 1: "hit" is read as "cut", "blend" as "fade" over "1 bar" unless it says otherwise']
    data["version"] = 2
    braces = False
    for phase in _tables(data.get("phase")):
        switch = phase.setdefault("switch", {})
        if isinstance(switch, dict):
            how = switch.get("how", "blend")
            switch["how"] = {"hit": "cut", "blend": "fade"}.get(how, how) if isinstance(how, str) else how
            switch.setdefault("over", "1 bar")
        prompts = phase.get("prompts")
        if isinstance(prompts, list):
            doubled = [_doubled(prompt) for prompt in prompts]
            braces = braces or doubled != prompts
            phase["prompts"] = doubled
    if braces:
        notes.append("braces in its prompts are doubled, since they mark gaps now")
    return data, notes


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _doubled(prompt: Any) -> Any:
    return prompt.replace("{", "{{").replace("}", "}}") if isinstance(prompt, str) else prompt
