"""Find a clip's best picture, and the range that loops best.

Only small pictures are kept, so a long clip takes little memory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.errors import MediaError
from reactive.media.video import rgb_frames

# sizes (width, height) of pictures for rating, and for comparison
RATED_SIZE, COMPARED_SIZE = (160, 90), (16, 9)
LOOP_SECONDS = (2.0, 5.0)
# frames on either side of a cut that are excluded
_NEAR_CUT = 3


@dataclass(frozen=True)
class ClipScan:
    """Small pictures and ratings of a clip.

    Attributes
    ----------
    fps
        Frames a second.
    appeal
        How interesting each frame looks, float64 [frames].
    small
        Tiny pictures, uint8 [frames, 9, 16, 3].
    """

    fps: Fraction
    appeal: np.ndarray
    small: np.ndarray


@dataclass(frozen=True)
class Loop:
    """Frames [start, stop) that loop: the frame `stop` looks like the frame `start`."""

    start: int
    stop: int


def scan_clip(path: str | os.PathLike[str]) -> ClipScan:
    """Read a clip once.

    Raises
    ------
    MediaError
        If it has no pictures.
    """
    appeal: list[float] = []
    small: list[np.ndarray] = []
    fps = Fraction(0)
    for picture, rate in rgb_frames(Path(path), size=RATED_SIZE):
        fps = rate
        appeal.append(appeal_of(picture))
        height, width = RATED_SIZE[1] // COMPARED_SIZE[1], RATED_SIZE[0] // COMPARED_SIZE[0]
        blocks = picture.reshape(COMPARED_SIZE[1], height, COMPARED_SIZE[0], width, 3)
        small.append(blocks.mean(axis=(1, 3)).round().astype(np.uint8))
    if not small:
        raise MediaError("holds no pictures", where=str(path), remedy="name a finished clip")
    return ClipScan(fps, np.array(appeal), np.stack(small))


def appeal_of(picture: np.ndarray) -> float:
    """Rate how interesting a picture looks, uint8 [height, width, 3]: colour times contrast times detail.

    Colour by Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003). A flat picture has 0.
    """
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    first, second = red - green, (red + green) / 2 - blue
    colour = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    light = picture.mean(axis=-1)
    detail = np.abs(np.diff(light, axis=0)).mean() + np.abs(np.diff(light, axis=1)).mean()
    return float((colour + 10) * light.std() * detail)


def best_frame(scan: ClipScan) -> int:
    """Return the best frame, away from changes of scene and from the first and last quarter second."""
    steps = np.abs(np.diff(scan.small.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    cut = np.concatenate([[False], steps > 4 * max(float(np.median(steps)), 1.0) if len(steps) else []])
    near = np.convolve(cut, np.ones(2 * _NEAR_CUT + 1), mode="same")[: len(cut)] > 0
    edge = min(round(scan.fps / 4), (len(cut) - 1) // 2)
    near[:edge] = True
    near[len(near) - edge :] = True
    allowed = scan.appeal if near.all() else np.where(near, -1.0, scan.appeal)
    return int(allowed.argmax())


def best_loop(scan: ClipScan, *, seconds: tuple[float, float] = LOOP_SECONDS) -> Loop:
    """Return the range of the clip, of a length within `seconds`, that loops best.

    The frames at the joint are compared with those that follow each other in the clip: the frame after the end with the
    first, and the last with the one before the first, so that motion continues too. In a still clip all loops are equal, so
    loops with more motion are preferred.
    """
    frames = len(scan.small)
    shortest, longest = (max(2, round(s * scan.fps)) for s in seconds)
    if frames <= shortest + 1:
        return Loop(0, frames)
    flat = scan.small.reshape(frames, -1).astype(np.int16)
    energy = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(flat, axis=0)).mean(axis=1)), [0.0]])
    best, found = np.inf, Loop(0, shortest)
    for length in range(shortest, min(longest, frames - 1) + 1):
        apart = np.abs(flat[length:] - flat[:-length]).mean(axis=1)
        joint = apart[1:] + apart[:-1] if len(apart) > 1 else 2 * apart
        starts = np.arange(len(joint)) + (1 if len(apart) > 1 else 0)
        lively = (energy[starts + length - 1] - energy[starts]) / length
        cost = (joint + 1) / np.minimum(lively + 0.5, 4.0)
        at = int(cost.argmin())
        if cost[at] < best:
            best, found = float(cost[at]), Loop(int(starts[at]), int(starts[at]) + length)
    return found


def closed(pictures: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return a loop whose end cross-fades into its beginning.

    Parameters
    ----------
    pictures
        The loop, uint8 [n, height, width, 3].
    before
        The frames just before its first, uint8 [m, height, width, 3], m < n: the loop's last m fade into them, so the
        first frame follows the last as it does in the clip.
    """
    count = len(before)
    if not count:
        return pictures
    share = ((np.arange(count) + 1) / (count + 1)).astype(np.float32)[:, None, None, None]
    faded = pictures[-count:] * (1 - share) + before * share
    return np.concatenate([pictures[:-count], np.rint(faded).astype(np.uint8)])
