"""Convert Deforum settings and Parseq documents to a preset: prompts, strength and moves, with a list of unsupported settings.

A preset refers to musical roles, never to frames, so a schedule can't be copied key by key: its median is kept, and its
variation follows the kick. Formulas are computed by our own small parser.

Deforum's modes use these settings (its documentation): 2D `zoom`, `angle` and `translation_x`, `_y`; 3D `translation_x`, `_y`,
`_z` and `rotation_3d_x`, `_y`, `_z`, but not `zoom` or `angle`; the others don't move. In 3D one unit is 1/200 of a depth
between about 1 and 2.6, so moving forward by `z` enlarges content at depth 2 by 1 / (1 - z / 400).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reactive.errors import PresetError
from reactive.exchange.deforum_file import DeforumSettings, read_settings
from reactive.exchange.deforum_prompts import Prompts, plain_prompt, read_prompts
from reactive.exchange.schedule import draw_schedule
from reactive.preset.schema import MAX_PROMPTS, check_preset
from reactive.timeline.timeline import CAMERA_ZOOM

MAX_FRAMES = 10_000_000
# frames of a schedule that are sampled, evenly spread if there are more
SAMPLES = 20_000
LENGTHS = ((0.5, "2 beats"), (1, "1 bar"), (2, "2 bars"), (4, "4 bars"), (8, "8 bars"), (16, "16 bars"))
# translation_z that would reach content at depth 2, and the limit of a move
DEPTH, MAX_FORWARD = 400.0, 300.0
FLAT = ("zoom", "angle", "translation_x", "translation_y")
DEEP = ("translation_x", "translation_y", "translation_z", "rotation_3d_x", "rotation_3d_y", "rotation_3d_z")
# keys that this import reads, or that do not affect the picture
_READ = {
    "prompts",
    "animation_prompts",
    "animation_prompts_positive",
    "animation_prompts_negative",
    "parseq_manifest",
    "parseq_use_deltas",
    "strength_schedule",
    "strength",
    *FLAT,
    *DEEP,
    "fps",
    "max_frames",
    "W",
    "H",
    "diffusion_cadence",
    "animation_mode",
    "batch_name",
    "n_batch",
    "save_settings",
    "save_samples",
    "display_samples",
    "skip_video_creation",
    "deforum_git_commit_id",
    "make_gif",
    "timestring",
}
_REASONS = {
    "seed": "a clip's seed is given with --seed",
    "seed_schedule": "hard cuts take a new seed by themselves",
    "seed_behavior": "hard cuts take a new seed by themselves",
    "sampler": "the model's own sampler is used",
    "steps": "steps are given with --steps",
    "init_image": "a picture is given with --photo",
    "video_init_path": "a video is given with --video",
    "sd_model_name": "a model is given with --model",
    "soundtrack_path": "the song is given to `reactive run`",
}


@dataclass(frozen=True)
class Imported:
    """A preset as TOML, and the settings without a counterpart, one clause each."""

    toml: str
    without: tuple[str, ...]


def import_deforum(path: Path, *, tempo: float = 120.0) -> Imported:
    """Read a Deforum settings file (JSON, often named .txt) or a Parseq document.

    Parameters
    ----------
    path
        The settings.
    tempo
        Beats a minute of the song that the settings were made for, to convert the duration of prompts to bars.

    Raises
    ------
    PresetError
        If it can't be read or is not such a file.
    """
    read = read_settings(path)
    settings, parseq = read.settings, read.parseq
    without = list(read.notes)
    fps = _finite(settings.get("fps"), (parseq.fps if parseq else None) or 15.0, (1, 240))
    if "fps" not in settings and not (parseq and parseq.fps):
        without.append("fps, which the file does not state: 15 frames a second are assumed")
    frames = int(_finite(settings.get("max_frames"), 0, (0, MAX_FRAMES)))
    names = {"max_f": float(max(frames - 1, 0)), "s": _finite(settings.get("seed"), 0.0, (-1, 2**53))}
    prompts = _prompts(read, str(path), names)
    keys = prompts.frames
    length = max(frames, keys[-1] + 1, parseq.frames if parseq else 1)
    negative = plain_prompt(str(settings.get("animation_prompts_negative") or ""))[0][:1000]
    width, height = (_finite(settings.get(side), 512.0, (16, 16384)) for side in ("W", "H"))
    mode = _mode(read)
    curves = _curves(read, mode, length, names, without)
    rate = min(max(fps / _finite(settings.get("diffusion_cadence"), 1, (1, 100)), 1.0), 60.0)
    without += prompts.notes
    _list_unread(settings, without)
    beat = 60 / tempo
    holds = np.diff(keys) / fps / (4 * beat) if len(keys) > 1 else np.array([4.0])
    every = min(LENGTHS, key=lambda length: abs(math.log(length[0] / max(float(np.median(holds)), 0.01))))[1]
    # Deforum's other modes make still pictures and prompt blends from noise
    uses_feedback = mode in ("2D", "3D", "Video Input")
    lines = [
        "# Made from Deforum settings by `reactive preset import-deforum`.",
        *(f"# Without a counterpart: {_plain(clause)}" for clause in without),
        "",
        "version = 2",
        f"title = {_quoted(path.stem[:200] or 'Deforum')}",
        'lens.zoom = "1.02 + 0.03 * decay(kick, 0.18)"',
        *([f"negative = {_quoted(negative)}"] if negative else []),
        "loop = false",
        "",
        "[feedback]",
        f"rate = {rate:g}",
        "",
        "[camera]",
        f'zoom = "{_driven(curves["zoom"], 1.0, lambda z: _zoom_a_second(z, fps))}"',
        f'rotate = "{_driven(curves["angle"], 0.0, lambda a: a * fps)}"',
        f'x = "{_driven(curves["translation_x"], 0.0, lambda x: x * fps / width)}"',
        f'y = "{_driven(curves["translation_y"], 0.0, lambda y: y * fps / height)}"',
        *(
            f'{name} = "{_driven(curves[field], 0.0, lambda a: a * fps)}"'
            for name, field in (("tilt", "rotation_3d_x"), ("turn", "rotation_3d_y"))
            if curves[field] is not None
        ),
        "",
        "[[phase]]",
        'name = "deforum"',
        f'mode = "{"feedback" if uses_feedback else "walk"}"',
        'order = "sequence"',
        f'strength = "{_driven(curves["strength_schedule"], 0.65, lambda s: 1 - np.clip(s, 0, 1), share=2)}"',
        "prompts = [",
        *(
            f"  {{ text = {_quoted(text)}, negative = {_quoted(away)} }}," if away else f"  {_quoted(text)},"
            for text, away in prompts.texts
        ),
        "]",
        "",
        "[phase.switch]",
        f'every = "{every}"',
        'how = "fade"',
        'over = "1 bar"',
        "",
    ]
    text = "\n".join(lines)
    import tomllib

    # check that the result is a valid preset
    check_preset(tomllib.loads(text), where=str(path))
    return Imported(text, tuple(without))


def _prompts(read: DeforumSettings, where: str, names: dict[str, float]) -> Prompts:
    settings, parseq = read.settings, read.parseq
    table = settings.get("animation_prompts") or settings.get("prompts")
    if isinstance(settings.get("prompts"), dict) and settings["prompts"]:
        table = settings["prompts"]
    if parseq and parseq.prompts is not None:
        table = parseq.prompts
    common = str(settings.get("animation_prompts_positive") or "")
    try:
        prompts = read_prompts(table, names, common=common)
    except ValueError as problem:
        raise PresetError(str(problem), where=where, remedy='write {"0": "a sea", "96": "a sky"}') from None
    if not prompts.frames:
        raise PresetError("holds no prompt with words in it", where=where, remedy="add one")
    if len(prompts.frames) > MAX_PROMPTS:
        raise PresetError(f"holds more than {MAX_PROMPTS} prompts", where=where, remedy="remove some")
    return prompts


def _mode(read: DeforumSettings) -> str:
    """Return the animation mode; that of a Parseq document alone follows from the fields that it moves."""
    stated = read.settings.get("animation_mode")
    if isinstance(stated, str):
        return next((mode for mode in ("2D", "3D", "Video Input") if mode.lower() == stated.strip().lower()), stated)
    if stated is None and read.parseq:
        moving = {name for name, curve in read.parseq.moves.items() if np.ptp(curve) > 0 or abs(curve[0] - 1) > 1e-9}
        return "3D" if moving & set(DEEP[2:]) and not moving & set(FLAT[:2]) else "2D"
    return "2D"


def _curves(
    read: DeforumSettings, mode: str, length: int, names: dict[str, float], without: list[str]
) -> dict[str, np.ndarray | None]:
    """Return the curves used by the mode under 2D's names, with the 3D rotations and the strength."""
    at = np.unique(np.linspace(0, length - 1, min(length, SAMPLES)).astype(np.int64))
    moved = {"2D": FLAT, "3D": DEEP}.get(mode, ())
    curves: dict[str, np.ndarray | None] = dict.fromkeys((*FLAT, *DEEP))
    for name in ("strength_schedule", *moved):
        curves[name] = _curve(read, name, at, names, without)
    if mode == "2D":
        return curves
    unused = [name for name in FLAT if name not in moved and name in read.settings]
    listed = f" and leaves {', '.join(unused)} unused" if unused else ""
    if mode != "3D":
        without.append(f"animation_mode {json.dumps(mode)}, which does not move the picture{listed}")
        return curves
    without.append(f'animation_mode "3D": all of the picture has one depth, translation_z moves it forward{listed}')
    if curves["rotation_3d_x"] is not None or curves["rotation_3d_y"] is not None:
        without.append("the camera's rotation_3d_x and _y: the picture tilts and turns about its centre instead")
    forward = curves["translation_z"]
    if forward is not None:
        curves["zoom"] = 1 / (1 - np.clip(forward, -1e6, MAX_FORWARD) / DEPTH)
    curves["angle"] = curves["rotation_3d_z"]
    return curves


