"""The studio in Chromium: from an empty folder to a downloaded clip, in few clicks, by keyboard only, on a phone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reactive.media.video import rgb_frames
from reactive.studio.project import open_project
from tests.live.browser import ROOT, browsing, chromium, until

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="chromium and chromedriver are not installed"),
    pytest.mark.slow,
]
COUNT = "window.presses = 0; addEventListener('pointerdown', () => window.presses++, true)"
READY = "return Boolean(window.studio && studio.lanes && studio.lanes.shots && !studio.state.doing)"
TAB, ENTER, ALT, DOWN = "\ue004", "\ue007", "\ue00a", "\ue015"


@contextlib.contextmanager
def studio(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``reactive studio`` on a folder and yield the page's address and the process."""
    home = folder.parent
    environment = {**os.environ, "XDG_STATE_HOME": str(home / "state"), "PYTHONPATH": str(ROOT), "HOME": str(home)}
    environment |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "reactive", "studio", str(folder), "--no-open", "--json", "--port", "0"]
    with (home / "studio.err").open("a") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("{"), (home / "studio.err").read_text()
            yield json.loads(line)["url"], process
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def project(tmp_path: Path, toy_model: Path) -> Path:
    """An empty project's folder, with a model of toy width in it."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    shutil.copytree(toy_model, tmp_path / "clip" / "toy")
    return tmp_path / "clip"


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    made = []
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), np.uint8)
        made.append(tmp_path / f"photo {seed}.png")
        Image.fromarray(pixels).resize((320, 180)).save(made[-1])
    return made


def assert_no_messages_or_foreign_requests(driver: Any, url: str) -> None:
    """Fail if there are console messages, or requests to other hosts than the studio."""
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    base = url.split("/#")[0]
    asked = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    assert len(asked) > 10
    assert [
        at for at in asked if not at.startswith((base, "blob:", "data:", f"ws{base[4:]}", "chrome:", "about:"))
    ] == []


def small_model(driver: Any) -> None:
    box = driver.find_element("id", "model")
    box.clear()
    box.send_keys("toy")


def downloads(driver: Any, folder: Path) -> None:
    folder.mkdir()
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})


def test_from_an_empty_folder_to_a_downloaded_clip_in_twelve_clicks(
    project: Path, photos: list[Path], beat_wav: Path, tmp_path: Path
) -> None:
    with studio(project) as (url, _), browsing(tmp_path / "profile", size=(1280, 800)) as driver:
        click = lambda css: until(lambda: driver.find_elements("css selector", css))[0].click()  # noqa: E731
        downloads(driver, tmp_path / "down")
        driver.get(url)
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
        driver.execute_script(COUNT)
        driver.find_element("id", "song-file").send_keys(str(beat_wav))
        until(lambda: driver.execute_script(READY))
        click("#to-choose")
        click('[data-name="double-exposure"]')
        until(lambda: open_project(project).preset == "double-exposure")
        click("#tab-feed")
        driver.find_element("id", "picture-file").send_keys("\n".join(map(str, photos)))
        until(lambda: driver.execute_script("return document.querySelectorAll('#pictures li').length") == 2)
        click("#tab-timeline")
        driver.find_element("id", "lanes").send_keys("\ue014")
        box = until(lambda: driver.find_element("id", "shot-prompt"))
        box.clear()
        box.send_keys("a white door in the sea" + ENTER)
        until(lambda: driver.execute_script("return studio.lanes.shots[0].prompts[0]") == "a white door in the sea")
        seed = driver.execute_script("return studio.lanes.shots[0].seed")
        click("#shot-roll")
        until(lambda: driver.execute_script("return studio.lanes.shots[0].seed") != seed)
        click("#tab-render")
        small_model(driver)
        until(lambda: "Takes" in driver.find_element("id", "estimate").text)
        click("#begin")
        until(lambda: driver.find_elements("css selector", ".renders video"), 400)
        said = driver.find_element("css selector", ".renders li").text
        assert "with the music" in said or "freely" in said
        click('.renders a[href$="/clip?download"]')
        clip = until(lambda: list((tmp_path / "down").glob("*.mp4")))[0]
        assert driver.execute_script("return window.presses") <= 12
        assert_no_messages_or_foreign_requests(driver, url)
    frames = list(rgb_frames(clip))
    assert len(frames) == 240
    assert frames[0][0].shape == (432, 768, 3)


def test_every_step_fits_a_phone(project: Path, photos: list[Path], beat_wav: Path, tmp_path: Path) -> None:
    with studio(project) as (url, _), browsing(tmp_path / "profile", size=(500, 844)) as driver:
        view = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)
        driver.get(url)
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
        driver.find_element("id", "song-file").send_keys(str(beat_wav))
        until(lambda: driver.execute_script(READY))
        for name in ("start", "choose", "feed", "timeline", "render"):
            driver.find_element("id", f"tab-{name}").click()
            driver.execute_async_script("setTimeout(arguments[0], 300)")
            assert driver.find_element("id", name).is_displayed()
            wide = driver.execute_script(
                "return [document.documentElement.scrollWidth, document.querySelector('main').scrollWidth]"
            )
            assert max(wide) <= 390, (name, wide)
            for tab in driver.find_elements("css selector", ".steps button"):
                assert tab.rect["x"] >= 0, tab.text
                assert tab.rect["x"] + tab.rect["width"] <= 390, tab.text
        assert_no_messages_or_foreign_requests(driver, url)


def test_two_pages_stay_in_sync_and_malicious_names_stay_text(project: Path, tmp_path: Path) -> None:
    with studio(project) as (url, _), browsing(tmp_path / "profile", size=(1280, 800)) as driver:
        evil = tmp_path / "<img src=x onerror=window.evil=1>.png"
        Image.new("RGB", (32, 32), "red").save(evil)
        driver.get(url)
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        driver.get(url.split("#")[0])
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
        driver.find_element("id", "tab-feed").click()
        driver.find_element("id", "picture-file").send_keys(str(evil))
        until(lambda: driver.execute_script("return document.querySelectorAll('#pictures li').length") == 1)
        driver.switch_to.window(first)
        until(lambda: driver.execute_script("return studio.state.photos.length") == 1)
        driver.find_element("id", "tab-feed").click()
        until(lambda: driver.find_elements("css selector", "#pictures img"))
        assert driver.execute_script("return window.evil") is None
        assert "<img src=x" not in open_project(project).photos[0]
        assert_no_messages_or_foreign_requests(driver, url)
