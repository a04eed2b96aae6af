"""A project: a folder that can be moved, with its file ``project.toml``.

project.toml        files and settings; every path is relative to this folder
song.flac           the song, with its corrected grid beside it
photos/             photographs, their captions, and edits of single shots
films/              films
renders/            the queue of renders, finished clips, and their jobs
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reactive.errors import ReactiveError
from reactive.files import write_text
from reactive.media.safe import plain, read_text
from reactive.preset.toml import parse_toml

FILE = "project.toml"
SHOTS = "photos/shots.toml"
MAX_BYTES = 1_000_000
MAX_PICTURES = 500
HEADER = "# A project of `reactive studio`; `reactive run FOLDER` makes its clip. Paths are relative to this folder.\n"
LOCK_SECONDS = 10.0
_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class ProjectError(ReactiveError):
    """A project's folder or file can't be used."""


class ConflictError(ProjectError):
    """Another page or person changed the project meanwhile."""


def _relative(text: str) -> str:
    if text and (fault := path_fault(text)):
        raise ValueError(f'"{text[:80]}" {fault}')
    return text


def path_fault(text: str) -> str | None:
    """Return why a text can't be a path within a project, or None."""
    parts = PurePosixPath(text).parts
    if text.startswith(("/", "~")) or "\\" in text or ":" in text:
        return "is not a path relative to the project"
    if not parts or any(part in ("..", ".") or part.startswith(".") for part in text.split("/")) or "//" in text:
        return "leads out of the project or to a hidden file"
    if len(text) > 400 or plain(text) != text or any(_WINDOWS.fullmatch(part) or len(part) > 200 for part in parts):
        return "is not a valid name on every system"
    return None


RelativePath = Annotated[str, AfterValidator(_relative)]


def _known_place(name: str) -> str:
    from reactive.render.targets import targets

    if name and name not in targets():
        raise ValueError(f'"{name[:40]}" is not known; there are {", ".join(targets())}')
    return name


class ProjectSettings(BaseModel):
    """Settings of the clip: those of `reactive run` that the studio offers, with the same names.

    Attributes
    ----------
    model
        A name of ``reactive models list``, or a folder within the project.
    size
        Of the clip, ``WxH``; empty: the model's default.
    also
        Further aspect ratios of the same render.
    place
        Where the clip goes, as ``--for`` has it: it sets size, frame rate, length, loudness and file. Empty: nowhere in particular.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fps: str = Field("24", pattern=r"^[0-9]{1,6}([./][0-9]{1,6})?$")
    seed: int = Field(0, ge=0, lt=1 << 62)
    model: RelativePath = "ember"
    steps: int | None = Field(None, ge=1, le=200)
    size: str = Field("", pattern=r"^([0-9]{1,5}x[0-9]{1,5})?$")
    imagine_size: str = Field("", pattern=r"^([0-9]{1,5}x[0-9]{1,5})?$")
    also: tuple[Literal["16:9", "9:16", "1:1", "4:5"], ...] = ()
    place: Annotated[str, AfterValidator(_known_place)] = ""
    start: float = Field(0.0, ge=0, le=1e6)
    duration: float | None = Field(None, gt=0, le=1e6)
    crf: int = Field(18, ge=0, le=51)
    flash_safe: bool = False
    title: str = Field("", max_length=200)
    macros: dict[str, float] = Field(default_factory=dict, max_length=64)


class Project(BaseModel):
    """The contents of a project's file.

    Attributes
    ----------
    revision
        Incremented with each change, so that two pages don't overwrite each other's changes.
    song, photos, videos, grid, shots, take
        Files, relative to the project; empty if there is none.
    preset
        The name of a preset, or its path within the project.
    done
        Steps of the page that a person has been through: ``choose`` if the preset was chosen, ``timeline`` if it was looked at.
    settings
        Settings of the clip.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    revision: int = Field(0, ge=0, lt=1 << 53)
    song: RelativePath = ""
    preset: RelativePath = "loop-destroy"
    photos: tuple[RelativePath, ...] = Field((), max_length=MAX_PICTURES)
    videos: tuple[RelativePath, ...] = Field((), max_length=MAX_PICTURES)
    grid: RelativePath = ""
    shots: RelativePath = ""
    take: RelativePath = ""
    done: tuple[Literal["choose", "timeline"], ...] = Field((), max_length=2)
    settings: ProjectSettings = ProjectSettings()


def is_project(folder: Path) -> bool:
    """Return whether a folder holds a project."""
    return (folder / FILE).is_file()


def inside(folder: Path, path: str) -> Path:
    """Return a project's path as a full path, after checking that it stays inside the project.

    Raises
    ------
    ProjectError
        If it is not a relative path, or a part of it is a symbolic link.
    """
    if fault := path_fault(path):
        raise ProjectError(fault, where=path[:200], remedy="copy the file into the project's folder")
    place = folder
    for part in PurePosixPath(path).parts:
        place = place / part
        if place.is_symlink():
            raise ProjectError(
                "is a symbolic link, which a project must not hold", where=path, remedy="copy the file itself there"
            )
    return place


