"""Job folders from outside: list them, clean them, go on with one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from reactive.errors import MediaError, OutputError
from reactive.files import hash_file
from reactive.media.safe import regular_file
from reactive.render.clip import Clip
from reactive.render.request import segments_done, settings_from
from reactive.render.run import make_clip
from reactive.render.settings import Progress, Rates, Settings
from reactive.render.store.job import FOLDERS, SUFFIX, folder_size, read_manifest
from reactive.render.store.journal import read_journal


@dataclass(frozen=True)
class FoundJob:
    """A job folder: its clip, ``done``, ``unfinished`` or ``running``, segments finished and planned, its bytes."""

    folder: Path
    clip: str
    state: str
    done: int
    segments: int
    size: int

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data for JSON."""
        return {
            "job": str(self.folder), "clip": self.clip, "state": self.state, "done": self.done,
            "segments": self.segments, "bytes": self.size,
        }  # fmt: skip


def is_job(folder: Path) -> bool:
    """Return whether a folder is a job, by what is in it: nothing else is ever removed."""
    return (folder / "journal").is_file() and all((folder / name).is_dir() for name in FOLDERS)


def find_jobs(folder: Path) -> list[FoundJob]:
    """Return the jobs in a folder, or the one that the folder is.

    Raises
    ------
    OutputError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise OutputError("no such folder", where=str(folder), remedy="check the name")
    if is_job(folder):
        return [inspect_job(folder)]
    return [inspect_job(entry) for entry in sorted(folder.iterdir()) if entry.name.endswith(SUFFIX) and is_job(entry)]


def inspect_job(folder: Path) -> FoundJob:
    """Return what a job folder holds."""
    manifest = read_manifest(folder) or {}
    records, _ = read_journal(folder / "journal")
    done = [record["done"]["request"] for record in records if "done" in record]
    state = "done" if done and done[-1] == manifest.get("request") else "unfinished"
    try:
        with FileLock(folder / "lock", timeout=0, is_singleton=False):
            pass
    except (Timeout, OSError):
        state = "running"
    shapes = 1 + len(manifest.get("settings", {}).get("also", []))
    planned = int(manifest.get("segments", 0))
    finished = min(segments_done(folder) // shapes, planned)
    return FoundJob(folder, str(manifest.get("out", "")), state, finished, planned, folder_size(folder))


def clean_jobs(places: Iterable[Path], *, everything: bool = False) -> list[FoundJob]:
    """Remove finished jobs, with `everything` unfinished ones too; never one that is running.

    Raises
    ------
    OutputError
        If a place is not there, or a job can't be removed.
    """
    removed = []
    for place in places:
        for job in find_jobs(place):
            if job.state == "running" or (job.state != "done" and not everything):
                continue
            try:
                shutil.rmtree(job.folder)
            except OSError as problem:
                raise OutputError(
                    f"can't be removed ({problem.strerror})", where=str(job.folder), remedy="change its permissions"
                ) from None
            removed.append(job)
    return removed


def resume_job(
    folder: Path,
    *,
    song: Path | None = None,
    mixed: bool = False,
    ray: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
    rates: Rates | None = None,
) -> Clip:
    """Go on with a job, wherever its folder and its song have been moved to.

    Parameters
    ----------
    folder
        The job folder; a clip that stood beside it is written beside it.
    song
        Where the song is now; default: where it was, or beside the job.
    mixed
        Go on although versions, device or threads differ.
    ray, workers
        A Ray cluster whose workers go on with it, as `Settings` has them.

    Raises
    ------
    ReactiveError
        If it is no job, its song can't be found or is another one, and whatever `make_clip` raises.
    """
    folder = Path(os.path.abspath(folder))
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        raise OutputError("is no job folder", where=str(folder), remedy="name a folder that ends in .reactive-job")
    settings = settings_from(manifest["settings"], Settings)
    if "lanes" not in manifest["settings"]:
        # begun before lanes had a shape of their own
        settings = replace(settings, lanes=-1)
    beside = folder.with_name(folder.name.removesuffix(SUFFIX))
    out = beside if beside.name == Path(manifest["out"]).name else Path(manifest["out"])
    told = Path(manifest["song"])
    places = [song] if song else [told, folder.parent / told.name]
    found = next((place for place in places if place.is_file()), places[0])
    try:
        regular_file(found)
    except MediaError as problem:
        raise MediaError(problem.what, where=problem.where, remedy="say where the song is now with --song") from None
    if hash_file(found) != manifest["hashes"]["song"]:
        raise MediaError("is not the song of this job", where=str(found), remedy="name the right one with --song")
    settings = replace(settings, job=folder, mixed=mixed, ray=ray, workers=workers)
    return make_clip(found, out, settings, progress=progress, rates=rates)
