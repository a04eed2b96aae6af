"""Clients of a preview without a browser: one that plays and counts, ones that only look, are slow, or vanish."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from reactive.live.web.protocol import MAX_CREDIT, unpack_picture

TELL_SECONDS = 0.1
# credit is given back in bundles, as the page does once a frame of the screen
BUNDLE = 8


@contextlib.asynccontextmanager
async def connected(url: str, *, kind: str = "page") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Log in with the token in a preview's address, and open its socket."""
    parts = urlsplit(url)
    origin = f"http://{parts.netloc}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        await client.post(f"{origin}/login", json={"token": parts.fragment}, headers={"Origin": origin})
        async with client.ws_connect(
            f"{origin}/ws?kind={kind}",
            headers={"Origin": origin},
            max_msg_size=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=2),
        ) as socket:
            yield socket


@dataclass
class Player:
    """A page without a page: it plays the song, grants credit, and counts pictures.

    Attributes
    ----------
    socket
        Its connection.
    duration
        The song's length in seconds, once it is told.
    pictures
        How many came since `play`.
    late
        How many of them had passed already.
    """

    socket: aiohttp.ClientWebSocketResponse
    duration: float = math.inf
    pictures: int = 0
    late: int = 0
    revision: int = -1
    _asked: int = 0
    _playing: bool = False
    _base: float = 0.0
    _began: float = 0.0
    _told: float = 0.0
    _epoch: int = -1
    _owed: int = 0
    _heard: int = 0

    @property
    def now(self) -> float:
        """Where its song is, in seconds."""
        return self._base + (time.monotonic() - self._began if self._playing else 0.0)

    async def go(self, position: float, *, playing: bool) -> None:
        """Seek."""
        self._asked += 1
        self._base, self._began, self._playing = position, time.monotonic(), playing
        self._owed = 0
        await self.socket.send_json(
            {"t": "seek", "time": position, "playing": playing, "n": self._asked, "credit": MAX_CREDIT}
        )

    async def step(self) -> float | None:
        """Take one message in; return the song time of a picture that counts, None for anything else."""
        if self._playing and self.now >= self.duration:
            await self.go(0.0, playing=True)
        if self._playing and time.monotonic() - self._told > TELL_SECONDS:
            self._told = time.monotonic()
            await self.socket.send_json({"t": "clock", "time": self.now, "playing": True})
        try:
            message = await self.socket.receive(timeout=0.05)
        except TimeoutError:
            await self._pay()
            return None
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            raise ConnectionError("the server closed the connection")
        if message.type == aiohttp.WSMsgType.TEXT:
            self._told_by_server(message.json())
            return None
        epoch, _, song_time, _ = unpack_picture(message.data)
        self._owed += 1
        if self._owed >= BUNDLE:
            await self._pay()
        # what was sent before the answer to the last seek is of another time
        if self._heard != self._asked or epoch < self._epoch:
            return None
        self.pictures += 1
        self.late += song_time < self.now - 0.1
        return song_time

    async def _pay(self) -> None:
        if self._owed:
            await self.socket.send_json({"t": "credit", "n": self._owed})
            self._owed = 0

    def _told_by_server(self, data: dict[str, Any]) -> None:
        if data["t"] == "hello":
            self.duration = data["duration"]
        elif data["t"] == "epoch":
            self._epoch = max(self._epoch, data["epoch"])
            if data["n"] == self._asked:
                self._heard = self._asked
                # a long feedback shot is shown from its start
                self._base += data["time"] - self._base if not self._playing else min(data["time"] - self._base, 0.0)

    async def ready(self) -> None:
        """Wait until the song is known."""
        while math.isinf(self.duration):
            await self.step()

    async def until_shown(self, position: float, *, playing: bool, patience: float = 60.0) -> float:
        """Seek and return the seconds until there is a picture to show: one whose time has come but is not long past."""
        await self.go(position, playing=playing)
        began = time.monotonic()
        waiting: list[float] = []
        while time.monotonic() - began < patience:
            if (shown := await self.step()) is not None:
                waiting.append(shown)
            now = self.now
            if any(now - 0.5 < at <= now + 1e-3 for at in waiting):
                return time.monotonic() - began
        return math.nan

    async def play(self, seconds: float) -> float:
        """Play on for a while; return the pictures a second."""
        began, before = time.monotonic(), self.pictures
        while time.monotonic() - began < seconds:
            await self.step()
        return (self.pictures - before) / (time.monotonic() - began)


async def look(url: str, ending: asyncio.Event, *, nap: float = 0.0) -> int:
    """Look on as a viewer until told to end, napping before each message if slow; return the pictures that came."""
    came = 0
    async with connected(url, kind="output") as socket:
        await socket.send_json({"t": "credit", "n": MAX_CREDIT})
        while not ending.is_set():
            if nap:
                await asyncio.sleep(nap)
            with contextlib.suppress(TimeoutError):
                message = await socket.receive(timeout=0.2)
                if message.type == aiohttp.WSMsgType.BINARY:
                    came += 1
                    await socket.send_json({"t": "credit", "n": 1})
                elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    break
    return came


async def vanish(url: str, ending: asyncio.Event, *, every: float = 1.0) -> int:
    """Come again and again, ask for pictures, and go without a word; return how often."""
    times = 0
    while not ending.is_set():
        async with connected(url, kind="output") as socket:
            await socket.send_json({"t": "credit", "n": MAX_CREDIT})
            await asyncio.sleep(every / 2)
            # the connection breaks off, as of a phone that leaves the room
            connection = socket._response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
        times += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), every / 2)
    return times


async def soak(
    url: str, minutes: float, memory: Callable[[], float], report: Callable[[float, float, int], None]
) -> list[tuple[float, float]]:
    """Play round and round with seeks, edits and vanishing pages; return (minutes passed, MB) twice a minute."""
    curve: list[tuple[float, float]] = []
    ending = asyncio.Event()
    strangers = asyncio.create_task(vanish(url, ending, every=6.0))
    async with connected(url) as socket:
        player = Player(socket)
        await player.ready()
        await player.go(0.0, playing=True)
        began, turn = time.monotonic(), 0
        while (passed := (time.monotonic() - began) / 60) < minutes:
            await player.play(5.0)
            turn += 1
            change = {"t": "change", "time": player.now, "kind": "control", "name": "seed", "value": turn % 5}
            if turn % 12 == 0:
                await socket.send_json({"t": "forget"})
            elif turn % 3 == 0:
                await socket.send_json(change)
            elif turn % 3 == 1:
                await player.go(player.duration * ((turn * 0.37) % 1), playing=True)
            if turn % 6 == 0:
                curve.append((passed, memory()))
                report(*curve[-1], player.pictures)
    ending.set()
    await strangers
    return curve
