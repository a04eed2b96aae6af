"""Takes: what a person did while the song played, as a file that a person can read, and that renders in full quality."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from reactive.audio.analysis import Analysis
from reactive.errors import TimelineError
from reactive.files import write_text
from reactive.jsonfile import InvalidValue, parse_json, quoted, read_float, read_int, read_value
from reactive.media.sound import Track
from reactive.preset.control import control_pictures, split_control
from reactive.preset.lyrics import Line
from reactive.preset.schema import MAX_BYTES, MAX_CONTROL_PICTURES, MAX_LORAS, MAX_STYLE_PICTURES, Preset, check_preset
from reactive.preset.style import split_style, style_pictures
from reactive.preset.toml import parse_toml
from reactive.timeline.clock import format_fps, parse_fps
from reactive.timeline.films import Footage
from reactive.timeline.grounds import Choose
from reactive.timeline.loras import lora_strengths, split_lora, varies
from reactive.timeline.perform import KINDS, Change, Performance, Stage

VERSION = 1
MAX_FILE = 64_000_000
MAX_PRESETS = 100
MAX_CHANGES = 200_000
MAX_TEXT = 4000


@dataclass(frozen=True)
class Take:
    """A performance of one song.

    Attributes
    ----------
    song_sha256, file_sha256, fps, seed, photos
        As a timeline has them.
    preset
        Name of the preset that it begins with, among `presets`.
    presets
        The texts (TOML) of all presets that were loaded, by name: a take needs no other file but the song.
    changes
        What was changed, in order of time.
    videos, macros
        As a timeline has them, and where macros stood at the start.
    lyrics
        The song's words as they were read, by preset.
    styles, loras
        Reference pictures, and LoRAs whose strength changes, that were given in addition to the presets' own: base names, with
        their expressions.
    """

    song_sha256: str
    fps: Fraction
    seed: int
    photos: tuple[str, ...]
    preset: str
    presets: Mapping[str, str]
    changes: tuple[Change, ...]
    videos: tuple[str, ...] = ()
    macros: Mapping[str, float] = field(default_factory=dict)
    lyrics: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    file_sha256: str = ""
    styles: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()

    def checked_presets(self, where: str = "the take") -> dict[str, Preset]:
        """Return the presets, read and checked.

        Raises
        ------
        PresetError
            If one is not a preset.
        """
        return {
            name: check_preset(parse_toml(text, where=f"{where}: {name}"), where=f"{where}: {name}")
            for name, text in self.presets.items()
        }


def save_take(take: Take, path: Path) -> None:
    """Write a take, one change a line; the file appears only when it is complete.

    Raises
    ------
    TimelineError
        If it can't be written.
    """
    head = {
        "version": VERSION,
        "song_sha256": take.song_sha256,
        **({"file_sha256": take.file_sha256} if take.file_sha256 else {}),
        "fps": format_fps(take.fps),
        "seed": take.seed,
        "photos": list(take.photos),
        "preset": take.preset,
        "presets": dict(take.presets),
        "videos": list(take.videos),
        **({"styles": list(take.styles)} if take.styles else {}),
        **({"controls": list(take.controls)} if take.controls else {}),
        **({"loras": list(take.loras)} if take.loras else {}),
        "macros": dict(take.macros),
        "lyrics": {name: [[line.start, line.end, line.text] for line in lines] for name, lines in take.lyrics.items()},
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    changes = [f"    {json.dumps(_plain(change), ensure_ascii=False)}" for change in take.changes]
    lines.append('  "changes": [\n' + ",\n".join(changes) + "\n  ]")
    try:
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    except OSError as problem:
        raise TimelineError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place"
        ) from None


def load_take(path: Path) -> Take:
    """Read a take and check it.

    Raises
    ------
    TimelineError
        With what is wrong, where, and what to do.
    """
    where, remedy = str(path), "record it anew in `reactive preview`"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
            raise TimelineError("is no file of a take's size", where=where, remedy=remedy)
        data = parse_json(path.read_bytes())
    except OSError as problem:
        raise TimelineError(f"can't be read ({problem.strerror})", where=where, remedy="check the name") from None
    except ValueError as problem:
        raise TimelineError(str(problem), where=where, remedy=remedy) from None
    if not isinstance(data, dict) or data.get("version") != VERSION or "changes" not in data:
        raise TimelineError("is not a take of version 1", where=where, remedy=remedy)
    try:
        take = _checked(data)
        take.checked_presets(where)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as problem:
        # Python's own message would not help a user
        what = str(problem) if isinstance(problem, InvalidValue) else "holds values of the wrong kind"
        raise TimelineError(what, where=where, remedy=remedy) from None
    return take


def check_change(data: Any) -> Change:
    """Return a change given as plain data.

    Raises
    ------
    ValueError
        If it is not one.
    """
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        raise InvalidValue(f"a change must be one of {', '.join(KINDS)}")
    time, value = read_float(data, "time", 0, 1e9), read_float({"value": 0.0, **data}, "value", -1e9, 1e9)
    name, text = data.get("name", ""), data.get("text", "")
    if not all(isinstance(part, str) and len(part) <= MAX_TEXT and part.isprintable() for part in (name, text)):
        raise InvalidValue("a change's name and text must be plain text")
    if data["kind"] == "prompt" and not (name.strip() and text.strip()):
        raise InvalidValue("a prompt can't be empty")
    return Change(time, str(data["kind"]), name, value, text)


def perform_take(
    path: Path,
    track: Track,
    analysis: Analysis,
    photos: Sequence[str],
    videos: Sequence[str],
    *,
    choose: Choose | None = None,
    footage: Sequence[Footage | None] = (),
) -> Performance:
    """Return what a take makes of its song.

    Raises
    ------
    ReactiveError
        If the take can't be read, or belongs to another song or other photographs and videos.
    """
    take, where = load_take(path), str(path)
    if not track.is_called(take.song_sha256, take.file_sha256):
        raise TimelineError("was recorded over another song", where=where, remedy="name that song")
    for kind, option, files, wanted in (
        ("photographs", "--photo", photos, take.photos),
        ("videos", "--video", videos, take.videos),
    ):
        if tuple(files) != tuple(wanted):
            names = ", ".join(wanted) or "none"
            raise TimelineError(
                f"wants the {kind}: {names}", where=where, remedy=f"name them with {option}, in this order"
            )
    stage = Stage(
        analysis,
        track.samples,
        take.fps,
        take.seed,
        take.checked_presets(where),
        take.photos,
        take.videos,
        take.lyrics,
        take.macros,
        choose,
        footage,
        style_pictures(take.styles),
        control_pictures(take.controls),
        lora_strengths(take.loras),
    )
    return stage.fold(take.preset, take.changes)


def _styles(data: dict[str, Any]) -> tuple[str, ...]:
    """Return the reference pictures that were given, as base names with weights."""
    styles = data.get("styles", [])
    if not isinstance(styles, list) or len(styles) > MAX_STYLE_PICTURES:
        raise InvalidValue(f"styles must be a list of at most {MAX_STYLE_PICTURES}")
    for text in styles:
        fits = isinstance(text, str) and text.isprintable() and len(text) <= MAX_TEXT
        if not fits or set("/\\") & set(split_style(text)[0]):
            raise InvalidValue("styles must be names of files with weights")
    return tuple(styles)


def _controls(data: dict[str, Any]) -> tuple[str, ...]:
    """Return the pictures whose shapes are kept that were given, as kinds, base names and weights."""
    controls = data.get("controls", [])
    if not isinstance(controls, list) or len(controls) > MAX_CONTROL_PICTURES:
        raise InvalidValue(f"controls must be a list of at most {MAX_CONTROL_PICTURES}")
    for text in controls:
        fits = isinstance(text, str) and text.isprintable() and len(text) <= MAX_TEXT
        if not fits or set("/\\") & set(split_control(text)[1]):
            raise InvalidValue("controls must be kinds with names of files and weights")
    return tuple(controls)


def _loras(data: dict[str, Any]) -> tuple[str, ...]:
    """Return the LoRAs that were given, as base names with expressions."""
    loras = data.get("loras", [])
    if not isinstance(loras, list) or len(loras) > MAX_LORAS:
        raise InvalidValue(f"loras must be a list of at most {MAX_LORAS}")
    for text in loras:
        if not (isinstance(text, str) and text.isprintable() and len(text) <= MAX_TEXT):
            raise InvalidValue("loras must be names of files with expressions")
        name, strength = split_lora(text)
        if set("/\\") & set(name) or not varies(strength):
            raise InvalidValue("loras must be names of files with expressions")
    return tuple(loras)


def _plain(change: Change) -> dict[str, Any]:
    plain: dict[str, Any] = {"time": round(change.time, 4), "kind": change.kind}
    if change.name:
        plain["name"] = change.name
    if change.text:
        plain["text"] = change.text
    if change.kind != "prompt":
        plain["value"] = change.value
    return plain


def _checked(data: dict[str, Any]) -> Take:
    presets = read_value(data, "presets")
    if not isinstance(presets, dict) or not all(isinstance(text, str) for text in presets.values()):
        raise InvalidValue("presets must be texts by name")
    if len(presets) > MAX_PRESETS or any(len(text.encode("utf-8", "replace")) > MAX_BYTES for text in presets.values()):
        raise InvalidValue(f"presets must be at most {MAX_PRESETS}, of at most {MAX_BYTES:,} bytes each")
    if read_value(data, "preset") not in presets:
        raise InvalidValue(f"the preset {quoted(data['preset'])} is not among the presets")
    if not isinstance(data["changes"], list) or len(data["changes"]) > MAX_CHANGES:
        raise InvalidValue(f"changes must be a list of at most {MAX_CHANGES}")
    if not all(isinstance(name, str) for name in data["photos"]):
        raise InvalidValue("photos must be names")
    changes = sorted((check_change(change) for change in data["changes"]), key=lambda change: change.time)
    seed = read_int(data, "seed", 0, 2**63 - 1)
    macros = {str(name): float(value) for name, value in data.get("macros", {}).items()}
    if not all(0 <= value <= 1 for value in macros.values()):
        raise InvalidValue("macros must be from 0 to 1")
    lyrics = {
        str(name): tuple(Line(float(start), float(end), str(text)) for start, end, text in lines)
        for name, lines in data.get("lyrics", {}).items()
    }
    for line in (line for lines in lyrics.values() for line in lines):
        if not (0 <= line.start < line.end and len(line.text) <= MAX_TEXT and line.text.isprintable()):
            raise InvalidValue("lines of lyrics must be plain text with a start and an end")
    try:
        fps = parse_fps(str(read_value(data, "fps")))
    except TimelineError as problem:
        raise InvalidValue(f"fps: {problem.what}") from None
    return Take(
        str(data["song_sha256"]),
        fps,
        seed,
        tuple(data["photos"]),
        data["preset"],
        presets,
        tuple(changes),
        tuple(map(str, data.get("videos", ()))),
        macros,
        lyrics,
        str(data.get("file_sha256", "")),
        _styles(data),
        _controls(data),
        _loras(data),
    )
