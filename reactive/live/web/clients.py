"""The pages that are connected: who holds the transport, what each may still be sent, and what it has.

A page grants credits, one for each picture it can take. So a slow page never grows a queue: what it does not ask for is
not sent, and what has become late is left out.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

from aiohttp import web

from reactive.live.web.protocol import MAX_CREDIT
from reactive.live.web.security import Allowance

# what one page may ask a second, and at once
MESSAGES, BURST = 120.0, 240.0
MAX_CLIENTS = 32


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
    """

    socket: web.WebSocketResponse
    number: int
    kind: str = "page"
    credit: int = 0
    epoch: int = -1
    sent: set[int] = field(default_factory=set)
    allowance: Allowance = field(default_factory=lambda: Allowance(MESSAGES, BURST))
    wake: asyncio.Event = field(default_factory=asyncio.Event)

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
    def wanting(self) -> bool:
        """Whether any page can take pictures, the holder's before all, or another program looks."""
        if self.watchers:
            return True
        if self.holder is not None:
            return self.holder.credit > 0
        return any(client.credit > 0 for client in self.all.values())
