"""Clients of a preview without a browser: a player that counts pictures, viewers, slow ones, ones that disconnect."""

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

CLOCK_SECONDS = 0.1
# pictures whose credit is returned in one message, as the page does once a screen refresh
CREDIT_BATCH = 8
# of an evening: songs of its list, and seconds of music that pass with each five that are played
SONGS, SKIP = 4, 30.0


@contextlib.asynccontextmanager
async def connected(url: str, *, kind: str = "page") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Log in with the token in a preview's address, and open its web socket."""
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
    """Imitates the page: it plays the song, grants credit, and counts pictures.

    Attributes
    ----------
    socket
        The connection.
    duration
        The song's length in seconds; infinity until the server sends it.
    pictures
        Pictures received.
    late
        Pictures that arrived after their time.
    songs
        Songs that were begun.
    """

    socket: aiohttp.ClientWebSocketResponse
    duration: float = math.inf
    pictures: int = 0
    late: int = 0
    songs: int = 0
    revision: int = -1
    _request: int = 0
    _playing: bool = False
    _base: float = 0.0
    _began: float = 0.0
    _clock_sent: float = 0.0
    _epoch: int = -1
    _owed: int = 0
    _answered: int = 0

    @property
    def now(self) -> float:
        """The playback position in seconds."""
        return self._base + (time.monotonic() - self._began if self._playing else 0.0)

    async def go(self, position: float, *, playing: bool) -> None:
        """Seek to a position, playing or paused."""
        self._request += 1
        self._base, self._began, self._playing = position, time.monotonic(), playing
        self._owed = 0
        await self.socket.send_json(
            {"t": "seek", "time": position, "playing": playing, "n": self._request, "credit": MAX_CREDIT}
        )

    async def step(self) -> float | None:
        """Receive one message; return the song time of a current picture, None for any other message."""
        if self._playing and self.now >= self.duration:
            await self.go(0.0, playing=True)
        if self._playing and time.monotonic() - self._clock_sent > CLOCK_SECONDS:
            self._clock_sent = time.monotonic()
            await self.socket.send_json({"t": "clock", "time": self.now, "playing": True})
        try:
            message = await self.socket.receive(timeout=0.05)
        except TimeoutError:
            await self._pay()
            return None
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            raise ConnectionError("the server closed the connection")
        if message.type == aiohttp.WSMsgType.TEXT:
            self._receive_json(message.json())
            return None
        epoch, _, song_time, _ = unpack_picture(message.data)
        self._owed += 1
        if self._owed >= CREDIT_BATCH:
            await self._pay()
        # pictures sent before the answer to the last seek are outdated
        if self._answered != self._request or epoch < self._epoch:
            return None
        self.pictures += 1
        self.late += song_time < self.now - 0.1
        return song_time

    async def _pay(self) -> None:
        if self._owed:
            await self.socket.send_json({"t": "credit", "n": self._owed})
            self._owed = 0

    def _receive_json(self, data: dict[str, Any]) -> None:
        if data["t"] == "hello":
            self.duration = data["duration"]
            self.songs += 1
        elif data["t"] == "epoch":
            self._epoch = max(self._epoch, data["epoch"])
            if data["n"] == self._request:
                self._answered = self._request
                # the server may move a seek back to the start of a feedback shot
                self._base += data["time"] - self._base if not self._playing else min(data["time"] - self._base, 0.0)

    async def ready(self) -> None:
        """Wait until the song is known."""
        while math.isinf(self.duration):
            await self.step()

    async def until_shown(self, position: float, *, playing: bool, patience: float = 60.0) -> float:
        """Seek; return the seconds until a picture is due: its time has come, at most half a second ago."""
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
        """Play for some seconds; return the pictures a second."""
        began, before = time.monotonic(), self.pictures
        while time.monotonic() - began < seconds:
            await self.step()
        return (self.pictures - before) / (time.monotonic() - began)


async def look(url: str, ending: asyncio.Event, *, nap: float = 0.0) -> int:
    """View until `ending` is set, with a sleep of `nap` seconds before each message; return the number of pictures."""
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
    """Connect repeatedly, request pictures, and drop the connection; return how often."""
    times = 0
    while not ending.is_set():
        async with connected(url, kind="output") as socket:
            await socket.send_json({"t": "credit", "n": MAX_CREDIT})
            await asyncio.sleep(every / 2)
            # abort without a closing message, like a phone that loses its network
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
    """Play in a loop with seeks, edits and disconnecting clients; return (minutes passed, MB) twice a minute."""
    curve: list[tuple[float, float]] = []
    ending = asyncio.Event()
    vanishing = asyncio.create_task(vanish(url, ending, every=6.0))
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
    await vanishing
    return curve


async def evening(
    url: str,
    minutes: float,
    memory: Callable[[], float],
    report: Callable[[float, float, int], None],
    *,
    hurried: bool = False,
) -> tuple[list[tuple[float, float]], int, float]:
    """Play a set list at several times its speed: five seconds of every thirty, an edit each, and the next song at an end.

    If `hurried`, the next song comes after the first five seconds.

    Returns
    -------
    (minutes of music passed, MB) for each song, the number of songs, and the minutes of music.
    """
    curve: list[tuple[float, float]] = []
    heard, turn = 0.0, 0
    async with connected(url) as socket:
        player = Player(socket)
        await player.ready()
        await player.go(0.0, playing=True)
        began = time.monotonic()
        while time.monotonic() - began < minutes * 60:
            await player.play(5.0)
            turn += 1
            change = {"t": "change", "time": player.now, "kind": "control", "name": "seed", "value": turn % 5}
            await socket.send_json(change)
            # within a feedback shot a seek goes back to its start, so such a song takes longer
            position = player.now + SKIP - 5.0
            if position < player.duration - 1.0 and not hurried:
                await player.go(position, playing=True)
                continue
            heard += SKIP if hurried else player.duration
            curve.append((heard / 60, memory()))
            report(*curve[-1], player.pictures)
            before = player.songs
            await socket.send_json({"t": "act", "name": "next-song" if player.songs % SONGS else "song.0"})
            while player.songs == before and time.monotonic() - began < minutes * 60 + 120:
                await player.step()
            await player.go(0.0, playing=True)
    return curve, player.songs, heard / 60
