"""Cue points and snapshots of a song, kept beside it as ``<song>.cues.json`` (in the user's data folder where that can't be written).

A live input has snapshots only, kept for each preset in that folder.

A cue point is a named moment; a snapshot holds the values of all knobs. The file has the song's hash, so that of another song of
the same name is neither read nor overwritten.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reactive.errors import TimelineError
from reactive.files import name_beside, write_text
from reactive.jsonfile import parse_json

SUFFIX = ".cues.json"
MAX_CUES, MAX_SNAPSHOTS, MAX_KNOBS = 64, 8, 64
LONGEST_NAME = 40
MAX_BYTES = 256_000


class Owner(Protocol):
    """What marks belong to: a `reactive.media.sound.Track`, or a `LiveOwner`."""

    @property
    def path(self) -> Path:
        """The file beside which they are kept."""

    @property
    def sha256(self) -> str:
        """Its identity."""

    def is_called(self, sha256: str, file_sha256: str) -> bool:
        """Return whether that is its identity."""


@dataclass(frozen=True)
class LiveOwner:
    """A preset that is played to a live input; its snapshots are kept in the user's data folder."""

    preset: str

    @property
    def path(self) -> Path:
        """A name in the folder of marks."""
        return _folder() / f"live {re.sub(r'[^A-Za-z0-9_-]+', '-', self.preset)[-60:].strip('-') or 'preset'}"

    @property
    def sha256(self) -> str:
        """The preset's name, as no song's hash can be."""
        return f"live input with {self.preset}"

    def is_called(self, sha256: str, file_sha256: str) -> bool:
        """Return whether that is its identity."""
        del file_sha256
        return sha256 == self.sha256


class Cue(BaseModel):
    """A moment of the song, in seconds."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="forbid")
    name: str = Field(max_length=LONGEST_NAME)
    time: float = Field(ge=0)


class Snapshot(BaseModel):
    """The values of all knobs, by name; a macro's name begins with ``macro.``."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="forbid")
    name: str = Field(max_length=LONGEST_NAME)
    knobs: dict[str, float] = Field(max_length=MAX_KNOBS)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)
    version: int = Field(ge=1, le=1)
    song_sha256: str
    cues: list[Cue] = Field(default=[], max_length=MAX_CUES)
    snapshots: list[Snapshot | None] = Field(default=[], max_length=MAX_SNAPSHOTS)


