"""The studio in Chromium: from an empty folder to a downloaded clip, in few clicks, by keyboard only, on a phone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from reactive.media.video import rgb_frames
from reactive.preset.installed import user_presets
from reactive.studio import renders
from reactive.studio.project import changed_project, new_project, open_project, save_project
from tests.live.browser import ROOT, browsing, chromium, until

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="chromium and chromedriver are not installed"),
    pytest.mark.slow,
]
COUNT = "window.presses = 0; addEventListener('pointerdown', () => window.presses++, true)"
READY = "return Boolean(window.studio && studio.lanes && studio.lanes.shots && !studio.state.doing)"
TAB, ENTER, CONTROL, ALT, DOWN, RIGHT = "\ue004", "\ue007", "\ue009", "\ue00a", "\ue015", "\ue014"
# the focused control, whether a person sees that it has the focus, and whether it is in view
FOCUS = """
const at = document.activeElement;
if (!at || at === document.body) return null;
const framed = (one) => {
  const style = getComputedStyle(one);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
};
const near = [at, at.parentElement, at.nextElementSibling].filter(Boolean);
const box = (at.matches("input[type=file], .choice input") ? at.parentElement : at).getBoundingClientRect();
if (!at.dataset.walked) at.dataset.walked = String(document.querySelectorAll("[data-walked]").length + 1);
return {
  number: at.dataset.walked, name: at.id || at.name || at.dataset.name || at.textContent.trim() || at.tagName, seen: near.some(framed),
  inView: box.bottom > 0 && box.top < innerHeight && box.width > 0,
};
"""
# controls that Tab should reach, but did not: others of a group of radio buttons or of the steps are reached by arrows
MISSED = """
return [...document.querySelectorAll("button, input, select, textarea, summary, a[href], [tabindex]")]
  .filter((one) => one.checkVisibility({checkVisibilityCSS: true}) && !one.disabled && one.tabIndex >= 0 && !one.dataset.walked)
  .filter((one) => one.type !== "radio" || one.checked)
  .map((one) => one.id || one.name || one.textContent.trim() || one.outerHTML);
