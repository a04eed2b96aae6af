"""Where renders keep what they have finished: one folder `.reactive` beside the clips, or the one that REACTIVE_JOBS names.

    .reactive/
        CACHEDIR.TAG        backup programs leave the folder out
        clip.mp4/           the job of clip.mp4, see `reactive.render.store.job`
    <REACTIVE_JOBS>/
        clip.mp4~1a2b3c4d/  the same, with the hash of its clip's folder

Jobs of older versions lie beside their clip, as ``clip.mp4.reactive-job``, and are used where they are.
The commands read this before torch is loaded, so nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from reactive.files import name_beside, write_text

ROOT, OLD_SUFFIX = ".reactive", ".reactive-job"
TAG = "CACHEDIR.TAG"
# the first line is what the specification of cache folders asks for (bford.info/cachedir)
_TAG_TEXT = """Signature: 8a477f597d28d172789f06886806bc55
# Finished parts of renders by reactive. `reactive jobs list` lists them, `reactive jobs clean` removes them.
"""


def job_folder(out: Path, job: Path | None = None) -> Path:
    """Return the folder of a clip's job: `job` if it is given, else one that an older version made, else its own in the root."""
    if job is not None:
        return job
    beside = out.with_name(name_beside(out.name, OLD_SUFFIX))
    folder = jobs_root(out.parent) / _name(out)
    return beside if beside.is_dir() and not folder.exists() else folder


def jobs_root(clips: Path) -> Path:
    """Return the folder with the jobs of the clips in a folder."""
    given = os.environ.get("REACTIVE_JOBS")
    return Path(given) if given else clips / ROOT


def clip_of(job: Path, out: Path) -> Path:
    """Return where a job's clip is now: beside its folder if it was there, also if both were moved, else where it was."""
    if job.parent.name == ROOT and job.name == name_beside(out.name, ""):
        return job.parent.parent / out.name
    return job.with_name(out.name) if job.name == name_beside(out.name, OLD_SUFFIX) else out


def clips_folder(job: Path, out: Path) -> Path:
    """Return the folder from which a job's files are searched: the one of its clip, and with a job of its own place the job's."""
    if job.parent.name == ROOT:
        return job.parent.parent
    return out.parent if is_root(job.parent) else job.parent


def make_root(folder: Path) -> bool:
    """Make the root that a job's folder lies in, with its tag; return whether it is new.

    Raises
    ------
    OSError
        If it can't be written.
    """
    root = folder.parent
    if not is_root(root) or (root / TAG).exists():
        return False
    root.mkdir(parents=True, exist_ok=True)
    write_text(root / TAG, _TAG_TEXT)
    return True


def is_root(folder: Path) -> bool:
    """Return whether a folder is one that holds jobs of many clips."""
    given = os.environ.get("REACTIVE_JOBS")
    return folder.name == ROOT or bool(given and folder.absolute() == Path(given).absolute())


def remove_empty_root(root: Path) -> None:
    """Remove a root in which there is no job any more."""
    with contextlib.suppress(OSError):
        if is_root(root) and {entry.name for entry in root.iterdir()} <= {TAG}:
            (root / TAG).unlink(missing_ok=True)
            root.rmdir()


def _name(out: Path) -> str:
    if not os.environ.get("REACTIVE_JOBS"):
        return name_beside(out.name, "")
    # clips of one name in two folders
    place = hashlib.sha256(os.fsencode(out.parent.absolute())).hexdigest()[:8]
    return name_beside(out.name, f"~{place}")
