"""The kinds of files that a preset's folder may have, and a check of each by its contents, not only its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reactive.errors import MediaError, PresetError
from reactive.media.safe import fault_of, plain, read_bytes, read_text
from reactive.preset.archive import MAX_FILES, MAX_TOTAL, collision, name_fault
from reactive.preset.installed import PRESET_FILE
from reactive.preset.schema import check_preset, read_preset
from reactive.preset.toml import parse_toml

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
WORDS = (".lrc", ".srt")
TEXTS = (".txt", ".md")
FONTS = (".ttf", ".otf")
TABLES = (".cube",)
TENSORS = ".safetensors"
LICENCES = ("LICENSE", "LICENCE")
MANIFEST = "manifest.json"
MAX_TEXT = 1_000_000
MAX_FONT = 50_000_000
_FONT_SIGNS = (b"\x00\x01\x00\x00", b"OTTO", b"true")


def kind_of(name: str) -> str | None:
    """Return the kind of a bundle's file by its name: preset, picture, video, words, text, font, table or tensors, else None."""
    if name == PRESET_FILE:
        return "preset"
    if name in LICENCES:
        return "text"
    suffix = os.path.splitext(name)[1].lower()
    kinds = {"picture": PICTURES, "video": VIDEOS, "words": WORDS, "text": TEXTS, "font": FONTS, "table": TABLES}
    kinds["tensors"] = (TENSORS,)
    return next((kind for kind, suffixes in kinds.items() if suffix in suffixes), None)


def check_content(path: Path, name: str) -> None:
    """Check that a file's contents fit its name.

    Parameters
    ----------
    path
        Where it is now.
    name
        Its name in the bundle.

    Raises
    ------
    PresetError, MediaError
        If its kind is not allowed, its contents do not fit, or it is too large.
    """
    kind = kind_of(name)
    if kind is None:
        raise PresetError("can't be in a bundle", where=name, remedy="leave it out")
    try:
        if kind == "preset":
            check_texts(path, name)
        elif kind == "picture":
            from reactive.media.picture import check_picture

            check_picture(path)
        elif kind == "video":
            from reactive.media.clock import picture_stream
            from reactive.media.safe import open_container

            with open_container(path) as container:
                if picture_stream(container) is None:
                    raise MediaError("has no pictures in it", where=name, remedy="leave it out")
        elif kind == "table":
            from reactive.media.cube import read_cube

            read_cube(path)
        elif kind == "tensors":
            from reactive.media.tensors import check_tensors

            check_tensors(path)
        elif kind == "font":
            if read_bytes(path, limit=MAX_FONT)[:4] not in _FONT_SIGNS:
                raise MediaError("is not a font", where=name, remedy="leave it out")
        else:
            fault = fault_of(read_text(path, limit=MAX_TEXT), keep="\n\t")
            # SubRip marks italics by <i>, which is stripped before words are shown
            if fault and (kind == "text" or "control" in fault):
                raise PresetError(fault, where=name, remedy="write plain text")
    except MediaError as problem:
        # errors have the name in the bundle, not the temporary path
        raise PresetError(problem.what, where=name, remedy=problem.remedy) from None


def check_texts(path: Path, name: str) -> Any:
    """Return a file's preset after checking that every text in it can safely be shown.

    Raises
    ------
    PresetError
        If it is not a preset, or a text in it has control characters or HTML.
    """
    data = parse_toml(read_preset(path), where=name)
    for text in _texts(data):
        fault = fault_of(text)
        if fault:
            raise PresetError(f'"{plain(text)[:60]}" {fault}', where=name, remedy="write plain words")
    return check_preset(data, where=name)


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)


def files_of(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files of a preset's folder that a bundle may hold, by name and sorted, and names of those left out.

    Hidden files and the manifest of an installed bundle are skipped.

    Raises
    ------
    PresetError
        If there are links, too many files, too many bytes, or names that not every system allows.
    """
    found: dict[str, Path] = {}
    left: list[str] = []
    total = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for one in sorted([*folders, *names]):
            path = Path(root, one)
            name = path.relative_to(folder).as_posix()
            if one.startswith(".") or name == MANIFEST:
                continue
            if path.is_symlink():
                raise PresetError("is a link", where=str(path), remedy="put the file itself there")
            if one in folders:
                continue
            if not path.is_file() or kind_of(name) is None:
                left.append(name)
                continue
            fault = name_fault(name)
            if fault:
                raise PresetError(f"its name {fault}", where=str(path), remedy="give it another name")
            found[name] = path
            total += path.stat().st_size
            if len(found) > MAX_FILES or len(left) > MAX_FILES or total > MAX_TOTAL:
                remedy = f"a preset's folder holds at most {MAX_FILES} files and {MAX_TOTAL:,} bytes"
                raise PresetError("holds too much", where=str(folder), remedy=remedy)
    twice = collision(list(found))
    if twice:
        raise PresetError("collides with another name", where=twice, remedy="give it another name")
    return dict(sorted(found.items())), left