"""


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


def small_size(driver: Any) -> None:
    """Choose the smallest size; the one that is suggested depends on the machine."""
    driver.execute_script(
        "const one = document.querySelector('#size input'); one.checked = true; "
        "one.dispatchEvent(new Event('input', {bubbles: true}))"
    )


def small_model(driver: Any) -> None:
    small_size(driver)
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
        # the tiles of the first step are no decoration: one that is pressed is the clip's look
        click('#glimpses [data-preset="drift"]')
        until(lambda: driver.find_elements("css selector", '#glimpses [data-preset="drift"][aria-pressed="true"]'))
        assert open_project(project).preset == "drift"
        driver.execute_script(COUNT)
        driver.find_element("id", "song-file").send_keys(str(beat_wav))
        until(lambda: driver.execute_script(READY))
        click("#next")
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
        said = until(lambda: driver.find_element("id", "shot-done").text)
        assert said.startswith("Painted anew.")
        # the project's own photographs, then none of them; what the look shows is marked
        tiles = driver.find_elements("css selector", "#shot-photos button")
        assert [one.get_attribute("data-name") for one in tiles] == ["photo 0.png", "photo 1.png", ""]
        assert tiles[-1].get_attribute("aria-pressed") == "true"
        assert driver.find_element("id", "shot-name").text == "Shot 1"
        # ember's note is for ember
        assert "colour the light" in driver.find_element("id", "shot-words").text
        click("#tab-render")
        click("details.more summary")
        small_model(driver)
        assert driver.execute_script("return document.getElementById('shot-words').hidden")
        until(lambda: "first frames; needs" in driver.find_element("id", "estimate").text)
        click("#begin")
        until(lambda: driver.find_elements("css selector", ".renders video"), 400)
        said = driver.find_element("css selector", ".renders li").text
        assert "with the music" in said or "freely" in said
        click('.renders a[href$="/clip?download"]')
        clip = until(lambda: list((tmp_path / "down").glob("*.mp4")))[0]
        assert driver.execute_script("return window.presses") <= 12
        # what was done stays done in a page that is loaded anew
        driver.get(url.split("#")[0])
        until(lambda: driver.execute_script(READY))
        for name in ("start", "choose", "feed", "timeline", "render"):
            until(lambda name=name: "done" in driver.find_element("id", f"tab-{name}").get_attribute("class"))
        assert_no_messages_or_foreign_requests(driver, url)
    frames = list(rgb_frames(clip))
    assert len(frames) == 240
    assert frames[0][0].shape == (432, 768, 3)


class Keyboard:
    """Presses keys as a person without a mouse does."""

    def __init__(self, driver: Any) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        self.driver = driver
        self.chain = lambda: ActionChains(driver)

    def press(self, text: str) -> None:
        self.chain().send_keys(text).perform()

    def with_held(self, held: str, key: str) -> None:
        self.chain().key_down(held).send_keys(key).key_up(held).perform()

    def tab_to(self, css: str) -> None:
        for _ in range(80):
            if self.driver.execute_script("return document.activeElement.matches(arguments[0])", css):
                return
            self.press(TAB)
        raise AssertionError(f"{css} can't be reached by the keyboard")

    def walk(self) -> None:
        """Press Tab through everything that is shown; each control must be reached, in view, and seen to have the focus."""
        script = self.driver.execute_script
        script("document.querySelectorAll('[data-walked]').forEach((one) => delete one.dataset.walked)")
        first = before = None
        for _ in range(400):
            self.press(TAB)
            at = script(FOCUS)
            # the controls of a player are parts of one element
            if at is None or at["number"] == before:
                continue
            before = at["number"]
            assert at["seen"], f"{at['name']} has the focus, which nobody sees"
            assert at["inView"], f"{at['name']} has the focus, out of view"
            if first is None:
                first = at["number"]
            elif at["number"] == first:
                break
        assert script(MISSED) == []


def test_by_keyboard_only(project: Path, photos: list[Path], beat_wav: Path, tmp_path: Path) -> None:
    with studio(project) as (url, _), browsing(tmp_path / "profile", size=(1280, 800)) as driver:
        keyboard = Keyboard(driver)
        downloads(driver, tmp_path / "down")
        driver.get(url)
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
        driver.execute_script(COUNT)
        until(lambda: len(driver.find_elements("css selector", "#glimpses button")) == 6)
        keyboard.walk()
        keyboard.tab_to("#song-file")
        # Enter opens the system's own window to choose a file
        driver.switch_to.active_element.send_keys(str(beat_wav))
        until(lambda: driver.execute_script(READY))
        keyboard.tab_to("#grid-part summary")
        keyboard.press(ENTER)
        keyboard.walk()
        keyboard.tab_to("#next")
        keyboard.press(ENTER)
        until(lambda: driver.find_elements("css selector", '[data-name="drift"]'))
        keyboard.walk()
        keyboard.tab_to('.poster[data-name="double-exposure"]')
        keyboard.press(DOWN)
        wanted = driver.execute_script("return document.activeElement.dataset.name")
        assert wanted != "double-exposure"
        keyboard.press(ENTER)
        until(lambda: open_project(project).preset == wanted)
        # the arrows go from step to step while one of them has the focus
        keyboard.tab_to("#tab-choose")
        keyboard.press(RIGHT)
        keyboard.tab_to("#picture-file")
        driver.switch_to.active_element.send_keys("\n".join(map(str, photos)))
        until(lambda: driver.execute_script("return document.querySelectorAll('#pictures li').length") == 2)
        keyboard.tab_to("#library-find")
        keyboard.press("rust")
        until(lambda: 0 < driver.execute_script("return document.querySelectorAll('#library li').length") < 50)
        keyboard.walk()
        keyboard.tab_to("#pictures input")
        keyboard.press("a red door" + ENTER)
        captions = project / "photos" / "captions.tsv"
        until(lambda: captions.is_file() and "a red door" in captions.read_text())
        keyboard.with_held(ALT, "4")
        keyboard.tab_to("#lanes")
        keyboard.press(RIGHT)
        keyboard.press(RIGHT)
        until(lambda: driver.execute_script("return studio.timeline.chosen") == 1)
        keyboard.walk()
        keyboard.tab_to("#lanes")
        keyboard.press("r")
        until(lambda: driver.execute_script("return studio.lanes.shots[1].changed"))
        keyboard.press(ENTER)
        keyboard.press(" at night" + ENTER)
        until(lambda: driver.execute_script("return studio.lanes.shots[1].prompts[0]").endswith(" at night"))
        keyboard.with_held(ALT, "4")
        keyboard.with_held(CONTROL, "z")
        until(lambda: not driver.execute_script("return studio.lanes.shots[1].prompts[0]").endswith(" at night"))
        until(lambda: driver.find_element("id", "notice-text").text == "Undone: the words of shot 2.")
        keyboard.with_held(ALT, "5")
        keyboard.tab_to("details.more summary")
        keyboard.press(ENTER)
        keyboard.tab_to("#model")
        keyboard.with_held(CONTROL, "a")
        keyboard.press("toy")
        small_size(driver)
        until(lambda: "first frames; needs" in driver.find_element("id", "estimate").text)
        keyboard.walk()
        keyboard.tab_to("#begin")
        keyboard.press(ENTER)
        until(lambda: driver.find_elements("css selector", ".renders video"), 400)
        keyboard.walk()
        keyboard.tab_to('.renders a[href$="/clip?download"]')
        keyboard.press(ENTER)
        clip = until(lambda: list((tmp_path / "down").glob("*.mp4")))[0]
        assert driver.execute_script("return window.presses") == 0
        assert_no_messages_or_foreign_requests(driver, url)
    assert len(list(rgb_frames(clip))) == 240


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
            # an error of one step is not carried to the next
            assert not driver.find_element("id", "notice").is_displayed()
            driver.execute_script("document.getElementById('notice').hidden = false")
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


EVIL = "<img src=x onerror=window.evil=1>"
HOSTILE_PRESET = f"""
version = 2
title = "{EVIL} title"
description = "{EVIL} description"
music = "{EVIL} music"
author = "{EVIL} author"
licence = "CC0-1.0"
[[macro]]
name = "storm"
description = "{EVIL} knob"
[[phase]]
name = "{EVIL} phase"
bars = [1, 4]
prompts = ["{EVIL} prompt"]
"""


def test_names_of_a_strangers_project_stay_text_in_every_list(
    project: Path, beat_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path / "data"))
    own = user_presets() / "hostile"
    own.mkdir(parents=True)
    (own / "preset.toml").write_text(HOSTILE_PRESET)
    shutil.copy(beat_wav, project / f"{EVIL} song.wav")
    (project / "photos").mkdir()
    (project / "films").mkdir()
    Image.new("RGB", (32, 32), "red").save(project / "photos" / f"{EVIL} photos.png", "PNG")
    with av.open(str(project / "films" / f"{EVIL} films.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for shade in range(0, 240, 10):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade, np.uint8), "rgb24")
            film.mux(stream.encode(picture))
        film.mux(stream.encode())
    (project / "photos" / "captions.tsv").write_text(f"{EVIL} photos.png\t{EVIL} caption\n")
    made = changed_project(
        new_project(project),
        song=f"{EVIL} song.wav",
        preset="hostile",
        photos=(f"photos/{EVIL} photos.png",),
        videos=(f"films/{EVIL} films.mp4",),
    )
    made = save_project(project, made, revision=0)
    render = renders.queue_render(project, made, {})
    renders.set_state(project, render.id, "failed", problem=f"{EVIL} problem")
    with studio(project) as (url, _), browsing(tmp_path / "profile", size=(1280, 800)) as driver:
        driver.get(url)
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.lanes && !studio.state.doing)"))
        seen = {}
        for name in ("start", "choose", "feed", "timeline", "render"):
            driver.execute_script("studio.go(arguments[0])", name)
            if name == "timeline" and driver.execute_script("return Boolean(studio.lanes.shots)"):
                driver.find_element("id", "lanes").send_keys(RIGHT)
            shown = lambda name=name: driver.execute_script(  # noqa: E731
                "const at = document.getElementById(arguments[0]);"
                "for (const one of at.querySelectorAll('details')) one.open = true;"
                "const fields = [...at.querySelectorAll('input, textarea, option')].map((one) => one.value + one.textContent);"
                "return at.innerText + fields.join(' ')",
                name,
            )
            until(lambda shown=shown: EVIL in shown(), 60)
            seen[name] = shown()
            assert (
                driver.execute_script(
                    "return [...document.images].filter((one) => one.getAttribute('src') === 'x').length"
                )
                == 0
            )
        for name, words in (
            ("start", ("song",)),
            ("choose", ("title", "description", "music", "author", "knob")),
            ("feed", ("caption", "films.mp4")),
            ("timeline", ("prompt",)),
            ("render", ("problem", "song.mp4")),
        ):
            for word in words:
                assert f"{EVIL} {word}" in seen[name], (name, word)
        assert EVIL in driver.find_element("id", "title").text
        assert driver.execute_script("return window.evil") is None


def test_the_preview_plays_within_the_page(project: Path, beat_wav: Path, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    with studio(project) as (url, _), browsing(tmp_path / "profile", size=(1280, 900)) as driver:
        driver.get(url)
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))
        driver.find_element("id", "song-file").send_keys(str(beat_wav))
        until(lambda: driver.execute_script(READY))
        post = (
            "fetch('/do', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
            "body: JSON.stringify(arguments[0])})"
        )
        change = {"t": "do", "do": "settings", "settings": {"model": "toy", "steps": 1, "macros": {"intensity": 0.2}}}
        driver.execute_script(post, {**change, "revision": open_project(project).revision})
        until(lambda: open_project(project).settings.model == "toy")
        driver.find_element("id", "tab-timeline").click()
        driver.find_element("id", "open-preview").click()
        until(lambda: driver.find_element("id", "player").is_displayed())
        driver.switch_to.frame("player-frame")
        until(lambda: driver.execute_script("return Boolean(window.reactive) && reactive.pictures.drawn > 0"))
        assert driver.find_element("id", "control-macro.intensity").get_property("value") == "0.2"
        # the words below the picture are not in the clip, and say so
        assert "not in the clip" in driver.execute_script(
            "return getComputedStyle(document.getElementById('caption'), '::before').content"
        )
        driver.switch_to.default_content()
        in_frame = lambda script: in_the_preview(driver, script)  # noqa: E731
        # one playhead: a shot that is chosen is shown, and so is a place that is clicked
        until(lambda: driver.execute_script("return studio.player.holds"))
        driver.execute_script("studio.timeline.choose(1)")
        start, settled = driver.execute_script(
            "const {start, settled} = studio.lanes.shots[1]; return [start, settled]"
        )
        assert start <= settled
        until(lambda: abs(in_frame("return reactive.clock.time") - settled) < 0.01)
        assert abs(driver.execute_script("return studio.timeline.now") - settled) < 0.01
        driver.execute_script("studio.timeline.move(0, studio.timeline.duration)")
        lanes = driver.find_element("id", "lanes")
        script = "const r = arguments[0].getBoundingClientRect(); return [Math.round(r.width / 4), Math.round(40 - r.height / 2)]"
        across, down = driver.execute_script(script, lanes)
        ActionChains(driver).move_to_element_with_offset(lanes, across, down).click().perform()
        wanted = driver.execute_script("return studio.timeline.duration") * 0.75
        until(lambda: abs(in_frame("return reactive.clock.time") - wanted) < 0.2)
        assert driver.execute_script("return studio.timeline.chosen") == 1
        # a change goes back to its shot
        driver.find_element("id", "shot-roll").click()
        until(lambda: abs(in_frame("return reactive.clock.time") - settled) < 0.01)
        # the picture and what is edited are seen together
        boxes = [driver.find_element("id", name).rect for name in ("player-frame", "shot-prompt")]
        assert all(box["y"] >= 0 and box["y"] + box["height"] <= 900 for box in boxes), boxes
        in_frame("document.getElementById('play').click()")
        until(lambda: in_frame("return reactive.clock.time") > settled + 0.3)
        until(lambda: driver.execute_script("return studio.timeline.now") > settled + 0.3)
        # another step is heard without pictures, from the same place on
        driver.find_element("id", "tab-start").click()
        until(lambda: in_frame("return reactive.audio.paused"))
        assert driver.execute_script("return studio.listening.time") > settled + 0.3
        driver.find_element("id", "tab-timeline").click()
        driver.find_element("id", "player-close").click()
        assert driver.execute_script("return studio.timeline.now") > settled + 0.3
        assert not driver.find_element("id", "player").is_displayed()
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def in_the_preview(driver: Any, script: str) -> Any:
    """Run a script in the page that the studio shows in its frame."""
    driver.switch_to.frame("player-frame")
    try:
        return driver.execute_script(script)
    finally:
        driver.switch_to.default_content()


def render_processes(project: Path) -> list[int]:
    """Return the processes that render a project's queue."""
    found = subprocess.run(["pgrep", "-f", f"reactive.studio.worker {project}"], capture_output=True, text=True)
    return [int(number) for number in found.stdout.split()]