def _curve(
    read: DeforumSettings, name: str, at: np.ndarray, names: dict[str, float], without: list[str]
) -> np.ndarray | None:
    """Return a schedule's values at the frames `at`, or None if it is missing or invalid."""
    if read.parseq:
        field = name.removesuffix("_schedule")
        known = read.parseq.moves if read.use_deltas else {}
        drawn = known.get(field, read.parseq.values.get(field))
        if drawn is not None:
            return drawn
    schedule = read.settings.get(name)
    if schedule is None or schedule == "":
        return None
    if isinstance(schedule, (int, float)):
        value = _finite(schedule, math.nan, (-1e6, 1e6))
        return None if math.isnan(value) else np.full(1, value)
    try:
        curve, fault = draw_schedule(str(schedule), at, names)
    except ValueError as problem:
        curve, fault = None, str(problem)
    if fault:
        without.append(f"{name}: {fault}")
    return curve


def _list_unread(settings: dict[str, Any], without: list[str]) -> None:
    """Add the unused settings to `without`: those with a remedy one by one, the rest together."""
    others = []
    for key in sorted(settings.keys() - _READ):
        if settings[key] in (None, "", False, [], {}):
            continue
        if reason := _REASONS.get(key):
            without.append(f"{key}: {reason}")
        else:
            others.append(key)
    without.append("the frames of the prompts: they follow the song's bars")
    if others:
        without.append(f"Deforum's own {', '.join(others)}")


