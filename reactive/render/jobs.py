"""Resume a render from its job folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reactive.errors import MediaError, OutputError, SettingsError
from reactive.files import hash_file
from reactive.media.safe import regular_file
from reactive.media.sound import open_track
from reactive.render.clip import Clip
from reactive.render.kept import is_job
from reactive.render.run import make_clip
from reactive.render.settings import Progress, Rates, Settings
from reactive.render.store.folders import clip_of, clips_folder, job_folder
from reactive.render.store.given import Places, find_file, found_again
from reactive.render.store.job import read_manifest


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
        The job folder, or its clip; a clip that was beside it is written beside it.
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
    if not is_job(folder) and is_job(job_folder(folder)):
        folder = job_folder(folder)
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        raise OutputError("is no job folder", where=str(folder), remedy="name a clip, or one of `reactive jobs list`")
    for place in look_in:
        if not place.is_dir():
            raise OutputError("no such folder", where=str(place), remedy="check what --look-in names")
    before = Path(manifest.get("folder") or Path(manifest["out"]).parent)
    places = Places(before, clips_folder(folder, Path(manifest["out"])), tuple(place.absolute() for place in look_in))
    found = song or _find_song(manifest, places)
    _check_song(found, manifest)
    moved, notes = found_again(stored_settings(manifest), manifest.get("files", {}), places)
    try:
        settings = Settings.from_data(moved)
    except SettingsError:
        raise OutputError(
            "holds settings that can't be used here", where=str(folder), remedy="update reactive-clip, or begin it anew"
        ) from None
    out = clip_of(folder, Path(manifest["out"]))
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
