"""Exact time. Nothing else in the program multiplies or divides by a frame rate.

fps is a Fraction. Frame k shows at k / fps. An event at time t acts first on the frame nearest to it. A frame's interval
is one frame long and centred on k / fps.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np

from reactive.errors import TimelineError

# 29.97 means 30000/1001 (SMPTE ST 12-1): rates a thousandth below these, within the usual rounding
_NTSC = (12, 15, 24, 30, 48, 60, 72, 90, 96, 120, 144, 240)
_ROUNDED = Fraction(6, 1000)
_RATE = re.compile(r"\d{1,9}(?:\.\d{1,6})?(?:/\d{1,9})?", re.ASCII)


def parse_fps(text: str) -> Fraction:
    """Parse ``24``, ``29.97`` or ``30000/1001`` to a frame rate between 1 and 240.

    ``23.976``, ``29.97``, ``59.94`` and the like, with a point, mean the exact NTSC rates; `ntsc_note` tells the user.

    Raises
    ------
    TimelineError
        If it is not one.
    """
    remedy = "write for instance 24, 25 or 30000/1001"
    if not _RATE.fullmatch(text):
        raise TimelineError(f'"{text}" is not a frame rate', where="--fps", remedy=remedy)
    top, _, bottom = text.partition("/")
    if bottom and int(bottom) == 0:
        raise TimelineError(f'"{text}" is not a frame rate', where="--fps", remedy=remedy)
    fps = _ntsc(top) if "." in top and not bottom else Fraction(top) / Fraction(bottom or 1)
    if not 1 <= fps <= 240:
        raise TimelineError(f"{text} frames a second are not between 1 and 240", where="--fps", remedy=remedy)
    return fps


def as_fps(rate: int | float | str | Fraction) -> Fraction:
    """Return a frame rate between 1 and 240, as a person writes it in Python: ``24``, ``29.97``, ``"30000/1001"``, a Fraction.

    A float is read to a millionth, by the rule of `parse_fps`: ``29.97`` is the exact NTSC rate.

    Raises
    ------
    TimelineError
        If it is not one.
    """
    return parse_fps(f"{rate:.6f}" if isinstance(rate, float) else str(rate))


def _ntsc(text: str) -> Fraction:
    """Return the NTSC rate that a decimal number rounds, or the number itself."""
    given = Fraction(text)
    exact = (Fraction(rate * 1000, 1001) for rate in _NTSC)
    return next((fps for fps in exact if given.denominator > 1 and abs(fps - given) < _ROUNDED), given)


def ntsc_note(text: str) -> str:
    """Return a sentence about how a frame rate was read, if it is not the number that was written; else an empty text."""
    fps = parse_fps(text)
    return f"{text} frames a second are taken as exactly {fps} (NTSC)." if "." in text and fps != Fraction(text) else ""


def format_fps(fps: Fraction) -> str:
    """Return ``24`` or ``30000/1001``."""
    return str(fps)


def frame_count(samples: int, sample_rate: int, fps: Fraction) -> int:
    """Return how many frames cover a song of so many samples; the last one ends less than one frame after it."""
    exact = Fraction(samples, sample_rate) * fps
    return max(1, -(-exact.numerator // exact.denominator))


def frame_times(frames: int, fps: Fraction) -> np.ndarray:
    """Return the times in seconds, float64 [frames], at which the frames show."""
    return np.arange(frames, dtype=np.float64) * fps.denominator / fps.numerator


def frame_time(frame: int | Fraction, fps: Fraction) -> Fraction:
    """Return the exact time in seconds at which a frame shows, or of a position between frames."""
    return frame / fps


def nearest_frame(seconds: float | Fraction, fps: Fraction) -> int:
    """Return the frame nearest to a time; halfway goes to the later one."""
    exact = Fraction(seconds) * fps + Fraction(1, 2)
    return exact.numerator // exact.denominator


def nearest_frames(seconds: np.ndarray, fps: Fraction) -> np.ndarray:
    """Return the frames nearest to times in seconds, int64."""
    return np.floor(np.asarray(seconds, np.float64) * fps.numerator / fps.denominator + 0.5).astype(np.int64)


def frame_sample(frame: int, fps: Fraction, sample_rate: int) -> int:
    """Return the index of the sample nearest to the time at which a frame shows."""
    exact = frame * sample_rate / fps + Fraction(1, 2)
    return exact.numerator // exact.denominator


def sound_range(
    first: int, last: int, fps: Fraction, *, frames: int, samples: int, sample_rate: int
) -> tuple[int, int]:
    """Return the samples [start, stop) that sound while frames [first, last) show, to the very end after the last frame.

    Parameters
    ----------
    frames
        How many frames the whole song takes.
    samples
        The song's length.
    """
    stop = samples if last >= frames else frame_sample(last, fps, sample_rate)
    return frame_sample(first, fps, sample_rate), stop


def frames_in(seconds: float | Fraction, fps: Fraction) -> float:
    """Return a length in seconds as a length in frames."""
    return float(seconds * fps.numerator / fps.denominator)


def frame_length(fps: Fraction) -> float:
    """Return the length of one frame in seconds."""
    return fps.denominator / fps.numerator


def tick_positions(start: int, stop: int, fps: Fraction, rate: Fraction, hits: np.ndarray) -> list[Fraction]:
    """Return where, counted in frames, the pictures of a feedback shot lie.

    They start on the shot's first frame and follow each other at `rate` a second. The tick nearest to a hit moves onto
    the hit's frame, unless that is taken; the first tick stays. The last tick lies at or beyond the last frame, so that
    every frame has a neighbour on each side.

    Parameters
    ----------
    start, stop
        The shot's frames, stop excluded.
    hits
        Frames with a hit, rising.
    """
    step = fps / rate
    count = math.ceil((stop - 1 - start) / step) + 1
    ticks = [start + i * step for i in range(count)]
    for hit in hits[(hits > start) & (hits < stop)].tolist():
        nearest = round(Fraction(hit - start) / step)
        if 0 < nearest < count - 1 and ticks[nearest - 1] < hit < ticks[nearest + 1]:
            ticks[nearest] = Fraction(hit)
    # with a hit on the last frame no tick is needed after it
    return ticks[:-1] if count > 1 and ticks[-2] >= stop - 1 else ticks
