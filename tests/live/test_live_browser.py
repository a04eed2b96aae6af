"""The page of a live input in Chromium: the picture runs, keys control it, and the address for OBS is issued and revoked."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reactive.live.control.microphone import paced
from reactive.live.live_session import SoundInput
from tests.live.browser import browsing, chromium, until
from tests.live.streams import RATE, beat_stream, blocks

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="chromium and chromedriver are not installed"),
    pytest.mark.slow,
]


def test_the_page_of_a_live_input(serving: Any, tmp_path: Path) -> None:
    pytest.importorskip("selenium", reason="selenium is not installed")
    sound = np.concatenate([beat_stream(8)[0]] * 60)
    with (
        serving(lambda: SoundInput("a band", paced(blocks(sound), RATE), RATE)) as (address, _),
        browsing(tmp_path / "profile") as driver,
    ):
        driver.get(address.url)
        until(lambda: driver.execute_script("return window.reactive && reactive.drawn") or 0)
        drawn = driver.execute_script("return reactive.drawn")
        until(lambda: driver.execute_script("return reactive.drawn") > drawn + 5)
        body = driver.find_element("tag name", "body")
        body.send_keys("b")
        until(lambda: driver.execute_script("return reactive.state.black"))
        body.send_keys("b")
        until(lambda: not driver.execute_script("return reactive.state.black"))
        phase = "return document.querySelector('#phases .here')?.textContent"
        before = until(lambda: driver.execute_script(phase))
        body.send_keys("n")
        until(lambda: driver.execute_script(phase) != before)
        until(lambda: driver.find_element("id", "latency").text.endswith("ms"))
        driver.execute_script("document.getElementById('viewing-give').click()")
        url = until(lambda: driver.execute_script("return document.getElementById('viewing-address').value"))
        with urllib.request.urlopen(url, timeout=240) as stream:
            assert b"image/jpeg" in stream.read(200)
        driver.execute_script("document.getElementById('viewing-revoke').click()")
        until(lambda: not driver.execute_script("return document.getElementById('viewing-address').value"))
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=240)
        assert driver.get_log("browser") == []
        for entry in driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked = message["params"]["request"]["url"]
                assert asked.startswith((f"http://127.0.0.1:{address.port}/", "blob:", "data:", "chrome")), asked
