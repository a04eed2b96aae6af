"""The waiting room: the page can be opened at once, and shows what the preview is doing until it is ready.

Loading holds the main thread, so the room is served from a thread of its own, on a copy of the socket that the
preview listens at afterwards: a connection between the two waits in the socket's queue and is not refused.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from types import TracebackType
from typing import Any

from aiohttp import web

from reactive.errors import ReactiveError
from reactive.live.web.clients import HEARTBEAT_SECONDS, MAX_CLIENTS, SEND_SECONDS
from reactive.live.web.login import RequestGuard
from reactive.live.web.protocol import MAX_MESSAGE, write_message
from reactive.live.web.security import HEADERS

# seconds for a page to take the last message, and for the room to close
CLOSING_SECONDS = 1.0


class WaitingRoom:
    """A server that only shows what is being done; use it in a `with` block.

    Parameters
    ----------
    doors
        Checks requests.
    listener
        The listening socket; it stays open.
    """

    def __init__(self, doors: RequestGuard, listener: socket.socket) -> None:
        self.doors = doors
        self._listener = listener
        self._doing = "starting"
        self._began = time.monotonic()
        self._failed: str | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="reactive-waiting-room", daemon=True)

    def __enter__(self) -> WaitingRoom:
        """Start serving."""
        self._thread.start()
        self._open.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving; an error is its last message."""
        del kind, trace
        if isinstance(problem, ReactiveError):
            self._failed = str(problem)
        self.close()

    def say(self, doing: str) -> None:
        """Send all pages what is being done now; call it from any thread."""
        self._doing, self._began = doing, time.monotonic()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def close(self) -> None:
        """Stop serving; calling it again is harmless."""
        if self._thread.is_alive() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(10 * CLOSING_SECONDS)

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._life())
        finally:
            self._open.set()
            self._loop.close()

    async def _life(self) -> None:
        app = web.Application(middlewares=[self.doors.guard], client_max_size=MAX_MESSAGE)
        self.doors.add_routes(app)
        app.router.add_get("/ws", self._socket)
        app.router.add_route("*", "/{anything:.*}", self._later)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=CLOSING_SECONDS)
        await runner.setup()
        try:
            await web.SockSite(runner, self._listener.dup()).start()
            self._open.set()
            await self._ending.wait()
            await asyncio.gather(*(self._goodbye(ws) for ws in list(self._sockets)), return_exceptions=True)
        finally:
            await runner.cleanup()

    async def _later(self, request: web.Request) -> web.StreamResponse:
        del request
        raise web.HTTPServiceUnavailable(text="the preview is still starting", headers={"Retry-After": "2"})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._sockets) >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text="too many pages")
        ws = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT_SECONDS, compress=False)
        ws.headers.update(HEADERS)
        await ws.prepare(request)
        self._sockets.add(ws)
        try:
            await self._send(ws)
            # commands have to wait for the preview
            async for _ in ws:
                pass
        finally:
            self._sockets.discard(ws)
        return ws

    def _tell(self) -> None:
        for ws in list(self._sockets):
            task = self._loop.create_task(self._send(ws))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _send(self, ws: web.WebSocketResponse) -> None:
        data: dict[str, Any] = {
            "t": "starting",
            "doing": self._doing,
            "passed": round(time.monotonic() - self._began, 1),
            "failed": self._failed,
        }
        async with asyncio.timeout(SEND_SECONDS):
            await ws.send_str(write_message(data))

    async def _goodbye(self, ws: web.WebSocketResponse) -> None:
        async with asyncio.timeout(CLOSING_SECONDS):
            await self._send(ws)
            # the page reconnects, and finds the preview
            await ws.close(code=1012)
