"""The pages that are connected: who holds the transport, what each may still be sent, and what it has.

A page grants credits, one for each picture it can take. So a slow page never grows a queue: what it does not ask for is
not sent, and what has become late is left out. What a page is told waits in a line of its own, so one that does not read
delays nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from reactive.live.web.protocol import MAX_CREDIT
from reactive.live.web.security import Allowance

# what one page may ask a second, and at once; a server that got no processor for some seconds reads what came meanwhile at once
MESSAGES, BURST = 120.0, 1200.0
MAX_CLIENTS = 32
# a write of which nothing goes out for longer means that the page is gone
SEND_SECONDS = 10.0
# an unanswered ping is waited for half as long
HEARTBEAT_SECONDS = 60.0
# messages of which only the newest counts, and how many others may wait for a page that does not read
NEWEST = ("status", "clock", "state", "role")
MAX_WAITING = 256
GOODBYE_SECONDS = 1.0


@dataclass(eq=False)
class Client:
    """A connected page.

    Attributes
    ----------
    kind
        ``page``, or ``output`` for a window without controls, which never holds the transport.
    credit
        How many pictures it can take at present.
    epoch, sent
        The epoch it was told last, and the frames that it has of it.
    transport
        Its connection, or None where there is none yet.
    """

    socket: web.WebSocketResponse
    number: int
    kind: str = "page"
    credit: int = 0
    epoch: int = -1
    sent: set[int] = field(default_factory=set)
    allowance: Allowance = field(default_factory=lambda: Allowance(MESSAGES, BURST))
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    transport: asyncio.Transport | None = None
    _waiting: OrderedDict[object, str] = field(default_factory=OrderedDict)

    def queue(self, data: dict[str, Any], text: str | None = None) -> None:
        """Put a message in its line; `text` is the message as JSON where that is known already."""
        # a clock that brings an epoch is an answer, which no later one makes up for
        key = data["t"] if data["t"] in NEWEST and "epoch" not in data else object()
        self._waiting.pop(key, None)
        self._waiting[key] = json.dumps(data) if text is None else text
        if len(self._waiting) > MAX_WAITING:
            self.drop()
        self.wake.set()

    async def flush(self) -> bool:
        """Send what waits; return whether the page takes it."""
        while self._waiting:
            _, text = self._waiting.popitem(last=False)
            if not await self._send(text):
                return False
        return True

    async def send_picture(self, message: bytes) -> bool:
        """Send a picture, after what waits; return whether the page takes it."""
        return await self.flush() and await self._send(message)

    async def _send(self, message: str | bytes) -> bool:
        before = 0 if self.transport is None else self.transport.get_write_buffer_size()
        sending = self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message)
        try:
            # not wait_for, which in Python 3.11 may swallow that its task is cancelled
            async with asyncio.timeout(SEND_SECONDS):
                await sending
        except TimeoutError:
            # the message lies in the connection's buffer; where anything went out, the page reads, only not fast enough
            if self.transport is not None and self.transport.get_write_buffer_size() < before + len(message):
                return True
            self.drop()
            return False
        except (ConnectionError, RuntimeError):
            self.drop()
            return False
        return True

    def drop(self) -> None:
        """Let go of a page that does not read; it comes back by itself, and then it is told everything anew."""
        self._waiting.clear()
        if self.transport is not None:
            self.transport.abort()

    def grant(self, pictures: int) -> None:
        """Let it be sent more pictures."""
        self.credit = min(self.credit + pictures, MAX_CREDIT)
        self.wake.set()


class Clients:
    """All connected pages; one of them holds the transport."""

    def __init__(self) -> None:
        self.all: dict[int, Client] = {}
        self.holder: Client | None = None
        # programs that look at MJPEG; they take whatever there is
        self.watchers = 0
        self._numbers = itertools.count(1)

    def add(self, socket: web.WebSocketResponse, kind: str) -> Client:
        """Add a page; the first one that has controls holds the transport."""
        client = Client(socket, next(self._numbers), kind)
        self.all[client.number] = client
        if self.holder is None and kind == "page":
            self.holder = client
        return client

    def remove(self, client: Client) -> bool:
        """Remove a page; returns whether the transport passed to another one."""
        self.all.pop(client.number, None)
        if self.holder is not client:
            return False
        self.holder = next((other for other in self.all.values() if other.kind == "page"), None)
        return True

    def wake(self) -> None:
        """Let every page's sender look for new pictures."""
        for client in self.all.values():
            client.wake.set()

    @property
    def wants_pictures(self) -> bool:
        """Whether any page can take pictures, or another program looks.

        The page that plays may be hidden behind the projector's window, and then it takes none.
        """
        return bool(self.watchers) or any(client.credit > 0 for client in self.all.values())

    async def close(self) -> None:
        """Say goodbye to all pages at once; one that does not answer soon is let go."""

        async def part(client: Client) -> None:
            with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await client.socket.close(code=1001)
            client.drop()

        await asyncio.gather(*(part(client) for client in list(self.all.values())))
