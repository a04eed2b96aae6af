"""The queue of renders: one small file for each in the project's folder, independent of page and server.

renders/
    001.json            the project when it was queued, the render's state and result
    001 song.mp4        the clip, with its job and poster beside it
    .001.progress       progress of the rendering process
    .001.stop           tells that process to pause or cancel
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reactive.files import write_text
from reactive.jsonfile import parse_json
from reactive.render.store.folders import job_folder, remove_empty_root
from reactive.studio.project import Project, ProjectError, RelativePath, inside, path_fault
from reactive.video.codec import SUFFIXES

FOLDER = "renders"
LOCK = ".worker.lock"
MAX_RENDERS = 500
MAX_BYTES = 2_000_000
State = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
WAITING: tuple[State, ...] = ("queued", "running")
_ID = re.compile(r"[0-9]{3,6}")


class Render(BaseModel):
    """One render: the project when it was queued, and its result.

    Attributes
    ----------
    id, state
        Its number in the queue, and its state.
    project
        The project; its shots file is a copy that does not change.
    corrections
        The corrections of the grid at that time.
    clip
        The clip's file within the project.
    queued_at
        Seconds since 1970.
    problem
        Why it failed.
    result
        The `Clip.to_dict`, and the score.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9]{3,6}$")
    state: State
    project: Project
    corrections: dict[str, Any]
    clip: RelativePath
    queued_at: float
    problem: str = ""
    result: dict[str, Any] = Field(default_factory=dict)


def queue_render(folder: Path, project: Project, corrections: dict[str, Any]) -> Render:
    """Queue a project in its current state.

    Raises
    ------
    ProjectError
        If it has no song, or the queue is full.
    """
    if not project.song:
        raise ProjectError("has no song yet", where="the project", remedy="drop one first")
    known = list_renders(folder)
    if len(known) >= MAX_RENDERS:
        raise ProjectError(f"holds {MAX_RENDERS} renders already", where="the queue", remedy="remove some")
    number = f"{max([int(render.id) for render in known], default=0) + 1:03d}"
    if project.shots and (shots := inside(folder, project.shots)).is_file():
        # beside the photographs that it names
        copy = shots.with_name(f"shots-{number}.toml")
        shutil.copyfile(shots, copy)
        project = project.model_copy(update={"shots": copy.relative_to(folder).as_posix()})
    stem = Path(project.song).stem[:60].strip(" .") or "clip"
    end = clip_suffix(project.settings.place)
    clip = f"{FOLDER}/{number} {stem}{end}"
    if path_fault(clip):
        clip = f"{FOLDER}/{number}{end}"
    render = Render(
        id=number, state="queued", project=project, corrections=corrections, clip=clip, queued_at=time.time()
    )
    inside(folder, FOLDER).mkdir(exist_ok=True)
    write_render(folder, render)
    return render


def clip_suffix(place: str) -> str:
    """Return the end of a clip's name for a place of `reactive run --for`, such as ``.reels.mp4``; without one ``.mp4``."""
    if not place:
        return ".mp4"
    from reactive.render.targets import target_path, targets

    target = targets()[place]
    return target_path(Path("x"), target, SUFFIXES[target.codec]).name[1:]


def list_renders(folder: Path) -> list[Render]:
    """Return the renders of a project, oldest first; other files are ignored."""
    place = folder / FOLDER
    if place.is_symlink() or not place.is_dir():
        return []
    found = []
    for file in sorted(place.glob("*.json")):
        if _ID.fullmatch(file.stem):
            with contextlib.suppress(ProjectError):
                found.append(read_render(folder, file.stem))
    return found


def read_render(folder: Path, number: str) -> Render:
    """Return a render.

    Raises
    ------
    ProjectError
        If there is none of that number, or its file is damaged.
    """
    if not _ID.fullmatch(number):
        raise ProjectError("is not a render", where=number[:40])
    file = inside(folder, f"{FOLDER}/{number}.json")
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError("is too large")
        return Render.model_validate(parse_json(file.read_bytes()))
    except FileNotFoundError:
        raise ProjectError("there is no such render", where=number, remedy="reload the list") from None
    except (OSError, ValueError, ValidationError):
        raise ProjectError("can't be read", where=f"{FOLDER}/{number}.json", remedy="remove it") from None


def write_render(folder: Path, render: Render) -> None:
    """Write a render's file."""
    write_text(folder / FOLDER / f"{render.id}.json", render.model_dump_json(indent=1) + "\n", durable=True)


def set_state(folder: Path, number: str, state: State, **more: Any) -> Render:
    """Set a render's state."""
    with FileLock(folder / FOLDER / f".{number}.lock", timeout=10):
        changed = read_render(folder, number).model_copy(update={"state": state, **more})
        write_render(folder, changed)
    return changed


def stop_file(folder: Path, number: str) -> Path:
    """Return the file that stops the rendering process: it contains ``pause`` or ``cancel``."""
    return folder / FOLDER / f".{number}.stop"


