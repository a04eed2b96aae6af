"""The pictures that control networks see: edges found in what a frame feeds in or lies beneath it, or ready pictures.

A frame's subject is the photograph or film that is fed in, else the film that guides its motion, else its ground. A ready picture, as a
depth map, is cropped as its subject if it has the subject's shape, and moves as the ground does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from reactive.diffusion.backend.opencv import opencv
from reactive.diffusion.compose import Terms, ground_map
from reactive.diffusion.models.control import ControlInput
from reactive.errors import MediaError
from reactive.media.picture import BLACK, centred_window, read_picture
from reactive.media.video import open_film
from reactive.sources.footage import FILMS
from reactive.sources.ground import GroundFile, ground_files, load_ground
from reactive.sources.imagery import SUFFIXES
from reactive.sources.moving import MovingSource
from reactive.sources.photo import crop_of, framed
from reactive.sources.video import VideoSource, salient_window, scaled
from reactive.timeline.control_pictures import CONTROLS, FOUND, PLAIN, controls_at, network_kind
from reactive.timeline.timeline import Timeline

NO_SUBJECT = -1
# the thresholds that control networks were trained with (Zhang et al. 2023)
LOW, HIGH = 100, 200
# pictures that are kept: those of a batch that spans several shots
_KEPT = 16
# shapes that differ by less are one: a depth map may be some pixels smaller
_SAME_SHAPE = 0.02
# shares of a picture: left, top, width, height
Window = tuple[float, float, float, float]


@dataclass(frozen=True)
class ControlFile:
    """A ready picture, or one whose edges are found.

    Attributes
    ----------
    control
        The place of its control among the timeline's.
    subject
        The number of the photograph, film or ground that it belongs to; -1: to all of them.
    path
        A picture, or a film.
    """

    control: int
    subject: int
    path: Path


def has_controls(timeline: Timeline) -> bool:
    """Return whether a picture's shapes count in any frame."""
    return any(timeline.columns[name].any() for name in CONTROLS)


def networks_of(timeline: Timeline) -> tuple[str, ...]:
    """Return the kinds of the control networks of a timeline's controls, one for each."""
    return tuple(network_kind(name.partition(":")[0]) for name in timeline.controls)


def subject_at(timeline: Timeline, frame: int) -> int:
    """Return the number of what a frame feeds in, is guided by, or lies over: photographs, films, then grounds; -1 for nothing."""
    return int(subjects_at(timeline, np.array([frame]))[0])


def subjects_at(timeline: Timeline, frames: np.ndarray) -> np.ndarray:
    """Return the number of each frame's subject, int64 [n], as `subject_at` does."""
    source, guide, ground = (timeline.columns[name][frames].astype(np.int64) for name in ("source", "guide", "ground"))
    return np.where(source >= 0, source, np.where(guide >= 0, len(timeline.photos) + guide, ground))


def subject_files(
    timeline: Timeline, photos: Sequence[Path], videos: Sequence[Path], folders: Sequence[Path]
) -> tuple[GroundFile, ...]:
    """Return the files of a timeline's subjects, in the order of their numbers; see `sources.ground.ground_files`."""
    framing = timeline.framing
    grounded = timeline.grounds if (timeline.columns["ground"] >= 0).any() else ()
    return ground_files(photos, videos, grounded, folders, fit=framing.fit, focus=framing.focus)


def control_files(
    timeline: Timeline, subjects: Sequence[GroundFile], given: Sequence[Path], folders: Sequence[Path]
) -> tuple[ControlFile, ...]:
    """Return the files of a timeline's controls: those that it names, or ready pictures beside the subjects.

    Parameters
    ----------
    subjects
        The files of photographs, films and grounds, by their numbers.
    given
        Files that a person named.
    folders
        Folders of presets or timelines.

    Raises
    ------
    MediaError
        If one is not there.
    """
    found = []
    for number, name in enumerate(timeline.controls):
        counts = np.flatnonzero(timeline.columns[CONTROLS[number]] > 0)
        kind, _, file = name.partition(":")
        if not len(counts):
            continue
        if file:
            beside = (*(path for path in given if path.name == file), *(folder / file for folder in folders))
            path = next((path for path in beside if path.is_file()), None)
            if path is None:
                raise MediaError(
                    "is not beside the preset",
                    where=file,
                    remedy=f"put it there, or name it with --control {kind}:FILE",
                )
            found.append(ControlFile(number, NO_SUBJECT, path))
        elif kind not in (FOUND, PLAIN):
            shown = sorted({subject_at(timeline, frame) for frame in counts.tolist()} - {NO_SUBJECT})
            found += [ControlFile(number, one, _beside(kind, subjects[one].path, given, folders)) for one in shown]
    return tuple(found)


