"""Checks of the place that a clip, or a file made from it, is written to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reactive.errors import OutputError
from reactive.files import LONGEST_NAME


def check_name(out: Path) -> None:
    """Check that a file may have a name before any work is done for it.

    Raises
    ------
    OutputError
        If it is longer than file systems take.
    """
    if (size := len(os.fsencode(out.name))) > LONGEST_NAME:
        raise OutputError(
            f"has a name of {size} bytes", where=str(out), remedy=f"choose one of at most {LONGEST_NAME} bytes"
        )


def check_output(out: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Check that a clip may be written to `out`.

    Raises
    ------
    OutputError
        If it is one of the inputs, exists without `overwrite`, or its folder can't be written.
    """
    check_name(out)
    try:
        exists = out.exists()
    except OSError as problem:
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(out), remedy="choose a shorter name"
        ) from None
    for given in inputs:
        if exists and given.exists() and os.path.samefile(out, given):
            raise OutputError("is what the clip is made from", where=str(out), remedy="choose another name with -o")
    if out.is_dir():
        raise OutputError("is a folder", where=str(out), remedy="name a file, for instance clip.mp4")
    if exists and not overwrite:
        raise OutputError("exists already", where=str(out), remedy="choose another name with -o, or pass --overwrite")
    if not out.parent.is_dir():
        raise OutputError(
            "the folder does not exist", where=str(out.parent), remedy="make it, or choose another with -o"
        )
    if not os.access(out.parent, os.W_OK):
        raise OutputError("the folder can't be written", where=str(out.parent), remedy="choose another place with -o")
