"""How long a render takes: frames a second that were measured on this machine, by model and size.

Only what the commands say beforehand depends on it, so nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from reactive.files import cache_root, write_text

if TYPE_CHECKING:
    from reactive.render.settings import Settings

# frames a second of ember on two cores at 768x432, and seconds until the first frame (benchmarks/README.md)
EMBER_RATE, EMBER_PIXELS = 20.0, 768 * 432
LOAD_SECONDS = 6.0
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
    cores = os.cpu_count() or 2
    return min(EMBER_RATE * EMBER_PIXELS / (width * height) * cores / 2, MOST_GUESSED), False


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
