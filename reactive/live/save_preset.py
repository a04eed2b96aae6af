"""Save live changes into the preset: the changed keys of its file, what can't be saved there, and the new text.

A preset has no time, so a change made at some moment applies from the song's start after it is saved. Phase jumps, freezes,
crossfades and the seed can't be part of a preset; they stay in the take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reactive.errors import PresetError
from reactive.preset.edit import Edit, edited
from reactive.preset.library import shipped_folder
from reactive.preset.schema import Preset, check_preset
from reactive.preset.template import is_plain
from reactive.preset.toml import parse_toml
from reactive.preset.vocabulary import MACRO
from reactive.timeline.controls import CONTROLS, changed_keys
from reactive.timeline.perform import Change, State, read_knobs, write_knobs

WARNING = "What you change at some moment of the song holds from its start once it is saved: the beginning changes too."
EVENTS = {
    "phase": "phase jumps",
    "preset": "fades to other presets",
    "freeze": "freezes",
    "hold": "holds",
    "black": "blackouts",
}


@dataclass(frozen=True)
class SavePlan:
    """The effect of saving into a preset.

    Attributes
    ----------
    edits
        The file's new values.
    written, left_out
        Descriptions of what is written, and of what is not.
    prompts, controls
        The texts and controls whose changes are written.
    """

    edits: tuple[Edit, ...]
    written: tuple[str, ...]
    left_out: tuple[str, ...]
    prompts: frozenset[str]
    controls: frozenset[str]


def is_own(path: Path) -> bool:
    """Return whether a preset's file may be changed: bundled ones may not."""
    return not path.resolve().is_relative_to(shipped_folder().resolve())


def plan_save(preset: Preset, state: State, changes: Sequence[Change]) -> SavePlan:
    """Return the plan of saving a performance's state into a preset."""
    controls = dict(state.controls)
    edits: list[Edit] = []
    says: list[str] = []
    leaves: list[str] = []
    for place, keys in changed_keys(preset, controls).items():
        start: tuple[str | int, ...] = ("phase", int(place.removeprefix("phase."))) if place else ()
        for key, value in keys.items():
            inner = value.items() if isinstance(value, dict) else None
            edits += [Edit((*start, key, name), part) for name, part in inner] if inner else []
            edits += [Edit((*start, key), value)] if inner is None else []
    for name, control in CONTROLS.items():
        if name != "seed" and controls.get(name, control.rest) != control.rest:
            says.append(f"{control.label}: {controls[name]:g} ({control.meaning})")
    for number, macro in enumerate(preset.macros):
        value = controls.get(MACRO + macro.name)
        if value is not None and value != macro.default:
            its_own = number < len(preset.macro)
            edits.append(Edit(("macro", number, "default") if its_own else ("knobs", macro.name), value))
            says.append(f"{macro.name}: {value:g}")
    written: set[str] = set()
    for old, new in state.prompts:
        if old == new:
            continue
        places = _places(preset, old)
        if places:
            own = _without_style(new, preset.style)
            edits += [Edit(key, own.replace("{", "{{").replace("}", "}}")) for key in places]
            says.append(f'the prompt "{_short(old)}" becomes "{_short(own)}"')
            written.add(old)
        else:
            leaves.append(f'the prompt "{_short(old)}": it is not a plain text of this preset')
    if controls.get("seed"):
        leaves.append(f"the seed: give --seed when you render, {controls['seed']:g} more than now")
    found = [label for kind, label in EVENTS.items() if any(change.kind == kind for change in changes)]
    if found:
        leaves.append(f"{', '.join(found)}: moments of this song, which a take keeps")
    written_controls = {*CONTROLS, *(MACRO + macro.name for macro in preset.macros)} - {"seed"}
    return SavePlan(tuple(edits), tuple(says), tuple(leaves), frozenset(written), frozenset(written_controls))


def edited_preset(text: str, preset: Preset, plan: SavePlan, *, where: str) -> tuple[str, Preset]:
    """Return a preset's text with a plan's edits, and the parsed preset.

    Raises
    ------
    PresetError
        If the text can't be edited so that it gives the intended preset.
    """
    version_1 = parse_toml(text, where=where).get("version") == 1
    edits = [_for_version_1(edit) for edit in plan.edits] if version_1 else plan.edits
    new = edited(text, edits, where=where)
    made = check_preset(parse_toml(new, where=where), where=where)
    # check that nothing else has changed
    if made.model_dump() != _with(preset, plan.edits).model_dump():
        raise PresetError("can't be edited safely", where=where, remedy="change it in an editor, or save a take")
    return new, made


def remaining_changes(changes: Sequence[Change], plan: SavePlan) -> list[Change]:
    """Return the changes that stay in the take after a plan was saved."""
    gone = set(plan.prompts)
    left = []
    for change in changes:
        if change.kind == "prompt" and change.name in gone:
            # later edits of the same prompt refer to this edit's text
            gone.add(change.text)
        elif change.kind == "knobs":
            knobs = {name: value for name, value in read_knobs(change.text).items() if name not in plan.controls}
            left += [replace(change, text=write_knobs(knobs))] if knobs else []
        elif change.kind != "control" or change.name not in plan.controls:
            left.append(change)
    return left


def _places(preset: Preset, shown: str) -> list[tuple[str | int, ...]]:
    """Return the keys of the plain prompts that give a text."""

    def shows(text: str) -> bool:
        plain = text.replace("{{", "{").replace("}}", "}")
        return is_plain(text) and ", ".join(part for part in (plain, preset.style) if part) == shown

    pool: list[tuple[str | int, ...]] = [
        ("phase", number, "prompts", place)
        for number, phase in enumerate(preset.phase)
        for place, entry in enumerate(phase.prompts)
        if shows(entry.text)
    ]
    return pool + [("pin", number, "prompt") for number, pin in enumerate(preset.pin) if shows(pin.prompt)]


def _without_style(text: str, style: str) -> str:
    """Return a prompt without the style that is appended to every prompt."""
    return text.removesuffix(f", {style}") if style else text


def _with(preset: Preset, edits: Sequence[Edit]) -> Preset:
    """Return a preset with edits applied to its data."""
    data = preset.model_dump()
    for edit in edits:
        holder = data
        for part in edit.key[:-1]:
            holder = holder[part]  # type: ignore[index]
        last = edit.key[-1]
        if isinstance(last, int):
            holder, last = holder[last], "text"  # type: ignore[index]
        holder[last] = edit.value
    return check_preset(data, where=preset.title)


def _for_version_1(edit: Edit) -> Edit:
    if edit.key[-2:-1] == ("prompts",) and isinstance(edit.value, str):
        return Edit(edit.key, edit.value.replace("{{", "{").replace("}}", "}"))
    return edit


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def remaining_macros(macros: Mapping[str, float], state: State) -> dict[str, float]:
    """Return the macros set at the start without those that are now saved in the preset's file."""
    saved = {name.removeprefix(MACRO) for name, _ in state.controls if name.startswith(MACRO)}
    return {name: value for name, value in macros.items() if name not in saved}
