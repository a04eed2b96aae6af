"""The keys of the preview's page, as a file that can be shared::

    [keys]
    "b" = "blackout"
    "g 1" = "cue.1"
    "Shift+1" = "loop.1"
    "m" = ""

A file changes the default ones (`keys.toml` beside this file); an empty action takes a key away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reactive.errors import PresetError
from reactive.live.control.remote import target
from reactive.preset.schema import read_text
from reactive.preset.toml import parse_toml

DEFAULT = Path(__file__).with_name("keys.toml")
MAX_BYTES, MAX_KEYS = 64_000, 300
# what only the page itself can do
PAGE_ACTIONS = (
    *("start", "bar-back", "bar-on", "section-back", "section-on", "half", "double", "earlier", "later", "undo"),
    *("save-take", "save-preset", "pre-render", "midi-learn", "output-window", "full-screen"),
)
_NAMED = "Space|Enter|Backspace|Delete|Insert|Home|End|PageUp|PageDown|Arrow(?:Left|Right|Up|Down)|F[1-9]|F1[0-2]"
_KEY = re.compile(rf"Shift\+(?:{_NAMED}|[A-Z0-9])|{_NAMED}|[^\sA-Z]")


def default_keys() -> str:
    """Return the text of the default file."""
    return DEFAULT.read_text(encoding="utf-8")


def read_keys(path: Path | None = None) -> Mapping[str, str]:
    """Return the actions by key: the default ones, changed by a file.

    Raises
    ------
    ReactiveError
        If the file can't be read, or a key or an action in it is not known.
    """
    keys = _checked(default_keys(), str(DEFAULT))
    if path is not None:
        text = read_text(path, limit=MAX_BYTES, remedy="a file of keys is a small text file")
        keys = {**keys, **_checked(text, str(path))}
    keys = {key: action for key, action in keys.items() if action}
    for key in keys:
        first = key.partition(" ")[0]
        if first != key and first in keys:
            raise PresetError(
                f'"{first}" has an action, and begins "{key}" too', where=str(path), remedy=f'write "{first}" = ""'
            )
    return keys


def _checked(text: str, where: str) -> dict[str, str]:
    data = parse_toml(text, where=where)
    if unknown := [key for key in data if key != "keys"]:
        raise PresetError(f'"{unknown[0]}" is not known', where=where, remedy="there is only [keys]")
    table = data.get("keys")
    if not isinstance(table, dict):
        raise PresetError("has no keys", where=where, remedy='write [keys] and lines as "b" = "blackout"')
    if len(table) > MAX_KEYS:
        raise PresetError(f"has {len(table)} keys", where=where, remedy=f"write at most {MAX_KEYS}")
    for key, action in table.items():
        parts = key.split(" ")
        if not (1 <= len(parts) <= 2 and all(_KEY.fullmatch(part) for part in parts)):
            remedy = 'write "b", "Shift+B", "Space", "F5", "ArrowLeft", or two of them as "g 1"'
            raise PresetError(f'"{key[:40]}" is no key', where=where, remedy=remedy)
        if not isinstance(action, str) or (action and action not in PAGE_ACTIONS and target(action) is None):
            remedy = "see `reactive preview --print-keys` for the actions"
            raise PresetError(f'"{str(action)[:40]}" is no action', where=where, remedy=remedy)
    return dict(table)
