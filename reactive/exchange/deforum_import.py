"""Convert Deforum settings and Parseq documents to a preset: prompts, strength and moves, with a list of unsupported settings.

A preset refers to musical roles, never to frames. So each prompt is pinned to the bar nearest to its frame, and of a schedule what it
draws is kept, see `curves`. Formulas are computed by our own small parser.

Deforum's modes use these settings (its documentation): 2D `zoom`, `angle` and `translation_x`, `_y`; 3D `translation_x`, `_y`,
`_z` and `rotation_3d_x`, `_y`, `_z`, but not `zoom` or `angle`; the others don't move. In 3D one unit is 1/200 of a depth
between about 1 and 2.6, so moving forward by `z` enlarges content at depth 2 by 1 / (1 - z / 400).

The projection here: all of the picture lies in one plane at depth 2, which is 4 tan(fov / 2) wide by the field of view across
(`fov_schedule`, 70 degrees). So moving aside by `x` shifts it by x / 200, which is x / (800 tan(fov / 2)) of its width; `y` moves it
down by as many pixels a unit. `rotation_3d_z` turns it; `_x` and `_y` tilt and turn it about its centre by the same angle, seen from
an eye two half diagonals away (`diffusion/motion/camera.py`). That a turned camera also moves the picture aside is left out.
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
from reactive.exchange.curves import as_expression
from reactive.exchange.deforum_file import DeforumSettings, read_settings
from reactive.exchange.deforum_prompts import Prompts, plain_prompt, read_prompts
from reactive.exchange.schedule import draw_schedule
from reactive.preset.schema import MAX_PROMPTS, check_preset
from reactive.timeline.timeline import CAMERA_ZOOM

MAX_FRAMES = 10_000_000
# pins of a preset, and the last bar that a pin can name
MAX_PINS, MAX_BAR = 200, 9999
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
    "fov_schedule",
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
    unit = _pixels_of_a_unit(read, width, names, without) if mode == "3D" else 1.0
    rate = min(max(fps / _finite(settings.get("diffusion_cadence"), 1, (1, 100)), 1.0), 60.0)
    without += prompts.notes
    _list_unread(settings, without)
    beat = 60 / tempo
    bars = _sampled(length) / fps / (4 * beat)

    def driven(name: str, default: float, to_preset: Callable[[np.ndarray], np.ndarray], share: float = 0.5) -> str:
        curve = curves[name]
        return as_expression(
            np.asarray(to_preset(np.array([default]) if curve is None else curve), np.float64), bars, share=share
        )

    pins, late = _pins(prompts, fps, beat)
    without += late
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
        f'zoom = "{driven("zoom", 1.0, lambda z: _zoom_a_second(z, fps))}"',
        f'rotate = "{driven("angle", 0.0, lambda a: a * fps)}"',
        f'x = "{driven("translation_x", 0.0, lambda x: x * fps * unit / width)}"',
        f'y = "{driven("translation_y", 0.0, lambda y: y * fps * unit / height)}"',
        *(
            f'{name} = "{driven(field, 0.0, lambda a: a * fps)}"'
            for name, field in (("tilt", "rotation_3d_x"), ("turn", "rotation_3d_y"))
            if curves[field] is not None
        ),
        "",
        "[[phase]]",
        'name = "deforum"',
        f'mode = "{"feedback" if uses_feedback else "walk"}"',
        'order = "sequence"',
        f'strength = "{driven("strength_schedule", 0.65, lambda s: 1 - np.clip(s, 0, 1), 2)}"',
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
        *pins,
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
    at = _sampled(length)
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


def _pixels_of_a_unit(read: DeforumSettings, width: float, names: dict[str, float], without: list[str]) -> float:
    """Return by how many pixels a unit of 3D's translation shifts the picture at depth 2; its field of view is the first one."""
    views = _curve(read, "fov_schedule", np.zeros(1, np.int64), names, without)
    view = 70.0 if views is None else float(np.clip(views[0], 1, 170))
    return width / (2 * DEPTH * math.tan(math.radians(view) / 2))


def _sampled(length: int) -> np.ndarray:
    """Return the frames at which schedules are read, int64, rising."""
    return np.unique(np.linspace(0, length - 1, min(length, SAMPLES)).astype(np.int64))


def _pins(prompts: Prompts, fps: float, beat: float) -> tuple[list[str], list[str]]:
    """Return the pins of prompts as TOML, each from the bar nearest to its frame to that of the next, and what was left out."""
    places = [round(frame / fps / (4 * beat)) + 1 for frame in prompts.frames]
    if len(places) < 2:
        return [], []
    lines: list[str] = []
    kept = 0
    for number, (bar, (text, away)) in enumerate(zip(places, prompts.texts, strict=True)):
        following = places[number + 1] if number + 1 < len(places) else None
        if following == bar or kept == MAX_PINS or bar > MAX_BAR:
            continue
        kept += 1
        # the last one stays to the end of the song
        hold = f"{min(following - bar, 1024) if following else 1024} bars"
        lines += ["[[pin]]", f'at = "bar {bar}"', f"prompt = {_quoted(text)}"]
        lines += [f"negative = {_quoted(away)}"] if away else []
        lines += [f'hold = "{hold}"', 'how = "fade"', 'over = "1 bar"', ""]
    left = len(places) - kept
    note = f"{left} of the prompts, which have no bar of their own: they come in turn after the pinned ones"
    return lines, [note] if left else []


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
    without.append("the frames of the prompts: they begin with the bars nearest to them")
    if others:
        without.append(f"Deforum's own {', '.join(others)}")


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
