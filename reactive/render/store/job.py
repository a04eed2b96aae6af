"""The job folder: what a render has finished so far, safe from a crash of the process or the machine.

    .reactive/<OUT>/
        manifest.json   the recipe: song, settings, environment (also a line of the journal)
        journal         one line for each finished file with its sha256, fsynced, never rewritten
        segments/       pieces of video, named by the hash of all that decides them
        flashes/        small pictures of each piece, by which flashes are judged
        states/         the last picture of a feedback segment, which the next one grows out of
        trails/         checkpoints of the feedback segments in progress
        lock, lease     held by the run that works on it

A file counts only if the journal names it and its hash agrees. Files are written under a temporary name, fsynced and
renamed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from reactive.errors import OutputError
from reactive.files import flush_file, flush_folder, hash_file, sweep_partials, write_bytes
from reactive.jsonfile import parse_json
from reactive.render.store.cache_keys import digest
from reactive.render.store.folders import make_root, remove_empty_root
from reactive.render.store.journal import Journal, read_journal
from reactive.render.store.lease import Lease, lease_of
from reactive.video.segment import output_error

FOLDERS = ("segments", "states", "trails")
# for older jobs, which have none
ADDED_FOLDERS = ("flashes", "sounds")


@dataclass(frozen=True)
class JobFile:
    """A finished file of a job: its name within the folder, the sha256 of its bytes, and their number."""

    name: str
    sha256: str
    size: int


class Job:
    """An open job folder; no other run can have it open.

    Parameters
    ----------
    folder
        Made if it is not there.

    Raises
    ------
    OutputError
        If it can't be written, or another run holds it.

    Attributes
    ----------
    began_root
        Whether this run made the folder that holds the jobs of all clips here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # a folder that this run made is removed again if it finished nothing in it
        self.created = not folder.exists()
        self.began_root = False
        try:
            self.began_root = make_root(folder)
            for name in (*FOLDERS, *ADDED_FOLDERS):
                (folder / name).mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / "lock", timeout=0, is_singleton=False, thread_local=False)
            self._lock.acquire()
        except Timeout:
            raise OutputError(
                f"is being rendered by another run ({_holder(folder)})",
                where=str(folder),
                remedy="wait until it is done, or choose another clip with -o",
            ) from None
        except OSError as problem:
            raise output_error(folder, problem) from None
        try:
            self._lease = Lease(folder)
            self._sweep()
            self.journal = Journal(folder / "journal")
        except OSError as problem:
            self._give_up()
            raise output_error(folder, problem) from None
        except BaseException:
            self._give_up()
            raise
        self.entries = entries_of(self.journal.records)
        self._checked: dict[str, bool] = {}

    def _give_up(self) -> None:
        """Remove what was made of a job that could not be opened."""
        self._lock.release()
        if self.created:
            shutil.rmtree(self.folder, ignore_errors=True)
            remove_empty_root(self.folder.parent)

    @property
    def owner(self) -> str:
        """The text in this run's lease, which no other run has."""
        return self._lease.owner

    def _sweep(self) -> None:
        """Remove what a killed run left half written."""
        for name in (*FOLDERS, *ADDED_FOLDERS):
            for file in (self.folder / name).iterdir():
                # finished files have no dot before their suffix
                if file.name.startswith(".") or len(file.suffixes) > 1:
                    file.unlink(missing_ok=True)

    def is_intact(self, name: str) -> bool:
        """Return whether a file is finished and has the bytes that it was finished with."""
        if name not in self._checked:
            self._checked[name] = name in self.entries and is_whole(self.folder, self.entries[name])
        return self._checked[name]

    def is_known(self, name: str) -> bool:
        """Return whether a file was found intact, or finished, since the job was opened; reads nothing, so any thread may ask."""
        return self._checked.get(name, False)

    def accept(self, entry: JobFile) -> None:
        """Add a finished file, written by `finish_file`, to the journal.

        Raises
        ------
        OutputError
            If another machine has taken the job over because this one did not renew its lease.
        """
        self._lease.check()
        self.journal.append({"file": entry.name, "sha256": entry.sha256, "bytes": entry.size})
        self.entries[entry.name] = entry
        self._checked[entry.name] = True

    def keep(self, name: str, data: bytes) -> None:
        """Write a small file and add it to the journal."""
        write_bytes(self.folder / name, data, durable=True)
        self.accept(JobFile(name, hash_file(self.folder / name), len(data)))

    def last(self, kind: str) -> dict[str, Any] | None:
        """Return the newest record of a kind."""
        return next((record[kind] for record in reversed(self.journal.records) if kind in record), None)

    def set_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest to its file and to the journal, so that either may be lost."""
        if self.last("manifest") != manifest:
            self.journal.append({"manifest": manifest})
        try:
            write_manifest(self.folder, manifest)
        except OSError as problem:
            raise output_error(self.folder / "manifest.json", problem) from None

    def close(self) -> None:
        """Release the folder; if this run made it and finished no segment, it is removed."""
        self.journal.close()
        self._lease.close()
        worth = any(name.startswith("segments") for name in self.entries) or _holds_any(self.folder / "trails")
        if self.created and not worth:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()
        if self.created and not worth:
            with contextlib.suppress(OSError):
                (self.folder / "lock").unlink(missing_ok=True)
                self.folder.rmdir()
            remove_empty_root(self.folder.parent)

    def __enter__(self) -> Job:
        """Return the job itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the folder."""
        self.close()


def _holds_any(folder: Path) -> bool:
    """Return whether a folder has anything in it; a folder that is gone (a disk was unplugged) has nothing."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _holder(folder: Path) -> str:
    held = lease_of(folder)
    return str(held) if held else "just starting"


def sweep(outs: Sequence[Path]) -> None:
    """Remove the temporary files that a killed run left of its clips; only the holder of the clips' job may do so."""
    for out in outs:
        sweep_partials(out)


def finish_file(folder: Path, name: str, partial: Path) -> JobFile:
    """Finish a file: fsync, hash, rename; return its entry for the journal.

    Raises
    ------
    OSError
        If the disk is full or fails.
    """
    flush_file(partial)
    entry = JobFile(name, hash_file(partial), partial.stat().st_size)
    os.replace(partial, folder / name)
    flush_folder((folder / name).parent)
    return entry


def entries_of(records: list[dict[str, Any]]) -> dict[str, JobFile]:
    """Return the finished files that a journal names."""
    found = {}
    for record in records:
        # only names that we write ourselves: a journal from elsewhere must not point out of its folder
        if (
            "file" in record
            and Path(record["file"]).name == record["file"].split("/")[-1]
            and ".." not in record["file"]
        ):
            found[record["file"]] = JobFile(record["file"], record["sha256"], record["bytes"])
    return found


def is_whole(folder: Path, entry: JobFile) -> bool:
    """Return whether a file has the bytes that the journal lists."""
    path = folder / entry.name
    try:
        return path.stat().st_size == entry.size and hash_file(path) == entry.sha256
    except OSError:
        return False


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    text = json.dumps({"sha256": digest(manifest), "manifest": manifest}, indent=1, ensure_ascii=False)
    write_bytes(folder / "manifest.json", text.encode(), durable=True)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return a job's manifest: from its file, or if that is damaged, from its journal."""
    try:
        data = parse_json((folder / "manifest.json").read_bytes())
        if digest(data["manifest"]) == data["sha256"]:
            return dict(data["manifest"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    records, _ = read_journal(folder / "journal")
    return next((record["manifest"] for record in reversed(records) if "manifest" in record), None)


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
