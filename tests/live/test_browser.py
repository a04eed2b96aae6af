"""The page in Chromium: playing, pausing, seeking, looping, editing, saving a take, without console messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from reactive.audio.corrections import corrections_path
from reactive.live.marks import marks_path
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
            )
        )
        # on a slow machine the song would end before a test has seen its condition
        driver.execute_script("reactive.audio.loop = true")
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


def notice(driver: Any) -> str:
    """Return the last notice, visible or not."""
    return driver.find_element("id", "notice-text").get_property("textContent")


# the target of seeks: the position at the time of reading depends on the machine
LANDINGS = """
    window.landed = [];
    const place = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "currentTime");
    Object.defineProperty(reactive.audio, "currentTime", {
      configurable: true,
      get() { return place.get.call(this); },
      set(time) { landed.push(time); place.set.call(this, time); },
    });
"""


def shown_there(driver: Any) -> None:
    """Wait until the picture of the playhead's position is on the canvas."""
    until(
        lambda: (
            abs(driver.execute_script("return reactive.pictures.shown?.time ?? -9") - driver.execute_script(TIME))
            < 0.06
        )
    )
    # `shown` is set before painting
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def apart(one: list[int], other: list[int]) -> float:
    """Return the mean difference of two pictures, 0 to 255."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def test_it_shows_a_picture_before_playing_and_removes_the_token(opened: Any) -> None:
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
def test_a_seek_shows_the_picture_of_that_position(opened: Any, seconds: float) -> None:
    driver, _, _ = opened
    still(driver)
    driver.execute_script("reactive.seek(arguments[0])", seconds)
    shown_there(driver)
    assert driver.execute_script("return reactive.pictures.shown.epoch") > 0


def test_arrow_keys_seek_by_bars(opened: Any) -> None:
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
    try:
        driver.execute_script(f"reactive.seek(2.0); reactive.setLoop([2.0, 2.8]); {LANDINGS} reactive.audio.play()")
        before = driver.execute_script("return reactive.pictures.asked")
        # it repeats, each time from the start of the section, later by as much as the sound had passed its end
        until(lambda: driver.execute_script("return reactive.pictures.asked") > before + 2)
        assert all(2.0 <= time < 2.8 for time in driver.execute_script("return landed"))
    finally:
        driver.execute_script("delete reactive.audio.currentTime; reactive.setLoop(null); reactive.audio.pause()")


def test_by_keys_a_blackout_comes_on_the_bar_and_a_loop_holds_bars(opened: Any) -> None:
    driver, _, _ = opened
    body = driver.find_element("tag name", "body")
    bars = driver.execute_script("return reactive.lanes.data.song.bars")
    try:
        driver.execute_script(f"reactive.seek(1.0); {LANDINGS}")
        body.send_keys("q", "q")
        until(lambda: state(driver)["quantise"] == "bar")
        body.send_keys(" ")
        until(lambda: driver.execute_script(TIME) > 1.1)
        body.send_keys("b")
        until(lambda: state(driver)["black"])
        waited = state(driver)["waiting"]
        assert [(one["kind"], one["time"] in bars) for one in waited] == [("black", True)]
        # by the place of the key: the character depends on the keyboard
        body.send_keys("\ue0081\ue008")
        loop = until(lambda: state(driver)["loop"])
        assert loop[0] in bars
        assert bars.index(loop[1]) == bars.index(loop[0]) + 1
        until(lambda: driver.execute_script("return landed"))
        assert all(loop[0] <= time < loop[1] for time in driver.execute_script("return landed"))
        assert driver.find_element("id", "loop-off").is_enabled()
        body.send_keys("\ue008l\ue008")
        until(lambda: state(driver)["loop"] is None)
    finally:
        driver.execute_script(
            "delete reactive.audio.currentTime; reactive.setLoop(null); reactive.audio.pause(); "
            "const q = document.getElementById('quantise'); q.value = 'off'; q.onchange(); "
            "document.getElementById('forget').click()"
        )
        until(lambda: state(driver)["quantise"] == "off" and state(driver)["changes"] == 0)


def test_by_keys_cue_points_and_snapshots_are_set_named_used_and_deleted(opened: Any, beat_wav: Path) -> None:
    driver, _, _ = opened
    still(driver)
    body = driver.find_element("tag name", "body")
    try:
        driver.execute_script("reactive.seek(4.0)")
        until(lambda: driver.find_element("id", "time").text == "0:04.0")
        body.send_keys("c")
        until(lambda: state(driver)["cues"] == [{"name": "cue 1", "time": 4.0}])
        assert marks_path(beat_wav).is_file()
        driver.find_element("css selector", "#cues [aria-label='Rename cue 1']").send_keys("\ue007")
        driver.switch_to.active_element.send_keys("<b>drop</b>\ue007")
        until(lambda: state(driver)["cues"][0]["name"] == "<b>drop</b>")
        # a name is text, whatever it says
        assert driver.find_element("css selector", "#cues .name").text.startswith("<b>drop</b>")
        driver.execute_script("reactive.seek(9.0); document.activeElement.blur()")
        body.send_keys("g")
        until(lambda: "press 1 2 3" in driver.find_element("id", "coming").text)
        body.send_keys("1")
        until(lambda: abs(driver.execute_script(TIME) - 4.0) < 0.01)
        driver.execute_script("const s = document.getElementById('control-walk'); s.value = 2; s.oninput()")
        until(lambda: state(driver)["controls"]["walk"] == 2)
        body.send_keys("\ue008w\ue0003")
        until(lambda: state(driver)["snapshots"][2] == "3")
        body.send_keys("\ue003")
        until(lambda: state(driver)["controls"]["walk"] == 1)
        body.send_keys("w3")
        until(lambda: state(driver)["controls"]["walk"] == 2)
        driver.find_element("css selector", "#snapshots [aria-label='Delete 3']").send_keys("\ue007")
        until(lambda: state(driver)["snapshots"][2] is None)
        driver.find_element("css selector", "#cues [aria-label='Delete <b>drop</b>']").send_keys("\ue007")
        until(lambda: state(driver)["cues"] == [])
        driver.find_element("xpath", "//summary[text()='Keys']").send_keys("\ue007")
        assert "put everything back" in driver.find_element("id", "keys").text
    finally:
        marks_path(beat_wav).unlink(missing_ok=True)
        driver.find_element("id", "forget").click()
    until(lambda: state(driver)["changes"] == 0)


def test_after_the_song_pictures_go_on_in_silence_until_it_is_heard_again(opened: Any) -> None:
    driver, _, _ = opened
    body = driver.find_element("tag name", "body")
    choose = "const e = document.getElementById('ending'); e.value = arguments[0]; e.onchange()"
    try:
        driver.execute_script("reactive.audio.loop = false")
        driver.execute_script(choose, "pictures")
        until(lambda: state(driver)["ending"] == "pictures")
        driver.execute_script("reactive.seek(reactive.audio.duration - 0.3); reactive.audio.play()")
        until(lambda: driver.execute_script("return reactive.audio.muted"))
        loop = until(lambda: state(driver)["loop"])
        until(lambda: loop[0] <= driver.execute_script(TIME) < loop[1])
        assert not driver.execute_script("return reactive.audio.paused")
        body.send_keys("\ue011")
        until(lambda: not driver.execute_script("return reactive.audio.muted"))
        until(lambda: state(driver)["loop"] is None)
    finally:
        driver.execute_script("reactive.audio.pause(); reactive.audio.loop = true")
        driver.execute_script(choose, "stop")
    until(lambda: state(driver)["ending"] == "stop")


def test_a_slider_changes_the_picture_and_undo_restores_it(opened: Any) -> None:
    driver, _, _ = opened
    still(driver)
    driver.execute_script("reactive.seek(1.0)")
    shown_there(driver)
    before, epoch = pixels(driver), driver.execute_script("return reactive.pictures.epoch")
    driver.execute_script("const s = document.getElementById('control-seed'); s.value = 7; s.oninput()")
    until(lambda: state(driver)["changes"] == 1)
    until(lambda: apart(pixels(driver), before) > 3)
    assert driver.execute_script("return reactive.pictures.epoch") > epoch
    driver.find_element("id", "undo").click()
    until(lambda: state(driver)["changes"] == 0)
    # nearly equal: the JPEG quality may have changed
    until(lambda: apart(pixels(driver), before) < 1.5)


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


def test_the_grid_is_corrected_by_keys(opened: Any, beat_wav: Path) -> None:
    driver, _, _ = opened
    still(driver)
    body = driver.find_element("tag name", "body")
    bars = driver.execute_script("return reactive.lanes.data.song.bars")
    try:
        body.send_keys("]")
        until(lambda: state(driver)["grid"]["double"])
        until(lambda: len(driver.execute_script("return reactive.lanes.data.song.bars")) > 1.5 * len(bars))
        assert driver.find_element("id", "double").get_attribute("aria-pressed") == "true"
        assert driver.find_element("id", "tempo").text.startswith("24")
        driver.execute_script("reactive.seek(6.02)")
        body.send_keys("]", ".", ".", "d")
        until(lambda: state(driver)["grid"]["offset"] == 20 and not state(driver)["grid"]["double"])
        assert corrections_path(beat_wav).is_file()
        # taps on every second beat at 120 a minute; the song is paused, so the clock is moved
        told = driver.execute_script("""
            let time = 2.02;
            reactive.grid.now = () => time;
            for (let tap = 0; tap < 6; tap++, time += 1) document.getElementById("tap").click();
            // a moment later the taps have become the grid
            return document.getElementById("tempo").textContent;
        """)
        assert told == "tap 6: 60.0 bpm"
        until(lambda: state(driver)["grid"]["half"])
    finally:
        driver.find_element("id", "as-heard").click()
        until(lambda: not state(driver)["grid"]["corrected"])
    assert not corrections_path(beat_wav).exists()
    until(lambda: driver.execute_script("return reactive.lanes.data.song.bars") == bars)


def test_midi_controls_can_be_learned_and_used(opened: Any) -> None:
    driver, _, _ = opened
    still(driver)
    driver.execute_script("""
        window.knob = {};
        navigator.requestMIDIAccess = async () => ({inputs: new Map([["1", Object.assign(knob, {name: "Knob"})]])});
    """)
    body = driver.find_element("tag name", "body")
    body.send_keys("m")
    until(lambda: driver.execute_script("return reactive.midi.learning"))
    turn = "knob.onmidimessage({data: new Uint8Array(arguments)})"
    driver.find_element("id", "control-walk").click()
    assert "walk speed" in driver.find_element("id", "midi-state").text
    driver.execute_script(turn, 0xB2, 21, 64)
    driver.find_element("id", "black").click()
    driver.execute_script(turn, 0x90, 36, 100)
    driver.execute_script(turn, 0x80, 36, 0)
    driver.find_element("id", "midi-learn").click()
    # selecting a control must not trigger it
    assert state(driver)["changes"] == 0
    assert driver.execute_script("return JSON.parse(localStorage.getItem('reactive.midi'))") == {
        "control 3/21": "control-walk",
        "note 1/36": "black",
    }
    driver.execute_script(turn, 0xB2, 21, 127)
    until(lambda: state(driver)["controls"]["walk"] == 4.0)
    driver.execute_script(turn, 0x90, 36, 100)
    until(lambda: state(driver)["black"])
    driver.execute_script(turn, 0x90, 36, 0)
    driver.execute_script(turn, 0x90, 36, 100)
    until(lambda: not state(driver)["black"])
    driver.find_element("id", "midi-forget").click()
    driver.find_element("id", "forget").click()
    until(lambda: state(driver)["changes"] == 0)


def test_changed_controls_are_saved_into_a_copy_of_the_preset(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live_preset: Path
) -> None:
    driver, _, _ = opened
    monkeypatch.setenv("REACTIVE_DATA", str(tmp_path))
    still(driver)
    before = live_preset.read_text()
    driver.execute_script("const s = document.getElementById('control-walk'); s.value = 2; s.oninput()")
    until(lambda: state(driver)["changes"] == 1)
    driver.find_element("tag name", "body").send_keys("k")
    until(lambda: driver.find_element("id", "keep-dialog").is_displayed())
    assert "beginning changes too" in driver.find_element("id", "keep-warning").text
    assert driver.find_element("id", "keep-says").text.startswith("walk speed: 2")
    assert driver.find_element("id", "keep-where").text == str(live_preset)
    name = driver.find_element("id", "keep-name")
    name.clear()
    name.send_keys("../up")
    assert not driver.find_element("id", "keep-copy").is_enabled()
    name.clear()
    name.send_keys("louder\n")
    until(lambda: not driver.find_element("id", "keep-dialog").is_displayed())
    assert "* 2" in (tmp_path / "presets" / "louder" / "preset.toml").read_text()
    assert live_preset.read_text() == before
    until(lambda: state(driver)["changes"] == 0 and state(driver)["preset"] == "louder")
    # the copy is played now: an error in it is shown until it is fixed
    copy = tmp_path / "presets" / "louder" / "preset.toml"
    text = copy.read_text()
    copy.write_text(text.replace("version = 2", "version = 2\nwlak = 3"))
    until(lambda: "wlak" in notice(driver))
    copy.write_text(text.replace("a sea", "a lake"))
    until(lambda: notice(driver) == "The preset was reloaded.")
    copy.write_text(text)
    until(lambda: "a sea" in driver.execute_script("return Object.values(reactive.lanes.data.prompts)"))


def test_the_output_window_follows(opened: Any) -> None:
    driver, _, port = opened
    still(driver)
    driver.execute_script(
        "document.getElementById('latency').value = 80; document.getElementById('latency').oninput(); reactive.seek(3.0)"
    )
    page = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        driver.get(f"http://127.0.0.1:{port}/page/output.html")
        until(lambda: abs((driver.execute_script("return window.reactive?.pictures.shown?.time") or 0) - 3.0) < 0.06)
        assert driver.execute_script("return reactive.delay()") == 0.08
    finally:
        driver.close()
        driver.switch_to.window(page)
    driver.execute_script("document.getElementById('latency').value = 0; document.getElementById('latency').oninput()")


def test_the_server_keeps_the_loop_of_a_hidden_page(opened: Any) -> None:
    driver, _, _ = opened
    page = driver.current_window_handle
    driver.execute_script(f"reactive.seek(2.0); reactive.setLoop([2.0, 3.0]); {LANDINGS} reactive.audio.play()")
    driver.switch_to.new_window("tab")
    driver.execute_async_script("setTimeout(arguments[0], 4000)")
    driver.close()
    driver.switch_to.window(page)
    # the time of the jump depends on the machine; the jump and its target do not
    until(lambda: len(driver.execute_script("return landed")) >= 3)
    assert all(2.0 <= time < 3.0 for time in driver.execute_script("return landed"))
    driver.execute_script("delete reactive.audio.currentTime; reactive.setLoop(null); reactive.audio.pause()")


def test_the_last_picture_keeps_moving_and_a_message_is_shown(opened: Any) -> None:
    driver, _, _ = opened
    still(driver)
    driver.execute_script("reactive.seek(1.0)")
    until(lambda: driver.execute_script("return reactive.pictures.shown"))
    try:
        # from here on no picture arrives
        driver.execute_script("""
            window.worst = 0;
            window.looking = setInterval(() => {
              worst = Math.max(worst, Number(document.getElementById("offset").textContent.split(" ")[2]) || 0);
            }, 100);
            reactive.connection.on("picture", () => {});
            // on a slow machine the song would end before the page was asked
            reactive.audio.loop = true; reactive.audio.play();
        """)
        until(lambda: driver.find_element("id", "late").is_displayed())
        before = pixels(driver)
        until(lambda: "alarm" in driver.find_element("id", "late").get_attribute("class"))
        assert "behind" in driver.find_element("id", "late").text
        until(lambda: apart(pixels(driver), before) > 1)
        assert driver.execute_script("return reactive.watchdog.longest") > 3
        # the number counts the pictures that were due
        until(lambda: driver.execute_script("return worst") > 1000)
    finally:
        driver.execute_script(
            "clearInterval(looking); reactive.audio.loop = false; reactive.audio.pause(); "
            "reactive.connection.on('picture', (p) => reactive.pictures.take(p))"
        )
    until(lambda: not driver.find_element("id", "late").is_displayed())


def test_the_lens_of_a_still_picture_depends_on_the_songs_time(opened: Any) -> None:
    driver, _, _ = opened
    lens = driver.execute_async_script("""
        const done = arguments[0];
        import("/page/watchdog.js").then(({lensOf}) => {
          const curves = {zoom: {values: [0, 0.1]}, rotate: {values: [0, 3]}, x: {values: [0, 0.01]}};
          const six = (...of) => lensOf(6, ...of);
          done([lensOf(0, curves, 0, 1), six(null, 0, 0), six(null, 0, 0), six(curves, 0, 1), six(curves, 1, 0)]);
        });
    """)
    assert lens[0] == {"zoom": 1, "degrees": 0, "x": 0, "y": 0}
    assert lens[1] == lens[2]
    assert lens[1]["zoom"] == pytest.approx(1.06)
    assert lens[3]["zoom"] == pytest.approx(1.06 * 1.1)
    assert (lens[3]["degrees"], lens[4]["degrees"]) == (3, -3)
    # it never zooms out so far that an edge becomes visible
    assert lens[4]["zoom"] == 1


def test_it_reconnects_to_a_restarted_server(opened: Any, serving: Any, tmp_path: Path) -> None:
    driver, _, _ = opened
    page = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        with serving(folder=tmp_path) as (address, _):
            driver.get(address.url)
            until(
                lambda: driver.execute_script("return Boolean(window.reactive?.pictures.shown && reactive.panel.state)")
            )
            driver.execute_script("document.getElementById('black').click()")
            until(lambda: state(driver)["changes"] == 1)
            driver.execute_script("reactive.seek(5.0)")
        until(lambda: "away" in driver.find_element("id", "waiting").text)
        with serving(folder=tmp_path, port=address.port):
            until(
                lambda: driver.execute_script("return reactive.connection.ready && reactive.panel.state.changes === 0")
            )
            until(lambda: abs((driver.execute_script("return reactive.pictures.shown?.time") or 0) - 5.0) < 0.06)
            assert "not saved" in notice(driver)
    finally:
        driver.get("about:blank")
        # the connection errors are in the console
        driver.get_log("browser")
        driver.close()
        driver.switch_to.window(page)


def test_nothing_leaves_the_machine_and_the_console_is_silent(opened: Any) -> None:
    driver, _, _ = opened
    assert driver.get_log("browser") == []
    asked = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    assert any(urlsplit(url).path == "/song" for url in asked)
    for url in asked:
        parts = urlsplit(url)
        assert parts.hostname == "127.0.0.1" or parts.scheme.startswith(("blob", "data", "chrome", "about")), url


def test_it_fits_a_phone(opened: Any) -> None:
    driver, _, _ = opened
    before = driver.get_window_size()
    driver.set_window_size(500, 844)
    try:
        until(lambda: driver.execute_script("return innerWidth") <= 500)
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        small = driver.execute_script(
            "return [...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 36).map((b) => b.id)"
        )
        assert small in ([], ["notice-close"])
    finally:
        # tests may run in any order
        driver.set_window_size(before["width"], before["height"])
        until(lambda: driver.execute_script("return innerWidth") > 500)
