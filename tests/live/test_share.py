"""Two kinds of link: one plays, the other only looks; QR codes; the remote control in Chromium at a phone's size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import cv2
import numpy as np
import pytest

from reactive.live.control.microphone import paced
from reactive.live.live_session import SoundInput
from reactive.live.web import server as serving_module
from reactive.live.web.clients import PRIVATE
from reactive.live.web.security import Gate
from reactive.live.web.server import for_lookers, short_name
from reactive.live.web.share import CLOSED, qr_svg, shared_links
from tests.live.browser import browsing, chromium, until
from tests.live.streams import RATE, beat_stream, blocks
from tests.live.test_security import log_in, status

Visit = Callable[[aiohttp.ClientSession, str], Awaitable[Any]]


@pytest.fixture
def visit(served: Any) -> Callable[[Visit], Any]:
    """Run `visit`, a coroutine that gets a client session and the server's origin."""
    parts = urlsplit(served[0].url)

    def run(visiting: Visit) -> Any:
        async def whole() -> Any:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
                return await visiting(client, f"{parts.scheme}://{parts.netloc}")

        return asyncio.run(whole())

    return run


@pytest.fixture
def look(served: Any) -> str:
    """The token that only looks."""
    return urlsplit(served[0].look).fragment


@pytest.fixture
def play(served: Any) -> str:
    """The token that plays."""
    return urlsplit(served[0].url).fragment


async def heard(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    while True:
        message = await socket.receive(240)
        if message.type == aiohttp.WSMsgType.TEXT and (data := json.loads(message.data))["t"] == kind:
            return data
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message


# one of each kind of message that does something
ACTIONS: tuple[dict[str, Any], ...] = (
    {"t": "act", "name": "blackout"},
    {"t": "act", "name": "cue"},
    {"t": "change", "kind": "black", "value": 1, "time": 1.0},
    {"t": "seek", "time": 2.0, "n": 1, "credit": 4},
    {"t": "clock", "time": 2.0, "playing": True},
    {"t": "loop", "a": 1.0, "b": 2.0},
    {"t": "mark", "what": "cue", "number": 1},
    {"t": "take over"},
    {"t": "undo"},
    {"t": "forget"},
    {"t": "prepare", "time": 1.0},
    {"t": "save take"},
    {"t": "grid", "action": "half"},
    {"t": "keep?"},
    {"t": "keep", "name": "mine"},
    {"t": "song", "step": 1},
    {"t": "ending", "ending": "stop"},
    {"t": "ended"},
    {"t": "next"},
    {"t": "tap"},
    {"t": "one"},
)


def test_every_action_of_who_only_looks_is_refused_in_one_line(visit: Any, look: str, served: Any) -> None:
    from typing import get_args

    from reactive.live.web.protocol import PAGE_MESSAGES

    kinds = {name for model in PAGE_MESSAGES for name in get_args(model.model_fields["t"].annotation)}
    assert {action["t"] for action in ACTIONS} == kinds - {"credit"}

    async def visiting(client: aiohttp.ClientSession, origin: str) -> None:
        assert (await log_in(client, origin, look)).status == 200
        # whatever kind of page it says it is
        for kind in ("look", "page", "remote", "play", ""):
            async with client.ws_connect(f"{origin}/ws?kind={kind}", headers={"Origin": origin}) as socket:
                assert (await heard(socket, "role"))["role"] == "looker"
                first = await heard(socket, "state")
                for action in ACTIONS:
                    await socket.send_json(action)
                    refused = await heard(socket, "error")
                    assert refused["text"] == "this link can only look. Ask who plays for the link to play."
                assert first["changes"] == 0
                assert first["cues"] == []
        # nothing was changed or written
        async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
            state = await heard(socket, "state")
            assert (state["changes"], state["loop"], state["cues"], state["black"]) == (0, None, [], False)

    visit(visiting)
    assert list(served[1].glob("*.take.json")) == []


def test_who_only_looks_sees_pictures_and_state_without_paths(visit: Any, look: str, live_preset: Path) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str) -> tuple[dict[str, Any], bytes]:
        await log_in(client, origin, look)
        async with client.ws_connect(f"{origin}/ws?kind=look", headers={"Origin": origin}) as socket:
            state = await heard(socket, "state")
            await socket.send_json({"t": "credit", "n": 4})
            while (message := await socket.receive(240)).type != aiohttp.WSMsgType.BINARY:
                pass
            return state, message.data

    state, picture = visit(visiting)
    assert b"\xff\xd8" in picture[:40]
    assert str(live_preset) not in json.dumps(state)
    assert state["preset"] == live_preset.parent.name


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/lanes", 200),
        ("GET", "/remote", 200),
        ("GET", "/look", 200),
        ("GET", "/song", 403),
        ("GET", "/share", 403),
        ("GET", "/share/play.svg", 403),
        ("POST", "/viewing", 403),
        ("DELETE", "/viewing", 403),
        ("GET", "/nothing", 403),
    ],
)
def test_what_who_only_looks_may_get(visit: Any, look: str, method: str, path: str, code: int) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str) -> tuple[int, str]:
        await log_in(client, origin, look)
        async with client.request(method, origin + path, headers={"Origin": origin}) as response:
            return response.status, await response.text() if code == 403 else ""

    found, text = visit(visiting)
    assert found == code
    assert "\n" not in text


