"""How long a render takes: frames a second that were measured on this machine, by model and size.

Only what the commands say beforehand depends on it, so nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from reactive.files import cache_root, write_text

if TYPE_CHECKING:
    from reactive.render.settings import Settings

# frames a second of ember on two cores at 768x432, and seconds until the first frame (benchmarks/README.md)
EMBER_RATE, EMBER_PIXELS = 20.0, 768 * 432
LOAD_SECONDS = 6.0
# of a frame's time at that size, what grows with the pixels: larger ones are imagined at the same size, then enlarged and encoded
# (measured one after the other: 119 ms at 768x432, 149 ms at 1280x720, 256 ms at 1920x1080)
ENLARGED = 0.22
# of small pictures, encoding and grading take the most time
MOST_GUESSED = 100.0
OWN = "own"


def rates_file() -> Path:
    """Return the file of this machine's measured rates."""
    return cache_root() / "rates.json"


def known_rates() -> dict[str, float]:
    """Return the frames a second measured on this machine, by `key_of`."""
    try:
        data = json.loads(rates_file().read_text(encoding="utf-8"))
        return {str(name): float(rate) for name, rate in data.items() if float(rate) > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save_rate(key: str, rate: float) -> None:
    """Save a measured rate, averaged with the saved one."""
    rates = known_rates()
    rates[key] = round((rate + rates.get(key, rate)) / 2, 4)
    with contextlib.suppress(OSError):
        rates_file().parent.mkdir(parents=True, exist_ok=True)
        write_text(rates_file(), json.dumps(rates))


def key_of(model: str, steps: int | None, imagine_size: str | None, size: str | None) -> str:
    """Return the key of a measured rate: model, steps and sizes (``768x432``)."""
    return f"{Path(model).name}/{steps or 0}/{imagine_size or OWN}/{size or OWN}"


def key_of_settings(settings: Settings) -> str:
    """Return the key of a measured rate for a render's settings."""
    sizes = (
        "x".join(map(str, size)) if size else None for size in (settings.output.imagine_size, settings.output.size)
    )
    return key_of(settings.model.name, settings.model.steps, *sizes)


def expected_rate(settings: Settings) -> tuple[float, bool] | None:
    """Return the expected frames a second and whether they were measured here; None for a model that was never timed."""
    known = known_rates().get(key_of_settings(settings))
    if known is not None:
        return known, True
    if settings.model.name != "ember":
        return None
    width, height = settings.output.size or (768, 432)
    guess = _guessed(width * height)
    # a machine that is busy or slow at one size is so at another
    measured = _measured_sizes(settings)
    if measured:
        nearest = min(measured, key=lambda pixels: abs(math.log(pixels / (width * height))))
        guess *= measured[nearest] / _guessed(nearest)
    return guess, False


def _guessed(pixels: int) -> float:
    """Return the frames a second that ember is guessed to make at a size on this machine's cores."""
    ratio = pixels / EMBER_PIXELS
    cost = ratio if ratio < 1 else 1 - ENLARGED + ENLARGED * ratio
    return min(EMBER_RATE / cost * (os.cpu_count() or 2) / 2, MOST_GUESSED)


def _measured_sizes(settings: Settings) -> dict[int, float]:
    """Return the measured frames a second of the same model, steps and imagined size, by the pixels of a frame."""
    start, found = key_of_settings(settings).rpartition("/")[0], {}
    for key, rate in known_rates().items():
        model, _, size = key.rpartition("/")
        if model == start and (
            sides := re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", "768x432" if size == OWN else size)
        ):
            found[int(sides[1]) * int(sides[2])] = rate
    return found


def expected_line(settings: Settings, frames: int, *, clips: int = 1) -> str:
    """Return a sentence about how long a render of so many frames, of each of some clips, is expected to take."""
    counted = f"{frames:,} frames" if clips == 1 else f"{clips} clips of {frames:,} frames"
    found = expected_rate(settings)
    if found is None:
        return f"{counted}; this model was not timed here yet, so the time is known once the first frames are made."
    rate, measured = found
    seconds = LOAD_SECONDS + clips * frames / rate
    told = f"{seconds / 60:.0f} minutes" if seconds >= 150 else f"{seconds:.0f} s"
    why = f"{rate:.0f} frames/s were measured here before" if measured else "a guess for ember on this machine's cores"
    return f"About {told} expected: {counted} ({why})."
