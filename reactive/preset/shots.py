"""Edits of single shots: a TOML file beside the song, applied to the timeline.

version = 2
song_sha256 = "..."

[shot."drop 1 / shot 2"]
prompt = "a white door in the sea"
photo = "door.jpg"
strength = 0.4
seed = 7
rolls = 1
beats = 1
split = [8]
locked = true

In version 1 a shot lasted from cut to cut; now it shows one prompt on one picture, so a blend ends it too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from reactive.errors import PresetError
from reactive.files import name_beside, write_text
from reactive.preset.fields import Label, Text, Word
from reactive.preset.schema import Strict, read_text, translate
from reactive.preset.toml import parse_toml

MAX_BYTES = 1_000_000
# divisions of one shot: a letter each
MAX_PARTS = 25
SUFFIX = ".shots.toml"
HEADER = "# Edits of single shots of this song's clip; `reactive shots` writes them, `reactive run` and `timeline` follow them.\n"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ShotEdit(Strict):
    """The edit of one shot; keys that are missing stay as the preset decides."""

    prompt: Annotated[
        list[Word], Field(max_length=500), BeforeValidator(_listed, json_schema_input_type=str | list[str])
    ] = Field([], description="prompts of its own, one after the other where the shot has several")
    photo: Text = Field("", description="a photograph beside this file that it grows out of")
    strength: float = Field(0.6, ge=0, le=1, description="how much of the photograph is imagined anew")
    seed: int | None = Field(None, ge=0, lt=2**62, description="the noise it is made of")
    rolls: int = Field(0, ge=0, le=100_000, description="how often it was rolled again")
    beats: int = Field(0, ge=-64, le=64, description="by how many beats it begins later, or earlier if negative")
    split: list[Annotated[float, Field(gt=0, le=4096)]] = Field(
        [],
        max_length=MAX_PARTS,
        description="beats after its beginning at which it is divided; parts are called 2, 2b, 2c",
    )
    merge: int = Field(0, ge=0, le=10_000, description="how many of the shots after it are merged into it")
    locked: bool = Field(False, description="it stays as it is, whatever seed or preset are")


class Shots(Strict):
    """A shots file."""

    version: Literal[1, 2] = 2
    song_sha256: Text = Field("", description="the song it belongs to, by its sound")
    file_sha256: Text = Field("", description="the same by the bytes of its file")
    shot: dict[Label, ShotEdit] = Field({}, max_length=20_000, description="edits by the shots' names")


@dataclass(frozen=True)
class ShotsFile:
    """A shots file that was read once: its text, and its parsed contents."""

    path: Path
    text: str
    shots: Shots

    @property
    def photos(self) -> tuple[Path, ...]:
        """The photographs that it names, beside it, each once, in its order."""
        return tuple(self.path.parent / name for name in shot_photos(self.shots))


def shots_path(song: Path) -> Path:
    """Return where a song's shots file is kept."""
    return song.with_name(name_beside(song.stem, SUFFIX))


def load_shots(path: Path) -> Shots:
    """Return a shots file's contents; otherwise as `open_shots`."""
    return open_shots(path).shots


def open_shots(path: Path) -> ShotsFile:
    """Read and check a shots file.

    Raises
    ------
    PresetError
        If it can't be read, is not TOML, or is not valid.
    """
    where = str(path)
    text = read_text(path, limit=MAX_BYTES, remedy="a shots file is a small text file")
    try:
        shots = Shots.model_validate(parse_toml(text, where=where))
    except ValidationError as problem:
        raise translate(problem, where, {"shot": ShotEdit, "": Shots}) from None
    for name, edit in shots.shot.items():
        if shots.version > 1 and len(edit.prompt) > 1:
            raise PresetError(
                f'shot "{name}" has several prompts', where=where, remedy="divide it with `reactive shots --split`"
            )
        if "\\" in edit.photo or (edit.photo and Path(edit.photo).name != edit.photo):
            raise PresetError(
                f'shot "{name}": photo = "{edit.photo}" is not a plain file name',
                where=where,
                remedy="put it beside this file",
            )
    return ShotsFile(path, text, shots)


def shot_photos(shots: Shots) -> tuple[str, ...]:
    """Return the base names of the photographs that a shots file names, each once, in its order."""
    return tuple(dict.fromkeys(edit.photo for edit in shots.shot.values() if edit.photo))


def changed_edit(edit: ShotEdit, **said: Any) -> ShotEdit:
    """Return an edit with some of its keys changed.

    Raises
    ------
    PresetError
        If a value is not valid for its key.
    """
    try:
        return ShotEdit.model_validate({**edit.model_dump(), **said})
    except ValidationError as problem:
        raise translate(problem, "the edit", {"": ShotEdit}) from None


def save_shots(shots: Shots, path: Path) -> None:
    """Write a shots file; it appears only when it is complete.

    Raises
    ------
    PresetError
        If it can't be written.
    """
    lines = [HEADER, f"version = {shots.version}", f"song_sha256 = {_quoted(shots.song_sha256)}"]
    lines += [f"file_sha256 = {_quoted(shots.file_sha256)}"] if shots.file_sha256 else []
    for name, edit in shots.shot.items():
        said = edit.model_dump(exclude_defaults=True)
        if said:
            lines += ["", f"[shot.{_quoted(name)}]", *(f"{key} = {_toml(value)}" for key, value in said.items())]
    try:
        write_text(path, "\n".join(lines) + "\n")
    except OSError as problem:
        raise PresetError(f"can't be written ({problem.strerror})", where=str(path), remedy="use --shots") from None


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    # JSON's escapes are valid TOML if non-ASCII letters are not escaped; TOML also requires DEL escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
