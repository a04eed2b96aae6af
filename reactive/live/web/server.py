"""The preview's server: routes, pages and their messages. What is shown is in `song_preview` and `live_preview`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Protocol

from aiohttp import WSMsgType, web

from reactive.errors import ReactiveError
from reactive.live.control.external_io import CueSource, ExternalIO
from reactive.live.control.keys import read_keys
from reactive.live.control.remote import Action
from reactive.live.openmp import run_and_release_openmp_pool
from reactive.live.outputs.feed import OutputFeed, TimedPicture
from reactive.live.outputs.sink import OutputSpec
from reactive.live.session import error_message
from reactive.live.web.clients import HEARTBEAT_SECONDS, MAX_CLIENTS, MAX_LOOKING, PRIVATE, Client, Clients
from reactive.live.web.login import LOOKING, PAGES, RequestGuard
from reactive.live.web.mjpeg import PATH as MJPEG
from reactive.live.web.mjpeg import ViewToken, stream
from reactive.live.web.protocol import MAX_MESSAGE, PageMessage, read_message, write_message
from reactive.live.web.security import HEADERS, Gate, PerAddress
from reactive.live.web.share import add_share_routes

log = logging.getLogger(__name__)
# login attempts a second, and at once, from one address
LOGINS, LOGIN_BURST = 5.0, 20.0


# kinds of page
KINDS = ("page", "output", "remote", "look")


def for_lookers(data: dict[str, Any]) -> dict[str, Any]:
    """Return a message without paths of this machine."""
    short: dict[str, Any] = {}
    if "preset" in data:
        short |= {"preset": short_name(data["preset"])}
    if "presets" in data:
        short |= {"presets": [short_name(name) for name in data["presets"]]}
    if "waiting" in data:
        short |= {"waiting": [{**change, "name": short_name(change["name"])} for change in data["waiting"]]}
    return {**data, **short, **({"problem": None} if "problem" in data else {})}


def short_name(preset: str) -> str:
    """Return a preset's name for people: of a path only its last part."""
    parts = [part for part in re.split(r"[\\/]", preset) if part not in ("", "preset.toml")]
    return parts[-1].removesuffix(".toml") if parts else preset


class Shown(Protocol):
    """A session, as far as the server needs it."""

    def close(self) -> None:
        """Stop it."""


class Preview(Protocol):
    """The preview of a server: a song (`song_preview`), or music that is still being played (`live_preview`)."""

    index: ClassVar[str]

    @property
    def session(self) -> Shown:
        """The session that is played."""

    @property
    def fps(self) -> Fraction:
        """Frames a second."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""

    def hello(self) -> dict[str, Any]:
        """Return the first message for a page."""

    def state(self) -> dict[str, Any]:
        """Return the state for a page."""

    def add_routes(self, app: web.Application) -> None:
        """Add its own routes."""

    def begun(self) -> AbstractAsyncContextManager[None]:
        """Start playing."""

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the background tasks."""

    async def handle(self, client: Client, message: PageMessage) -> None:
        """Carry out a page's message; ValueError if there is none of that kind, ReactiveError if it can't be done."""

    async def act(self, action: Action) -> None:
        """Carry out an action of OSC or MIDI; ReactiveError if it can't be done."""

    def cues(self) -> CueSource:
        """Return the source of OSC cues."""

    def picture(self) -> TimedPicture | None:
        """Return the current picture."""

    def update_wanted(self) -> None:
        """Imagine while somebody watches."""

    async def holder_left(self) -> None:
        """Handle the loss of the page that held the transport."""

    async def send_pictures(self, client: Client) -> None:
        """Send a page messages, and pictures as far as its credit goes, until it is gone."""


