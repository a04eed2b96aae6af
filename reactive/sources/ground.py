"""Photographs as grounds: at the output's size and larger, cropped like a source, with the point to zoom in on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from reactive.errors import MediaError
from reactive.media.picture import BLACK, read_picture
from reactive.sources.depth_map import depth_map_of, read_depth_map
from reactive.sources.footage import FILMS
from reactive.sources.imagery import Entry, find_picture, library, match, own_pictures
from reactive.sources.photo import crop_of, framed
from reactive.sources.saliency import saliency, with_people

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
    fit
        As `timeline.framing.Framing` has it.
    own
        Whether it is the user's own: it is cropped about the focus, or around people.
    depth
        The photograph's depth map, see `depth_map`.
    """

    path: Path
    film: bool = False
    focus: tuple[float, float] | None = None
    fit: str = "cover"
    own: bool = False
    depth: Path | None = None


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
    aimed
        Whether coming closer ends on it: in the user's own pictures.
    near
        What its depth map says, uint8 in the shape of `exact` but for its one channel: 255 is near; None: it has none.
    """

    exact: np.ndarray
    larger: np.ndarray
    focus: tuple[float, float]
    aimed: bool = False
    near: np.ndarray | None = None


def ground_files(
    photos: Sequence[Path],
    videos: Sequence[Path],
    names: Sequence[str],
    folders: Sequence[Path],
    *,
    fit: str = "cover",
    focus: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> tuple[GroundFile, ...]:
    """Return the files of grounds in the order of their numbers in the timeline: photographs, videos, then those with names.

    Parameters
    ----------
    names
        As `timeline.grounds` has them: ``library:NAME``, or files in one of `folders`.
    folders
        Folders of presets, or of timelines; the first with the file counts.
    fit, focus
        How `photos` fill the frame, and what matters in them by their base names, as in `timeline.framing.Framing`.

    Raises
    ------
    MediaError
        If a file is not there.
    """
    stills = (
        GroundFile(path, focus=focus.get(path.name), fit=fit, own=True, depth=depth_map_of(path)) for path in photos
    )
    files = [*stills, *(GroundFile(path, film=True) for path in videos)]
    for name in names:
        if name.startswith(LIBRARY):
            entry = find_picture(name.removeprefix(LIBRARY))
            files.append(GroundFile(entry.path, focus=entry.focus))
            continue
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            raise MediaError("is not beside the preset", where=name, remedy="put the picture into the preset's folder")
        film = path.suffix.lower() in FILMS
        files.append(GroundFile(path, film=film, depth=None if film else depth_map_of(path)))
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
    file: GroundFile, *, width: int, height: int, room: float, background: tuple[int, int, int] = BLACK
) -> GroundPicture:
    """Return a photograph as a ground; an own one is framed as in `load_photo`.

    Parameters
    ----------
    room
        How much larger than `width` and `height` the larger copy is.

    Raises
    ------
    MediaError
        If it can't be read as a picture.
    """
    picture = read_picture(file.path, background=background)
    size = picture.shape[1], picture.shape[0]
    crop = crop_of(picture, width / height, file.focus if file.own else None, people=file.own)
    exact, larger = (
        framed(picture, crop, round(width * scale), round(height * scale), file.fit, background)
        for scale in (1.0, room)
    )
    found = saliency(picture)
    place = file.focus or _standing_out(with_people(found, picture) if file.own else found)
    left, top, across, down = crop
    if file.fit != "cover":
        # the whole picture between bars
        scale = max(size[0] / across, size[1] / down)
        left, top = (size[0] - across * scale) / 2, (size[1] - down * scale) / 2
        across, down = across * scale, down * scale
    inside = (place[0] * size[0] - left) / across * 2 - 1, (place[1] * size[1] - top) / down * 2 - 1
    most = 1.0 if file.own else _CORNER
    kept = min(max(inside[0], -most), most), min(max(inside[1], -most), most)
    near = None
    if file.depth is not None:
        # bars are as far away as the middle of the picture
        near = framed(read_depth_map(file.depth, size), crop, width, height, file.fit, (128, 128, 128))[..., 0]
    return GroundPicture(exact, larger, kept, aimed=file.own, near=near)


def _standing_out(salience: np.ndarray) -> tuple[float, float]:
    """Return the centre of the most salient part, as shares of width and height."""
    weight = salience**2
    rows, columns = (np.arange(count) + 0.5 for count in salience.shape)
    total = float(weight.sum())
    x = float((weight.sum(axis=0) * columns).sum()) / total / salience.shape[1]
    y = float((weight.sum(axis=1) * rows).sum()) / total / salience.shape[0]
    return x, y
