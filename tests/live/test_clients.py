"""Pages are served independently: a page that does not read delays no other, and for outdated messages only the newest is kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the extra [preview] is not installed")

from reactive.live.web.clients import MAX_WAITING, Clients


class Transport:
    """A connection whose buffer only grows."""

    def __init__(self) -> None:
        self.aborted = False
        self.held = 0

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        self.held += 1000
        return self.held


class Socket:
    """A page's socket; if `deaf`, it never finishes sending."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.deaf = deaf
        self.took: list[Any] = []

    async def send_str(self, text: str) -> None:
        if self.deaf:
            await asyncio.Event().wait()
        self.took.append(json.loads(text))

    async def send_bytes(self, message: bytes) -> None:
        if self.deaf:
            await asyncio.Event().wait()
        self.took.append(message)


def test_a_page_that_does_not_read_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactive.live.web.clients.SEND_SECONDS", 0.2)

    async def whole() -> None:
        clients = Clients()
        deaf, heard = clients.add(Socket(deaf=True), "page"), clients.add(Socket(), "page")  # type: ignore[arg-type]
        deaf.transport = Transport()  # type: ignore[assignment]
        for client in clients.all.values():
            client.queue({"t": "saved", "path": "a"})
        stuck = asyncio.create_task(deaf.flush())
        await asyncio.sleep(0)
        assert await heard.flush()
        assert heard.socket.took == [{"t": "saved", "path": "a"}]  # type: ignore[attr-defined]
        assert not stuck.done()
        # in the end it is disconnected, and reconnects by itself
        assert not await stuck
        assert deaf.transport.aborted  # type: ignore[union-attr]

    asyncio.run(whole())


def test_a_connection_that_makes_progress_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactive.live.web.clients.SEND_SECONDS", 0.05)

    async def whole() -> None:
        clients = Clients()
        client = clients.add(Socket(deaf=True), "page")  # type: ignore[arg-type]
        client.transport = Transport()  # type: ignore[assignment]
        # the buffer holds less than was written, so this machine was slow, not the page
        monkeypatch.setattr(client.transport, "get_write_buffer_size", lambda: 0)
        assert await client.send_picture(b"picture")
        assert not client.transport.aborted  # type: ignore[union-attr]

    asyncio.run(whole())


def test_of_replaceable_messages_only_the_newest_is_kept() -> None:
    async def whole() -> None:
        clients = Clients()
        client = clients.add(Socket(), "page")  # type: ignore[arg-type]
        client.transport = Transport()  # type: ignore[assignment]
        for number in range(1000):
            client.queue({"t": "status", "rate": number})
            client.queue({"t": "clock", "time": number})
        # an answer is never dropped
        client.queue({"t": "clock", "time": 5, "epoch": 1})
        client.queue({"t": "epoch", "epoch": 1, "n": 3})
        assert await client.flush()
        assert [(m["t"], m.get("rate", m.get("time"))) for m in client.socket.took] == [  # type: ignore[attr-defined]
            ("status", 999),
            ("clock", 999),
            ("clock", 5),
            ("epoch", None),
        ]
        for number in range(MAX_WAITING + 1):
            client.queue({"t": "saved", "path": str(number)})
        assert client.transport.aborted  # type: ignore[union-attr]

    asyncio.run(whole())


def test_a_hidden_page_that_plays_does_not_starve_the_projector() -> None:
    async def whole() -> None:
        clients = Clients()
        clients.add(Socket(), "page")  # type: ignore[arg-type]
        assert not clients.wants_pictures
        clients.add(Socket(), "output").grant(3)  # type: ignore[arg-type]
        assert clients.wants_pictures

    asyncio.run(whole())
