"""Measure on a finished file how well the pictures move with the music.

Conventions: picture change at frame k is the mean absolute difference of luma between frames k - 1 and k, so a cut whose
first frame is k is a change at k. The song's onsets come from the clip's own sound. With a positive lag the picture is late.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from reactive.audio.analysis import Analysis, analyze
from reactive.errors import MediaError
from reactive.media.sound import open_track
from reactive.media.video import luma_frames

# smallest visible motion: mean change over the picture, as a share of full scale
VISIBLE = 0.8 / 255
# a larger lag would match the previous or next beat
MAX_LAG_SECONDS = 0.2
POP = 4.0
# a frame within this many frames of an onset belongs to the hit
NEAR_FRAMES = 1
LOUD = 0.25


@dataclass(frozen=True)
class Score:
    """The measured score.

    Attributes
    ----------
    frames, fps
        Number of frames and rate of the clip.
    lag_ms
        Lag of the best correlation between change and onsets; positive: the picture is late.
    correlation
        The correlation at this lag, -1..1.
    dead_s
        The longest stretch, in seconds, without visible change while the song is loud.
    pops
        Frames that change more than 4 times as much as their surroundings without an onset or planned cut.
    boil
        Mean change between hits over mean change on hits; 1 means that hits are invisible.
    """

    frames: int
    fps: Fraction
    lag_ms: float
    correlation: float
    dead_s: float
    pops: tuple[int, ...]
    boil: float

    def to_dict(self) -> dict[str, object]:
        """Return the score as plain data for JSON."""
        return {
            "frames": self.frames,
            "fps": str(self.fps),
            "lag_ms": round(self.lag_ms, 2),
            "correlation": round(self.correlation, 4),
            "dead": round(self.dead_s, 3),
            "pops": len(self.pops),
            "pop_frames": list(self.pops),
            "boil": round(self.boil, 4),
        }


def score_clip(path: str | os.PathLike[str], *, cuts: tuple[int, ...] = ()) -> Score:
    """Measure a finished clip.

    Parameters
    ----------
    path
        A video with sound.
    cuts
        Frames where the timeline plans a cut; they do not count as pops.

    Raises
    ------
    MediaError
        If it is not a video with sound, or too short.

    Examples
    --------
    >>> import reactive
    >>> reactive.score_clip("clip.mp4").frames
    48
    """
    change, fps = picture_change(Path(path))
    if len(change) < 8:
        raise MediaError(f"has only {len(change)} frames", where=str(path), remedy="score a clip of a second or more")
    analysis = analyze(open_track(path))
    onsets = onset_curve(analysis, len(change), fps)
    lag, correlation = best_lag(change, onsets, fps)
    # clips move with the drums too, which are heard where the sound as a whole shows no onset
    near = _near(onset_curve(analysis, len(change), fps, ("all", "kick", "snare")) > 0, NEAR_FRAMES)
    planned = np.isin(np.arange(len(change)), cuts)
    return Score(
        frames=len(change),
        fps=fps,
        lag_ms=1000 * lag,
        correlation=correlation,
        dead_s=dead_stretch(change, loud_frames(analysis, len(change), fps)) / float(fps),
        pops=tuple(pops(change, near | _near(planned, NEAR_FRAMES))),
        boil=boil(change, onsets),
    )


def picture_change(path: Path) -> tuple[np.ndarray, Fraction]:
    """Return the change at each frame, float64 [frames] in 0..1 (0 at frame 0), and the frame rate."""
    before: np.ndarray | None = None
    change: list[float] = []
    fps = Fraction(0)
    for luma, rate in luma_frames(path):
        fps = rate
        current = luma.astype(np.float32)
        change.append(float(np.abs(current - before).mean()) / 255 if before is not None else 0.0)
        before = current
    if not change:
        raise MediaError("holds no pictures", where=str(path), remedy="score a finished clip")
    return np.array(change), fps


def onset_curve(analysis: Analysis, frames: int, fps: Fraction, kinds: Sequence[str] = ("all",)) -> np.ndarray:
    """Return the strength of the strongest onset nearest to each frame, float64 [frames].

    Parameters
    ----------
    kinds
        Names of the analysis's onsets.
    """
    curve = np.zeros(frames)
    for kind in kinds:
        onsets = analysis.onsets[kind]
        at = np.floor(onsets.times * float(fps) + 0.5).astype(int)
        inside = at < frames
        np.maximum.at(curve, at[inside], onsets.strengths[inside])
    return curve


def loud_frames(analysis: Analysis, frames: int, fps: Fraction) -> np.ndarray:
    """Return for each frame whether the song is loud there: above a quarter of its loud level."""
    rms = analysis.envelopes["rms"]
    at = np.clip((np.arange(frames) / float(fps) * analysis.envelope_rate).round().astype(int), 0, len(rms) - 1)
    top = float(np.percentile(rms, 95))
    loud: np.ndarray = rms[at] > LOUD * top if top > 1e-3 else np.zeros(frames, bool)
    return loud


def best_lag(change: np.ndarray, onsets: np.ndarray, fps: Fraction) -> tuple[float, float]:
    """Return the lag in seconds with the highest correlation between change and onsets, and the correlation.

    The logarithm of change is used, so that a few hard cuts do not outweigh everything else. A parabola gives the peak
    between frames. Without any onset or change both are 0.
    """
    moved = np.log(np.maximum(change, VISIBLE / 4))
    moved[0] = moved[1]
    # slow changes carry no timing information
    moved = moved - _local_mean(moved, int(float(fps)))
    wanted = onsets - _local_mean(onsets, int(float(fps)))
    if moved.std() < 1e-9 or wanted.std() < 1e-9:
        return 0.0, 0.0
    max_lag = min(int(MAX_LAG_SECONDS * float(fps)), len(change) // 2)
    scores = np.array([_correlation(moved, wanted, lag) for lag in range(-max_lag, max_lag + 1)])
    best = int(scores.argmax())
    shift = 0.0
    if 0 < best < len(scores) - 1:
        left, middle, right = scores[best - 1 : best + 2]
        curve = left - 2 * middle + right
        shift = 0.5 * (left - right) / curve if curve < 0 else 0.0
    return (best - max_lag + float(np.clip(shift, -0.5, 0.5))) / float(fps), float(scores[best])


def dead_stretch(change: np.ndarray, loud: np.ndarray) -> int:
    """Return the longest run of frames without visible change while the song is loud."""
    still = loud & (change < VISIBLE)
    longest = run = 0
    for value in still[1:]:
        run = run + 1 if value else 0
        longest = max(longest, run)
    return longest


def pops(change: np.ndarray, explained: np.ndarray) -> list[int]:
    """Return the frames whose change exceeds 4 times the local median without an explanation.

    The motion after a hit may decay over some frames: frames that change less than the one before them are no pops.
    """
    from scipy.ndimage import median_filter

    local = np.maximum(median_filter(change, 25, mode="nearest"), VISIBLE)
    jump = (change > POP * local) & ~explained
    decaying = explained.copy()
    for frame in range(1, len(change)):
        decaying[frame] |= decaying[frame - 1] and change[frame] < change[frame - 1]
    return [int(frame) for frame in np.flatnonzero(jump & ~decaying)]


def boil(change: np.ndarray, onsets: np.ndarray) -> float:
    """Return mean change away from hits over mean change on hits; 0 without any hit."""
    strong = onsets >= 0.5
    hit, rest = _near(strong, 0), ~_near(strong, NEAR_FRAMES)
    rest[0] = False
    if not hit.any() or not rest.any() or change[hit].mean() <= 0:
        return 0.0
    return float(change[rest].mean() / change[hit].mean())


def _correlation(moved: np.ndarray, wanted: np.ndarray, lag: int) -> float:
    a = moved[max(lag, 0) : len(moved) + min(lag, 0)]
    b = wanted[max(-lag, 0) : len(wanted) - max(lag, 0)]
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _local_mean(values: np.ndarray, width: int) -> np.ndarray:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(values, max(width, 3), mode="nearest"))


def _near(marks: np.ndarray, distance: int) -> np.ndarray:
    near = marks.copy()
    for step in range(1, distance + 1):
        near[step:] |= marks[:-step]
        near[:-step] |= marks[step:]
    return near
