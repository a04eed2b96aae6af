"""The preview's server: the page, the song, pictures and commands. Generation runs elsewhere, in the engine's thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import WSMsgType, web

from reactive.errors import OutputError, ReactiveError
from reactive.live.control.announce import SongCues
from reactive.live.control.external_io import Cues, Ways
from reactive.live.control.remote import Action
from reactive.live.openmp import in_passing
from reactive.live.session import Session, line_of
from reactive.live.song import write_wav
from reactive.live.web.clients import MAX_CLIENTS, Client, Clients
from reactive.live.web.commands import Commands
from reactive.live.web.mjpeg import PATH as MJPEG
from reactive.live.web.mjpeg import Pass, stream
from reactive.live.web.protocol import MAX_MESSAGE, pack_picture, read_message
from reactive.live.web.security import HEADERS, Allowance, Gate
from reactive.timeline.clock import frame_time

log = logging.getLogger(__name__)
PAGE = Path(__file__).resolve().parent / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
STATUS_SECONDS = 0.5
RELOAD_SECONDS = 0.25
LOGINS, LOGIN_BURST = 5.0, 20.0
# a write that takes longer means that the page is gone
SEND_SECONDS = 10.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
    logins: Allowance = field(default_factory=lambda: Allowance(LOGINS, LOGIN_BURST))
    # commands change the performance one after another, outside the event loop
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reactive-commands"))
    loop: asyncio.AbstractEventLoop | None = None
    wav: Path | None = None
    # other ways in and out, and the token of MJPEG
    ways: Ways | None = None
    viewing: Pass = field(default_factory=Pass)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_MESSAGE)
        app.router.add_get("/", self._file)
        app.router.add_get("/page/{name}", self._file)
        app.router.add_post("/login", self._login)
        app.router.add_get("/ws", self._socket)
        app.router.add_get(MJPEG, self._mjpeg)
        app.router.add_post("/viewing", self._issue)
        app.router.add_delete("/viewing", self._revoke)
        self.add_routes(app)
        app.cleanup_ctx.append(self._life)
        app.cleanup_ctx.append(self._ways)
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

    def cues(self) -> Cues:
        """Return what knows what OSC tells."""
        return SongCues(self.session)

    def picture(self) -> bytes | None:
        """Return the JPEG that is to be seen now."""
        shown = self.session.engine.showing()
        return None if shown is None else shown.jpeg

    def watching(self, more: int) -> None:
        """Take note of programs that begin to look, or go."""
        self.clients.watchers += more
        self.want()

    def want(self) -> None:
        """Imagine as long as somebody can take pictures."""
        self.session.engine.want(self.clients.wanting)

    async def left(self) -> None:
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
        return await asyncio.get_running_loop().run_in_executor(self.worker, in_passing, call, *arguments)

    async def tell(self, data: dict[str, Any], *clients: Client) -> None:
        """Send JSON to some pages, or to all; one that is gone is passed over."""
        text = json.dumps(data)
        for client in clients or list(self.clients.all.values()):
            # not wait_for, which in Python 3.11 may swallow that its task is cancelled
            with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
                async with asyncio.timeout(SEND_SECONDS):
                    await client.socket.send_str(text)

    async def tell_state(self) -> None:
        """Tell all pages where everything stands."""
        await self.tell({"t": "state", **self.session.state()})

    async def tell_roles(self) -> None:
        """Tell each page whether it holds the transport."""
        pages = len(self.clients.all)
        for client in list(self.clients.all.values()):
            role = "holder" if client is self.clients.holder else "viewer"
            await self.tell({"t": "role", "role": role, "pages": pages}, client)

    # -- life ----------------------------------------------------------------------------------------------------------
    async def _life(self, app: web.Application) -> AsyncIterator[None]:
        del app
        self.loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(prefix="reactive-preview-") as folder:
            self.wav = Path(folder) / "song.wav"
            await self.run(write_wav, self.session.material.track, self.wav)
            self.session.engine.want(False)
            self.session.engine.start()
            tasks = [asyncio.create_task(self._status()), asyncio.create_task(self._reload())]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for client in list(self.clients.all.values()):
                await client.socket.close(code=1001)
            await asyncio.get_running_loop().run_in_executor(None, self.session.close)
            self.worker.shutdown(wait=False)

    async def _ways(self, app: web.Application) -> AsyncIterator[None]:
        del app
        if self.ways is None:
            yield
            return
        task = asyncio.create_task(self.ways.run(self.act, self.cues()))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.ways.close()

    async def _status(self) -> None:
        engine = self.session.engine
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            engine.want(self.clients.wanting)
            status = engine.status()
            shot = status.shot
            fps = engine.timeline.fps
            await self.tell({
                "t": "status", "rate": round(status.rate, 1), "ahead": round(status.ahead, 2),
                "stride": status.stride.as_integer_ratio(),
                "late": status.late, "prepared": status.prepared, "quality": engine.pace.quality,
                "shot": [float(frame_time(edge, fps)) for edge in shot] if shot else None,
                "failed": str(engine.error) if engine.error else None, "note": engine.note, "kept": len(engine.store),
            })  # fmt: skip
            transport = engine.transport
            viewers = [client for client in self.clients.all.values() if client is not self.clients.holder]
            if viewers:
                await self.tell({"t": "clock", "time": transport.at(), "playing": transport.playing}, *viewers)

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                epoch = await self.run(self.session.reload)
            except ReactiveError as error:
                await self.tell({**line_of(error), "about": "preset"})
                await self.tell_state()
                continue
            if epoch is not None:
                await self.tell({"t": "reloaded"})
                await self.commands.edited(epoch)

    # -- doors ---------------------------------------------------------------------------------------------------------
    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check(request)
            response = await handler(request)
        except web.HTTPException as problem:
            problem.headers.update(HEADERS)
            raise
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _check(self, request: web.Request) -> None:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if len(request.headers.getall("Host", [])) != 1 or not self.gate.knows_host(host):
            raise web.HTTPForbidden(text="unknown host")
        if origin is not None and not self.gate.knows_origin(origin, host):
            raise web.HTTPForbidden(text="foreign origin")
        # another site may link to the page itself, which holds no secret, and to nothing else
        site = request.headers.get("Sec-Fetch-Site", "none")
        navigating = request.path == "/" and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        if site in ("cross-site", "same-site") and not navigating:
            raise web.HTTPForbidden(text="foreign site")
        # a browser always says where these come from
        if origin is None and (request.method != "GET" or request.path == "/ws"):
            raise web.HTTPForbidden(text="no origin")
        if request.path == MJPEG:
            # its token opens nothing else, and the page's cookie does not open it
            if not self.viewing.opens(request.query.get("token")):
                raise web.HTTPUnauthorized(text="this address is no longer, or was never, to be looked at")
            return
        public = request.path in ("/", "/login") or request.path.startswith("/page/")
        if not public and not self.gate.admits(request.cookies.get(self.gate.cookie)):
            raise web.HTTPUnauthorized(text="open the address that `reactive preview` printed")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", self.index)
        # names are looked up in a listing, never joined to a path
        file = {entry.name: entry for entry in PAGE.iterdir() if entry.suffix in TYPES}.get(name)
        if file is None:
            raise web.HTTPNotFound(text="no such file")
        return web.Response(body=file.read_bytes(), content_type=TYPES[file.suffix], charset="utf-8")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="JSON only")
        if not self.logins.take():
            raise web.HTTPTooManyRequests(text="too many attempts")
        try:
            data = json.loads(await request.text())
        except (ValueError, RecursionError):
            raise web.HTTPBadRequest(text="no JSON") from None
        known = self.gate.admits(request.cookies.get(self.gate.cookie))
        if not known and not (isinstance(data, dict) and self.gate.opens(data.get("token"))):
            raise web.HTTPForbidden(text="wrong token")
        response = web.json_response({"ok": True})
        response.set_cookie(self.gate.cookie, self.gate.key, httponly=True, samesite="Strict", path="/")
        return response

    async def _mjpeg(self, request: web.Request) -> web.StreamResponse:
        return await stream(request, self.viewing, self.picture, self.watching, self.fps)

    async def _issue(self, request: web.Request) -> web.StreamResponse:
        """Give out an address for MJPEG; the one before is worth nothing any more."""
        return web.json_response({"url": f"http://{request.host}{MJPEG}?token={self.viewing.issue()}"})

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        del request
        self.viewing.revoke()
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
        ws = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=20, compress=False)
        ws.headers.update(HEADERS)
        await ws.prepare(request)
        client = self.clients.add(ws, "output" if request.query.get("kind") == "output" else "page")
        sender = asyncio.create_task(self._send_pictures(client))
        try:
            await self.tell({"t": "hello", **self.session.hello()}, client)
            await self.tell({"t": "state", **self.session.state()}, client)
            await self.tell_roles()
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
                await self.left()
            self.want()
            await self.tell_roles()
        return ws

    async def _obey(self, client: Client, text: str) -> None:
        try:
            await self.commands.obey(client, read_message(text))
        except ReactiveError as error:
            await self.tell(line_of(error), client)
        except (ValueError, KeyError, TypeError):
            await client.socket.close(code=1007)

    async def _send_pictures(self, client: Client) -> None:
        """Send a page what it will show next, soonest first, as far as its credit goes."""
        engine = self.session.engine
        while True:
            await client.wake.wait()
            client.wake.clear()
            if client.epoch != engine.epoch:
                client.epoch = engine.epoch
                client.sent.clear()
            waiting = False
            for run in engine.window():
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
                    message = pack_picture(client.epoch, frame, seconds, picture.jpeg)
                    async with asyncio.timeout(SEND_SECONDS):
                        await client.socket.send_bytes(message)
                    if client.epoch != engine.epoch:
                        # what follows is of another time; begin again
                        client.wake.set()
                        break
            if client is self.clients.holder:
                engine.pace.delivered(waiting and engine.transport.playing)
                engine.want(self.clients.wanting)


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
