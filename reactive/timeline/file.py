"""Timelines as files that a person can read, edit and render: JSON, checked on the way in.

Whole-number columns are written as runs, ``[frame, value]`` from that frame on; curves as one number a frame.
"""

from __future__ import annotations

import json
import os
import re
import stat
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reactive.errors import TimelineError
from reactive.files import write_text
from reactive.jsonfile import (
    InvalidValue,
    parse_json,
    quoted,
    read_float,
    read_fraction,
    read_int,
    read_texts,
    read_value,
)
from reactive.preset.bounds import LIMITS
from reactive.preset.palette import MAX_COLOURS
from reactive.timeline.clock import format_fps, frame_count, parse_fps
from reactive.timeline.control_pictures import CONTROLS, is_control_name
from reactive.timeline.framing import COVER, FITS, Framing
from reactive.timeline.grounds import CLOSEST, FARTHEST_DRIFT, SHOWN
from reactive.timeline.loras import LORAS
from reactive.timeline.styles import STYLES
from reactive.timeline.timeline import COLOURS, CURVES, INTEGERS, OPTIONAL, STEEPEST, Timeline

# version 2 has videos, joins, depth and the palette of feedback, 3 has grounds, 4 has noise that turns from one seed to another, 5 has
# reference pictures, 6 LoRAs of changing strength, 7 pictures whose shapes are kept, 8 double exposures; the earliest possible
# version is written
VERSIONS = (1, 2, 3, 4, 5, 6, 7, 8)
MAX_BYTES = 500_000_000
MAX_PROMPTS = 100_000
MAX_FRAMES = 24 * 3600 * 240
# letters of a prompt or name, with everything that a preset adds to a prompt
MAX_TEXT, MAX_NEGATIVE, MAX_NAMES = 10_000, 20_000, 10_000
MOST = 1e12
_REMEDY = "mend it, or write it anew with `reactive timeline`"
_KEYS = {
    "version",
    "song_sha256",
    "file_sha256",
    "samples",
    "sample_rate",
    "fps",
    "frames",
    "title",
    "seed",
    "harmonics",
    "feedback_rate",
    "feedback_fresh",
    "phases",
    "photos",
    "cuts",
    "videos",
    "feedback_colour",
    "grounds",
    "palettes",
    "styles",
    "controls",
    "loras",
    "fit",
    "focus",
    "prompts",
    "negatives",
    "columns",
}
# digits after the point of curves: finer than visible in a picture
DIGITS = 7


def timeline_to_text(timeline: Timeline) -> str:
    """Return a timeline as JSON text, one column a line."""
    left_out = {name for name, value in OPTIONAL.items() if (timeline.columns[name] == value).all()}
    plain = len(left_out) == len(OPTIONAL) and not timeline.videos and not timeline.feedback_colour
    grounded = not left_out.issuperset(("ground", *SHOWN))
    version = VERSIONS[2] if grounded else VERSIONS[0] if plain else VERSIONS[1]
    if "seed_from" not in left_out:
        version = VERSIONS[3]
    if timeline.styles:
        version = VERSIONS[4]
    if timeline.loras:
        version = VERSIONS[5]
    if timeline.controls:
        version = VERSIONS[6]
    if "ground_double" not in left_out:
        version = VERSIONS[7]
    head = {
        "version": version,
        "song_sha256": timeline.song_sha256,
        **({"file_sha256": timeline.file_sha256} if timeline.file_sha256 else {}),
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
    if timeline.palettes:
        head["palettes"] = [list(palette) for palette in timeline.palettes]
    if timeline.framing.fit != COVER.fit:
        head["fit"] = timeline.framing.fit
    if timeline.framing.focus:
        head["focus"] = {name: list(place) for name, place in timeline.framing.focus.items()}
    if grounded:
        head |= {"grounds": list(timeline.grounds)}
    if timeline.styles:
        head["styles"] = list(timeline.styles)
    if timeline.controls:
        head["controls"] = list(timeline.controls)
    if timeline.loras:
        head["loras"] = list(timeline.loras)
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


def save_timeline(timeline: Timeline, path: str | os.PathLike[str]) -> None:
    """Write a timeline; the file appears only when it is complete.

    Raises
    ------
    TimelineError
        If it can't be written.

    Examples
    --------
    >>> import reactive
    >>> timeline = reactive.decide(reactive.analyze(reactive.open_track("song.wav")), fps=8)
    >>> reactive.save_timeline(timeline, "song.json")
    >>> reactive.load_timeline("song.json").prompts == timeline.prompts
    True
    """
    try:
        write_text(Path(path), timeline_to_text(timeline))
    except OSError as problem:
        raise TimelineError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place with -o"
        ) from None


