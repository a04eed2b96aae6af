"""The preview's server: the page, the song, pictures and commands. Generation runs elsewhere, in the engine's thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import WSMsgType, web

from reactive.errors import OutputError, ReactiveError
from reactive.live.control.announce import SongCues
from reactive.live.control.external_io import CueSource, ExternalIO
from reactive.live.control.remote import Action
from reactive.live.openmp import run_and_release_openmp_pool
from reactive.live.session import Session, error_message
from reactive.live.song import write_wav
from reactive.live.web.clients import HEARTBEAT_SECONDS, MAX_CLIENTS, Client, Clients
from reactive.live.web.commands import Commands
from reactive.live.web.login import RequestGuard
from reactive.live.web.mjpeg import PATH as MJPEG
from reactive.live.web.mjpeg import ViewToken, stream
from reactive.live.web.protocol import MAX_MESSAGE, pack_picture, read_message
from reactive.live.web.security import HEADERS, Gate, PerAddress
from reactive.timeline.clock import frame_time

log = logging.getLogger(__name__)
STATUS_SECONDS = 0.5
RELOAD_SECONDS = 0.25
# attempts to log in a second, and at once, from one address
LOGINS, LOGIN_BURST = 5.0, 20.0
# how often at least the server looks whether a loop's end has come, and how long it waits for the page to go back
LOOP_SECONDS, LOOP_ANSWER = 0.05, 1.0


@dataclass
class Server:
    """A preview on the network of this machine.

    Attributes
    ----------
    session, gate
        What is shown, and to whom.
    takes
        Folder in which takes are saved.
    """

    index: ClassVar[str] = "index.html"
    session: Session
    gate: Gate
    takes: Path
    clients: Clients = field(default_factory=Clients)
    logins: PerAddress = field(default_factory=lambda: PerAddress(LOGINS, LOGIN_BURST))
    # commands change the performance one after another, outside the event loop
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reactive-commands"))
    loop: asyncio.AbstractEventLoop | None = None
    wav: Path | None = None
    # other ways in and out, and the token of MJPEG
    external_io: ExternalIO | None = None
    view_token: ViewToken = field(default_factory=ViewToken)
    # when the page was last told to go back to a loop's start, until it does
    loop_sent_at: float | None = None

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        opened = {MJPEG: lambda request: self.view_token.matches(request.query.get("token"))}
        doors = RequestGuard(self.gate, self.index, self.logins, opened)
        app = web.Application(middlewares=[doors.guard], client_max_size=MAX_MESSAGE)
        doors.add_routes(app)
        app.router.add_get("/ws", self._socket)
        app.router.add_get(MJPEG, self._mjpeg)
        app.router.add_post("/viewing", self._issue)
        app.router.add_delete("/viewing", self._revoke)
        self.add_routes(app)
        app.cleanup_ctx.append(self._life)
        app.cleanup_ctx.append(self._run_external_io)
        self.commands = self.make_commands()
        return app

    def add_routes(self, app: web.Application) -> None:
        """Add what only the preview of a song has."""
        app.router.add_get("/song", self._song)
        app.router.add_get("/lanes", self._lanes)

    def make_commands(self) -> Commands:
        """Return what pages may ask for."""
        return Commands(self)

    async def act(self, action: Action) -> None:
        """Carry out what came by OSC or MIDI.

        Raises
        ------
        ReactiveError
            If it can't be done.
        """
        await self.commands.act(action)

    def cues(self) -> CueSource:
        """Return what knows what OSC tells."""
        return SongCues(self.session)

    def picture(self) -> bytes | None:
        """Return the JPEG that is to be seen now."""
        shown = self.session.engine.current_picture()
        return None if shown is None else shown.jpeg

    def viewers_changed(self, more: int) -> None:
        """Take note of programs that begin to look, or go."""
        self.clients.watchers += more
        self.update_wanted()

    def update_wanted(self) -> None:
        """Imagine as long as somebody can take pictures."""
        self.session.engine.set_wanted(self.clients.wants_pictures)

    async def holder_left(self) -> None:
        """Take note that the page that held the transport is gone: the music stops."""
        await self.run(self.session.clock, self.session.engine.transport.at(), False)

    @property
    def fps(self) -> float:
        """Frames a second."""
        return float(self.session.material.options.fps)

    def made(self, frames: list[int]) -> None:
        """Take note of new pictures; called from the engine's thread."""
        del frames
        if self.loop is not None and not self.loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.clients.wake)

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run a slow call beside the event loop, after those that came before."""
        return await asyncio.get_running_loop().run_in_executor(
            self.worker, run_and_release_openmp_pool, call, *arguments
        )

    async def send(self, data: dict[str, Any], *clients: Client) -> None:
        """Send JSON to some pages, or to all; nobody waits for one that does not read."""
        text = json.dumps(data)
        for client in clients or list(self.clients.all.values()):
            client.queue(data, text)

    async def send_state(self) -> None:
        """Tell all pages where everything stands."""
        await self.send({"t": "state", **self.session.state()})

    async def send_roles(self) -> None:
        """Tell each page whether it holds the transport."""
        pages = len(self.clients.all)
        for client in list(self.clients.all.values()):
            role = "holder" if client is self.clients.holder else "viewer"
            await self.send({"t": "role", "role": role, "pages": pages}, client)

    # -- life ----------------------------------------------------------------------------------------------------------
    async def _life(self, app: web.Application) -> AsyncIterator[None]:
        del app
        self.loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(prefix="reactive-preview-") as folder:
            self.wav = Path(folder) / "song.wav"
            await self.run(write_wav, self.session.material.track, self.wav)
            self.session.engine.set_wanted(False)
            self.session.engine.start()
            tasks = [asyncio.create_task(work) for work in (self._status(), self._reload(), self._keep_loop())]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.clients.close()
            await asyncio.get_running_loop().run_in_executor(None, self.session.close)
            self.worker.shutdown(wait=False)

    async def _run_external_io(self, app: web.Application) -> AsyncIterator[None]:
        del app
        if self.external_io is None:
            yield
            return
        task = asyncio.create_task(self.external_io.run(self.act, self.cues()))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.external_io.close()

    async def _status(self) -> None:
        engine = self.session.engine
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            engine.set_wanted(self.clients.wants_pictures)
            status = engine.status()
            shot = status.shot
            fps = engine.timeline.fps
            await self.send({
                "t": "status", "rate": round(status.rate, 1), "ahead": round(status.ahead, 2),
                "stride": status.stride.as_integer_ratio(), "behind": round(status.behind, 2),
                "late": status.late, "prepared": status.prepared, "quality": engine.stride_control.quality,
                "shot": [float(frame_time(edge, fps)) for edge in shot] if shot else None,
                "failed": str(engine.error) if engine.error else None, "note": engine.note, "kept": len(engine.store),
            })  # fmt: skip
            transport = engine.transport
            viewers = [client for client in self.clients.all.values() if client is not self.clients.holder]
            if viewers:
                await self.send({"t": "clock", "time": transport.at(), "playing": transport.playing}, *viewers)

    async def _keep_loop(self) -> None:
        """Send the page that plays back when a loop's end has come; a hidden page's own timers would not notice."""
        now = asyncio.get_running_loop().time
        while True:
            left = self.session.engine.transport.until_loop_ends()
            waiting = self.loop_sent_at is not None and now() - self.loop_sent_at < LOOP_ANSWER
            if left == 0 and not waiting and (holder := self.clients.holder) is not None:
                loop = self.session.engine.transport.loop
                assert loop is not None
                self.loop_sent_at = now()
                await self.send({"t": "back", "time": loop[0]}, holder)
            await asyncio.sleep(LOOP_SECONDS if left is None or left == 0 else min(left, LOOP_SECONDS))

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                epoch = await self.run(self.session.reload)
            except ReactiveError as error:
                await self.send({**error_message(error), "about": "preset"})
                await self.send_state()
                continue
            if epoch is not None:
                await self.send({"t": "reloaded"})
                await self.commands.edited(epoch)

    # -- doors ---------------------------------------------------------------------------------------------------------
    async def _mjpeg(self, request: web.Request) -> web.StreamResponse:
        return await stream(request, self.view_token, self.picture, self.viewers_changed, self.fps)

    async def _issue(self, request: web.Request) -> web.StreamResponse:
        """Give out an address for MJPEG; the one before is worth nothing any more."""
        return web.json_response({"url": f"http://{request.host}{MJPEG}?token={self.view_token.issue()}"})

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        del request
        self.view_token.revoke()
        return web.json_response({"ok": True})

    async def _song(self, request: web.Request) -> web.StreamResponse:
        assert self.wav is not None
        if request.headers.get("Range", "").count(",") > 0:
            raise web.HTTPRequestRangeNotSatisfiable(text="one range at a time")
        return web.FileResponse(self.wav, headers={"Content-Type": "audio/wav"})

    async def _lanes(self, request: web.Request) -> web.StreamResponse:
        del request
        lanes = await self.run(self.session.lanes)
        response = web.json_response(lanes, dumps=lambda data: json.dumps(data, separators=(",", ":")))
        response.enable_compression()
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self.clients.all) >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text="too many pages")
        ws = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT_SECONDS, compress=False)
        ws.headers.update(HEADERS)
        await ws.prepare(request)
        client = self.clients.add(ws, "output" if request.query.get("kind") == "output" else "page")
        client.transport = request.transport
        sender = asyncio.create_task(self._send_pictures(client))
        try:
            await self.send({"t": "hello", **self.session.hello()}, client)
            await self.send({"t": "state", **self.session.state()}, client)
            await self.send_roles()
            async for message in ws:
                if message.type != WSMsgType.TEXT:
                    await ws.close(code=1003)
                elif not client.allowance.take():
                    await ws.close(code=1008)
                else:
                    await self._obey(client, message.data)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            if self.clients.remove(client):
                await self.holder_left()
            self.update_wanted()
            await self.send_roles()
        return ws

    async def _obey(self, client: Client, text: str) -> None:
        try:
            await self.commands.handle(client, read_message(text))
        except ReactiveError as error:
            await self.send(error_message(error), client)
        except (ValueError, KeyError, TypeError):
            await client.socket.close(code=1007)

    async def _send_pictures(self, client: Client) -> None:
        """Send a page what it is told, and the pictures that it will show next, soonest first, as far as its credit goes."""
        engine = self.session.engine
        while True:
            await client.wake.wait()
            client.wake.clear()
            if not await client.flush():
                return
            if client.epoch != engine.epoch:
                client.epoch = engine.epoch
                client.sent.clear()
            waiting = False
            runs = engine.window()
            late = engine.late_frame()
            if late is not None and not any(late <= frame <= runs[0].start for frame in client.sent):
                runs.insert(0, range(late, late + 1))
            for run in runs:
                for frame in run:
                    if frame in client.sent or frame not in engine.store:
                        continue
                    if client.credit <= 0:
                        waiting = True
                        break
                    picture = engine.store.get(frame)
                    if picture is None:
                        continue
                    client.sent.add(frame)
                    client.credit -= 1
                    seconds = float(frame_time(frame, engine.timeline.fps))
                    if not await client.send_picture(pack_picture(client.epoch, frame, seconds, picture.jpeg)):
                        return
                    if client.epoch != engine.epoch:
                        # what follows is of another time; begin again
                        client.wake.set()
                        break
            if client is self.clients.holder:
                engine.stride_control.delivered(waiting and engine.transport.playing)
            engine.set_wanted(self.clients.wants_pictures)


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 means any free one.

    Raises
    ------
    OutputError
        If the address can't be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # so a restart finds its port free at once; Windows means something else by it and would share a port in use
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as problem:
        listener.close()
        raise OutputError(
            f"can't listen there ({problem.strerror or problem})", where=f"{host}:{port}",
            remedy="choose another --port, or 0 for any free one",
        ) from None  # fmt: skip
    return listener
