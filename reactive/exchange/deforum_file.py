"""Read Deforum settings files: any encoding, any year, alone or with a Parseq document inside or beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactive.errors import PresetError
from reactive.exchange.parseq_import import Parseq, is_parseq, read_parseq
from reactive.jsonfile import parse_json
from reactive.media.letters import decoded, guessed_page

MAX_BYTES = 20_000_000
REMEDY = "name a settings file that Deforum saved, or a Parseq document"
# names in the notebooks of 2022 and their local copies
_OLD_NAMES = {"width": "W", "height": "H"}
# tables in which other programs keep Deforum's settings
_INSIDE = ("deforum_settings", "settings", "args", "anim_args", "video_args", "deforum_args", "animation_args")
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class DeforumSettings:
    """A file's settings, the Parseq document that controls them (or None), whether its deltas are used, and notes."""

    settings: dict[str, Any]
    parseq: Parseq | None
    use_deltas: bool
    notes: tuple[str, ...]


def read_settings(path: Path) -> DeforumSettings:
    """Read settings or a Parseq document.

    Raises
    ------
    PresetError
        If it can't be read or is neither.
    """
    where = str(path)
    notes: list[str] = []
    data = _read(path, notes)
    if is_parseq(data):
        alone = _parseq(data, where)
        return DeforumSettings({}, alone, True, (*notes, *alone.notes))
    settings = _flat(data)
    manifest = settings.get("parseq_manifest")
    parseq = _driver(manifest, path, notes) if manifest else None
    if not ({"prompts", "animation_prompts"} & settings.keys()) and not (parseq and parseq.prompts):
        raise PresetError("holds no Deforum prompts", where=where, remedy=REMEDY)
    if parseq:
        notes = [*notes, *parseq.notes]
        fps = settings.get("fps")
        if parseq.fps and isinstance(fps, (int, float)) and abs(parseq.fps - fps) > 0.01:
            notes.append(f"Parseq's {parseq.fps:g} frames a second: Deforum's {fps:g} are used")
    deltas = settings.get("parseq_use_deltas", True) is not False
    return DeforumSettings(settings, parseq, deltas, tuple(notes))


def _read(path: Path, notes: list[str]) -> Any:
    where = str(path)
    try:
        if not path.is_file():
            raise PresetError("no such file", where=where, remedy=REMEDY)
        if path.stat().st_size > MAX_BYTES:
            raise PresetError(f"is larger than {MAX_BYTES:,} bytes", where=where, remedy=REMEDY)
        raw = path.read_bytes()
        data = parse_json(decoded(raw))
    except OSError as problem:
        raise PresetError(f"can't be read ({problem.strerror})", where=where, remedy="check the name") from None
    except ValueError as problem:
        raise PresetError(str(problem), where=where, remedy="correct that line, or save the settings again") from None
    if page := guessed_page(raw):
        notes.append(f"the file's encoding, which is not UTF-8: {page} was assumed")
    return data


def _flat(data: Any) -> dict[str, Any]:
    """Return the settings as one table with current names."""
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, dict):
        return {}
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if name.lower() in _INSIDE and isinstance(value, (dict, list)):
            flat |= _flat(value)
    flat |= {name: value for name, value in data.items() if not (name.lower() in _INSIDE and isinstance(value, dict))}
    for old, new in _OLD_NAMES.items():
        if old in flat:
            flat.setdefault(new, flat.pop(old))
    return flat


def _driver(manifest: Any, path: Path, notes: list[str]) -> Parseq | None:
    """Return the Parseq document inside the settings or in a file beside them; an address is never opened."""
    where = f"{path}: parseq_manifest"
    if isinstance(manifest, str):
        text = manifest.strip()
        if text.startswith(("{", "\ufeff{")):
            try:
                manifest = parse_json(text)
            except ValueError as problem:
                raise PresetError(str(problem), where=where, remedy="save the settings again") from None
        elif _ADDRESS.match(text):
            notes.append(
                f"Parseq at {text[:200]}, which controls this file: addresses are not opened, so save the document and "
                "import it; Deforum's own prompts and curves are used"
            )
            return None
        else:
            # only a file beside the settings is opened, so folders in the name are ignored
            beside = path.parent / re.split(r"[\\/]", text)[-1]
            if not beside.is_file():
                notes.append(
                    f"Parseq's document {text[:200]}, which controls this file and is not beside it: put it there; "
                    "Deforum's own prompts and curves are used"
                )
                return None
            manifest = _read(beside, notes)
            where = str(beside)
    if not is_parseq(manifest):
        raise PresetError("is not a Parseq document", where=where, remedy="export it again in Parseq")
    return _parseq(manifest, where)


def _parseq(data: dict[str, Any], where: str) -> Parseq:
    try:
        return read_parseq(data)
    except ValueError as problem:
        raise PresetError(str(problem), where=where, remedy="render it in Parseq and export it again") from None
