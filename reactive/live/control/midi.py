"""MIDI in (extra [midi]): the mapping from controllers and notes to actions, and the port.

A mapping is given as ``cc1=macro.storm`` or ``note36=next``, or in a small TOML file::

    port = "nanoKONTROL"
    [cc]
    1 = "macro.storm"
    2 = "walk"
    [note]
    36 = "next"
    37 = "blackout"
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from reactive.errors import MediaError, PresetError, ReactiveError, install_line
from reactive.live.control.remote import Action, target
from reactive.preset.schema import read_text
from reactive.preset.toml import parse_toml

_WAY = re.compile(r"(cc|note)\s*(\d{1,3})", re.ASCII)
MAX_BYTES = 64_000
TARGETS = (
    "macro.NAME, walk, strength, camera, rate, seed, next, play, phase.N, next-song, previous-song, song.N, blackout, hold, "
    "freeze, crossfade, loop, loop-in, loop-out, loop-off, loop.1, .2, .4 or .8, quantise, quantise.off, .beat or .bar, "
    "cue, cue.N, snapshot.N, store.N, glide.N, reset, tap or one"
)


@dataclass(frozen=True)
class MidiMapping:
    """What controllers and notes move, by ``cc`` or ``note`` and number; and part of the port's name, or an empty text."""

    names: Mapping[tuple[str, int], str] = field(default_factory=dict)
    port: str = ""

    @cached_property
    def entries(self) -> Mapping[tuple[str, int], Action]:
        """The actions of these names."""
        return {way: action for way, name in self.names.items() if (action := target(name)) is not None}

    def text(self) -> str:
        """Return the file that has this mapping; without one, a file to begin with, whose lines are comments."""
        lines = ["# What a MIDI controller moves, on any channel: controllers (cc) and notes, and their actions."]
        lines += textwrap.wrap(
            f"Actions: {TARGETS}.", 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        lines += ["# Part of the port's name; without it the first port is heard."]
        lines += [f"port = {json.dumps(self.port, ensure_ascii=False)}" if self.port else '# port = "nanoKONTROL"']
        begin = {
            "cc": {1: "macro.intensity", 2: "walk", 3: "strength"},
            "note": {36: "next", 37: "blackout", 38: "tap"},
        }
        for kind, examples in begin.items():
            own = {number: name for (one, number), name in sorted(self.names.items()) if one == kind}
            mark, shown = ("", own) if self.names else ("# ", examples)
            lines += ["", f"[{kind}]", *(f"{mark}{number} = {json.dumps(name)}" for number, name in shown.items())]
        return "\n".join(lines) + "\n"

    def action(self, message: Any) -> Action | None:
        """Return the action of a message (of mido) on any channel; None for none."""
        if message.type == "control_change":
            found = self.entries.get(("cc", message.control))
            if found is None:
                return None
            if found.kind == "control":
                return replace(found, value=message.value / 127)
            # a button that sends controllers: 127 pressed, 0 released
            return found if message.value >= 64 else None
        if message.type == "note_on" and message.velocity > 0:
            found = self.entries.get(("note", message.note))
            if found is not None and found.kind == "control":
                return replace(found, value=message.velocity / 127)
            return found
        return None


def read_mapping(texts: Iterable[str]) -> MidiMapping:
    """Return the mapping of ``cc1=macro.storm`` texts and of TOML files among them; later ones win.

    Raises
    ------
    ReactiveError
        If one is neither, or names an unknown action.
    """
    ways: dict[tuple[str, int], str] = {}
    port = ""
    for text in texts:
        if "=" in text:
            way, _, name = text.partition("=")
            ways |= _entry(way, name, where="--midi-map")
            continue
        where = text
        data = parse_toml(read_text(Path(text), limit=MAX_BYTES, remedy="a mapping is a small text file"), where=where)
        if unknown := [key for key in data if key not in ("port", "cc", "note")]:
            raise PresetError(f'"{unknown[0]}" is not known', where=where, remedy="there are port, [cc] and [note]")
        port = str(data.get("port", port))
        for kind in ("cc", "note"):
            table = data.get(kind, {})
            if not isinstance(table, dict):
                raise PresetError(f"{kind} is no table", where=where, remedy=f'write [{kind}] and lines as 1 = "walk"')
            for number, name in table.items():
                ways |= _entry(f"{kind}{number}", str(name), where=where)
    return MidiMapping(ways, port)


def _entry(way: str, name: str, *, where: str) -> dict[tuple[str, int], str]:
    found = _WAY.fullmatch(way.strip().lower())
    if found is None or int(found[2]) > 127:
        raise ReactiveError(
            f'"{way.strip()}" is no controller or note', where=where, remedy="write cc0 to cc127, or note0 to note127"
        )
    if target(name) is None:
        raise ReactiveError(f'"{name.strip()}" is nothing that can be moved', where=where, remedy=f"write {TARGETS}")
    return {(found[1], int(found[2])): name.strip()}


def chosen_port(there: list[str], wanted: str) -> str:
    """Return the first port whose name contains `wanted`, or the first of all.

    Raises
    ------
    MediaError
        If there is none; the message lists the ports.
    """
    if not there:
        raise MediaError("there is no MIDI input", where="--midi", remedy="plug a controller in, and switch it on")
    fitting = [name for name in there if wanted.casefold() in name.casefold()]
    if not fitting:
        raise MediaError(f'there is no MIDI input "{wanted}"', where="--midi", remedy=f"there are {', '.join(there)}")
    return fitting[0]


def open_port(wanted: str, mapped: MidiMapping, put: Callable[[Action], None]) -> Any:
    """Open a MIDI input; it calls `put` from a thread of its own until its `close`.

    Raises
    ------
    MediaError
        If mido or rtmidi is missing, or there is no such port.
    """
    try:
        import mido
        import rtmidi  # noqa: F401
    except ImportError:
        raise MediaError(
            "MIDI needs mido and python-rtmidi",
            where="--midi",
            remedy=f"install them with `{install_line('[midi]')}`",
        ) from None

    def heard(message: Any) -> None:
        if (action := mapped.action(message)) is not None:
            put(action)

    try:
        name = chosen_port(list(mido.get_input_names()), wanted)
        return mido.open_input(name, callback=heard)
    except ReactiveError:
        raise
    except Exception as problem:
        # rtmidi raises the driver's errors as its own class
        raise MediaError(
            f"this machine has no MIDI ({_short(problem)})", where="--midi", remedy="plug a controller in"
        ) from None


def _short(problem: Exception) -> str:
    return " ".join(str(problem).split())[:120].rstrip(".")
