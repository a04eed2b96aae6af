"""The page in a real Chromium: plays, pauses, seeks, loops, edits, saves a take, and says nothing to the console."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.live.browser import browsing, chromium, until

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="chromium and chromedriver are not installed"),
    pytest.mark.slow,
]
DRAWN = "return reactive.pictures.drawn"
TIME = "return reactive.clock.time"


@pytest.fixture(scope="module")
def opened(served: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path, int]]:
    pytest.importorskip("selenium", reason="selenium is not installed")
    address, folder = served
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        driver.get(address.url)
        until(
            lambda: driver.execute_script(
                "return Boolean(window.reactive && reactive.lanes.data && reactive.panel.state)"
            ),
            60,
        )
        yield driver, folder, address.port


def state(driver: Any) -> dict[str, Any]:
    return driver.execute_script("return reactive.panel.state")


def still(driver: Any) -> None:
    driver.execute_script("reactive.audio.pause()")


def pixels(driver: Any) -> list[int]:
    script = """
        const canvas = document.getElementById("screen");
        // a copy to read from: reading the page's own canvas would make the browser complain of us
        const copy = new OffscreenCanvas(canvas.width, canvas.height);
        const context = copy.getContext("2d", {willReadFrequently: true});
        context.drawImage(canvas, 0, 0);
        return [...context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 997 === 0)];
    """
    return driver.execute_script(script)


def test_it_shows_a_picture_before_it_plays_and_the_token_is_gone(opened: Any) -> None:
    driver, _, _ = opened
    until(lambda: driver.execute_script(DRAWN) > 0)
    assert urlsplit(driver.current_url).fragment == ""
    assert len(set(pixels(driver))) > 10
    assert "reactive" not in driver.execute_script("return document.cookie")


def test_it_plays_and_pauses(opened: Any) -> None:
    driver, _, _ = opened
    before = driver.execute_script(DRAWN)
    driver.find_element("id", "play").click()
    until(lambda: driver.execute_script(TIME) > 0.8)
    until(lambda: driver.execute_script(DRAWN) > before + 3)
    driver.find_element("tag name", "body").send_keys(" ")
    until(lambda: driver.execute_script("return reactive.audio.paused"))
    there = driver.execute_script(TIME)
    driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert driver.execute_script(TIME) == there
    assert driver.execute_script("return reactive.pictures.kept.length") <= 100


@pytest.mark.parametrize("seconds", [12.3, 1.0, 6.7])
def test_a_seek_shows_the_picture_of_that_moment(opened: Any, seconds: float) -> None:
    driver, _, _ = opened
    still(driver)
    driver.execute_script("reactive.seek(arguments[0])", seconds)
    shown = until(lambda: driver.execute_script("return reactive.pictures.shown"))
    until(
        lambda: (
            abs(driver.execute_script("return reactive.pictures.shown?.time ?? -9") - driver.execute_script(TIME))
            < 0.06
        )
    )
    assert shown["epoch"] > 0


def test_arrows_go_by_bars(opened: Any) -> None:
    driver, _, _ = opened
    still(driver)
    driver.execute_script("reactive.seek(4.5)")
    body = driver.find_element("tag name", "body")
    body.send_keys("\ue014")
    bars = driver.execute_script("return reactive.lanes.data.song.bars")
    following = next(bar for bar in bars if bar > 4.55)
    until(lambda: abs(driver.execute_script(TIME) - following) < 0.01)
    body.send_keys("\ue012")
    until(lambda: driver.execute_script(TIME) < following - 1)


def test_a_section_repeats(opened: Any) -> None:
    driver, _, _ = opened
    driver.execute_script("reactive.seek(2.0); reactive.setLoop([2.0, 2.8]); reactive.audio.play()")
    seen = {round(driver.execute_script(TIME), 2) for _ in range(60)}
    until(lambda: driver.execute_script("return reactive.pictures.asked") > 3)
    driver.execute_async_script("setTimeout(arguments[0], 1500)")
    assert 1.9 < driver.execute_script(TIME) < 3.1
    assert seen
    driver.execute_script("reactive.setLoop(null); reactive.audio.pause()")


def test_a_slider_changes_the_picture_and_undo_takes_it_back(opened: Any) -> None:
    driver, _, _ = opened
    still(driver)
    driver.execute_script("reactive.seek(1.0)")
    until(lambda: driver.execute_script("return reactive.pictures.shown"))
    driver.execute_async_script("setTimeout(arguments[0], 500)")
    before, epoch = pixels(driver), driver.execute_script("return reactive.pictures.epoch")
    driver.execute_script("const s = document.getElementById('control-seed'); s.value = 7; s.oninput()")
    until(lambda: state(driver)["changes"] == 1)
    until(lambda: pixels(driver) != before)
    assert driver.execute_script("return reactive.pictures.epoch") > epoch
    driver.find_element("id", "undo").click()
    until(lambda: state(driver)["changes"] == 0)
    until(lambda: pixels(driver) == before)


def test_a_prompt_is_edited_in_place_and_a_take_is_saved(opened: Any) -> None:
    driver, folder, _ = opened
    still(driver)
    driver.execute_script("reactive.seek(0.5)")
    box = driver.find_element("id", "prompt")
    box.click()
    box.clear()
    box.send_keys("a blue house")
    driver.find_element("id", "prompt-apply").click()
    until(lambda: state(driver)["changes"] == 1)
    until(lambda: driver.find_element("id", "caption").text == "a blue house")
    driver.find_element("tag name", "body").send_keys("b")
    until(lambda: state(driver)["black"])
    until(lambda: max(value for index, value in enumerate(pixels(driver)) if (index * 997) % 4 != 3) <= 4)
    driver.find_element("tag name", "body").send_keys("s")
    take = until(lambda: next(iter(folder.glob("*.take.json")), None))
    until(lambda: state(driver)["saved"])
    changes = json.loads(take.read_text())["changes"]
    assert [change["kind"] for change in changes] == ["prompt", "black"]
    driver.find_element("id", "forget").click()
    until(lambda: state(driver)["changes"] == 0)


def test_nothing_leaves_the_machine_and_the_console_is_silent(opened: Any) -> None:
    driver, _, port = opened
    assert driver.get_log("browser") == []
    asked = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    assert any(url.endswith("/song") for url in asked)
    for url in asked:
        assert url.startswith((f"http://127.0.0.1:{port}/", "blob:", "data:", "chrome:")), url


def test_it_fits_a_phone(opened: Any) -> None:
    driver, _, _ = opened
    driver.set_window_size(500, 844)
    until(lambda: driver.execute_script("return innerWidth") <= 500)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    small = driver.execute_script(
        "return [...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 36).map((b) => b.id)"
    )
    assert small in ([], ["notice-close"])
