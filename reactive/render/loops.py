"""A silent clip that loops without a visible joint: whole bars of a finished clip, cross-faded at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from reactive.audio.grid import grid_of
from reactive.audio.hear import hear
from reactive.errors import OutputError
from reactive.files import partial_path
from reactive.media.tags import XMP, read_tags
from reactive.media.video import rgb_frames
from reactive.score.best import ClipScan, scan_clip
from reactive.timeline.clock import frame_time, frames_in, nearest_frames
from reactive.video.codec import video_codec
from reactive.video.mux import join
from reactive.video.segment import SegmentEncoder

FADE_SECONDS = Fraction(1, 3)
MAX_BARS = 10_000


def parse_bars(text: str) -> tuple[int, int | None]:
    """Return the bars that a text names: ``17-24`` as (17, 24), and ``8``, any eight, as (8, None).

    Raises
    ------
    OutputError
        If it does not.
    """
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text.strip(), re.ASCII)
    first, last = (int(part) if part else None for part in match.groups()) if match else (0, None)
    if not first or first > MAX_BARS or (last is not None and last < first):
        raise OutputError(
            f'"{text[:40]}" names no bars', where="--loop", remedy="write 17-24, counted from 1, or a number of bars, 8"
        )
    return first, last


def export_loop(clip: Path, bars: str, out: Path) -> dict[str, object]:
    """Write bars of a clip as a silent MP4 whose end runs into its beginning; return what was made.

    Parameters
    ----------
    clip
        A finished clip; bars are those of its own sound.
    bars
        As `parse_bars` takes them; if only their number is given, the bars that join best are chosen.
    out
        The MP4 to write.

    Raises
    ------
    ReactiveError
        If the clip can't be read, holds no such bars, or the loop can't be written.
    """
    first, last = parse_bars(bars)
    grid = grid_of(hear(clip).analysis)
    scan = scan_clip(clip)
    edges = nearest_frames(grid.bars, scan.fps)
    # the bar that the clip ends in counts where it is whole
    edges = edges[(edges >= 0) & (edges <= len(scan.small))]
    count = len(edges) - 1
    wanted = first if last is None else last
    if count < wanted:
        raise OutputError(
            f"has {max(count, 0)} whole bars",
            where=str(clip),
            remedy=f"name bars within 1-{count}" if count > 0 else "a loop needs one at least",
        )
    begin = first - 1 if last is not None else _best_start(scan, edges, first)
    end = last if last is not None else begin + first
    start, stop = int(edges[begin]), int(edges[end])
    if stop - start < 2:
        raise OutputError("is too short for a loop", where=f"--loop {bars}", remedy="name more bars")
    codec, piece = video_codec("h264"), partial_path(out.with_suffix(".mkv"))
    pictures = looped(clip, scan, start, stop)
    opening = next(pictures)
    size = (opening.shape[1] // 2 * 2, opening.shape[0] // 2 * 2)
    try:
        with SegmentEncoder(piece, size=size, fps=scan.fps, codec=codec) as encoder:
            encoder.write(opening)
            for picture in pictures:
                encoder.write(picture)
        tags = {XMP: mark} if (mark := read_tags(clip).get(XMP)) else {}
        join([(piece, stop - start)], None, out, fps=scan.fps, container="mp4", codec=codec, metadata=tags)
    finally:
        piece.unlink(missing_ok=True)
    return {
        "path": str(out),
        "bars": f"{begin + 1}-{end}",
        "first": start,
        "frames": stop - start,
        "duration": round(float(frame_time(stop - start, scan.fps)), 3),
        "fps": str(scan.fps),
        "size": f"{size[0]}x{size[1]}",
    }


def _best_start(scan: ClipScan, edges: np.ndarray, bars: int) -> int:
    """Return the number of the bar, from 0, at which `bars` bars begin that loop best."""
    flat = scan.small.reshape(len(scan.small), -1).astype(np.float32)
    starts = np.arange(len(edges) - bars)
    ends = np.minimum(edges[starts + bars], len(flat) - 1)
    apart = np.abs(flat[edges[starts]] - flat[ends]).mean(axis=1)
    return int(apart.argmin())


def looped(clip: Path, scan: ClipScan, start: int, stop: int) -> Iterator[np.ndarray]:
    """Yield the frames [start, stop) of a clip, uint8 [height, width, 3], so that they loop.

    The end fades into the frames that lead up to the start; where there are none, the start grows out of those that follow
    the end. A whole clip has neither, and stays as it is.
    """
    fade = min(int(frames_in(float(FADE_SECONDS), scan.fps)), (stop - start) // 2)
    lead = fade if start >= fade else 0
    more = 0 if lead else min(fade, len(scan.small) - stop)
    yield from close_loop(
        lambda first, last: _between(clip, start - lead + first, start - lead + last),
        lead=lead,
        frames=stop - start,
        more=more,
    )


def close_loop(
    between: Callable[[int, int], Iterator[np.ndarray]], *, lead: int, frames: int, more: int
) -> Iterator[np.ndarray]:
    """Yield a loop of `frames` frames out of pictures that hold `lead` frames before it and `more` after it.

    With a lead the end fades into it; else the start grows out of the frames that follow the end. `between` yields the
    pictures [first, last), counted from the first of the lead.
    """
    if lead:
        pictures = between(0, lead + frames)
        before = [next(pictures) for _ in range(lead)]
        for number, picture in enumerate(pictures):
            place = number - (frames - lead)
            yield picture if place < 0 else _mixed(picture, before[place], (place + 1) / (lead + 1))
        return
    follows = list(between(frames, frames + more))
    for place, picture in enumerate(between(0, frames)):
        yield _mixed(follows[place], picture, (place + 1) / (more + 1)) if place < more else picture


def _mixed(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return np.rint(one * np.float32(1 - share) + other * np.float32(share)).astype(np.uint8)


def _between(clip: Path, first: int, stop: int) -> Iterator[np.ndarray]:
    return (picture for picture, _ in islice(rgb_frames(clip), first, stop))