def test_the_look_link_takes_nothing_away_and_gives_nothing(visit: Any, look: str, play: str) -> None:
    async def visiting(client: aiohttp.ClientSession, origin: str) -> list[int]:
        codes = []
        await log_in(client, origin, look)
        # a wrong token opens no more than the link did
        await log_in(client, origin, "wrong")
        codes.append(await status(client, f"{origin}/song"))
        await log_in(client, origin, play)
        codes.append(await status(client, f"{origin}/song"))
        await log_in(client, origin, look)
        codes.append(await status(client, f"{origin}/song"))
        return codes

    assert visit(visiting) == [403, 200, 200]


def test_who_looks_leaves_room_for_who_plays(visit: Any, look: str, play: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "MAX_LOOKING", 2)

    async def visiting(client: aiohttp.ClientSession, origin: str) -> tuple[int, str]:
        await log_in(client, origin, look)
        headers = {"Origin": origin}
        async with (
            client.ws_connect(f"{origin}/ws", headers=headers) as one,
            client.ws_connect(f"{origin}/ws", headers=headers) as two,
        ):
            await heard(one, "hello")
            await heard(two, "hello")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{origin}/ws", headers=headers)
            await log_in(client, origin, play)
            async with client.ws_connect(f"{origin}/ws?kind=remote", headers=headers) as three:
                return refused.value.status, (await heard(three, "role"))["role"]

    # a remote control plays no sound, so it never holds the transport
    assert visit(visiting) == (503, "viewer")


def test_the_two_secrets_are_apart() -> None:
    gate = Gate("127.0.0.1", 8000)
    assert len({gate.token, gate.look_token, gate.key, gate.look_key}) == 4
    assert gate.right_of_token(gate.token) == gate.right_of_cookie(gate.key) == "play"
    assert gate.right_of_token(gate.look_token) == gate.right_of_cookie(gate.look_key) == "look"
    for wrong in (gate.key, gate.look_key, "", "x", None, 3, ["x"], "é"):
        assert gate.right_of_token(wrong) is None
    for cookie in (gate.token, gate.look_token, "", None, "é"):
        assert gate.right_of_cookie(cookie) is None
    # it outlives a restart as the other does
    assert Gate("127.0.0.1", 8000, key=gate.key).look_key == gate.look_key


def test_messages_for_lookers() -> None:
    assert short_name("/home/band/presets/storm/preset.toml") == "storm"
    assert short_name("C:\\band\\own.toml") == "own"
    assert short_name("loop-destroy") == "loop-destroy"
    told = for_lookers(
        {"t": "state", "preset": "/a/b.toml", "presets": ["/a/b.toml", "drift"], "problem": {"where": "/a"}}
    )
    assert told == {"t": "state", "preset": "b", "presets": ["b", "drift"], "problem": None}
    assert {"saved", "kept", "error"} <= set(PRIVATE)


def test_links_and_their_codes(visit: Any, play: str, look: str) -> None:
    segno = pytest.importorskip("segno", reason="segno is not installed")

    async def visiting(client: aiohttp.ClientSession, origin: str) -> tuple[dict[str, Any], bytes]:
        await log_in(client, origin, play)
        async with client.get(f"{origin}/share") as response:
            told = await response.json()
        async with client.get(f"{origin}/share/play.svg") as response:
            assert response.content_type == "image/svg+xml"
            return told, await response.read()

    told, svg = visit(visiting)
    # this server is bound to this machine: the page says how to open it
    assert (told["open"], told["note"]) == (False, CLOSED)
    assert "--host 0.0.0.0" in told["note"]
    assert told["links"]["play"].endswith(f"/remote#{play}")
    assert told["links"]["look"].endswith(f"/look#{look}")
    assert svg == qr_svg(told["links"]["play"])
    assert b"<script" not in svg
    assert segno.make(told["links"]["play"], error="m", micro=False).version < 9
    # read as a phone's camera does
    modules = np.array(
        [list(row) for row in segno.make(told["links"]["look"], error="m", micro=False).matrix_iter(4, 4)]
    )
    picture = np.where(modules != 0, 0, 255).astype(np.uint8)
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == told["links"]["look"]
    links = shared_links(Gate("192.168.1.4", 8000, look_token="seen"))
    assert links["look"] == "http://192.168.1.4:8000/look#seen"