def progress_file(folder: Path, number: str) -> Path:
    """Return the file with the rendering process's progress."""
    return folder / FOLDER / f".{number}.progress"


def poster_file(folder: Path, number: str) -> Path:
    """Return the poster of a finished clip."""
    return folder / FOLDER / f"{number}.jpg"


def job_of(folder: Path, render: Render) -> Path:
    """Return the job folder of a render.

    Raises
    ------
    ProjectError
        If it is in the project, but leads elsewhere by a symbolic link.
    """
    job = job_folder(folder / render.clip)
    if job.is_relative_to(folder) and any(place.is_symlink() for place in (job.parent, job, job / "segments")):
        raise ProjectError("is a symbolic link", where=job.name, remedy="remove it")
    return job


def read_progress(folder: Path, number: str) -> dict[str, Any]:
    """Return a render's progress: ``stage``, ``done``, ``total``, ``began`` and ``rate``; empty if unknown."""
    try:
        data = parse_json(progress_file(folder, number).read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def pause_render(folder: Path, number: str, how: Literal["pause", "cancel"]) -> Render:
    """Pause a render, or cancel it; its finished parts stay until it is removed."""
    render = read_render(folder, number)
    if render.state not in (*WAITING, "paused"):
        return render
    if render.state == "running" and is_working(folder):
        # in place of a link of this name, never through it
        write_text(stop_file(folder, number), how)
        return render
    return set_state(folder, number, "paused" if how == "pause" else "cancelled")


def resume_render(folder: Path, number: str) -> Render:
    """Queue a paused, cancelled or failed render again; it resumes where it stopped."""
    render = read_render(folder, number)
    if render.state not in ("paused", "cancelled", "failed"):
        return render
    stop_file(folder, number).unlink(missing_ok=True)
    return set_state(folder, number, "queued", problem="")


def remove_render(folder: Path, number: str) -> None:
    """Remove a render, its clip and its job.

    Raises
    ------
    ProjectError
        If it is being rendered.
    """
    render = read_render(folder, number)
    if render.state == "running" and is_working(folder):
        raise ProjectError("is being rendered", where=render.clip, remedy="cancel it first")
    clip = inside(folder, render.clip)
    for file in (
        clip,
        *(file for suffix in set(SUFFIXES.values()) for file in (folder / FOLDER).glob(f"{number} *{suffix}")),
        poster_file(folder, number),
        progress_file(folder, number),
        stop_file(folder, number),
        folder / FOLDER / f".{number}.lock",
    ):
        file.unlink(missing_ok=True)
    # nothing elsewhere is removed
    with contextlib.suppress(ProjectError):
        job = job_of(folder, render)
        if (job / "journal").is_file():
            shutil.rmtree(job, ignore_errors=True)
            remove_empty_root(job.parent)
    if Path(render.project.shots).name == f"shots-{number}.toml":
        inside(folder, render.project.shots).unlink(missing_ok=True)
    (folder / FOLDER / f"{number}.json").unlink(missing_ok=True)


def is_working(folder: Path) -> bool:
    """Return whether a process is rendering this project's queue."""
    if (folder / FOLDER).is_symlink() or not (folder / FOLDER).is_dir():
        return False
    try:
        with FileLock(folder / FOLDER / LOCK, timeout=0, is_singleton=False):
            return False
    except (Timeout, OSError):
        return True


def start_worker(folder: Path) -> None:
    """Start a process that renders the queue, unless one is running; it survives the caller."""
    if is_working(folder) or not any(render.state in WAITING for render in list_renders(folder)):
        return
    detached: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        detached = {"creationflags": 0x00000208}  # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
    with _appended(folder / FOLDER / ".worker.log") as log:
        subprocess.Popen(
            [sys.executable, "-m", "reactive.studio.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **detached,
        )


def _appended(file: Path) -> BinaryIO:
    """Open a log to append to; one that is a symbolic link is replaced: a project may come from anybody."""
    if file.is_symlink():
        file.unlink()
    return file.open("ab")


def render_for_page(folder: Path, render: Render) -> dict[str, Any]:
    """Return a render for the page."""
    settings = render.project.settings
    shown: dict[str, Any] = {
        "id": render.id,
        "state": render.state,
        "name": Path(render.clip).name,
        "queued_at": render.queued_at,
        "problem": render.problem,
        "preset": render.project.preset,
        "start": settings.start,
        "duration": settings.duration,
        "size": settings.size,
        "place": settings.place,
        "poster": poster_file(folder, render.id).is_file(),
        "stopping": stop_file(folder, render.id).exists(),
        "result": render.result,
        "bytes": 0,
    }
    if render.state == "running":
        shown["progress"] = read_progress(folder, render.id)
    with contextlib.suppress(OSError):
        shown["bytes"] = (folder / render.clip).stat().st_size
    return shown
