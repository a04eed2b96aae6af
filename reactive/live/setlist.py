"""A set list: songs in order, each with its preset, in one TOML file::

    title = "Friday"
    ending = "next"

    [[song]]
    file = "01 intro.wav"
    preset = "warehouse"

    [[song]]
    file = "02 single.flac"
    preset = "presets/own.toml"
    with = ["loop-destroy"]
    photos = ["band.jpg"]
    lyrics = "single.lrc"

Paths are relative to the file. Settings that a song does not have are those of the command line. Edits of single shots are read
beside each song, as in other commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactive.errors import MediaError, PresetError
from reactive.live.material import PreviewOptions
from reactive.media.safe import regular_file
from reactive.preset.library import open_preset
from reactive.preset.macros import macro_values, parse_macros
from reactive.preset.schema import read_text
from reactive.preset.shots import shots_path
from reactive.preset.toml import parse_toml

MAX_BYTES, MAX_SONGS = 256_000, 500
# what follows after the end of a song
ENDINGS = {
    "next": "the next song; after the last one pictures continue without sound",
    "repeat": "the same song again",
    "pictures": "pictures continue without sound",
    "stop": "nothing",
}
_LISTS = ("with", "photos", "videos")
_TEXTS = ("file", "preset", "lyrics", "title")


@dataclass(frozen=True)
class SetSong:
    """A song of the list: its file, title, settings, and the presets to fade to."""

    file: Path
    title: str
    options: PreviewOptions
    others: tuple[str, ...] = ()

    @property
    def presets(self) -> tuple[str, ...]:
        """All its presets, its own first."""
        return (self.options.preset, *self.others)


@dataclass(frozen=True)
class SetList:
    """The songs in order, and what follows after the end of each (a key of `ENDINGS`)."""

    title: str
    songs: tuple[SetSong, ...]
    ending: str = "next"


def is_set_list(path: Path) -> bool:
    """Return whether a path is that of a set list, by its suffix."""
    return path.suffix.lower() == ".toml"


def single(song: Path, options: PreviewOptions, others: tuple[str, ...]) -> SetList:
    """Return a list of one song, with a stop at its end."""
    return SetList(song.stem, (SetSong(song, song.stem, options, others),), "stop")


def read_set_list(path: Path, options: PreviewOptions, others: tuple[str, ...] = ()) -> SetList:
    """Read a set list; `options` and `others` are the defaults of all songs.

    Raises
    ------
    ReactiveError
        If it is not a set list, or one of its files or presets is missing or invalid.
    """
    where = str(path)
    data = parse_toml(read_text(path, limit=MAX_BYTES, remedy="a set list is a small text file"), where=where)
    _known(data, ("title", "ending", "song"), where)
    ending, title = data.get("ending", "next"), data.get("title", path.stem)
    if not isinstance(ending, str) or ending not in ENDINGS:
        raise PresetError(f'ending = "{ending}" is not known', where=where, remedy=f"write {', '.join(ENDINGS)}")
    entries = data.get("song")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise PresetError("has no songs", where=where, remedy='write [[song]] and file = "song.wav" for each')
    if len(entries) > MAX_SONGS:
        raise PresetError(f"has {len(entries)} songs", where=where, remedy=f"write at most {MAX_SONGS}")
    songs = tuple(_song(entry, number, path, options, others) for number, entry in enumerate(entries, 1))
    return SetList(str(title), songs, ending)


def _song(entry: dict[str, Any], number: int, path: Path, options: PreviewOptions, others: tuple[str, ...]) -> SetSong:
    where = f"{path}, song {number}"
    _known(entry, (*_TEXTS, *_LISTS, "macros"), where)
    if wrong := [key for key in _TEXTS if not isinstance(entry.get(key, ""), str)]:
        raise PresetError(f"{wrong[0]} is not a text", where=where, remedy=f'write {wrong[0]} = "..."')
    for key in _LISTS:
        if not isinstance(entry.get(key, []), list) or not all(isinstance(item, str) for item in entry.get(key, [])):
            raise PresetError(f"{key} is not a list of texts", where=where, remedy=f'write {key} = ["..."]')
    if not entry.get("file"):
        raise PresetError("has no file", where=where, remedy='write file = "song.wav"')
    file = _existing_file(path, entry["file"], where)
    changes: dict[str, Any] = {}
    if "preset" in entry:
        changes["preset"] = _preset(path, entry["preset"])
    for key in ("photos", "videos"):
        if key in entry:
            changes[key] = tuple(_existing_file(path, item, where) for item in entry[key])
    if "lyrics" in entry:
        changes["lyrics"] = _existing_file(path, entry["lyrics"], where)
    beside = shots_path(file)
    changes["shots"] = beside if beside.is_file() and not options.no_shots else None
    if "macros" in entry:
        if not isinstance(entry["macros"], dict):
            raise PresetError("macros is not a table", where=where, remedy="write macros = { storm = 0.5 }")
        try:
            changes["macros"] = parse_macros([f"{name}={value}" for name, value in entry["macros"].items()])
        except PresetError as problem:
            raise PresetError(problem.what, where=where, remedy=problem.remedy) from None
    fading = tuple(_preset(path, name) for name in entry["with"]) if "with" in entry else others
    song = SetSong(file, str(entry.get("title") or file.stem), options.changed(**changes), fading)
    first, *_ = [open_preset(name, option=where).preset for name in song.presets]
    # raises an error for unknown macros
    macro_values(first, song.options.macros)
    return song


def _known(table: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    if unknown := [key for key in table if key not in keys]:
        raise PresetError(f'"{unknown[0]}" is not known', where=where, remedy=f"there are {', '.join(keys)}")


def _existing_file(path: Path, name: str, where: str) -> Path:
    file = path.parent / name
    try:
        regular_file(file)
    except MediaError as problem:
        raise MediaError(f"{name}: {problem.what}", where=where, remedy=problem.remedy) from None
    return file


def _preset(path: Path, name: str) -> str:
    """Return a preset's name, or its path if it is a file or folder beside the list."""
    beside = path.parent / name
    return str(beside) if name.endswith(".toml") or beside.is_dir() else name
