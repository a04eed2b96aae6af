"""Photographs by name and by words: the library that ships, and the band's own.

Every picture of the library is CC0 or in the public domain, so that a clip may be posted and sold without conditions; the
manifest beside them has each one's author and source.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from reactive.errors import MediaError
from reactive.media.described import read_description
from reactive.sources.depth_map import is_map
from reactive.sources.footage import FILMS
from reactive.sources.meaning import cosines, embed
from reactive.sources.wording import shared_words, things

FOLDER = Path(__file__).resolve().parent.parent / "data" / "imagery"
MANIFEST = FOLDER / "manifest.tsv"
COLUMNS = ("name", "caption", "tags", "author", "licence", "source", "path", "commit", "focus", "sha256")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif")
CAPTIONS = "captions.tsv"
# prompts before a picture may come again
APART = 8
MOST = 500
# least scores of a picture that fits
WORDS = 0.35
MEANING = 0.6
# names that cameras, phones and programs give, without meaning
_CAMERA = re.compile(
    r"^(img|dsc[fn]?|dscn|pxl|mvimg|photo|image|picture|screenshot|scan|vid|gopr|dji|whatsapp image|untitled|[a-z]?)"
    r"[\s_\-.()0-9]*(wa|at|hdr|edit|copy|am|pm|night|portrait)?[\s_\-.()0-9~]*$"
)

How = Literal["words", "meaning", "turns"]


@dataclass(frozen=True)
class Entry:
    """A photograph that can be chosen.

    Attributes
    ----------
    name
        Its name: in the library a short word or two, for a band's own its file name.
    path
        The file.
    caption, tags
        What it shows; a band's own may have neither.
    author, licence, source
        Its author, licence and source; empty for a band's own.
    focus
        The point of interest, x and y from 0 to 1 of the whole picture; None if it is not known.
    sha256
        The hash of the library's file; empty for a band's own.
    """

    name: str
    path: Path
    caption: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    licence: str = ""
    source: str = ""
    focus: tuple[float, float] | None = None
    sha256: str = ""

    @property
    def own(self) -> bool:
        """Whether it is the band's own, which credits leave out."""
        return not self.licence

    @property
    def words(self) -> str:
        """All its words."""
        return ", ".join(filter(None, (self.caption, *self.tags)))


@dataclass(frozen=True)
class Match:
    """A picture found for a prompt.

    Attributes
    ----------
    entry
        The picture.
    score
        How well it fits, 0 to 1; words and meaning have two scales; 0 for pictures in turn.
    how
        By shared words, by meaning, or in turn.
    """

    entry: Entry
    score: float
    how: How


@cache
def library() -> tuple[Entry, ...]:
    """Return the pictures that ship, by name.

    Raises
    ------
    MediaError
        If the library is missing from the installation.
    """
    try:
        with MANIFEST.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError:
        raise MediaError(
            "the library of photographs is missing", where=str(MANIFEST), remedy="install reactive-clip again"
        ) from None
    return tuple(
        Entry(
            name=row["name"],
            path=FOLDER / f"{row['name']}.webp",
            caption=row["caption"],
            tags=tuple(row["tags"].split(",")),
            author=row["author"],
            licence=row["licence"],
            source=f"{row['source']} ({row['path']}, {row['commit']})",
            focus=_pair(row["focus"]),
            sha256=row["sha256"],
        )
        for row in rows
    )


def find_picture(name: str) -> Entry:
    """Return the picture of the library with a name.

    Raises
    ------
    MediaError
        If there is none; the remedy has a similar name.
    """
    from difflib import get_close_matches

    named = {entry.name: entry for entry in library()}
    if name in named:
        return named[name]
    near = get_close_matches(name, named, n=1)
    raise MediaError(
        f'the library has no picture "{name}"',
        remedy=f'did you mean "{near[0]}"' if near else "`reactive imagery list` names them",
    )


def own_pictures(paths: Iterable[Path]) -> tuple[Entry, ...]:
    """Return a band's own photographs with their captions.

    A caption comes from ``captions.tsv`` beside the file (file name, tab, caption), else from the description in the file
    (XMP, IPTC or EXIF), else from its name, unless a camera gave it.

    Raises
    ------
    MediaError
        If a photograph or a table of captions can't be read.
    """
    tables: dict[Path, dict[str, str]] = {}
    entries = []
    for path in paths:
        folder = path.parent
        if folder not in tables:
            tables[folder] = _captions(folder)
        caption = tables[folder].get(path.name) or _described(path) or _said_by_name(path.stem)
        entries.append(Entry(path.name, path, caption))
    return tuple(entries)