def _driven(
    curve: np.ndarray | None, default: float, to_preset: Callable[[np.ndarray], np.ndarray], *, share: float = 0.5
) -> str:
    """Return an expression with the curve's median and its largest deviation on kicks.

    The extreme `share` of the frames, in percent, is ignored on either side.
    """
    values = np.asarray(to_preset(np.array([default]) if curve is None else curve), np.float64)
    rest = float(np.median(values))
    swings = [float(np.percentile(values, place)) - rest for place in (share, 100 - share)]
    swing = max(swings, key=abs)
    if abs(swing) < 0.01 * max(abs(rest), 0.1):
        return f"{rest:.4g}"
    sign = "+" if swing > 0 else "-"
    return f"{rest:.4g} {sign} {abs(swing):.4g} * decay(kick, 0.25)"


def _zoom_a_second(zoom: np.ndarray, fps: float) -> np.ndarray:
    """Return a zoom factor a second from one a frame, within the camera's limits.

    The logarithm is limited before the power is taken: 20 to the power of 240 would overflow.
    """
    low, high = CAMERA_ZOOM
    return np.exp(np.clip(np.log(np.clip(zoom, low, high)) * fps, math.log(low), math.log(high)))


def _finite(value: Any, default: float, limits: tuple[float, float]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return min(max(number, limits[0]), limits[1]) if math.isfinite(number) else default


def _plain(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _quoted(text: str) -> str:
    # JSON's escapes are valid in TOML
    return json.dumps(_plain(text), ensure_ascii=False)
