"""Finished pictures by frame number, as JPEG, within a fixed amount of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from reactive.timeline.edges import shot_edges
from reactive.timeline.grounds import grounds_before
from reactive.timeline.timeline import FEEDBACK, Timeline

MAX_BYTES = 96 * 2**20
# frames before a change that may show it in a join
JOIN_FRAMES = 600
# columns that do not affect the picture, or that are compared in another way
NOT_COMPARED = {"prompt_from", "prompt_to", "phase", "loop", "shot", "speed", "ground"}


@dataclass(frozen=True)
class Picture:
    """A finished frame: its number and its JPEG."""

    frame: int
    jpeg: bytes


class PictureStore:
    """Keeps the most recently used pictures; thread-safe."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self.limit = limit
        self.bytes = 0
        self._pictures: OrderedDict[int, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, picture: Picture) -> None:
        """Add a picture; the least recently used ones are dropped."""
        with self._lock:
            old = self._pictures.pop(picture.frame, None)
            self.bytes += len(picture.jpeg) - (len(old.jpeg) if old else 0)
            self._pictures[picture.frame] = picture
            while self.bytes > self.limit and len(self._pictures) > 1:
                _, gone = self._pictures.popitem(last=False)
                self.bytes -= len(gone.jpeg)

    def get(self, frame: int) -> Picture | None:
        """Return a frame's picture, or None."""
        with self._lock:
            if frame in self._pictures:
                self._pictures.move_to_end(frame)
            return self._pictures.get(frame)

    def all(self) -> list[Picture]:
        """Return all pictures, the least recently used first."""
        with self._lock:
            return list(self._pictures.values())

    def __contains__(self, frame: int) -> bool:
        return frame in self._pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def drop(self, stale: np.ndarray) -> None:
        """Remove the frames for which `stale` (bool [frames]) is True."""
        with self._lock:
            for frame in [frame for frame in self._pictures if frame >= len(stale) or stale[frame]]:
                self.bytes -= len(self._pictures.pop(frame).jpeg)


def changed_frames(old: Timeline, new: Timeline) -> np.ndarray:
    """Return which frames look different in a new timeline, bool [frames].

    A frame of a feedback shot looks different if any frame before it in its shot does.
    """
    if (
        old.styles != new.styles
        or old.controls != new.controls
        or old.loras != new.loras
        or old.frames != new.frames
        or old.harmonics != new.harmonics
        or old.columns.keys() != new.columns.keys()
    ):
        return np.ones(new.frames, bool)
    different = np.zeros(new.frames, bool)
    for name in new.columns.keys() - NOT_COMPARED:
        was, now = old.columns[name], new.columns[name]
        # the camera's columns are running sums, so their steps are compared
        different |= (np.diff(now - was, prepend=0.0) != 0) if name.startswith("camera_") else now != was
    for name in ("prompt_from", "prompt_to"):
        before = np.array(old.prompts, object)[old.columns[name]]
        different |= np.array(new.prompts, object)[new.columns[name]] != before
    for name in ("palette_from", "palette_to"):
        different |= _palettes(old, name) != _palettes(new, name)
    different |= _ground_names(old) != _ground_names(new)
    if different.any():
        # in a join a frame also shows the start of the next shot
        joining = (new.columns["dissolve"] > 0) | (new.columns["morph"] > 0)
        different |= joining & (np.arange(new.frames) >= int(np.argmax(different)) - JOIN_FRAMES)
    edges = shot_edges(new.columns, by_source=False)
    for start, stop in zip(edges, edges[1:], strict=False):
        if new.columns["source"][start] == FEEDBACK and different[start:stop].any():
            different[start + int(np.argmax(different[start:stop])) : stop] = True
    return different


def _palettes(timeline: Timeline, column: str) -> np.ndarray:
    """Return each frame's palette as a text, object [frames]."""
    # NO_PALETTE is the last one
    return np.array([*map(" ".join, timeline.palettes), ""], object)[timeline.columns[column]]


def _ground_names(timeline: Timeline) -> np.ndarray:
    """Return the name of each frame's ground, object [frames], with the ones before of double exposures; empty for none."""
    names = np.array([*timeline.photos, *timeline.videos, *timeline.grounds, ""], object)
    ground, double = timeline.columns["ground"], timeline.columns["ground_double"] > 0
    found = names[ground]
    if double.any():
        last = grounds_before(timeline.columns)
        found[double] += "\n" + np.where(last < 0, "", names[ground[last]])[double]
    return np.asarray(found)
