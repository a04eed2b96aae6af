"""Job folders: list them, clean them, resume one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reactive.errors import MediaError, OutputError, SettingsError
from reactive.files import hash_file
from reactive.media.safe import regular_file
from reactive.media.sound import open_track
from reactive.render.clip import Clip
from reactive.render.request import segments_done
from reactive.render.run import make_clip
from reactive.render.settings import Progress, Rates, Settings
from reactive.render.store.given import Places, find_file, found_again
from reactive.render.store.job import FOLDERS, SUFFIX, folder_size, job_folder, read_manifest
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
    look_in: Sequence[Path] = (),
    mixed: bool = False,
    ray: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
    rates: Rates | None = None,
) -> Clip:
    """Resume a job, also if its folder or its files were moved.

    Parameters
    ----------
    folder
        The job folder; a clip that was beside it is written beside it.
    song
        Where the song is now; default: where it was, or beside the job.
    look_in
        Folders to search for the song, photographs, words, presets and models that were moved, by
        name and hash, after the job's own.
    mixed
        Go on although versions, device or threads differ.
    ray, workers
        A Ray cluster whose workers render it, as `Settings` has them.

    Raises
    ------
    ReactiveError
        If it is not a job, or a file of it is missing or was changed; and whatever `make_clip` raises.
    """
    folder = Path(os.path.abspath(folder))
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        raise OutputError("is no job folder", where=str(folder), remedy="name a folder that ends in .reactive-job")
    for place in look_in:
        if not place.is_dir():
            raise OutputError("no such folder", where=str(place), remedy="check what --look-in names")
    before = Path(manifest.get("folder") or Path(manifest["out"]).parent)
    places = Places(before, folder.parent, tuple(place.absolute() for place in look_in))
    found = song or _find_song(manifest, places)
    _check_song(found, manifest)
    moved, notes = found_again(stored_settings(manifest), manifest.get("files", {}), places)
    try:
        settings = Settings.from_data(moved)
    except SettingsError:
        raise OutputError(
            "holds settings that can't be used here", where=str(folder), remedy="update reactive-clip, or begin it anew"
        ) from None
    out = Path(manifest["out"])
    # a clip that was beside its job is beside it now
    if job_folder(folder.with_name(out.name)) == folder:
        out = folder.with_name(out.name)
    settings = settings.changed(job=folder, mixed=mixed, ray=ray, workers=workers)
    clip = make_clip(found, out, settings, progress=progress, rates=rates)
    return replace(clip, notes=(*notes, *clip.notes))


def stored_settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest's settings by today's names, without those that this version does not know."""
    # its name in older versions; and a job that began before lanes had a shape of their own keeps that
    older = {"hearing": manifest["settings"].get("wishes", {}), "lanes": -1}
    return {name: value for name, value in (older | manifest["settings"]).items() if name in Settings.names()}


def _find_song(manifest: Mapping[str, Any], places: Places) -> Path:
    """Return where a job's song is now, or where it was if it is not found."""
    told = Path(manifest["song"])
    near = places.now / os.path.relpath(told, places.before)
    for path in (told, near, *(folder / told.name for folder in (places.now, *places.more))):
        if path.is_file():
            return path
    digest, size = manifest["hashes"].get("song_file"), manifest.get("song_bytes")
    noted = {"sha256": digest, "bytes": size} if digest and size else None
    return find_file(str(told), noted, places) or told


def _check_song(path: Path, manifest: Mapping[str, Any]) -> None:
    """Check by bytes, or else by sound, that a file is the song of a job."""
    try:
        regular_file(path)
    except MediaError as problem:
        raise MediaError(problem.what, where=problem.where, remedy="say where the song is now with --song") from None
    known = [digest for digest in (manifest["hashes"]["song"], manifest["hashes"].get("song_file")) if digest]
    if hash_file(path) not in known and not open_track(path).is_called(*known):
        raise MediaError("is not the song of this job", where=str(path), remedy="name the right one with --song")
