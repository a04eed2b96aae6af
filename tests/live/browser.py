"""A headless Chromium driven over WebDriver, and a preview in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-default-browser-check",
)


def chromium() -> tuple[str, str] | None:
    """Return the paths of Chromium and its driver, or None if one is missing."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextlib.contextmanager
def browsing(profile: Path, *, size: tuple[int, int] = (1440, 900)) -> Iterator[Any]:
    """Start a Chromium with a new profile."""
    from selenium import webdriver

    found = chromium()
    assert found is not None
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
    try:
        driver.set_script_timeout(240)
        yield driver
    finally:
        driver.quit()


@contextlib.contextmanager
def previewing(song: Path, folder: Path, *options: str, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``reactive preview`` and yield the page's address and the process."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    command = [
        sys.executable,
        "-m",
        "reactive",
        "preview",
        str(song),
        "--no-open",
        "--json",
        "--port",
        str(port),
        *options,
    ]
    with (folder / "preview.err").open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("{"), (line, (folder / "preview.err").read_text())
            yield json.loads(line)["url"], process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def until(check: Callable[[], Any], seconds: float = 240.0) -> Any:
    """Return the first true result of `check`; fail after a timeout."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.03)
