"""Measure how long the picture stands still in the preview's page in Chromium on a busy machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.preview_page import READY

EDIT_SECONDS = 10.0
# minutes after which the growth of the server's memory is measured
SETTLED = 5.0
REPORT_SECONDS = 60.0
LOOK = """
const dog = reactive.watchdog, status = [
  dog.longest, dog.stillest, reactive.pictures.drawn, reactive.clock.time, reactive.audio.paused,
  document.getElementById("late").hidden ? "" : document.getElementById("late").textContent,
];
dog.longest = dog.stillest = 0;
if (reactive.audio.ended || reactive.audio.paused) { reactive.seek(0); reactive.audio.play().catch(() => null); }
return status;
"""
EDIT = """
const slider = document.getElementById("control-walk");
slider.value = 0.5 + (arguments[0] % 10) / 5;
slider.oninput();
"""


@dataclass
class Soak:
    """Results: longest seconds without a new picture and without movement, seconds late, pictures, edits, MB by minute."""

    longest: float = 0.0
    stillest: float = 0.0
    late: float = 0.0
    pictures: int = 0
    edits: int = 0
    memory: tuple[tuple[float, float], ...] = ()

    @property
    def grown(self) -> float:
        """MB by which the memory grew after the first minutes; nan if the run was too short."""
        after = [mb for minute, mb in self.memory if minute >= SETTLED]
        return max(after[1:]) - after[0] if len(after) > 1 else float("nan")


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep `count` other processes busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(10**6))"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def soak_page(
    url: str, folder: Path, minutes: float, others: int, memory: Callable[[], float], report: Callable[[str], None]
) -> Soak:
    """Play in Chromium with other busy processes and an edit every 10 s; return the results.

    The seconds until the first picture are not counted: `first picture after play` measures them.
    """
    from tests.live.browser import browsing, until

    with browsing(folder / "profile") as driver, busy(others):
        driver.get(url)
        until(lambda: driver.execute_script(READY), 300)
        driver.execute_script("reactive.toggle()")
        before = driver.execute_script("return reactive.pictures.drawn")
        until(lambda: driver.execute_script("return reactive.pictures.drawn") > before + 2, 300)
        driver.execute_script(LOOK)
        found = Soak()
        began = edited = reported = looked = time.monotonic()
        curve: list[tuple[float, float]] = []
        first = driver.execute_script("return reactive.pictures.drawn")
        while (passed := time.monotonic() - began) < 60 * minutes:
            time.sleep(0.5)
            looked, before = time.monotonic(), looked
            longest, stillest, drawn, at, paused, says = driver.execute_script(LOOK)
            found.longest, found.stillest = max(found.longest, longest), max(found.stillest, stillest)
            found.pictures = drawn - first
            found.late += looked - before if says else 0.0
            if time.monotonic() - edited >= EDIT_SECONDS:
                edited = time.monotonic()
                found.edits += 1
                driver.execute_script(EDIT, found.edits)
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                curve.append((passed / 60, memory()))
                report(
                    f"{passed / 60:6.1f} min  {curve[-1][1]:7.1f} MB  {found.pictures:6} pictures  longest without a new one "
                    f"{found.longest:5.2f} s, without movement {found.stillest:5.2f} s  song at {at:6.1f} s"
                    + (" paused" if paused else "")
                    + (f"  says: {says}" if says else "")
                )
        found.memory = tuple(curve)
        return found
