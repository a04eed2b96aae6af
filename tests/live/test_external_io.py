"""OSC input and output of a running preview of a song, and the messages of the command line."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import sys
import types
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from click.testing import CliRunner

pytest.importorskip("pythonosc", reason="the extra [osc] is not installed")

from reactive.cli import main
from reactive.live.control.announce import SongCues
from reactive.live.control.external_io import ExternalIOOptions
from reactive.live.control.osc import read_packet
from reactive.live.preview import Address
from reactive.live.transport import Transport
from tests.live.test_osc import packet


def test_osc_controls_a_song_and_receives_its_beats(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # the page sets the playhead and waits until it was read, so the test needs no clock
    monkeypatch.setattr(Transport, "at", lambda transport, now=None: transport.position)
    looked: list[float] = []
    look = SongCues.cues

    def watched(cues: SongCues) -> Any:
        looked.append(cues.session.engine.transport.position)
        return look(cues)

    monkeypatch.setattr(SongCues, "cues", watched)
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("127.0.0.1", 0))
    ear.setblocking(False)
    options = ExternalIOOptions(osc_in=("127.0.0.1", 0), osc_out=("127.0.0.1", ear.getsockname()[1]), mjpeg=True)
    with serving(io_options=options) as (address, _):
        assert address.osc
        assert address.mjpeg.startswith(f"http://127.0.0.1:{address.port}/mjpeg?token=")
        parts = urlsplit(address.url)
        origin = f"http://{parts.netloc}"
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def say(*message: Any) -> None:
            mouth.sendto(packet(*message), ("127.0.0.1", address.osc))

        async def state(page: aiohttp.ClientWebSocketResponse, check: Any) -> dict[str, Any]:
            async with asyncio.timeout(240):
                while True:
                    message = await page.receive()
                    if message.type == aiohttp.WSMsgType.TEXT and check(message.json()):
                        return message.json()

        async def whole() -> None:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
                await client.post(f"{origin}/login", json={"token": parts.fragment}, headers={"Origin": origin})
                async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as page:
                    await state(page, lambda m: m["t"] == "role")
                    say("/reactive/blackout", 1)
                    await state(page, lambda m: m["t"] == "state" and m["black"])
                    say("/reactive/control/walk", 2.0)
                    await state(page, lambda m: m["t"] == "state" and m["controls"]["walk"] == 2.0)
                    say("/reactive/control/walk", math.nan)
                    say("/reactive/macro/nothing", 0.5)
                    say("/reactive/next")
                    found = await state(page, lambda m: m["t"] == "state" and m["changes"] == 3)
                    assert found["black"]
                    say("/reactive/tap")
                    assert "time" in await state(page, lambda m: m["t"] == "tap")
                    await page.send_json({"t": "seek", "time": 2.2, "playing": True, "n": 1, "credit": 0})
                    async with asyncio.timeout(240):
                        for step in range(49):
                            place = 2.2 + step * 0.05
                            await page.send_json({"t": "clock", "time": place, "playing": True})
                            while looked[-1] != pytest.approx(place):
                                await asyncio.sleep(0.002)

        asyncio.run(whole())
        mouth.close()
    told = []
    while True:
        try:
            told += read_packet(ear.recv(2048))
        except BlockingIOError:
            break
    ear.close()
    beats = [arguments[0] for where, arguments in told if where == "/reactive/beat"]
    # at 120 beats a minute 2.4 s have four or five
    assert 4 <= len(beats) <= 5
    assert all(b == a % 4 + 1 for a, b in zip(beats, beats[1:], strict=False))
    assert any(where == "/reactive/phase" and arguments[1] in ("calm", "wild") for where, arguments in told)
    assert any(where == "/reactive/section" for where, _ in told)
    assert any(where == "/reactive/tempo" and abs(arguments[0] - 120) < 2 for where, arguments in told)


def test_a_seek_sends_no_beats_in_between(beat_analysis: Any, beat_timeline: Any) -> None:
    transport = types.SimpleNamespace(playing=True, place=0.0)
    transport.at = lambda: transport.place
    session = types.SimpleNamespace(
        engine=types.SimpleNamespace(transport=transport),
        material=types.SimpleNamespace(analysis=beat_analysis),
        performance=types.SimpleNamespace(timeline=beat_timeline),
        prompt_at=lambda frame: "a sea",
    )
    cues = SongCues(session)  # type: ignore[arg-type]

    def beats(place: float) -> list[Any]:
        transport.place = place
        return [cue for cue in cues.cues() if cue[0] == "beat"]

    assert beats(1.7) == []
    assert len(beats(2.02)) == 1
    assert beats(9.9) == []
    assert len(beats(10.02)) == 1
    assert beats(3.0) == []
    transport.playing = False
    assert beats(3.2) == []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that the command line passes to the preview, which is not started."""
    found: dict[str, Any] = {}

    def serve(song: Any, options: Any, **more: Any) -> None:
        found.update(song=song, options=options, **more)
        more["ready"](
            Address(
                "http://x/#t",
                more["host"],
                80,
                more["host"] != "127.0.0.1",
                here="http://127.0.0.1/#t",
                mjpeg="http://x/mjpeg?token=m",
                osc=9000,
            )
        )

    monkeypatch.setattr("reactive.live.preview.preview", serve)
    return found


def test_the_command_line_prints_the_opened_connections(told: dict[str, Any], beat_wav: Path) -> None:
    options = [
        "--no-open",
        "--osc-in",
        "0.0.0.0:9000",
        "--osc-out",
        "9001",
        "--midi-map",
        "cc1=walk",
        "--mjpeg",
        "--host",
        "0.0.0.0",
    ]
    done = CliRunner().invoke(main, ["preview", str(beat_wav), *options])
    assert done.exit_code == 0, done.output
    assert "Other machines can reach this page" in done.output
    assert "can look at the picture, and no more: http://x/mjpeg?token=m" in done.output
    assert "Every machine on this network can send OSC" in done.output
    io_options = told["io_options"]
    assert io_options.osc_in == ("0.0.0.0", 9000)
    assert io_options.osc_out == ("127.0.0.1", 9001)
    assert (io_options.midi, io_options.mjpeg) == ("", True)
    done = CliRunner().invoke(main, ["preview", str(beat_wav), "--no-open", "--osc-in", "9000"])
    assert "Every machine" not in done.output
    assert "Other machines" not in done.output
    assert told["io_options"].midi is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a song, or --input mic"),
        (["SONG", "--input", "mic"], "and not both"),
        (["SONG", "--osc-in", "here"], "is no place"),
        (["SONG", "--midi-map", "cc1=door"], "nothing that can be moved"),
        (["--input", "line"], "is not 'mic'"),
    ],
)
def test_wrong_options_are_one_line(arguments: list[str], said: str, beat_wav: Path) -> None:
    given = [str(beat_wav) if argument == "SONG" else argument for argument in arguments]
    done = CliRunner().invoke(main, ["preview", "--no-open", *given])
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_no_sound_input_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    done = CliRunner().invoke(main, ["preview", "--input", "mic", "--no-open", "--json"])
    assert done.exit_code == 1
    assert "sounddevice" in json.loads(done.output)["error"]["what"]
