"""The loading page: available from the start, with the same access control, and it shows the progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

import aiohttp

from reactive.errors import PresetError
from reactive.live.web.listening import bound_socket
from reactive.live.web.login import RequestGuard
from reactive.live.web.security import Gate, PerAddress
from reactive.live.web.waiting import WaitingRoom


@pytest.fixture
def listener() -> Iterator[Any]:
    with contextlib.closing(bound_socket("127.0.0.1", 0)) as found:
        yield found


def room_of(listener: Any) -> tuple[WaitingRoom, Gate, str]:
    port = listener.getsockname()[1]
    gate = Gate("127.0.0.1", port)
    return WaitingRoom(RequestGuard(gate, "index.html", PerAddress(5, 20)), listener), gate, f"http://127.0.0.1:{port}"


def test_it_shows_the_progress_and_passes_its_socket_on(listener: Any) -> None:
    room, gate, origin = room_of(listener)

    async def visiting() -> list[Any]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            async with client.get(f"{origin}/") as page:
                assert page.status == 200
                assert page.headers["X-Frame-Options"] == "DENY"
            for path, code in (("/ws", 401), ("/song", 401)):
                async with client.get(origin + path, headers={"Origin": origin}) as answer:
                    assert answer.status == code
            login = {"json": {"token": gate.token}, "headers": {"Origin": origin}}
            async with client.post(f"{origin}/login", **login) as answer:
                assert answer.status == 200
            async with client.get(f"{origin}/song") as answer:
                assert answer.status == 503
            async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
                said = [await socket.receive_json(timeout=240)]
                room.say("loading ember")
                said.append(await socket.receive_json(timeout=240))
                closing = asyncio.get_running_loop().run_in_executor(None, room.close)
                while (message := await socket.receive(240)).type == aiohttp.WSMsgType.TEXT:
                    pass
                assert message.type == aiohttp.WSMsgType.CLOSE
                await closing
                return said

    with room:
        said = asyncio.run(visiting())
    assert [message["t"] for message in said] == ["starting", "starting"]
    assert said[1]["doing"] == "loading ember"
    assert said[1]["failed"] is None
    # the listening socket stays open for the preview
    assert listener.fileno() >= 0


def test_an_error_is_its_last_message(listener: Any) -> None:
    room, gate, origin = room_of(listener)
    said: list[Any] = []

    async def visiting(ready: asyncio.Event) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            login = {"json": {"token": gate.token}, "headers": {"Origin": origin}}
            async with client.post(f"{origin}/login", **login):
                pass
            async with client.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as socket:
                ready.set()
                while (message := await socket.receive(240)).type == aiohttp.WSMsgType.TEXT:
                    said.append(message.json())

    async def whole() -> None:
        ready = asyncio.Event()
        task = asyncio.create_task(visiting(ready))
        await ready.wait()
        problem = PresetError("is no preset", where="x.toml")
        await asyncio.get_running_loop().run_in_executor(None, room.__exit__, PresetError, problem, None)
        await task

    with room:
        asyncio.run(whole())
    assert "is no preset" in said[-1]["failed"]
