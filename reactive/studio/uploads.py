"""Uploaded files: checks of name, kind and size."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reactive.media.safe import plain
from reactive.studio.project import ProjectError, path_fault

MEGA = 1_000_000
SONGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".mka", ".caf")
PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif", ".gif")
FILMS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts")
_ODD = re.compile(r'[<>:"/\\|?*%#\x00-\x1f]')
# bytes of a name, short enough for longer names of files beside it
MAX_NAME_BYTES = 120


@dataclass(frozen=True)
class Kind:
    """A kind of upload: allowed suffixes, largest size, and its folder."""

    suffixes: tuple[str, ...]
    max_bytes: int
    folder: str
    word: str


KINDS: Mapping[str, Kind] = {
    "song": Kind(SONGS, 2_000 * MEGA, "", "song"),
    "photo": Kind(PHOTOS, 300 * MEGA, "photos", "photograph"),
    "film": Kind(FILMS, 20_000 * MEGA, "films", "film"),
    "bundle": Kind((".reactive",), 500 * MEGA, "", "preset bundle"),
}


def kind_of(name: str, wanted: str) -> str:
    """Return the kind of a file that was uploaded as `wanted` (``song``, ``picture`` or ``bundle``).

    Raises
    ------
    ProjectError
        If its suffix is not allowed there.
    """
    suffix = Path(name).suffix.lower()
    kinds = ("photo", "film") if wanted == "picture" else (wanted,)
    for kind in kinds:
        if kind in KINDS and suffix in KINDS[kind].suffixes:
            return kind
    shown = ", ".join(KINDS[kinds[0]].suffixes[:5]) if kinds[0] in KINDS else "nothing"
    word = " or ".join(KINDS[kind].word for kind in kinds if kind in KINDS) or "file"
    raise ProjectError(f"is not a {word}", where=_shown(name), remedy=f"drop a file with an ending such as {shown}")


def safe_name(name: str) -> str:
    """Return a name similar to `name` that is valid on every system."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    cleaned = _ODD.sub("-", plain(last)).strip(" .-")
    stem, suffix = Path(cleaned).stem.strip(" .") or "file", Path(cleaned).suffix.lower()
    while len(stem.encode()) > MAX_NAME_BYTES - len(suffix):
        stem = stem[:-1]
    made = f"{stem.rstrip(' .')}{suffix}"
    return made if path_fault(made) is None else f"file-{made}"


def free_place(folder: Path, name: str) -> Path:
    """Return a path in a folder for a file of this name, with a number added if the name is taken."""
    wanted = folder / name
    taken = (wanted, *(folder / f"{wanted.stem}-{count}{wanted.suffix}" for count in range(2, 10_000)))
    return next(place for place in taken if not place.exists() and not place.is_symlink())


def _shown(name: str) -> str:
    return plain(name)[:80]
