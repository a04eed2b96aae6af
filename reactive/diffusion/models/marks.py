"""Folders of models whose JSON and text files begin with a byte-order mark, as editors on Windows write it.

The libraries that load models do not accept the mark, so they get a copy of the folder without it.
"""

from __future__ import annotations

import codecs
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reactive.jsonfile import parse_json

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def without_marks(folder: Path) -> Iterator[Path]:
    """Yield a folder as it is, or within the block a copy without marks."""
    marked = [file for file in folder.iterdir() if file.suffix in (".json", ".txt") and _is_marked(file)]
    if not marked:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="reactive-model-") as room:
        for file in folder.iterdir():
            if file in marked:
                Path(room, file.name).write_text(_text(file), encoding="utf-8")
            elif file.is_file():
                _stand_in(file, Path(room, file.name))
        yield Path(room)


def _is_marked(file: Path) -> bool:
    try:
        with file.open("rb") as handle:
            return handle.read(3).startswith(_MARKS)
    except OSError:
        return False


def _text(file: Path) -> str:
    data = file.read_bytes()
    if file.suffix == ".json":
        try:
            return json.dumps(parse_json(data))
        except ValueError:
            # the loader reports the error
            return data.decode("utf-8", "replace")
    return data.decode("utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-16", "replace")


def _stand_in(file: Path, place: Path) -> None:
    """Link a file to a second name, or copy it if the system has no links."""
    try:
        os.symlink(file.resolve(), place)
    except OSError:
        shutil.copyfile(file, place)