browser_only = pytest.mark.skipif(chromium() is None, reason="chromium and chromedriver are not installed")


def phone(driver: Any) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def press(driver: Any, action: str) -> None:
    button = driver.find_element("css selector", f"[data-act='{action}']")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def no_outside_request(driver: Any, port: int) -> None:
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked = message["params"]["request"]["url"]
            assert asked.startswith((f"http://127.0.0.1:{port}/", "blob:", "data:", "chrome", "about:")), asked


@browser_only
@pytest.mark.slow
def test_a_phone_plays_and_another_only_looks(serving: Any, tmp_path: Path, beat_wav: Path) -> None:
    pytest.importorskip("selenium", reason="selenium is not installed")
    song = tmp_path / "song.wav"
    song.write_bytes(beat_wav.read_bytes())
    with serving(song=song) as (address, _), browsing(tmp_path / "profile", size=(500, 900)) as driver:
        phone(driver)
        driver.get(address.look)
        until(lambda: driver.execute_script("return window.reactive?.pictures.drawn") or 0)
        until(lambda: driver.find_element("id", "looks").is_displayed())
        assert not driver.find_element("id", "controls").is_displayed()
        assert urlsplit(driver.current_url).fragment == ""
        # the page to play leads there too
        driver.get(f"http://127.0.0.1:{address.port}/")
        until(lambda: urlsplit(driver.current_url).path == "/look")
        driver.get(address.remote)
        until(lambda: driver.find_element("id", "controls").is_displayed())
        state = "return reactive.state"
        press(driver, "blackout")
        until(lambda: driver.execute_script(state)["black"])
        assert driver.find_element("id", "black").get_attribute("aria-pressed") == "true"
        press(driver, "quantise.bar")
        until(lambda: driver.execute_script(state)["quantise"] == "bar")
        press(driver, "loop.2")
        until(lambda: driver.execute_script(state)["loop"])
        press(driver, "loop-off")
        until(lambda: driver.execute_script(state)["loop"] is None)
        press(driver, "cue")
        until(lambda: len(driver.execute_script(state)["cues"]) == 1)
        driver.find_element("id", "store").click()
        until(lambda: driver.execute_script(state)["snapshots"][0] == "1")
        press(driver, "reset")
        until(lambda: not driver.execute_script(state)["black"])
        # there is no page that plays the song
        press(driver, "play")
        until(lambda: "no page is open" in driver.find_element("id", "notice-text").text)
        sizes = driver.execute_script("""
            const buttons = [...document.querySelectorAll("main button")].filter((b) => b.offsetParent);
            return [document.documentElement.scrollWidth, ...buttons.map((b) => Math.min(b.offsetWidth, b.offsetHeight))];
        """)
        assert sizes[0] == 390
        assert min(sizes[1:]) >= 48
        assert driver.get_log("browser") == []
        no_outside_request(driver, address.port)


@browser_only
@pytest.mark.slow
def test_a_phone_plays_a_live_input(serving: Any, tmp_path: Path) -> None:
    pytest.importorskip("selenium", reason="selenium is not installed")
    sound = np.concatenate([beat_stream(8)[0]] * 60)
    with (
        serving(lambda: SoundInput("a band", paced(blocks(sound), RATE), RATE)) as (address, _),
        browsing(tmp_path / "profile", size=(500, 900)) as driver,
    ):
        phone(driver)
        driver.get(address.remote)
        until(lambda: driver.execute_script("return window.reactive?.pictures.drawn") or 0)
        drawn = driver.execute_script("return reactive.pictures.drawn")
        until(lambda: driver.execute_script("return reactive.pictures.drawn") > drawn + 3)
        press(driver, "quantise.beat")
        press(driver, "blackout")
        until(lambda: driver.execute_script("return reactive.state.black"))
        assert not driver.find_element("id", "play").is_displayed()
        assert driver.get_log("browser") == []
