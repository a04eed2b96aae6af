"""Timelines as files that a person can read, edit and render: JSON, checked on the way in.

Whole-number columns are written as runs, ``[frame, value]`` from that frame on; curves as one number a frame.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tempfile
import unicodedata
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from reactive.errors import TimelineError
from reactive.jsonfile import parse_json
from reactive.timeline.clock import format_fps, frame_count, parse_fps
from reactive.timeline.timeline import CURVES, INTEGERS, OPTIONAL, STEEPEST, Timeline

# 2 knows videos, joins, depth and the palette of feedback; what needs none of them is written as 1
VERSIONS = (1, 2)
MAX_BYTES = 500_000_000
MAX_PROMPTS = 100_000
MAX_FRAMES = 24 * 3600 * 240
# curves keep so many digits after the point: far below what a picture shows
DIGITS = 7


def timeline_to_text(timeline: Timeline) -> str:
    """Return a timeline as JSON text, one column a line."""
    left_out = {name for name, value in OPTIONAL.items() if (timeline.columns[name] == value).all()}
    plain = len(left_out) == len(OPTIONAL) and not timeline.videos and not timeline.feedback_colour
    head = {
        "version": VERSIONS[0] if plain else VERSIONS[1],
        "song_sha256": timeline.song_sha256,
        "samples": timeline.samples,
        "sample_rate": timeline.sample_rate,
        "fps": format_fps(timeline.fps),
        "frames": timeline.frames,
        "title": timeline.title,
        "seed": timeline.seed,
        "harmonics": timeline.harmonics,
        "feedback_rate": str(timeline.feedback_rate),
        "feedback_fresh": timeline.feedback_fresh,
        "phases": list(timeline.phases),
        "photos": list(timeline.photos),
        "cuts": list(timeline.cuts),
    }
    if not plain:
        head |= {"videos": list(timeline.videos), "feedback_colour": timeline.feedback_colour}
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    prompts = ",\n".join(f"    {json.dumps(prompt, ensure_ascii=False)}" for prompt in timeline.prompts)
    lines.append(f'  "prompts": [\n{prompts}\n  ]')
    if timeline.negatives:
        negatives = ",\n".join(f"    {json.dumps(text, ensure_ascii=False)}" for text in timeline.negatives)
        lines.append(f'  "negatives": [\n{negatives}\n  ]')
    columns = [
        f'    "{name}": {json.dumps(_runs(timeline.columns[name]))}' for name in INTEGERS if name not in left_out
    ]
    for name in (name for name in CURVES if name not in left_out):
        values = [round(value, DIGITS) for value in timeline.columns[name].tolist()]
        columns.append(f'    "{name}": {json.dumps(values)}')
    lines.append('  "columns": {\n' + ",\n".join(columns) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def save_timeline(timeline: Timeline, path: Path) -> None:
    """Write a timeline; the file appears only when it is complete."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="replace", dir=path.parent, delete=False
        ) as partial:
            try:
                partial.write(timeline_to_text(timeline))
                partial.close()
                os.replace(partial.name, path)
            except BaseException:
                partial.close()
                Path(partial.name).unlink(missing_ok=True)
                raise
    except OSError as problem:
        raise TimelineError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place with -o"
        ) from None


