"""Put grounds beneath finished pictures: load each file in the right size before it is first seen, and keep the last few.

The timeline decides a frame's ground; `compose` combines it with a picture.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from reactive.diffusion.compose import (
    ROOM,
    Ground,
    Terms,
    canvas_size,
    compose,
    compose_on_device,
    exposed_twice,
    exposed_twice_on_device,
    nearness,
    prepare_ground,
)
from reactive.diffusion.motion.lens import lens_maps
from reactive.media.picture import BLACK
from reactive.sources.ground import GroundFile, ground_files, load_ground
from reactive.sources.video import VideoSource
from reactive.timeline.clock import frame_time, nearest_frame
from reactive.timeline.grounds import grounds_before
from reactive.timeline.timeline import Timeline

# photographs that are kept ready: those of a join, and of a batch that spans several shots
_KEPT = 8
# how much larger than the clip a film's pictures are read: each is shown once
_FILM_ROOM = 1.25
# seconds ahead of a picture in which photographs are read beside the model's work
_AHEAD = 4.0
_STILL = np.eye(3)


class Grounds:
    """The grounds of a timeline for pictures of one size.

    Parameters
    ----------
    timeline
        Says which ground each frame has and how it is shown.
    files
        The files in the order of their numbers in its column `ground`.
    imagined
        Width and height of the pictures that the model makes.
    size
        Width and height of finished pictures.
    background
        Red, green and blue, 0 to 255, that show where a picture is transparent.
    like
        Grounds of another timeline: pictures that are ready in the same size are shared, and closed once.
    """

    def __init__(
        self,
        timeline: Timeline,
        files: Sequence[GroundFile],
        *,
        imagined: tuple[int, int],
        size: tuple[int, int],
        background: tuple[int, int, int] = BLACK,
        like: Grounds | None = None,
    ) -> None:
        self.columns = timeline.columns
        self.fps = timeline.fps
        self.files = files
        self.imagined = imagined
        self.size = size
        self.background = background
        same = like is not None and (like.size, like.imagined, like.background) == (size, imagined, background)
        self._ready: OrderedDict[tuple[GroundFile, int], Ground] = like._ready if like and same else OrderedDict()
        self._films: dict[GroundFile, VideoSource] = like._films if like and same else {}
        self._coming: dict[GroundFile, Future[Ground]] = like._coming if like and same else {}
        self._threads: ThreadPoolExecutor | None = like._threads if like else None
        self._reader: ThreadPoolExecutor | None = like._reader if like else None

    def beneath(self, numbers: np.ndarray, pictures: torch.Tensor) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Yield finished pictures in runs of one size: those without a ground, or without detail, as they are.

        Parameters
        ----------
        numbers
            Frame numbers [n].
        pictures
            The model's pictures, through the lens, uint8 [n, 3, height, width].

        Raises
        ------
        MediaError
            If a file can't be read.
        """
        if len(numbers):
            self.read_ahead(int(numbers[-1]))
        seen = (self.columns["ground"][numbers] >= 0) & (self.columns["detail"][numbers] > 0)
        places = np.arange(len(numbers))
        for grounded, run in groupby(places.tolist(), key=lambda place: bool(seen[place])):
            chosen = np.array(list(run))
            part = pictures[int(chosen[0]) : int(chosen[-1]) + 1]
            yield numbers[chosen], self._composed(numbers[chosen], part) if grounded else part

    def read_ahead(self, frame: int) -> None:
        """Begin to read the next photograph that is shown from a frame on, in a thread of its own.

        Reading and preparing one takes some 0.3 s, in which the model's threads would wait.
        """
        shown = slice(frame, frame + nearest_frame(_AHEAD, self.fps))
        numbers = self.columns["ground"][shown][self.columns["detail"][shown] > 0]
        for number in dict.fromkeys(numbers.tolist()):
            file = self.files[number] if number >= 0 else None
            if file is None or file.film or (file, 0) in self._ready:
                continue
            for other, coming in list(self._coming.items()):
                # read for a place that was skipped; one that can't be read is reported when it is shown
                if other != file and coming.done():
                    del self._coming[other]
            if not self._coming:
                if self._reader is None:
                    self._reader = ThreadPoolExecutor(1, thread_name_prefix="photographs")
                self._coming[file] = self._reader.submit(self._photograph, file)
            return

    def has_depth(self, frame: int) -> bool:
        """Return whether a frame shows a ground with a depth map."""
        number, detail = int(self.columns["ground"][frame]), float(self.columns["detail"][frame])
        return number >= 0 and detail > 0 and self.files[number].depth is not None

    def depth(self, frame: int) -> np.ndarray | None:
        """Return how near each place of a frame is, float32 [height, width], -1 far to 1 near; None without a depth map.

        Raises
        ------
        MediaError
            If a file can't be read.
        """
        if not self.has_depth(frame):
            return None
        maps, moving = lens_maps(self.columns, np.array([frame]), self.imagined[0] / self.imagined[1])
        lens = maps[0] if moving[0] else _STILL
        return nearness(self._ground(frame), self.terms(frame), self.imagined, self.size, lens)

    def close(self) -> None:
        """Close films and threads."""
        for film in self._films.values():
            film.close()
        self._films.clear()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        if self._reader is not None:
            self._reader.shutdown(cancel_futures=True)
            self._reader = None
        self._coming.clear()

    def _composed(self, numbers: np.ndarray, pictures: torch.Tensor) -> torch.Tensor:
        maps, moving = lens_maps(self.columns, numbers, self.imagined[0] / self.imagined[1])
        lenses = [lens if moves else _STILL for lens, moves in zip(maps, moving, strict=True)]
        # films are read in order; what is computed from them is parallel
        given = [(self._ground(frame), self._ground_before(frame), self.terms(frame)) for frame in numbers.tolist()]
        shares = self.columns["ground_double"][numbers].tolist()
        if pictures.device.type != "cpu":
            # one by one: a picture's bits must not depend on its neighbours
            made_there = []
            for (ground, before, terms), picture, lens, share in zip(given, pictures, lenses, shares, strict=True):
                one = compose_on_device(ground, picture, terms, self.size, lens)
                if before is not None:
                    other = compose_on_device(before, picture, terms, self.size, lens)
                    one = exposed_twice_on_device(one, other, share)
                made_there.append(one)
            return torch.stack(made_there)

        def whole(place: int) -> np.ndarray:
            ground, before, terms = given[place]
            painting = pictures[place].permute(1, 2, 0).numpy()
            one = compose(ground, painting, terms, self.size, lenses[place])
            if before is None:
                return one
            other = compose(before, painting, terms, self.size, lenses[place])
            return exposed_twice(one, other, shares[place])

        if self._threads is None:
            self._threads = ThreadPoolExecutor(max(1, torch.get_num_threads()), thread_name_prefix="compose")
        made = np.stack(list(self._threads.map(whole, range(len(given)))))
        return torch.from_numpy(made).permute(0, 3, 1, 2)

    def terms(self, frame: int) -> Terms:
        """Return how a frame shows its ground."""
        columns = self.columns
        return Terms(
            detail=float(columns["detail"][frame]),
            colour=float(columns["ground_colour"][frame]),
            light=float(columns["ground_light"][frame]),
            zoom=float(columns["ground_zoom"][frame]),
            x=float(columns["ground_x"][frame]),
            y=float(columns["ground_y"][frame]),
            parallax=float(columns["ground_parallax"][frame]),
        )

    def _ground_before(self, frame: int) -> Ground | None:
        """Return the ground that a frame's double exposure shows too, as it was last seen; None if it is none."""
        if self.columns["ground_double"][frame] <= 0:
            return None
        last = int(self._before[frame])
        return self._ground(last) if last >= 0 else None

    @cached_property
    def _before(self) -> np.ndarray:
        return grounds_before(self.columns)

    def _ground(self, frame: int) -> Ground:
        """Return a frame's prepared ground."""
        file = self.files[int(self.columns["ground"][frame])]
        film, shown = None, 0
        if file.film:
            film = self._film(file)
            second = float(self.columns["film_time"][frame])
            shown = film.number_at(frame_time(frame, self.fps) if second < 0 else Fraction(second))
        key = file, shown
        if key in self._ready:
            self._ready.move_to_end(key)
            return self._ready[key]
        if file in self._coming:
            made = self._coming.pop(file).result()
        else:
            made = self._photograph(file) if film is None else prepare_ground(film.picture(shown))
        self._ready[key] = made
        while len(self._ready) > _KEPT:
            self._ready.popitem(last=False)
        return made

    def _photograph(self, file: GroundFile) -> Ground:
        width, height = canvas_size(self.imagined, self.size)
        loaded = load_ground(file, width=width, height=height, room=ROOM, background=self.background)
        return prepare_ground(loaded.larger, loaded.exact, focus=loaded.focus, aimed=loaded.aimed, near=loaded.near)

    def _film(self, file: GroundFile) -> VideoSource:
        if file not in self._films:
            width, height = (math.ceil(side * _FILM_ROOM) for side in canvas_size(self.imagined, self.size))
            self._films[file] = VideoSource(file.path, width=width, height=height, background=self.background)
        return self._films[file]


