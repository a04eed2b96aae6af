"""Everything that can go wrong by what a user gave: what was wrong, where, and what to do about it."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

LONGEST = 1000
# how CUDA, cuDNN, cuBLAS, MPS, XPU, torch's allocator for the CPU and the C++ library say it
_NO_MEMORY = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory", "bad_alloc")


class ReactiveError(Exception):
    """Base of all errors that a user can cause.

    Parameters
    ----------
    what
        What is wrong, one clause without a full stop.
    where
        The file, key or option that it concerns; empty if there is none.
    remedy
        What to do, one clause without a full stop; empty if nothing can be advised.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        # what is quoted from a stranger's file may be of any length
        what, remedy = (text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..." for text in (what, remedy))
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the one line that a user reads."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}. {self.remedy[0].upper()}{self.remedy[1:]}." if self.remedy else f"{line}."


def foreseen(problem: BaseException) -> ReactiveError | None:
    """Return what a user reads when memory, threads, a disk or a library fail; None for what is a fault of the program."""
    if isinstance(problem, ReactiveError):
        return problem
    if isinstance(problem, MemoryError | RuntimeError):
        if out_of_memory(problem):
            return ReactiveError("there is not enough memory", remedy="use a smaller --batch or --imagine-size")
        if "start new thread" in str(problem):
            remedy = "end other programs, raise the limit (ulimit -u), or use --threads 1"
            return ReactiveError("no more threads can be started", remedy=remedy)
        return None
    if isinstance(problem, OSError):
        return system_error(problem)
    if isinstance(problem, ImportError):
        # a library that does not fit into the limits of memory or open files, or that is missing
        what = f"a part of the program can't be loaded ({' '.join(str(problem).split())[:200]})"
        remedy = "raise the system's limits (ulimit), or install reactive-clip again"
        return ReactiveError(what, remedy=remedy)
    return None


def system_error(problem: OSError) -> ReactiveError:
    """Return what a user reads when the system refuses something that nobody foresaw, for instance since a disk is gone."""
    where = os.fsdecode(problem.filename) if isinstance(problem.filename, str | bytes) else ""
    gone = problem.errno == errno.ENOENT
    remedy = "is its disk or folder still there" if gone else "check its permissions, the disk and the system's limits"
    return ReactiveError(f"can't be used ({problem.strerror or 'no reason told'})", where=where, remedy=remedy)


def out_of_memory(problem: BaseException | None) -> bool:
    """Return whether an exception, or one that it came of, says that memory ran out, on the host or on a device.

    A failed capture of a graph hides the lack of memory behind an error of its own.
    """
    while problem is not None:
        text = str(problem).lower()
        if isinstance(problem, MemoryError) or (
            isinstance(problem, RuntimeError) and any(s in text for s in _NO_MEMORY)
        ):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


class MediaError(ReactiveError):
    """A song, photograph or video that can't be read."""


class PresetError(ReactiveError):
    """A preset that can't be found or does not say what a preset must say."""


class TimelineError(ReactiveError):
    """A timeline file that can't be rendered, or that belongs to another song."""


class ModelError(ReactiveError):
    """A model that isn't there or can't be used."""


class SettingsError(ReactiveError):
    """A choice that is not known, or whose value can't be."""


class OutputError(ReactiveError):
    """A clip or report that can't be written."""


class GridError(ReactiveError):
    """A correction of beats and bars that can't be applied."""


def install_line(*packages: str) -> str:
    """Return the command that installs packages, or extras of reactive as ``[stems]``, into this very Python; it can be pasted.

    A checkout that reactive was installed from is named by its folder, since extras of a checkout come from there.

    Examples
    --------
    >>> from reactive.errors import install_line
    >>> install_line("pillow-heif").endswith("-m pip install pillow-heif")
    True
    """
    source = _installed_from()
    told = [f"{source[-1]}{name}" if name.startswith("[") else name for name in packages]
    before = source[:-1] if any(name.startswith("[") for name in packages) else []
    command = [sys.executable or "python", "-m", "pip", "install", *before, *told]
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


def _installed_from() -> list[str]:
    """Return what pip takes in place of this installation: the checkout's folder, behind -e if it is editable, or the name."""
    # only when something is missing: these imports take longer than all others here
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        told = json.loads(distribution("reactive-clip").read_text("direct_url.json") or "")
        folder = Path(url2pathname(urlsplit(told["url"]).path))
        if "dir_info" in told and (folder / "pyproject.toml").is_file():
            return [*(["-e"] if told["dir_info"].get("editable") else []), str(folder)]
    except (PackageNotFoundError, ValueError, LookupError, TypeError, OSError):
        pass
    return ["reactive-clip"]