def load_timeline(path: Path) -> Timeline:
    """Read a timeline and check that every column is there, whole and within its range.

    Raises
    ------
    TimelineError
        With what is wrong, where, and what to do.
    """
    where = str(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise TimelineError("is no file of a timeline's size", where=where, remedy="write it anew")
        data = parse_json(path.read_bytes())
    except OSError as problem:
        raise TimelineError(f"can't be read ({problem.strerror})", where=where, remedy="check the name") from None
    except ValueError as problem:
        raise TimelineError(str(problem), where=where, remedy="mend it, or write it anew") from None
    if not isinstance(data, dict) or data.get("version") not in VERSIONS:
        raise TimelineError(
            "is not a timeline of version 1 or 2", where=where, remedy="write one with `reactive timeline SONG -o FILE`"
        )
    try:
        return _checked(data)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as problem:
        what = f"lacks {problem}" if isinstance(problem, KeyError) else str(problem)
        raise TimelineError(what, where=where, remedy="mend it, or write it anew with `reactive timeline`") from None


def _checked(data: dict[str, Any]) -> Timeline:
    frames = int(data["frames"])
    if not 1 <= frames <= MAX_FRAMES:
        raise ValueError(f"frames = {frames} is not between 1 and {MAX_FRAMES}")
    fps = parse_fps(str(data["fps"]))
    negatives, videos = data.get("negatives", []), data.get("videos", [])
    if not all(
        isinstance(part, list) for part in (*(data[n] for n in ("prompts", "phases", "photos", "cuts")), videos)
    ):
        raise ValueError("prompts, phases, photos, videos and cuts must be lists")
    if not isinstance(negatives, list) or len(negatives) not in (0, len(data["prompts"])):
        raise ValueError("negatives must be a list as long as prompts")
    # files of older programs have none: every mix was straight
    data["columns"].setdefault("slerp", [[0, 0]])
    for text in [data["title"], *data["prompts"], *negatives, *data["phases"], *data["photos"], *videos]:
        if not isinstance(text, str) or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
            raise ValueError("the title, prompts, negatives, phases, photos and videos must be plain text")
    samples, sample_rate = int(data["samples"]), int(data["sample_rate"])
    if sample_rate < 1 or frames != frame_count(samples, sample_rate, fps):
        raise ValueError(f"frames = {frames} does not follow from samples, sample_rate and fps")
    prompts = [str(prompt) for prompt in data["prompts"]]
    if len(prompts) > MAX_PROMPTS:
        raise ValueError(f"holds {len(prompts):,} prompts, more than {MAX_PROMPTS:,}")
    columns: dict[str, np.ndarray] = {}
    given = data["columns"]
    # curves first: they are as long as the file, so a small one can't claim a frame count that takes all memory
    for name in CURVES:
        if name in OPTIONAL and name not in given:
            columns[name] = np.full(frames, float(OPTIONAL[name]))
            continue
        values = np.array(given[name], np.float64)
        if values.shape != (frames,):
            raise ValueError(f"column {name} has {values.size} values for {frames} frames")
        if not np.isfinite(values).all():
            raise ValueError(f"column {name} holds a value that is not finite")
        columns[name] = values
    for name in INTEGERS:
        runs = given[name] if name not in OPTIONAL else given.get(name, [[0, OPTIONAL[name]]])
        columns[name] = _unrolled(name, runs, frames)
    for name, low, high in (
        ("prompt_from", 0, len(prompts) - 1),
        ("prompt_to", 0, len(prompts) - 1),
        ("phase", 0, len(data["phases"]) - 1),
        ("source", -2, len(data["photos"]) + len(videos) - 1),
        ("guide", -1, len(videos) - 1),
        ("dissolve", 0, 1),
        ("morph", 0, 1),
        ("lens_tilt", -STEEPEST, STEEPEST),
        ("lens_turn", -STEEPEST, STEEPEST),
        ("camera_flow", 0, 1),
        ("weight", 0, 1),
        ("slerp", 0, 1),
        ("strength", 0, 1),
        ("lens_zoom", 0.1, 100),
        ("lens_rotate", -1e5, 1e5),
        ("lens_x", -10, 10),
        ("lens_y", -10, 10),
        ("walk", 0, 1e7),
        ("camera_zoom", -1e6, 1e6),
    ):
        if columns[name].min() < low or columns[name].max() > high:
            raise ValueError(f"column {name} leaves the range {low} to {high}")
    if (np.diff(columns["shot"]) < 0).any() or (np.diff(columns["shot"]) > 1).any():
        raise ValueError("column shot must rise by one from shot to shot")
    harmonics = int(data["harmonics"])
    if not 1 <= harmonics <= 1024:
        raise ValueError(f"harmonics = {harmonics} is not between 1 and 1024")
    rate, fresh = Fraction(str(data["feedback_rate"])), float(data["feedback_fresh"])
    if not 1 <= rate <= 60 or not (math.isfinite(fresh) and 0 <= fresh <= 1):
        raise ValueError("feedback_rate is not in 1..60, or feedback_fresh not in 0..1")
    colour = float(data.get("feedback_colour", 0))
    if not (math.isfinite(colour) and 0 <= colour <= 1):
        raise ValueError("feedback_colour is not in 0..1")
    return Timeline(
        song_sha256=str(data["song_sha256"]),
        samples=samples,
        sample_rate=sample_rate,
        fps=fps,
        title=str(data["title"]),
        seed=int(data["seed"]),
        harmonics=harmonics,
        feedback_rate=rate,
        feedback_fresh=fresh,
        prompts=tuple(prompts),
        phases=tuple(str(name) for name in data["phases"]),
        photos=tuple(str(name) for name in data["photos"]),
        cuts=tuple(sorted(int(cut) for cut in data["cuts"])),
        columns=columns,
        negatives=tuple(negatives),
        videos=tuple(str(name) for name in videos),
        feedback_colour=colour,
    )


def _runs(values: np.ndarray) -> list[list[int]]:
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    return [[int(start), int(values[start])] for start in starts]


def _unrolled(name: str, runs: Any, frames: int) -> np.ndarray:
    starts = [int(run[0]) for run in runs]
    if (
        not starts
        or starts[0] != 0
        or any(b <= a for a, b in zip(starts, starts[1:], strict=False))
        or starts[-1] >= frames
    ):
        raise ValueError(f"column {name} must be runs [frame, value] that start at frame 0 and rise")
    values = np.array([int(run[1]) for run in runs], np.int64)
    return np.repeat(values, np.diff([*starts, frames]))