def load_timeline(path: str | os.PathLike[str]) -> Timeline:
    """Read a timeline and check that every column is there, whole and within its range.

    Raises
    ------
    TimelineError
        With the problem, its place and the remedy.

    Examples
    --------
    >>> import reactive
    >>> timeline = reactive.decide(reactive.analyze(reactive.open_track("song.wav")), fps=8)
    >>> reactive.save_timeline(timeline, "edited.json")
    >>> reactive.load_timeline("edited.json").frames
    32
    """
    path = Path(path)
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
            f"is not a timeline of version 1 to {VERSIONS[-1]}",
            where=where,
            remedy="write one with `reactive timeline SONG -o FILE`",
        )
    try:
        return replace(_checked(data), folder=path.parent)
    except InvalidValue as problem:
        raise TimelineError(str(problem), where=where, remedy=_REMEDY) from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        # any other error in the data: Python's own message would not help a user
        raise TimelineError("holds values of the wrong kind", where=where, remedy=_REMEDY) from None


def _checked(data: dict[str, Any]) -> Timeline:
    if unknown := sorted(data.keys() - _KEYS):
        raise InvalidValue(f"holds unknown keys: {', '.join(quoted(name) for name in unknown[:5])}")
    frames = read_int(data, "frames", 1, MAX_FRAMES)
    try:
        fps = parse_fps(str(read_value(data, "fps")))
    except TimelineError as problem:
        raise InvalidValue(f"fps: {problem.what}") from None
    prompts = read_texts(data, "prompts", most=MAX_PROMPTS, longest=MAX_TEXT)
    phases, photos = (read_texts(data, name, most=MAX_NAMES, longest=MAX_TEXT) for name in ("phases", "photos"))
    videos = read_texts({"videos": [], **data}, "videos", most=MAX_NAMES, longest=MAX_TEXT)
    grounds = read_texts({"grounds": [], **data}, "grounds", most=MAX_NAMES, longest=MAX_TEXT)
    styles = read_texts({"styles": [], **data}, "styles", most=len(STYLES), longest=MAX_TEXT)
    controls = read_texts({"controls": [], **data}, "controls", most=len(CONTROLS), longest=MAX_TEXT)
    loras = read_texts({"loras": [], **data}, "loras", most=len(LORAS), longest=MAX_TEXT)
    negatives = read_texts({"negatives": [], **data}, "negatives", most=MAX_PROMPTS, longest=MAX_NEGATIVE)
    if not prompts or not phases:
        raise InvalidValue("prompts and phases must not be empty")
    if len(negatives) not in (0, len(prompts)):
        raise InvalidValue("negatives must be a list as long as prompts")
    for key, values in (
        ("title", [read_value(data, "title")]),
        ("song_sha256", [read_value(data, "song_sha256"), data.get("file_sha256", "")]),
        ("prompts", prompts),
        ("negatives", negatives),
        ("phases", phases),
        ("photos", photos),
        ("videos", videos),
        ("grounds", grounds),
        ("styles", styles),
        ("controls", controls),
        ("loras", loras),
    ):
        for text in values:
            if not isinstance(text, str) or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
                raise InvalidValue(f"{key} must be plain text")
    samples = read_int(data, "samples", 1, 2**53)
    sample_rate = read_int(data, "sample_rate", 1, 10_000_000)
    if frames != frame_count(samples, sample_rate, fps):
        raise InvalidValue(f"frames = {frames} does not follow from samples, sample_rate and fps")
    palettes = _palettes(data.get("palettes", []))
    columns = _columns(read_value(data, "columns"), frames, prompts, phases, photos, videos, grounds, len(palettes))
    for key, names, weights in (("styles", styles, STYLES), ("loras", loras, LORAS)):
        if any(Path(name).name != name or "\\" in name for name in names):
            raise InvalidValue(f"{key} must be names of files, without folders")
        if unnamed := next((name for name in weights[len(names) :] if columns[name].any()), None):
            raise InvalidValue(f"the column {unnamed} has no name in {key}")
    if not all(is_control_name(name) for name in controls):
        raise InvalidValue("controls must be kinds with names of files, without folders")
    if any(columns[name].any() for name in CONTROLS[len(controls) :]):
        raise InvalidValue("a column of a control has no entry in controls")
    cuts = read_value(data, "cuts")
    if not isinstance(cuts, list) or not all(type(cut) is int and 0 <= cut < frames for cut in cuts):
        raise InvalidValue(f"cuts are not whole numbers from 0 to {frames - 1}, the last frame")
    return Timeline(
        song_sha256=str(data["song_sha256"]),
        file_sha256=str(data.get("file_sha256", "")),
        samples=samples,
        sample_rate=sample_rate,
        fps=fps,
        title=str(data["title"])[:MAX_TEXT],
        seed=read_int(data, "seed", 0, 2**63 - 1),
        harmonics=read_int(data, "harmonics", 1, 1024),
        feedback_rate=read_fraction(data, "feedback_rate", 1, 60),
        feedback_fresh=read_float(data, "feedback_fresh", 0, 1),
        prompts=tuple(prompts),
        phases=tuple(phases),
        photos=tuple(photos),
        cuts=tuple(sorted(set(cuts))),
        columns=columns,
        negatives=tuple(negatives),
        videos=tuple(videos),
        feedback_colour=read_float({"feedback_colour": 0, **data}, "feedback_colour", 0, 1),
        palettes=palettes,
        grounds=tuple(grounds),
        styles=tuple(styles),
        controls=tuple(controls),
        loras=tuple(loras),
        framing=_framing(data),
    )