def _beside(kind: str, subject: Path, given: Sequence[Path], folders: Sequence[Path]) -> Path:
    """Return the ready picture of a photograph, film or ground: ``band.depth.png`` for ``band.jpg``."""
    wanted = [f"{subject.stem}.{kind}{suffix}" for suffix in (*SUFFIXES, *FILMS)]
    named = {path.name: path for path in given}
    for folder in (subject.parent, *folders):
        for name in wanted:
            if name in named or (folder / name).is_file():
                return named.get(name, folder / name)
    raise MediaError(
        f"has no picture of the kind {kind} beside it",
        where=subject.name,
        remedy=f"put {subject.stem}.{kind}.png there, or name one for all with --control {kind}:FILE",
    )


def control_notes(timeline: Timeline) -> list[str]:
    """Return a line for each control that counts where there is nothing whose shapes it could keep."""
    columns, notes = timeline.columns, []
    nothing = (columns["source"] < 0) & (columns["guide"] < 0) & (columns["ground"] < 0)
    for number, name in enumerate(timeline.controls):
        kind, _, file = name.partition(":")
        counts = columns[CONTROLS[number]] > 0
        if not file and (missing := int((counts & nothing).sum())):
            where = "nowhere" if missing == counts.sum() else f"not in {missing} of {timeline.frames} frames"
            notes.append(
                f"--control {kind} counts {where}: no photograph, film or ground is there; name one with {kind}:FILE"
            )
    return notes


