"""Deforum settings to a preset: prompts, strength, zoom, angle and translation, with a list of what has no counterpart.

A preset names musical roles, never frames, so a schedule can't be taken over key by key: what it rests at becomes the
resting value, and how far it swings from there follows the kick. Formulas are listed, never computed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reactive.errors import PresetError
from reactive.exchange.schedule import read_schedule
from reactive.preset.schema import MAX_PROMPTS, check_preset
from reactive.timeline.timeline import CAMERA_ZOOM

MAX_BYTES = 20_000_000
MAX_FRAMES = 10_000_000
LENGTHS = ((0.5, "2 beats"), (1, "1 bar"), (2, "2 bars"), (4, "4 bars"), (8, "8 bars"), (16, "16 bars"))
# what this import reads, or what says nothing about the picture
_READ = {
    "prompts", "animation_prompts", "animation_prompts_positive", "animation_prompts_negative",
    "strength_schedule", "strength", "zoom", "angle",
    "translation_x", "translation_y", "fps", "max_frames", "W", "H", "diffusion_cadence", "animation_mode",
}  # fmt: skip
_REASONS = {
    "seed": "a clip's seed is given with --seed",
    "seed_schedule": "hard cuts take a new seed by themselves",
    "seed_behavior": "hard cuts take a new seed by themselves",
    "sampler": "the model's own sampler is used",
    "steps": "steps are given with --steps",
    "init_image": "a picture is given with --photo",
    "sd_model_name": "a model is given with --model",
    "soundtrack_path": "the song is given to `reactive run`",
}


@dataclass(frozen=True)
class Imported:
    """A preset as TOML, and what of the settings has no counterpart in it, one clause each."""

    toml: str
    without: tuple[str, ...]


def import_deforum(path: Path, *, tempo: float = 120.0) -> Imported:
    """Read a Deforum settings file (JSON, often named .txt).

    Parameters
    ----------
    path
        The settings.
    tempo
        Beats a minute of the song that the settings were made for: how long prompts hold is told in bars.

    Raises
    ------
    PresetError
        If it can't be read or is no such file.
    """
    where = str(path)
    settings = _read(path)
    without: list[str] = []
    fps = _finite(settings.get("fps"), 15.0, (1, 240))
    frames = int(_finite(settings.get("max_frames"), 0, (0, MAX_FRAMES)))
    keys, prompts = _prompts(settings, where, without)
    negative = _words(str(settings.get("animation_prompts_negative") or ""))
    width, height = (_finite(settings.get(side), 512.0, (16, 16384)) for side in ("W", "H"))
    curves = {
        name: _curve(settings, name, max(frames, keys[-1] + 1), without)
        for name in ("strength_schedule", "zoom", "angle", "translation_x", "translation_y")
    }
    if settings.get("animation_mode") not in (None, "2D"):
        without.append(f"animation_mode {json.dumps(settings['animation_mode'])}: only 2D moves have a counterpart")
    rate = min(max(fps / _finite(settings.get("diffusion_cadence"), 1, (1, 100)), 1.0), 60.0)
    beat = 60 / tempo
    holds = np.diff(keys) / fps / (4 * beat) if len(keys) > 1 else np.array([4.0])
    every = min(LENGTHS, key=lambda length: abs(math.log(length[0] / max(float(np.median(holds)), 0.01))))[1]
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
        "",
        "[[phase]]",
        'name = "deforum"',
        'mode = "feedback"',
        'order = "sequence"',
        f'strength = "{_driven(curves["strength_schedule"], 0.65, lambda s: 1 - np.clip(s, 0, 1))}"',
        "prompts = [",
        *(
            f"  {{ text = {_quoted(text)}, negative = {_quoted(away)} }}," if away else f"  {_quoted(text)},"
            for text, away in prompts
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

    # what leaves here is a preset
    check_preset(tomllib.loads(text), where=where)
    return Imported(text, tuple(without))


def _read(path: Path) -> dict[str, Any]:
    where, remedy = str(path), "name a settings file that Deforum saved"
    try:
        if not path.is_file():
            raise PresetError("no such file", where=where, remedy=remedy)
        if path.stat().st_size > MAX_BYTES:
            raise PresetError(f"is larger than {MAX_BYTES:,} bytes", where=where, remedy=remedy)
        data = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as problem:
        raise PresetError(f"can't be read ({problem.strerror})", where=where, remedy="check the name") from None
    except (ValueError, RecursionError):
        raise PresetError("is not JSON", where=where, remedy=remedy) from None
    if not isinstance(data, dict) or not ({"prompts", "animation_prompts"} & data.keys()):
        raise PresetError("holds no prompts of Deforum's", where=where, remedy=remedy)
    return data


def _prompts(settings: dict[str, Any], where: str, without: list[str]) -> tuple[list[int], list[tuple[str, str]]]:
    """Return the frames of the prompts, rising, and for each its text and what it keeps away from."""
    given = settings.get("prompts", settings.get("animation_prompts"))
    if not isinstance(given, dict) or not given or len(given) > MAX_PROMPTS:
        raise PresetError(
            f"prompts are not 1 to {MAX_PROMPTS} texts by frame",
            where=where,
            remedy='write {"0": "a sea", "96": "a sky"}',
        )
    common = str(settings.get("animation_prompts_positive") or "").strip()
    found: dict[int, tuple[str, str]] = {}
    weighted = named = False
    for key, value in given.items():
        try:
            frame = int(key)
        except ValueError:
            named = True
            continue
        text, _, away = str(value).partition("--neg")
        weighted = weighted or "`" in text
        words = _words(", ".join(part for part in (text.strip(" ,\n"), common) if part))
        if words and 0 <= frame < MAX_FRAMES:
            found[frame] = words, _words(away)
    for there, clause in (
        (weighted, "formulas inside prompts: they were left as text"),
        (named, "prompts whose key is a formula"),
    ):
        if there:
            without.append(clause)
    if not found:
        raise PresetError("holds no prompt with words in it", where=where, remedy="add one")
    for key in sorted(settings.keys() - _READ):
        if settings[key] not in (None, "", False, [], {}):
            reason = _REASONS.get(key)
            without.append(f"{key}: {reason}" if reason else str(key))
    without.append("the frames of the prompts: they follow the song's bars")
    frames = sorted(found)
    return frames, [found[frame] for frame in frames]


def _curve(settings: dict[str, Any], name: str, frames: int, without: list[str]) -> np.ndarray | None:
    """Return a schedule's keys as a curve over its keys' frames, or None where there is none that can be read."""
    given = settings.get(name)
    if given is None or given == "":
        return None
    try:
        at, values = read_schedule(str(given)) if not isinstance(given, (int, float)) else ([0], [float(given)])
    except (ValueError, OverflowError) as problem:
        without.append(f"{name}: {problem}")
        return None
    pairs = [(frame, value) for frame, value in zip(at, values, strict=True) if value is not None and abs(value) < 1e6]
    if len(pairs) < len(values):
        without.append(f"{name}: formulas are not computed")
    if not pairs:
        return None
    # long enough to weigh each key by how long it holds, short enough for any length
    grid = np.linspace(0, max(frames, pairs[-1][0] + 1) - 1, 4001)
    return np.interp(grid, [frame for frame, _ in pairs], [value for _, value in pairs])


def _driven(curve: np.ndarray | None, default: float, to_preset: Any) -> str:
    """Return an expression that rests where the curve rests and swings on kicks as far as it swings."""
    values = np.asarray(to_preset(np.array([default]) if curve is None else curve), np.float64)
    rest = float(np.median(values))
    swings = [float(np.percentile(values, share)) - rest for share in (2, 98)]
    swing = max(swings, key=abs)
    if abs(swing) < 0.01 * max(abs(rest), 0.1):
        return f"{rest:.4g}"
    sign = "+" if swing > 0 else "-"
    return f"{rest:.4g} {sign} {abs(swing):.4g} * decay(kick, 0.25)"


def _zoom_a_second(zoom: np.ndarray, fps: float) -> np.ndarray:
    """Return the factor that a factor a frame makes of a second, within what a camera may do.

    The power is taken as a logarithm, which is limited first: 20 to the power of 240 frames is no number.
    """
    low, high = CAMERA_ZOOM
    return np.exp(np.clip(np.log(np.clip(zoom, low, high)) * fps, math.log(low), math.log(high)))


def _finite(value: Any, default: float, limits: tuple[float, float]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return min(max(number, limits[0]), limits[1]) if math.isfinite(number) else default


def _words(text: str) -> str:
    """Return a prompt's words: braces would be gaps to fill."""
    return _plain(text.translate(str.maketrans("{}", "()")))[:1000]


def _plain(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _quoted(text: str) -> str:
    # what JSON escapes, TOML escapes the same way
    return json.dumps(_plain(text), ensure_ascii=False)
