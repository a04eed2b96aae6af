"""Measure the preview's page in Chromium: pictures shown, offset between sound and picture, seeks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

READY = "return Boolean(window.reactive && reactive.lanes.data && reactive.panel.state && reactive.pictures.drawn)"
NEAR = "return reactive.pictures.shown !== null && Math.abs(reactive.pictures.shown.time - reactive.clock.time) < 0.5"
SEEKS = (3.0, 15.0, 9.0, 1.0, 20.0, 6.0)


def watch(url: str, folder: Path, seconds: float) -> dict[str, float]:
    """Play for some seconds and return the page's measurements.

    Returns
    -------
    `shown` pictures a second, `first` seconds from play to the first picture, `offset` (p95 of its absolute value) and
    `median` in milliseconds, `seek` (the slowest) in seconds, and how many offsets were measured.
    """
    from tests.live.browser import browsing, until

    with browsing(folder / "profile") as driver:
        driver.get(url)
        until(lambda: driver.execute_script(READY), 120)
        first = _first_picture(driver)
        driver.execute_script("reactive.pictures.offsets = []; reactive.pictures.drawn = 0")
        offsets: list[float] = []
        drawn, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(0.5)
            # the page keeps only the latest offsets, so they are collected twice a second
            new, more = driver.execute_script(
                "const o = reactive.pictures.offsets, d = reactive.pictures.drawn;"
                "reactive.pictures.offsets = []; reactive.pictures.drawn = 0;"
                "if (reactive.audio.ended) reactive.toggle(); return [o, d]"
            )
            offsets += new
            drawn += more
        passed = time.monotonic() - began
        seeks = []
        for target in SEEKS:
            before = time.monotonic()
            driver.execute_script("reactive.seek(arguments[0])", target)
            until(lambda: driver.execute_script(NEAR), 60)
            seeks.append(time.monotonic() - before)
        absolute = sorted(map(abs, offsets))
        return {
            "shown": drawn / passed,
            "first": first,
            "median": absolute[len(absolute) // 2] if absolute else float("nan"),
            "offset": absolute[int(0.95 * len(absolute))] if absolute else float("nan"),
            "measured": float(len(absolute)),
            "seek": max(seeks),
        }


def _first_picture(driver: Any) -> float:
    """Press play at a position without pictures; return the seconds until a picture is drawn."""
    return float(
        driver.execute_async_script(
            """
            const done = arguments[0], began = performance.now();
            reactive.seek(reactive.audio.duration * 0.6);
            reactive.pictures.drawn = 0;
            reactive.toggle();
            const look = () => reactive.pictures.drawn ? done((performance.now() - began) / 1000) : requestAnimationFrame(look);
            look();
            """
        )
    )
