"""A render of a loop: which bars of the song, which frames they need, and how its end runs into its beginning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.errors import OutputError
from reactive.media.video import rgb_frames
from reactive.render.loops import FADE_SECONDS, close_loop, parse_bars
from reactive.timeline.clock import frame_time, frames_in, nearest_frame, nearest_frames
from reactive.timeline.excerpt import telling_start
from reactive.timeline.timeline import Timeline
from reactive.video.codec import Codec
from reactive.video.segment import SegmentEncoder

AUTO = "auto"
# Spotify's Canvas, which loops are mostly made for
AUTO_SECONDS = 8.0


@dataclass(frozen=True)
class LoopPlan:
    """Frames of a loop: [first, stop) of the song are shown, `lead` before them and `more` after them are blended in."""

    bars: str
    first: int
    stop: int
    lead: int
    more: int

    @property
    def frames(self) -> int:
        """How many frames the loop has."""
        return self.stop - self.first

    @property
    def rendered(self) -> tuple[int, int]:
        """The frames [first, last) of the song that are rendered for it."""
        return self.first - self.lead, self.stop + self.more


def check_loop(text: str) -> None:
    """Check what names the bars of a loop.

    Raises
    ------
    OutputError
        If it is neither ``auto`` nor bars as `parse_bars` takes them.
    """
    if text and text != AUTO:
        parse_bars(text)


def plan_loop(analysis: Analysis, timeline: Timeline, text: str, *, longest: float | None = None) -> LoopPlan:
    """Choose the bars of a loop and the frames that it needs.

    Parameters
    ----------
    analysis, timeline
        Of the song.
    text
        ``17-20``; a number of bars, which then begin with the part that opens with the strongest drop; or ``auto`` for as many
        of them (8, 4, 2 or 1) as fit.
    longest
        Seconds; default for ``auto``: 8.

    Raises
    ------
    OutputError
        If the song has no such bars, or they last longer.
    """
    edges = nearest_frames(grid_of(analysis).bars, timeline.fps)
    edges = edges[(edges >= 0) & (edges <= timeline.frames)]
    count = len(edges) - 1
    limit = (
        timeline.frames if longest is None and text != AUTO else int(frames_in(longest or AUTO_SECONDS, timeline.fps))
    )
    opening = nearest_frame(telling_start(analysis, 0.0), timeline.fps)
    if text == AUTO:
        begin, end = _fitting(edges, opening, limit)
    else:
        first, last = parse_bars(text)
        if count < (last or first):
            raise OutputError(
                f"the song has {max(count, 0)} whole bars",
                where=f"--loop {text}",
                remedy="`analyze` lists parts with their bars",
            )
        begin = first - 1 if last is not None else min(_nearest(edges, opening), count - first)
        end = last if last is not None else begin + first
    start, stop = int(edges[begin]), int(edges[end])
    if not 2 <= stop - start <= limit:
        seconds = float(frame_time(stop - start, timeline.fps))
        raise OutputError(
            f"bars {begin + 1}-{end} last {seconds:.1f} s",
            where=f"--loop {text}",
            remedy=f"name bars of at most {longest:g} s" if longest else "name more bars",
        )
    fade = min(int(frames_in(float(FADE_SECONDS), timeline.fps)), (stop - start) // 2)
    lead = fade if start >= fade else 0
    return LoopPlan(f"{begin + 1}-{end}", start, stop, lead, 0 if lead else min(fade, timeline.frames - stop))


def _nearest(edges: np.ndarray, frame: int) -> int:
    return int(np.abs(edges - frame).argmin())


def _fitting(edges: np.ndarray, opening: int, limit: int) -> tuple[int, int]:
    """Return the first bar, from 0, and the bar after the last one of the longest loop of 8, 4, 2 or 1 bars that fits."""
    for bars in (8, 4, 2, 1):
        if bars < len(edges):
            begin = min(_nearest(edges, opening), len(edges) - 1 - bars)
            if edges[begin + bars] - edges[begin] <= limit:
                return begin, begin + bars
    raise OutputError("the song has no bar that is short enough", where="--loop auto", remedy="name bars, as 1-2")


def loop_pieces(
    pieces: Sequence[tuple[Path, int]],
    plan: LoopPlan,
    *,
    fps: Fraction,
    size: tuple[int, int],
    codec: Codec,
) -> list[tuple[Path, int]]:
    """Return one new piece, beside the first one, that holds the loop of the rendered pieces.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    path = pieces[0][0]
    out = path.with_name(f"{path.stem}.loop{path.suffix}")
    with SegmentEncoder(out, size=size, fps=fps, codec=codec) as encoder:
        for picture in close_loop(
            lambda first, last: islice(_pictures(pieces), first, last),
            lead=plan.lead,
            frames=plan.frames,
            more=plan.more,
        ):
            encoder.write(picture)
    return [(out, plan.frames)]


def _pictures(pieces: Sequence[tuple[Path, int]]) -> Iterator[np.ndarray]:
    for path, _ in pieces:
        for picture, _ in rgb_frames(path):
            yield picture