def _framing(data: dict[str, Any]) -> Framing:
    """Return how photographs fill the frame."""
    fit, focus = data.get("fit", COVER.fit), data.get("focus", {})
    if fit not in FITS:
        raise InvalidValue(f"fit must be {', '.join(FITS)}")
    if not isinstance(focus, dict) or len(focus) > MAX_NAMES:
        raise InvalidValue("focus must be a table")
    places: list[Any] = list(focus.values())
    whole = all(isinstance(place, list) and len(place) == 2 for place in places)
    if not whole or not all(type(share) in (int, float) and 0 <= share <= 1 for place in places for share in place):
        raise InvalidValue("focus must name places as [0.5, 0.2]")
    return Framing(fit, {str(name)[:MAX_TEXT]: (float(place[0]), float(place[1])) for name, place in focus.items()})


def _palettes(given: Any) -> tuple[tuple[str, ...], ...]:
    """Return palettes, each some colours ``#rrggbb``."""
    whole_list = isinstance(given, list) and len(given) <= MAX_PROMPTS
    if not whole_list or not all(isinstance(palette, list) and 1 <= len(palette) <= MAX_COLOURS for palette in given):
        raise InvalidValue(f"palettes must be lists of 1 to {MAX_COLOURS} colours")
    for colour in (colour for palette in given for colour in palette):
        if not (isinstance(colour, str) and re.fullmatch("#[0-9a-f]{6}", colour)):
            raise InvalidValue(f"the colour {quoted(colour)} is not written as #d01030")
    return tuple(map(tuple, given))