def open_project(folder: Path) -> Project:
    """Read and validate a project.

    Raises
    ------
    ProjectError
        If there is none, it can't be read, or is not valid.
    """
    file = folder / FILE
    if file.is_symlink():
        raise ProjectError("is a symbolic link", where=str(file), remedy="copy the file itself there")
    if not file.is_file():
        raise ProjectError("holds no project", where=str(folder), remedy="create one with `reactive studio FOLDER`")
    data = parse_toml(read_text(file, limit=MAX_BYTES), where=str(file))
    try:
        return Project.model_validate(data)
    except ValidationError as problem:
        raise _validation_error(problem, str(file)) from None


def new_project(folder: Path) -> Project:
    """Create a project in a folder, which is created if it is missing.

    Raises
    ------
    ProjectError
        If it can't be written.
    """
    project = Project()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, project)
    except OSError as problem:
        raise _unwritable(folder, problem) from None
    return project


def save_project(folder: Path, changed: Project, *, revision: int) -> Project:
    """Write a project with the revision after `revision`, and return it.

    Raises
    ------
    ConflictError
        If the file has another revision, because it was changed meanwhile.
    ProjectError
        If it can't be written.
    """
    try:
        with FileLock(folder / ".project.lock", timeout=LOCK_SECONDS):
            now = open_project(folder)
            if now.revision != revision:
                raise ConflictError(
                    "was changed by somebody else meanwhile", where="the project", remedy="check it and try again"
                )
            saved = changed.model_copy(update={"revision": revision + 1})
            _write(folder, saved)
            return saved
    except Timeout:
        raise ProjectError("is busy", where=str(folder), remedy="try again") from None
    except OSError as problem:
        raise _unwritable(folder, problem) from None


def changed_project(project: Project, **values: Any) -> Project:
    """Return a project with changed values, validated.

    Raises
    ------
    ProjectError
        If a value is not valid.
    """
    try:
        return Project.model_validate({**project.model_dump(), **values})
    except ValidationError as problem:
        raise _validation_error(problem, FILE) from None


def render_settings(folder: Path, project: Project, **more: Any) -> Any:
    """Return a project's settings for `reactive run` as `reactive.render.settings.Settings`.

    Raises
    ------
    ReactiveError
        If a file is outside the project or a setting is not valid.
    """
    # imported here, so that the page opens before torch is loaded
    from reactive.render.settings import Settings
    from reactive.render.sizes import parse_size

    settings = project.settings
    sizes = {
        name: parse_size(text, name) if (text := getattr(settings, name)) else None for name in ("size", "imagine_size")
    }
    plain_names = settings.model_dump(exclude={"size", "imagine_size", "model", "fps", "place"})
    made = Settings.of(
        **plain_names,
        **sizes,
        fps=_fps(settings.fps),
        model=model_of(folder, settings.model),
        preset=preset_of(folder, project.preset),
        photos=tuple(inside(folder, photo) for photo in project.photos),
        videos=tuple(inside(folder, video) for video in project.videos),
        shots=shots if project.shots and (shots := inside(folder, project.shots)).is_file() else None,
        take=inside(folder, project.take) if project.take else None,
        **more,
    )
    if not settings.place:
        return made
    from reactive.render.targets import check_length, targets

    place = targets()[settings.place]
    # the bars of a loop are chosen by the place
    whole: dict[str, Any] = {"start": 0.0, "duration": None} if place.loop else {}
    check_length(place, whole.get("duration", settings.duration))
    return made.changed(**place.choices(), **whole, also=(), imagine_size=None)


def model_of(folder: Path, name: str) -> str:
    """Return a project's model: a folder or file within the project, else a name."""
    own = inside(folder, name)
    return str(own) if own.exists() else name


def preset_of(folder: Path, name: str) -> str:
    """Return a project's preset: a folder or file within the project, else a name."""
    own = inside(folder, name)
    return str(own) if ("/" in name or name.endswith(".toml")) and own.exists() else name


def song_of(folder: Path, project: Project) -> Path:
    """Return a project's song.

    Raises
    ------
    ProjectError
        If it has none.
    """
    if not project.song:
        raise ProjectError("has no song yet", where=str(folder), remedy="drop one into the studio's page")
    return inside(folder, project.song)


def _fps(text: str) -> Any:
    from reactive.timeline.clock import parse_fps

    return parse_fps(text)


def _write(folder: Path, project: Project) -> None:
    """Write the project's file."""
    data = project.model_dump(mode="json", exclude_none=True)
    settings = {name: value for name, value in data.pop("settings").items() if name != "macros"}
    lines = [HEADER, *(f"{name} = {_toml(value)}" for name, value in data.items()), "", "[settings]"]
    lines += [f"{name} = {_toml(value)}" for name, value in settings.items()]
    if project.settings.macros:
        lines += ["", "[settings.macros]"]
        lines += [f"{_toml(name)} = {_toml(value)}" for name, value in project.settings.macros.items()]
    write_text(folder / FILE, "\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    import json

    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON's escapes are valid TOML if non-ASCII letters are not escaped; TOML also requires DEL escaped
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _validation_error(problem: ValidationError, where: str) -> ProjectError:
    found: Mapping[str, Any] = problem.errors(include_url=False)[0]
    name = ".".join(str(part) for part in found["loc"])[:80]
    what = "is not known" if found["type"] == "extra_forbidden" else str(found["msg"]).removeprefix("Value error, ")
    return ProjectError(f"{name}: {what[:300]}", where=where, remedy="correct that line")


def _unwritable(folder: Path, problem: OSError) -> ProjectError:
    return ProjectError(f"can't be written ({problem.strerror})", where=str(folder), remedy="choose a writable folder")