def load_grounds(
    timeline: Timeline,
    photos: Sequence[Path],
    videos: Sequence[Path],
    folders: Sequence[Path],
    *,
    imagined: tuple[int, int],
    size: tuple[int, int],
    background: tuple[int, int, int] = BLACK,
    like: Grounds | None = None,
) -> Grounds | None:
    """Return the grounds of a timeline, None if no frame shows one.

    Parameters
    ----------
    photos, videos, folders
        As in `sources.ground.ground_files`.
    like
        Grounds for another timeline of the same files: pictures that are ready are shared.

    Raises
    ------
    MediaError
        If a file is not there.
    """
    files = grounds_of(timeline, photos, videos, folders)
    if not files:
        return None
    return Grounds(timeline, files, imagined=imagined, size=size, background=background, like=like)


def grounds_of(
    timeline: Timeline, photos: Sequence[Path], videos: Sequence[Path], folders: Sequence[Path]
) -> tuple[GroundFile, ...]:
    """Return the files that a timeline numbers as grounds; none if no frame shows one.

    Parameters
    ----------
    photos, videos, folders
        As in `sources.ground.ground_files`.

    Raises
    ------
    MediaError
        If a file is not there.
    """
    if not (timeline.columns["ground"] >= 0).any():
        return ()
    framing = timeline.framing
    return ground_files(photos, videos, timeline.grounds, folders, fit=framing.fit, focus=framing.focus)