def _columns(
    given: Any,
    frames: int,
    prompts: list[str],
    phases: list[str],
    photos: list[str],
    videos: list[str],
    grounds: list[str],
    palettes: int,
) -> dict[str, np.ndarray]:
    """Return every column, whole and within its range."""
    if not isinstance(given, dict):
        raise InvalidValue("columns must be a table")
    if unknown := sorted(given.keys() - {*CURVES, *INTEGERS}):
        raise InvalidValue(f"holds unknown columns: {', '.join(quoted(name) for name in unknown[:5])}")
    # older files do not have it: every mix was straight
    given = {"slerp": [[0, 0]], **given}
    columns: dict[str, np.ndarray] = {}
    # curves first: they are as long as the timeline, so a small file can't claim a huge number of frames
    for name in CURVES:
        if name in OPTIONAL and name not in given:
            columns[name] = np.full(frames, float(OPTIONAL[name]))
            continue
        values = given.get(name)
        if not isinstance(values, list) or len(values) != frames:
            count = len(values) if isinstance(values, list) else 0
            raise InvalidValue(f"column {name} has {count} values for {frames} frames")
        if not all(type(value) in (int, float) and -MOST <= value <= MOST for value in values):
            raise InvalidValue(f"column {name} holds a value that is no number within {-MOST:g} and {MOST:g}")
        columns[name] = np.array(values, np.float64)
    for name in INTEGERS:
        runs = given.get(name, [[0, OPTIONAL[name]]] if name in OPTIONAL else None)
        columns[name] = _unrolled(name, runs, frames)
    for name, low, high in (
        ("prompt_from", 0, len(prompts) - 1),
        ("prompt_to", 0, len(prompts) - 1),
        ("phase", 0, len(phases) - 1),
        ("source", -2, len(photos) + len(videos) - 1),
        ("guide", -1, len(videos) - 1),
        ("ground", -1, len(photos) + len(videos) + len(grounds) - 1),
        *((name, *_ground_limits(name)) for name in SHOWN),
        ("film_time", -1, 1e6),
        ("slerp", 0, 1),
        ("seed_from", -1, 2**63 - 1),
        ("seed_weight", 0, 1),
        ("palette_from", -1, palettes - 1),
        ("palette_to", -1, palettes - 1),
        *((name, *LIMITS[name.replace("_", ".")]) for name in COLOURS),
        *((name, *LIMITS["style_picture.weight"]) for name in STYLES),
        *((name, *LIMITS["control.weight"]) for name in CONTROLS),
        *((name, *LIMITS["lora.strength"]) for name in LORAS),
        ("loop", 0, 1_000_000),
        ("dissolve", 0, 1),
        ("morph", 0, 1),
        ("lens_tilt", -STEEPEST, STEEPEST),
        ("lens_turn", -STEEPEST, STEEPEST),
        ("camera_flow", 0, 1),
        ("weight", 0, 1),
        ("strength", 0, 1),
        ("speed", 0, 1e6),
        ("hit", 0, 1),
        ("lens_zoom", 0.1, 100),
        ("lens_rotate", -1e5, 1e5),
        ("lens_x", -10, 10),
        ("lens_y", -10, 10),
        ("walk", 0, 1e7),
        ("camera_zoom", -1e6, 1e6),
    ):
        if columns[name].min() < low or columns[name].max() > high:
            raise InvalidValue(f"column {name} leaves the range {low:g} to {high:g}")
    if (np.diff(columns["shot"]) < 0).any() or (np.diff(columns["shot"]) > 1).any():
        raise InvalidValue("column shot must rise by one from shot to shot")
    return columns


def _ground_limits(name: str) -> tuple[float, float]:
    """Return the limits of a column of the grounds: those of its expression, widened by push and drift."""
    low, high = LIMITS[f"ground.{SHOWN[name][0]}"]
    if name == "ground_zoom":
        return low, high * CLOSEST
    return (low - FARTHEST_DRIFT, high + FARTHEST_DRIFT) if name == "ground_x" else (low, high)


def _runs(values: np.ndarray) -> list[list[int]]:
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    return [[int(start), int(values[start])] for start in starts]


def _unrolled(name: str, runs: Any, frames: int) -> np.ndarray:
    if not isinstance(runs, list) or not all(
        isinstance(run, list) and len(run) == 2 and all(type(number) is int for number in run) for run in runs
    ):
        raise InvalidValue(f"column {name} must be runs [frame, value] of whole numbers")
    starts = [run[0] for run in runs]
    if (
        not starts
        or starts[0] != 0
        or any(b <= a for a, b in zip(starts, starts[1:], strict=False))
        or starts[-1] >= frames
    ):
        raise InvalidValue(f"column {name} must be runs [frame, value] that start at frame 0 and rise")
    if not all(-(2**63) <= run[1] < 2**63 for run in runs):
        raise InvalidValue(f"column {name} holds a huge number")
    return np.repeat(np.array([run[1] for run in runs], np.int64), np.diff([*starts, frames]))
