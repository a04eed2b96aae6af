"""Edit a preset's text as a person would: values change in place, comments and order stay."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactive.errors import PresetError, install_line
from reactive.files import replacing

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Edit:
    """A new value for a key: ``("phase", 1, "walk")`` is `walk` of the second phase."""

    key: Key
    value: str | float


def edited(text: str, edits: Iterable[Edit], *, where: str) -> str:
    """Return a preset's text with values changed; tables and keys that are missing are added.

    Raises
    ------
    PresetError
        If the text can't be edited, or the extra is not installed.
    """
    try:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError
    except ImportError:
        raise PresetError(
            "can't be edited", where=where, remedy=f"install what is needed: `{install_line('[preview]')}`"
        ) from None
    try:
        document = tomlkit.parse(text)
        for edit in edits:
            _set(document, edit.key, edit.value, tomlkit.table)
        return tomlkit.dumps(document)
    except (TOMLKitError, LookupError, TypeError, AttributeError, ValueError) as problem:
        raise PresetError(
            f"can't be edited ({' '.join(str(problem).split())})", where=where, remedy="change it in an editor"
        ) from None


def _set(holder: Any, key: Key, value: str | float, table: Any) -> None:
    for part in key[:-1]:
        if isinstance(part, str) and part not in holder:
            holder[part] = table()
        holder = holder[part]
    last = key[-1]
    if isinstance(last, int) and isinstance(holder[last], dict):
        # a prompt that is a table, with more than its text
        holder, last = holder[last], "text"
    holder[last] = value


def write_over(path: Path, text: str) -> None:
    """Overwrite a preset's file atomically; it keeps its permissions, and a link stays a link.

    Raises
    ------
    PresetError
        If it can't be written.
    """
    real = path.resolve()
    try:
        mode = real.stat().st_mode & 0o777
        with replacing(real) as partial:
            partial.write_text(text, encoding="utf-8", newline="")
            os.chmod(partial, mode)
    except OSError as problem:
        raise PresetError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="save it under a new name"
        ) from None