def test_a_render_outlives_its_page_and_server_and_a_killed_one_ends_bit_for_bit_the_same(
    project: Path, beat_wav: Path, tmp_path: Path
) -> None:
    settings = {"duration": 10.0, "size": "192x112", "model": "toy", "steps": 4}
    begin = (
        "fetch('/render', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
        "body: JSON.stringify({t: 'x', what: 'start', settings: arguments[0]})})"
    )

    def state(number: str) -> str:
        return next((one.state for one in renders.list_renders(project) if one.id == number), "")

    def pieces(number: str) -> set[str]:
        jobs = [renders.job_of(project, one) for one in renders.list_renders(project) if one.id == number]
        return {file.name for job in jobs for file in (job / "segments").glob("[!.]*.mkv")}

    def opened(url: str) -> None:
        driver.get(url)
        until(lambda: driver.execute_script("return Boolean(window.studio && studio.state)"))

    with browsing(tmp_path / "profile", size=(1280, 800)) as driver:
        with studio(project) as (url, server):
            opened(url)
            driver.find_element("id", "song-file").send_keys(str(beat_wav))
            until(lambda: driver.execute_script(READY))
            driver.execute_script(begin, settings)
            until(lambda: pieces("001"))
            server.send_signal(signal.SIGKILL)
            server.wait()
        # the process that renders goes on without a server
        assert state("001") == "running"
        (worker,) = render_processes(project)
        before = pieces("001")
        until(lambda: len(pieces("001")) > len(before))
        os.kill(worker, signal.SIGKILL)
        until(lambda: not render_processes(project))
        assert state("001") == "running"
        with studio(project) as (url, _):
            opened(url)
            driver.find_element("id", "tab-render").click()
            until(lambda: driver.find_elements("css selector", ".renders video"), 400)
            assert state("001") == "done"
            driver.execute_script(begin, settings)
            until(lambda: state("002") == "done", 400)
    first, second = (renders.read_render(project, number) for number in ("001", "002"))
    assert 0 < first.result["clip"]["reused"] < first.result["clip"]["frames"] == 240
    assert second.result["clip"]["reused"] == 0
    assert (project / first.clip).read_bytes() == (project / second.clip).read_bytes()
