"""Job folders: list them, clean them, and keep those of finished clips within a size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from reactive.errors import OutputError
from reactive.render.request import segments_done
from reactive.render.store.folders import ROOT, is_root, jobs_root, remove_empty_root
from reactive.render.store.job import FOLDERS, folder_size, read_manifest
from reactive.render.store.journal import read_journal
from reactive.video.fitted import parse_bytes

# 40 clips of three minutes at 768x432, or 8 at 1920x1080
MOST = "5GB"


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
            "job": str(self.folder),
            "clip": self.clip,
            "state": self.state,
            "done": self.done,
            "segments": self.segments,
            "bytes": self.size,
        }


def is_job(folder: Path) -> bool:
    """Return whether a folder is a job, by what is in it: nothing else is ever removed."""
    return (folder / "journal").is_file() and all((folder / name).is_dir() for name in FOLDERS)


def find_jobs(folder: Path) -> list[FoundJob]:
    """Return the jobs of the clips in a folder, or the one that the folder is; those of older versions too.

    Raises
    ------
    OutputError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise OutputError("no such folder", where=str(folder), remedy="check the name")
    if is_job(folder):
        return [inspect_job(folder)]
    places = dict.fromkeys((folder, folder / ROOT))
    found = [
        inspect_job(entry) for place in places if place.is_dir() for entry in sorted(place.iterdir()) if is_job(entry)
    ]
    root = jobs_root(folder)
    if root not in places and root.is_dir():
        here = folder.absolute()
        every = [inspect_job(entry) for entry in sorted(root.iterdir()) if is_job(entry)]
        found += [job for job in every if Path(job.clip).parent == here]
    return found


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
            remove_empty_root(job.folder.parent)
            removed.append(job)
    return removed


def most_bytes() -> int:
    """Return how many bytes the jobs of one folder may have: REACTIVE_JOBS_SIZE, or 5 GB.

    Raises
    ------
    OutputError
        If REACTIVE_JOBS_SIZE is not a size.
    """
    return parse_bytes(os.environ.get("REACTIVE_JOBS_SIZE") or MOST, where="REACTIVE_JOBS_SIZE")


def limit_jobs(root: Path, *, most: int, keep: Path) -> list[FoundJob]:
    """Remove jobs of finished clips, the oldest first, until a root holds at most `most` bytes; return those removed.

    Unfinished and running jobs stay, and so does `keep`, whatever they take.
    """
    if not is_root(root) or not root.is_dir():
        return []
    jobs = sorted(filter(is_job, root.iterdir()), key=lambda folder: (folder / "journal").stat().st_mtime)
    total, removed = sum(map(folder_size, jobs)), []
    for folder in jobs:
        if total <= most:
            break
        if folder == keep:
            continue
        job = inspect_job(folder)
        if job.state == "done":
            shutil.rmtree(folder, ignore_errors=True)
            total -= job.size
            removed.append(job)
    return removed