@dataclass
class Server:
    """Serves a preview on this machine's network: access, connected pages, and their messages.

    Attributes
    ----------
    gate
        The access control.
    preview
        The preview; set before `application` is called.
    """

    gate: Gate
    preview: Preview = field(init=False)
    doors: RequestGuard = field(init=False)
    clients: Clients = field(default_factory=Clients)
    logins: PerAddress = field(default_factory=lambda: PerAddress(LOGINS, LOGIN_BURST))
    # commands run one after another, outside the event loop
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reactive-commands"))
    loop: asyncio.AbstractEventLoop | None = None
    # other inputs and outputs, and the token of MJPEG
    external_io: ExternalIO | None = None
    view_token: ViewToken = field(default_factory=ViewToken)
    outputs: OutputFeed | None = None
    # the page's keys and their actions
    key_map: Mapping[str, str] = field(default_factory=read_keys)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        opened = {MJPEG: lambda request: self.view_token.matches(request.query.get("token"))}
        doors = self.doors = RequestGuard(self.gate, self.preview.index, self.logins, opened, PAGES, LOOKING)
        app = web.Application(middlewares=[doors.guard], client_max_size=MAX_MESSAGE)
        doors.add_routes(app)
        app.router.add_get("/ws", self._socket)
        app.router.add_get(MJPEG, self._mjpeg)
        app.router.add_post("/viewing", self._issue)
        app.router.add_delete("/viewing", self._revoke)
        add_share_routes(app, self.gate)
        self.preview.add_routes(app)
        app.cleanup_ctx.append(self._life)
        app.cleanup_ctx.append(self._run_external_io)
        app.cleanup_ctx.append(self._run_outputs)
        return app

    def viewers_changed(self, more: int) -> None:
        """Count programs that connect or leave."""
        self.clients.watchers += more
        self.preview.update_wanted()

    def made(self) -> None:
        """Wake the pages for new pictures; called from the imagining thread."""
        if self.loop is not None and not self.loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.clients.wake)

    def open_outputs(self, specs: Sequence[OutputSpec]) -> None:
        """Open outputs, which show what the preview shows until the server ends.

        Raises
        ------
        OutputError
            If one can't be opened.
        """
        if specs:
            # read each time: a set list changes the preview
            feed = OutputFeed(specs, lambda: self.preview.picture(), self.preview.size, self.preview.fps)
            feed.open()
            self.outputs = feed

    def output_status(self) -> list[dict[str, Any]]:
        """Return the state of the outputs."""
        return [] if self.outputs is None else self.outputs.status()

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run a slow call beside the event loop, after those that came before."""
        return await asyncio.get_running_loop().run_in_executor(
            self.worker, run_and_release_openmp_pool, call, *arguments
        )

    async def send(self, data: dict[str, Any], *clients: Client) -> None:
        """Send JSON to some pages, or to all; no page waits for another."""
        text = write_message(data)
        public = None
        for client in clients or list(self.clients.all.values()):
            if client.kind != "look":
                client.queue(data, text)
            elif clients or data["t"] not in PRIVATE:
                public = public or write_message(for_lookers(data))
                client.queue(data, public)

    async def send_state(self) -> None:
        """Send all pages the state."""
        await self.send({"t": "state", **self.preview.state()})

    async def send_roles(self) -> None:
        """Tell each page whether it holds the transport."""
        pages = len(self.clients.all)
        for client in list(self.clients.all.values()):
            looks = client.kind == "look"
            role = "looker" if looks else "holder" if client is self.clients.holder else "viewer"
            await self.send({"t": "role", "role": role, "pages": pages}, client)

    # -- life ----------------------------------------------------------------------------------------------------------
    async def _life(self, app: web.Application) -> AsyncIterator[None]:
        del app
        self.loop = asyncio.get_running_loop()
        async with self.preview.begun():
            tasks = [asyncio.create_task(work) for work in self.preview.work()]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.clients.close()
            await self.loop.run_in_executor(None, self.preview.session.close)
            self.worker.shutdown(wait=False)

    async def _run_external_io(self, app: web.Application) -> AsyncIterator[None]:
        del app
        if self.external_io is None:
            yield
            return
        task = asyncio.create_task(self.external_io.run(self.preview.act, self.preview.cues()))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.external_io.close()

    async def _run_outputs(self, app: web.Application) -> AsyncIterator[None]:
        del app
        if self.outputs is None:
            yield
            return
        self.viewers_changed(len(self.outputs.specs))
        yield
        await asyncio.get_running_loop().run_in_executor(None, self.outputs.close)

    # -- routes --------------------------------------------------------------------------------------------------------
    async def _mjpeg(self, request: web.Request) -> web.StreamResponse:
        def jpeg() -> bytes | None:
            shown = self.preview.picture()
            return None if shown is None else shown.jpeg

        return await stream(request, self.view_token, jpeg, self.viewers_changed, float(self.preview.fps))

    async def _issue(self, request: web.Request) -> web.StreamResponse:
        """Issue an address for MJPEG; the one before becomes invalid."""
        return web.json_response({"url": f"http://{request.host}{MJPEG}?token={self.view_token.issue()}"})

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        del request
        self.view_token.revoke()
        return web.json_response({"ok": True})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self.clients.all) >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text="too many pages")
        kind = request.query.get("kind", "page")
        kind = kind if kind in KINDS else "page"
        if kind != "output" and self.doors.right(request) != "play":
            kind = "look"
        if kind == "look" and sum(client.kind == "look" for client in self.clients.all.values()) >= MAX_LOOKING:
            raise web.HTTPServiceUnavailable(text="too many look on")
        ws = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT_SECONDS, compress=False)
        ws.headers.update(HEADERS)
        await ws.prepare(request)
        client = self.clients.add(ws, kind)
        client.transport = request.transport
        sender = asyncio.create_task(self.preview.send_pictures(client))
        try:
            hello = {"t": "hello", **self.preview.hello()}, {"t": "state", **self.preview.state()}
            if kind == "look":
                # first, so that the page to play leaves before it asks for the song
                await self.send_roles()
            for message in hello:
                await self.send(message, client)
            if kind != "look":
                await self.send_roles()
            async for received in ws:
                if received.type != WSMsgType.TEXT:
                    await ws.close(code=1003)
                elif not client.allowance.take():
                    await ws.close(code=1008)
                else:
                    await self._obey(client, received.data)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            if self.clients.remove(client):
                await self.preview.holder_left()
            self.preview.update_wanted()
            await self.send_roles()
        return ws

    async def _obey(self, client: Client, text: str) -> None:
        try:
            await self.preview.handle(client, read_message(text))
        except ReactiveError as error:
            await self.send(error_message(error), client)
        except (ValueError, KeyError, TypeError):
            await client.socket.close(code=1007)