class ControlPictures:
    """The control pictures of a timeline at the size that the model works at.

    Parameters
    ----------
    timeline
        Says what counts in each frame, and what is fed in or lies beneath.
    files
        As `control_files` has them.
    subjects
        The files of photographs, films and grounds, by their numbers.
    photos, videos
        What is loaded of them already, as `scene.Sources` has it.
    size
        Width and height.
    background
        Red, green and blue, 0 to 255, that show where a picture is transparent.
    like
        Those of another timeline in the same size: open films are shared.
    """

    def __init__(
        self,
        timeline: Timeline,
        files: Sequence[ControlFile],
        subjects: Sequence[GroundFile],
        photos: Mapping[int, torch.Tensor],
        videos: Mapping[int, MovingSource],
        *,
        size: tuple[int, int],
        background: tuple[int, int, int] = BLACK,
        like: ControlPictures | None = None,
    ) -> None:
        self.timeline = timeline
        self.kinds = networks_of(timeline)
        self.files = {(file.control, file.subject): file.path for file in files}
        self.subjects = subjects
        self.photos, self.videos = photos, videos
        self.size, self.background = size, background
        self._films: dict[tuple[Path, Window | None], VideoSource] = like._films if like else {}
        self._windows: dict[int, Window] = {}
        self._grounds: dict[int, tuple[tuple[float, float], bool]] = {}
        self._known: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()

    def at(self, frame: int, seconds: Fraction) -> tuple[ControlInput, ...]:
        """Return what each control does to a frame.

        Parameters
        ----------
        seconds
            The second at which films are read.

        Raises
        ------
        MediaError
            If a file can't be read.
        """
        weights = controls_at(self.timeline.columns, frame, len(self.kinds))
        subject = subject_at(self.timeline, frame) if any(weights) else NO_SUBJECT
        made = []
        for number, weight in enumerate(weights):
            picture = self._picture(number, subject, frame, seconds) if weight > 0 else None
            made.append(ControlInput(0.0 if picture is None else weight, picture))
        return tuple(made)

    def close(self) -> None:
        """Close films that were opened here."""
        for film in self._films.values():
            film.close()
        self._films.clear()

    def _picture(self, number: int, subject: int, frame: int, seconds: Fraction) -> np.ndarray | None:
        """Return a control's picture in a frame, uint8 [height, width, 3]; None if there is no subject."""
        kind, _, file = self.timeline.controls[number].partition(":")
        path = self.files.get((number, NO_SUBJECT if file else subject))
        if path is None and subject == NO_SUBJECT:
            return None
        if path is None:
            key, seen = self._subject(number, subject, seconds)
        else:
            key, seen = self._ready(number, path, subject, seconds)
        moved = self._as_ground(seen, subject, frame) if not file else seen
        if kind != FOUND:
            return moved
        if moved is not seen:
            return edges(moved)
        if key not in self._known:
            self._known[key] = edges(seen)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    def _subject(self, number: int, subject: int, seconds: Fraction) -> tuple[tuple[int, int, int], np.ndarray]:
        """Return a subject's picture at a second, and a key that tells it from others."""
        if subject in self.photos:
            shown = self.photos[subject]
            pixels = shown.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            return (number, subject, 0), np.ascontiguousarray(pixels)
        if subject in self.videos:
            film = self.videos[subject]
            return (number, subject, film.number_at(seconds)), film.at(seconds)
        return self._ready(number, self.subjects[subject].path, subject, seconds)

    def _ready(
        self, number: int, path: Path, subject: int, seconds: Fraction
    ) -> tuple[tuple[int, int, int], np.ndarray]:
        """Return the picture of a file, cropped as its subject is."""
        width, height = self.size
        if path.suffix.lower() in FILMS:
            measured = open_film(path)
            window = self._window(subject, (measured.width, measured.height))
            if (path, window) not in self._films:
                self._films[path, window] = VideoSource(
                    path, width=width, height=height, background=self.background, window=window
                )
            film = self._films[path, window]
            return (number, subject, film.number_at(seconds)), film.at(seconds)
        key = -1 - number, subject, 0
        if key not in self._known:
            picture = read_picture(path, background=self.background)
            size = picture.shape[1], picture.shape[0]
            shares = self._window(subject, size)
            window_here = centred_window(*size, self.size) if shares is None else scaled(shares, size)
            fit = self.subjects[subject].fit if shares is not None else "cover"
            self._known[key] = framed(picture, window_here, width, height, fit, self.background)
        self._known.move_to_end(key)
        return (number, subject, 0), self._known[key]

    def _window(self, subject: int, size: tuple[int, int]) -> Window | None:
        """Return the window that a subject is cropped to, for a picture of the same shape; None for other shapes."""
        if subject == NO_SUBJECT or subject >= len(self.subjects):
            return None
        file, aspect = self.subjects[subject], self.size[0] / self.size[1]
        if not file.path.is_file():
            # frames of a person's own have no file
            return None
        if subject not in self._windows:
            if file.film:
                film = open_film(file.path)
                whole, found = (film.width, film.height), salient_window(film, aspect)
            else:
                picture = read_picture(file.path, background=self.background)
                whole = picture.shape[1], picture.shape[0]
                found = crop_of(picture, aspect, file.focus if file.own else None, people=file.own)
            left, top, across, down = found
            self._windows[subject] = left / whole[0], top / whole[1], across / whole[0], down / whole[1]
        window = self._windows[subject]
        # the window has the imagine-size's shape in the subject, so its shares tell the subject's own shape
        own = aspect * window[3] / window[2]
        return window if abs(size[0] / size[1] / own - 1) < _SAME_SHAPE else None

    def _as_ground(self, picture: np.ndarray, subject: int, frame: int) -> np.ndarray:
        """Return a ground's picture as it lies beneath a frame; others as they are."""
        columns = self.timeline.columns
        if int(columns["source"][frame]) >= 0 or int(columns["guide"][frame]) >= 0:
            return picture
        if subject not in self._grounds:
            file = self.subjects[subject]
            loaded = None if file.film else load_ground(file, width=64, height=64, room=1.0, background=self.background)
            self._grounds[subject] = (loaded.focus, loaded.aimed) if loaded else ((0.0, 0.0), False)
        focus, aimed = self._grounds[subject]
        shown = {name: float(columns[f"ground_{name}"][frame]) for name in ("zoom", "x", "y", "parallax")}
        width, height = self.size
        places = ground_map(Terms(**shown), focus, aimed=aimed)
        if np.array_equal(places, np.eye(3)):
            return picture
        pixels = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
        matrix = np.linalg.inv(pixels) @ places @ pixels
        cv2 = opencv()
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(picture, matrix[:2], (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        )


def edges(picture: np.ndarray) -> np.ndarray:
    """Return the edges of a picture uint8 [height, width, 3], white on black, of the same shape (Canny 1986)."""
    cv2 = opencv()
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return np.repeat(cv2.Canny(grey, LOW, HIGH)[:, :, None], 3, axis=2)


def between(ours: Sequence[ControlInput], theirs: Sequence[ControlInput], share: float) -> Iterator[ControlInput]:
    """Yield the controls of a picture that is turning into another; a picture that only one has stays as it is."""
    for one, other in zip(ours, theirs, strict=True):
        picture = one.picture if other.picture is None else other.picture
        if one.picture is not None and other.picture is not None and one.picture is not other.picture:
            mixed = one.picture + (other.picture.astype(np.float32) - one.picture) * share
            picture = mixed.round().astype(np.uint8)
        yield ControlInput(one.weight + (other.weight - one.weight) * share, picture)