@dataclass(frozen=True)
class Marks:
    """A song's cue points, in order of time, and its snapshots by slot; an empty slot is None."""

    cues: tuple[Cue, ...] = ()
    snapshots: tuple[Snapshot | None, ...] = (None,) * MAX_SNAPSHOTS

    def with_cue(self, time: float) -> Marks:
        """Return them with one more cue point, named by the first free number.

        Raises
        ------
        TimelineError
            If there is one already, or there are too many.
        """
        if any(abs(cue.time - time) < 1e-3 for cue in self.cues):
            raise TimelineError("there is a cue point already", remedy="set one elsewhere, or delete that one")
        if len(self.cues) >= MAX_CUES:
            raise TimelineError(f"there are {MAX_CUES} cue points", remedy="delete one first")
        taken = {cue.name for cue in self.cues}
        name = next(name for number in range(1, MAX_CUES + 2) if (name := f"cue {number}") not in taken)
        return replace(self, cues=_in_order([*self.cues, Cue(name=name, time=round(time, 4))]))

    def cue(self, number: int) -> Cue:
        """Return a cue point by its number, from 1.

        Raises
        ------
        TimelineError
            If there is none.
        """
        if not 1 <= number <= len(self.cues):
            raise TimelineError(f"there is no cue point {number}", remedy=f"there are {len(self.cues)}; set one first")
        return self.cues[number - 1]

    def snapshot(self, number: int) -> Snapshot:
        """Return a snapshot by its slot, from 1.

        Raises
        ------
        TimelineError
            If the slot is empty.
        """
        found = self.snapshots[number - 1] if 1 <= number <= MAX_SNAPSHOTS else None
        if found is None:
            raise TimelineError(f"there is no snapshot {number}", remedy="store one first")
        return found

    def stored(self, number: int, knobs: dict[str, float]) -> Marks:
        """Return them with a snapshot in a slot, from 1; a name that the slot has stays.

        Raises
        ------
        TimelineError
            If there is no such slot.
        """
        if not 1 <= number <= MAX_SNAPSHOTS:
            raise TimelineError(f"there is no slot {number}", remedy=f"there are {MAX_SNAPSHOTS}")
        old = self.snapshots[number - 1]
        return self._with_snapshot(number, Snapshot(name=old.name if old else str(number), knobs=knobs))

    def renamed(self, what: str, number: int, name: str | None) -> Marks:
        """Return them with a cue point or a snapshot (`what`: ``cue`` or ``snapshot``) renamed, or deleted if the name is None.

        Raises
        ------
        TimelineError
            If it is not there, or the name is not one.
        """
        text = None if name is None else name.strip()
        if text is not None and not (0 < len(text) <= LONGEST_NAME and text.isprintable()):
            raise TimelineError("that is no name", remedy=f"write 1 to {LONGEST_NAME} plain letters")
        if what == "snapshot":
            named = self.snapshot(number)
            return self._with_snapshot(number, None if text is None else named.model_copy(update={"name": text}))
        cue = self.cue(number)
        others = [one for one in self.cues if one is not cue]
        return replace(self, cues=_in_order(others if text is None else [*others, Cue(name=text, time=cue.time)]))

    def _with_snapshot(self, number: int, snapshot: Snapshot | None) -> Marks:
        return replace(self, snapshots=(*self.snapshots[: number - 1], snapshot, *self.snapshots[number:]))


def _in_order(cues: list[Cue]) -> tuple[Cue, ...]:
    return tuple(sorted(cues, key=lambda cue: cue.time))


def marks_path(song: Path) -> Path:
    """Return the path of a song's cue points and snapshots."""
    return song.with_name(name_beside(song.name, SUFFIX))


def _folder() -> Path:
    import platformdirs

    return Path(os.environ.get("REACTIVE_DATA") or platformdirs.user_data_dir("reactive", appauthor=False)) / "cues"


def _places(owner: Owner) -> tuple[Path, ...]:
    beside = marks_path(owner.path)
    return (beside,) if isinstance(owner, LiveOwner) else (beside, _folder() / f"{owner.sha256}{SUFFIX}")


def _read(path: Path) -> _File | None:
    """Return a file's contents; None if there is none, or it can't be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return _File.model_validate(parse_json(path.read_bytes()))
    except (OSError, ValueError, RecursionError, ValidationError):
        return None


def load_marks(owner: Owner) -> Marks:
    """Return a song's cue points and snapshots, or a live input's; none if they can't be read or are those of another song."""
    for path in _places(owner):
        found = _read(path)
        if found is not None and owner.is_called(found.song_sha256, ""):
            empty = [None] * (MAX_SNAPSHOTS - len(found.snapshots))
            return Marks(_in_order(found.cues), (*found.snapshots, *empty))
    return Marks()


def save_marks(owner: Owner, marks: Marks) -> Path:
    """Write a song's cue points and snapshots and return the file.

    Raises
    ------
    TimelineError
        If they can't be written.
    """
    data = _File(version=1, song_sha256=owner.sha256, cues=list(marks.cues), snapshots=list(marks.snapshots))
    text = json.dumps(data.model_dump(), indent=1, ensure_ascii=False) + "\n"
    problem: OSError | None = None
    for path in _places(owner):
        try:
            # what is there may be another song's, or written by hand
            if path.exists() and ((there := _read(path)) is None or not owner.is_called(there.song_sha256, "")):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
            return path
        except OSError as trouble:
            problem = trouble
    raise TimelineError(
        f"can't be written ({problem.strerror if problem else 'another file is there'})",
        where=str(marks_path(owner.path)),
        remedy="make its folder writable, or move the file that is there",
    )
