"""The frames of a live input as a growing timeline, so that clips and streams share the code that makes pictures.

It holds the current shot and, during a join, one more row: the start of the next shot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from reactive.live.conductor import Arriving, LiveFrame
from reactive.timeline.timeline import CURVES, FEEDBACK, INTEGERS, OPTIONAL, Timeline
from reactive.timeline.walk import DEFAULT_HARMONICS

# maximum rows of a shot; only reached in music without bars, since feedback restarts every few bars
MAX_ROWS = 8192
_NAMES = (*INTEGERS, *CURVES)
_REST = dict.fromkeys(_NAMES, 0.0) | OPTIONAL


@dataclass
class StreamTimeline:
    """The frames of the current shot.

    Attributes
    ----------
    fps
        Frames a second.
    photos, videos
        Names of the photographs and videos to which `source` refers by index.
    first
        The number of its first frame since the start of the stream.
    """

    fps: Fraction
    photos: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    first: int = 0
    _rows: list[list[float]] = field(default_factory=list)
    _texts: dict[tuple[str, str], int] = field(default_factory=dict)
    _newest: LiveFrame | None = None

    def append(self, frame: LiveFrame) -> bool:
        """Add the next frame, filling missed frames with copies; return whether a shot starts with it."""
        before, self._newest = self._newest, frame
        fed_back = frame.columns["source"] == FEEDBACK
        begins = (
            before is None
            or not before.frame <= frame.frame < self.first + MAX_ROWS
            or (before.shot, before.columns["source"]) != (frame.shot, frame.columns["source"])
        )
        # only feedback depends on earlier frames
        if begins or not fed_back:
            self._rows, self._texts, self.first = [], {}, frame.frame
        row = self._row(frame, 0)
        self._rows += [row] * (frame.frame - self.first + 1 - len(self._rows))
        return begins

    @property
    def last(self) -> int:
        """The index of the newest frame in the timeline."""
        return len(self._rows) - 1

    def timeline(self) -> Timeline:
        """Return the timeline so far."""
        newest = self._newest
        assert newest is not None
        rows = list(self._rows)
        if newest.arriving is not None:
            rows.append(self._row(newest.arriving, 1))
        table = np.array(rows).T
        columns = {
            name: values.astype(np.int64) if name in INTEGERS else values
            for name, values in zip(_NAMES, table, strict=True)
        }
        # seeds have more digits than a float64
        seeds = [newest.seed] * len(self._rows) + ([newest.arriving.seed] if newest.arriving else [])
        columns["seed"] = np.array(seeds, np.int64)
        texts, negatives = zip(*self._texts, strict=True)
        return Timeline(
            song_sha256="",
            samples=0,
            sample_rate=1,
            fps=self.fps,
            title="",
            seed=0,
            harmonics=DEFAULT_HARMONICS,
            feedback_rate=Fraction(newest.rate).limit_denominator(1000),
            feedback_fresh=newest.fresh,
            prompts=texts,
            phases=(),
            photos=self.photos,
            cuts=(),
            columns=columns,
            negatives=negatives if any(negatives) else (),
            videos=self.videos,
            feedback_colour=newest.colour,
            palettes=newest.palettes,
        )

    def _row(self, look: LiveFrame | Arriving, shot: int) -> list[float]:
        before, after = (
            self._texts.setdefault(pair, len(self._texts))
            for pair in list(zip(look.prompts, look.negatives, strict=True))[:2]
        )
        known = look.columns | {"prompt_from": before, "prompt_to": after, "slerp": float(look.slerp), "shot": shot}
        return [float(known.get(name, _REST[name])) for name in _NAMES]
