"""Photographs as grounds: at the output's size and larger, cropped like a source, with the point to zoom in on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from reactive.errors import MediaError
from reactive.media.picture import BLACK, read_picture
from reactive.sources.footage import FILMS
from reactive.sources.imagery import Entry, find_picture, library, match, own_pictures
from reactive.sources.saliency import best_window, saliency

# prefix of a ground from the shipped library in presets and timelines
LIBRARY = "library:"
# prefix of the band's own picture that was chosen by words
OWN = "own:"

# the focus is kept away from the corners
_CORNER = 0.7


@dataclass(frozen=True)
class GroundFile:
    """The file of a ground.

    Attributes
    ----------
    path
        A photograph, or a film.
    film
        Whether it is a film.
    focus
        What matters in a photograph, as shares of its width and height from the upper left corner; None: by saliency.
    """

    path: Path
    film: bool = False
    focus: tuple[float, float] | None = None


@dataclass(frozen=True)
class GroundPicture:
    """A photograph cropped to a frame's shape.

    Attributes
    ----------
    exact
        uint8 [height, width, 3] in the requested size.
    larger
        The same, larger.
    focus
        The focus, in half widths and half heights from the centre.
    """

    exact: np.ndarray
    larger: np.ndarray
    focus: tuple[float, float]


def ground_files(
    photos: Sequence[Path], videos: Sequence[Path], names: Sequence[str], folders: Sequence[Path]
) -> tuple[GroundFile, ...]:
    """Return the files of grounds in the order of their numbers in the timeline: photographs, videos, then those with names.

    Parameters
    ----------
    names
        As `timeline.grounds` has them: ``library:NAME``, or files in one of `folders`.
    folders
        Folders of presets, or of timelines; the first with the file counts.

    Raises
    ------
    MediaError
        If a file is not there.
    """
    files = [*(GroundFile(path) for path in photos), *(GroundFile(path, film=True) for path in videos)]
    for name in names:
        if name.startswith(LIBRARY):
            entry = find_picture(name.removeprefix(LIBRARY))
            files.append(GroundFile(entry.path, focus=entry.focus))
            continue
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            raise MediaError("is not beside the preset", where=name, remedy="put the picture into the preset's folder")
        files.append(GroundFile(path, film=path.suffix.lower() in FILMS))
    return tuple(files)


def picture_chooser(photos: Sequence[Path], films: Sequence[Path] = ()) -> Callable[[str, Sequence[str]], str | None]:
    """Return a function that chooses a picture for a prompt by words: the band's own if one fits, else the library's, else None.

    It is called with a prompt and the names of pictures that must not come again yet, and names pictures ``own:NUMBER``, by the
    place of the photograph, or of the film after them, from 0 on, or ``library:NAME``.
    """

    @cache
    def own() -> tuple[Entry, ...]:
        return tuple(
            replace(entry, name=f"{OWN}{number}")
            for number, entry in enumerate(own_pictures((*photos, *films)))
            if entry.words
        )

    def choose(prompt: str, taken: Sequence[str]) -> str | None:
        # if none of the band's pictures has words, only these are used, not the library's
        if (photos or films) and not own():
            return None
        if found := match(prompt, own(), taken=taken):
            return found.entry.name
        shipped = [name.removeprefix(LIBRARY) for name in taken if name.startswith(LIBRARY)]
        found = match(prompt, library(), taken=shipped)
        return f"{LIBRARY}{found.entry.name}" if found else None

    return choose


def load_ground(
    path: str | os.PathLike[str],
    *,
    width: int,
    height: int,
    room: float,
    focus: tuple[float, float] | None = None,
    background: tuple[int, int, int] = BLACK,
) -> GroundPicture:
    """Return a photograph as a ground, cropped by the same window as in `load_photo`.

    Parameters
    ----------
    room
        How much larger than `width` and `height` the larger copy is.
    focus
        What matters in the photograph, as shares of its width and height from the upper left corner. Default: by saliency.

    Raises
    ------
    MediaError
        If it can't be read as a picture.
    """
    picture = read_picture(path, background=background)
    size = picture.shape[1], picture.shape[0]
    salience = saliency(picture)
    left, top, across, down = best_window(salience, size, width / height)
    window = Image.fromarray(picture[top : top + down, left : left + across])
    exact, larger = (
        np.asarray(window.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS))
        for scale in (1.0, room)
    )
    place = _standing_out(salience) if focus is None else focus
    inside = (place[0] * size[0] - left) / across * 2 - 1, (place[1] * size[1] - top) / down * 2 - 1
    kept = min(max(inside[0], -_CORNER), _CORNER), min(max(inside[1], -_CORNER), _CORNER)
    return GroundPicture(exact, larger, kept)


def _standing_out(salience: np.ndarray) -> tuple[float, float]:
    """Return the centre of the most salient part, as shares of width and height."""
    weight = salience**2
    rows, columns = (np.arange(count) + 0.5 for count in salience.shape)
    total = float(weight.sum())
    x = float((weight.sum(axis=0) * columns).sum()) / total / salience.shape[1]
    y = float((weight.sum(axis=1) * rows).sum()) / total / salience.shape[0]
    return x, y