def _described(path: Path) -> str:
    # films have no common format of descriptions
    return "" if path.suffix.lower() in FILMS else read_description(path)


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """Return the photographs of a folder by name; hidden and other files are left out.

    Raises
    ------
    MediaError
        If it is not a folder that can be read, or has no photograph or more than 500.
    """
    try:
        found = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not is_map(path) and path.is_file()
        )
    except OSError as problem:
        raise MediaError(
            f"is not a folder that can be read ({problem.strerror})", where=str(folder), remedy="name a folder"
        ) from None
    if not found:
        raise MediaError(
            "holds no photograph", where=str(folder), remedy=f"put {', '.join(SUFFIXES[:4])} files into it"
        )
    if len(found) > MOST:
        raise MediaError(
            f"holds {len(found):,} photographs, more than {MOST}", where=str(folder), remedy="choose the best of them"
        )
    return tuple(found)


def ranked(prompt: str, entries: Sequence[Entry]) -> Iterator[Match]:
    """Yield the pictures that fit a prompt, best first.

    First those that share words with it: rare ones count more, and words of colour and light not at all, since these come from the
    painting. Then those whose words mean nearly the same to ember's text encoder.

    Parameters
    ----------
    entries
        The pictures to choose from; of equals the first comes first.
    """
    known = [entry for entry in entries if entry.words]
    if not known:
        return
    scores = shared_words(prompt, [entry.words for entry in known])
    order = sorted(range(len(known)), key=lambda number: -scores[number])
    by_words = [number for number in order if scores[number] >= WORDS]
    for number in by_words:
        yield Match(known[number], scores[number], "words")
    asked = things(prompt)
    if not asked:
        return
    vectors = _vectors(tuple(entry.words for entry in known))
    near = cosines(embed([asked])[0] - _mean(), vectors - _mean()).tolist()
    for number in sorted(range(len(known)), key=lambda number: -near[number]):
        if near[number] < MEANING:
            break
        if number not in by_words:
            yield Match(known[number], near[number], "meaning")


def match(prompt: str, entries: Sequence[Entry], *, taken: Collection[str] = ()) -> Match | None:
    """Return the picture that fits a prompt best (see `ranked`), or None if none does.

    Parameters
    ----------
    entries
        The pictures to choose from.
    taken
        Names of pictures that must not come again yet.
    """
    return next((one for one in ranked(prompt, entries) if one.entry.name not in taken), None)


def match_all(
    prompts: Sequence[str], own: Sequence[Entry] = (), entries: Sequence[Entry] | None = None
) -> list[Match | None]:
    """Return a picture for each prompt in the order in which they are shown; none comes twice within 8 prompts.

    The band's own come before the library: those that fit are used, and the library only if none does. Own pictures
    without words can't fit; they are used in turn if nothing else fits, and always if no own picture
    has words.

    Parameters
    ----------
    own
        The band's own pictures.
    entries
        The library; None for the one that ships.
    """
    shipped = library() if entries is None else entries
    unknown = [entry for entry in own if not entry.words]
    silent = bool(own) and len(unknown) == len(own)
    found: list[Match | None] = []
    for number, prompt in enumerate(prompts):
        taken = {one.entry.name for one in found[-(APART - 1) :] if one is not None}
        chosen = None
        if not silent:
            chosen = match(prompt, own, taken=taken) or match(prompt, shipped, taken=taken)
        if chosen is None and unknown:
            chosen = Match(unknown[number % len(unknown)], 0.0, "turns")
        found.append(chosen)
    return found


@lru_cache(maxsize=8)
def _vectors(texts: tuple[str, ...]) -> np.ndarray:
    return embed([things(text) for text in texts])


@cache
def _mean() -> np.ndarray:
    """Return the mean vector of the library's texts."""
    return _vectors(tuple(entry.words for entry in library())).mean(axis=0)


def _pair(text: str) -> tuple[float, float]:
    x, _, y = text.partition(",")
    return float(x), float(y)


def _captions(folder: Path) -> dict[str, str]:
    """Return the captions in a folder's table, by file name."""
    path = folder / CAPTIONS
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise MediaError(
            "can't be read as a table of captions", where=str(path), remedy="write file name, tab, caption, as UTF-8"
        ) from None
    pairs = [line.split("\t") for line in lines if "\t" in line]
    return {fields[0].strip(): " ".join(fields[1].split()) for fields in pairs}


def _said_by_name(stem: str) -> str:
    """Return the words in a file's name; empty if a camera gave it."""
    if _CAMERA.match(stem.lower()):
        return ""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem)
    return " ".join(word for word in re.split(r"[^\w']+|[_\d]+", spaced) if word).lower()
