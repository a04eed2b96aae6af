"""The connected pages: which one holds the transport, and which pictures each can take and has.

A page grants credits, one for each picture it can take. So there is no queue for a slow page: pictures without credit are
not sent, and late ones are skipped. Messages wait in a queue per page, so one that does not read
does not delay others.
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

# messages of a page a second, and at once: after a stall the server reads many at once
MESSAGES, BURST = 120.0, 1200.0
MAX_CLIENTS = 32
# those who look leave room for those who play
MAX_LOOKING = 24
# messages with paths of this machine, or about commands, which are not for those who look
PRIVATE = ("error", "kept", "saved", "reloaded", "keep?")
# seconds without progress of a write after which the page counts as gone
SEND_SECONDS = 10.0
# seconds between pings; one without answer for half as long ends the connection
HEARTBEAT_SECONDS = 60.0
# messages of which only the newest is kept, and how many others may wait for a page
NEWEST = ("status", "clock", "state", "role")
MAX_WAITING = 256
GOODBYE_SECONDS = 1.0


@dataclass(eq=False)
class Client:
    """A connected page.

    Attributes
    ----------
    kind
        ``page``; ``output`` for a window without controls, ``remote`` for controls without sound, ``look`` for those who can only
        look: these never hold the transport.
    credit
        How many pictures it can take now.
    epoch, sent
        The last epoch that was sent to it, and the frames of that epoch that it has.
    transport
        Its connection, or None if there is none yet.
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
        """Queue a message; `text` is the message as JSON if that is known already."""
        # a clock with an epoch is an answer, which a later one does not replace
        key = data["t"] if data["t"] in NEWEST and "epoch" not in data else object()
        self._waiting.pop(key, None)
        self._waiting[key] = json.dumps(data) if text is None else text
        if len(self._waiting) > MAX_WAITING:
            self.drop()
        self.wake.set()

    async def flush(self) -> bool:
        """Send queued messages; return whether the page takes them."""
        while self._waiting:
            _, text = self._waiting.popitem(last=False)
            if not await self._send(text):
                return False
        return True

    async def send_picture(self, message: bytes) -> bool:
        """Send a picture after the queued messages; return whether the page takes it."""
        return await self.flush() and await self._send(message)

    async def _send(self, message: str | bytes) -> bool:
        before = 0 if self.transport is None else self.transport.get_write_buffer_size()
        sending = self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message)
        try:
            # not wait_for, which in Python 3.11 may swallow a cancellation
            async with asyncio.timeout(SEND_SECONDS):
                await sending
        except TimeoutError:
            # the message is in the connection's buffer; if any of it went out, the page reads, only slowly
            if self.transport is not None and self.transport.get_write_buffer_size() < before + len(message):
                return True
            self.drop()
            return False
        except (ConnectionError, RuntimeError):
            self.drop()
            return False
        return True

    def drop(self) -> None:
        """Disconnect a page that does not read; it reconnects by itself and gets everything again."""
        self._waiting.clear()
        if self.transport is not None:
            self.transport.abort()

    def grant(self, pictures: int) -> None:
        """Add credit for more pictures."""
        self.credit = min(self.credit + pictures, MAX_CREDIT)
        self.wake.set()


class Clients:
    """All connected pages; one of them holds the transport."""

    def __init__(self) -> None:
        self.all: dict[int, Client] = {}
        self.holder: Client | None = None
        # programs that watch MJPEG; they take every picture
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
        """Wake every page's sender to look for new pictures."""
        for client in self.all.values():
            client.wake.set()

    @property
    def wants_pictures(self) -> bool:
        """Whether any page can take pictures, or another program watches.

        The page that plays may be hidden behind the projector's window, and then it takes none.
        """
        return bool(self.watchers) or any(client.credit > 0 for client in self.all.values())

    async def close(self) -> None:
        """Close the connections of all pages at once; one that does not answer soon is dropped."""

        async def part(client: Client) -> None:
            with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await client.socket.close(code=1001)
            client.drop()

        await asyncio.gather(*(part(client) for client in list(self.all.values())))
