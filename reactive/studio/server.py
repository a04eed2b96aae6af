"""The studio's web server: the preview's access control on every route, commands as JSON, uploads of files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import WSMsgType, web

from reactive.errors import ReactiveError, foreseen
from reactive.live.openmp import run_and_release_openmp_pool
from reactive.live.web.clients import HEARTBEAT_SECONDS, MAX_CLIENTS, Client, Clients
from reactive.live.web.login import RequestGuard
from reactive.live.web.protocol import MAX_MESSAGE
from reactive.live.web.security import HEADERS, Gate, PerAddress
from reactive.studio import renders
from reactive.studio.project import ConflictError, ProjectError, inside
from reactive.studio.uploads import KINDS, kind_of
from reactive.studio.workshop import Workshop, upload_place

INDEX = "studio.html"
LOGINS, LOGIN_BURST = 5.0, 20.0
# commands and uploads a second, and at once, from one address
REQUESTS, REQUEST_BURST = 20.0, 200.0
MAX_UPLOADS = 4
CHUNK = 1 << 20
# bytes that must stay free on the disk
MIN_FREE = 200_000_000
QUEUE_SECONDS = 0.5


@dataclass
class StudioServer:
    """The server of a project.

    Attributes
    ----------
    gate
        The access control.
    folder
        The project's folder.
    opener
        Opens a preview of the project and returns its address; None if previews are unavailable.
    """

    gate: Gate
    folder: Path
    opener: Callable[[Path], Any] | None = None
    logins: PerAddress = field(default_factory=lambda: PerAddress(LOGINS, LOGIN_BURST))
    requests: PerAddress = field(default_factory=lambda: PerAddress(REQUESTS, REQUEST_BURST))
    clients: Clients = field(default_factory=Clients)
    # one thread for changes, one for the analysis, two for reading
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "studio-commands"))
    analyzer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "studio-analyzer"))
    reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "studio-reading"))
    loop: asyncio.AbstractEventLoop | None = None
    uploads: int = 0

    def __post_init__(self) -> None:
        """Open the project, or create one."""
        self.workshop = Workshop(self.folder, self.tell)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        guard = RequestGuard(self.gate, INDEX, self.logins)
        app = web.Application(middlewares=[guard.guard], client_max_size=MAX_MESSAGE)
        guard.add_routes(app)
        router = app.router
        router.add_get("/ws", self._socket)
        router.add_get("/presets", self._presets)
        router.add_get("/library", self._library)
        router.add_get("/places", self._places)
        router.add_get("/lanes", self._lanes)
        router.add_get("/song", self._song)
        router.add_get("/thumb", self._thumb)
        router.add_get("/poster/{name}", self._poster)
        router.add_get("/renders/{id}/{what}", self._render_file)
        router.add_post("/do", self._do)
        router.add_post("/render", self._render)
        router.add_post("/estimate", self._estimate)
        router.add_post("/preview", self._preview)
        router.add_post("/upload", self._upload)
        app.cleanup_ctx.append(self._life)
        return app

    def tell(self, data: dict[str, Any]) -> None:
        """Send a message to all pages, from any thread."""
        if self.loop is not None and not self.loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._send, data)

    def _send(self, data: dict[str, Any], *clients: Client) -> None:
        text = json.dumps(data)
        for client in clients or list(self.clients.all.values()):
            client.queue(data, text)

    async def run(self, pool: ThreadPoolExecutor, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run a slow call in a thread of `pool`."""
        return await asyncio.get_running_loop().run_in_executor(pool, run_and_release_openmp_pool, call, *arguments)

    # -- life ----------------------------------------------------------------------------------------------------------
    async def _life(self, app: web.Application) -> AsyncIterator[None]:
        del app
        self.loop = asyncio.get_running_loop()
        analysis = self.loop.run_in_executor(self.analyzer, self.workshop.hear)
        # resume renders of a killed server or process
        await self.run(self.reader, renders.start_worker, self.folder)
        watching = asyncio.create_task(self._watch())
        yield
        watching.cancel()
        analysis.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await self.clients.close()
        for pool in (self.worker, self.analyzer, self.reader):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _watch(self) -> None:
        """Send pages the state of the renders whenever it changes."""
        sent = ""
        while True:
            if self.clients.all:
                queue = await self.run(self.reader, self.workshop.queue)
                text = json.dumps(queue)
                if text != sent:
                    sent = text
                    self._send(queue)
            else:
                sent = ""
            await asyncio.sleep(QUEUE_SECONDS)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self.clients.all) >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text="too many pages")
        ws = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT_SECONDS, compress=False)
        ws.headers.update(HEADERS)
        await ws.prepare(request)
        client = self.clients.add(ws, "page")
        client.transport = request.transport
        sender = asyncio.create_task(self._keep_sending(client))
        try:
            self._send(await self.run(self.reader, self.workshop.state), client)
            self._send(await self.run(self.reader, self.workshop.queue), client)
            async for message in ws:
                # pages only receive here; their commands are posted
                if message.type != WSMsgType.TEXT or not client.allowance.take():
                    await ws.close(code=1008)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self.clients.remove(client)
        return ws

    async def _keep_sending(self, client: Client) -> None:
        while True:
            await client.wake.wait()
            client.wake.clear()
            if not await client.flush():
                return

    # -- data for pages ------------------------------------------------------------------------------------------------
    async def _presets(self, request: web.Request) -> web.StreamResponse:
        del request
        from reactive.studio.presets import presets_for_page

        return web.json_response(await self.run(self.reader, presets_for_page))

    async def _library(self, request: web.Request) -> web.StreamResponse:
        del request

        def listed() -> list[dict[str, Any]]:
            from reactive.sources.imagery import library

            return [
                {"name": entry.name, "caption": entry.caption, "author": entry.author, "licence": entry.licence}
                for entry in library()
            ]

        return web.json_response(await self.run(self.reader, listed))

    async def _places(self, request: web.Request) -> web.StreamResponse:
        """Send the places that clips are made for."""
        del request
        from reactive.render.targets import targets

        names = ("name", "about", "size", "fps", "longest", "loop")
        return web.json_response([{name: getattr(place, name) for name in names} for place in targets().values()])

    async def _lanes(self, request: web.Request) -> web.StreamResponse:
        del request

        def written() -> str:
            return json.dumps(self.workshop.lanes(), separators=(",", ":"))

        try:
            text = await self.run(self.reader, written)
        except ReactiveError as problem:
            return _refused(problem, 404)
        response = web.json_response(text=text)
        response.enable_compression()
        return response

    async def _song(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Range", "").count(",") > 0:
            raise web.HTTPRequestRangeNotSatisfiable(text="one range at a time")
        if self.workshop.song is None or not self.workshop.wav.is_file():
            raise web.HTTPNotFound(text="no song yet")
        return web.FileResponse(self.workshop.wav, headers={"Content-Type": "audio/wav"})

    async def _thumb(self, request: web.Request) -> web.StreamResponse:
        file, project = request.query.get("file", ""), self.workshop.project
        try:
            if name := request.query.get("library"):
                from reactive.sources.imagery import find_picture

                place = (await self.run(self.reader, find_picture, name)).path
            elif file in (*project.photos, *project.videos):
                place = inside(self.folder, file)
            else:
                raise web.HTTPNotFound(text="no such picture")
            data = await self.run(self.reader, self.workshop.thumbnail, place)
        except (ReactiveError, OSError, IndexError):
            raise web.HTTPNotFound(text="no such picture") from None
        return web.Response(body=data, content_type="image/jpeg")

    async def _poster(self, request: web.Request) -> web.StreamResponse:
        from reactive.studio.presets import picture_of

        def found() -> Path | None:
            return picture_of(request.match_info["name"], moving="moving" in request.query)

        file = await self.run(self.reader, found)
        if file is None:
            raise web.HTTPNotFound(text="no poster")
        return web.FileResponse(file)

    async def _render_file(self, request: web.Request) -> web.StreamResponse:
        """Send a render's clip, another aspect ratio of it, its poster, its recipe, or its newest picture."""
        number, what = request.match_info["id"], request.match_info["what"]
        try:
            render = await self.run(self.reader, renders.read_render, self.folder, number)
            if what == "picture":
                data = await self.run(self.reader, self.workshop.newest_picture, number)
                if data is None:
                    return web.Response(status=204)
                return web.Response(body=data, content_type="image/jpeg")
            files = {"clip": inside(self.folder, render.clip), "poster": renders.poster_file(self.folder, number)}
            files["recipe"] = renders.job_of(self.folder, render) / "manifest.json"
            for place, name in enumerate(render.result.get("files", [])[1:], 1):
                # names from untrusted files are looked up in the folder, never joined as paths
                files[f"shape{place}"] = inside(self.folder, f"{renders.FOLDER}/{Path(str(name)).name}")
        except ReactiveError as problem:
            return _refused(problem, 404)
        file = files.get(what)
        if file is None or file.is_symlink() or not file.is_file():
            raise web.HTTPNotFound(text="no such file")
        headers = {}
        if "download" in request.query:
            name = file.name if what != "recipe" else f"{Path(render.clip).stem}.recipe.json"
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
        return web.FileResponse(file, headers=headers)

    # -- commands of pages ---------------------------------------------------------------------------------------------
    async def _data(self, request: web.Request) -> dict[str, Any]:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="JSON only")
        if not self.requests.take(request.remote or ""):
            raise web.HTTPTooManyRequests(text="too much at once")
        try:
            data = json.loads(await request.text(), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise web.HTTPBadRequest(text="no such message") from None
        if not isinstance(data, dict):
            raise web.HTTPBadRequest(text="no such message")
        return data

    async def _carried_out(self, call: Callable[..., Any], *arguments: Any) -> web.StreamResponse:
        try:
            result = await self.run(self.worker, call, *arguments)
        except ConflictError as problem:
            return _refused(problem, 409)
        except ReactiveError as problem:
            return _refused(problem, 422)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise web.HTTPBadRequest(text="no such command") from None
        except (OSError, MemoryError, RuntimeError) as problem:
            if (known := foreseen(problem)) is None:
                raise
            return _refused(known, 422)
        return web.json_response({"ok": True, "revision": self.workshop.project.revision, **(result or {})})

    async def _do(self, request: web.Request) -> web.StreamResponse:
        return await self._carried_out(self.workshop.carry_out, await self._data(request))

    async def _render(self, request: web.Request) -> web.StreamResponse:
        return await self._carried_out(self.workshop.render, await self._data(request))

    async def _estimate(self, request: web.Request) -> web.StreamResponse:
        data = await self._data(request)
        settings = data.get("settings")
        return await self._carried_out(self.workshop.estimate, settings if isinstance(settings, dict) else {})

    async def _preview(self, request: web.Request) -> web.StreamResponse:
        await self._data(request)
        if self.opener is None:
            raise web.HTTPNotFound(text="no preview here")
        return await self._carried_out(self.opener, self.folder)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        """Receive a file: its bytes are the body, its name and purpose are in the query."""
        if not self.requests.take(request.remote or ""):
            raise web.HTTPTooManyRequests(text="too much at once")
        name, wanted = request.query.get("name", ""), request.query.get("as", "")
        try:
            kind = kind_of(name[:500], wanted)
            limit = KINDS[kind].max_bytes
            if (request.content_length or 0) > limit:
                raise ProjectError(
                    f"is larger than {limit // 1_000_000:,} MB", where=name[:80], remedy="make it smaller"
                )
            if shutil.disk_usage(self.folder).free - (request.content_length or 0) < MIN_FREE:
                raise ProjectError("does not fit on the disk", where=name[:80], remedy="free some space")
            if self.uploads >= MAX_UPLOADS:
                raise web.HTTPTooManyRequests(text="too many files at once")
        except ReactiveError as problem:
            return _refused(problem, 422)
        self.uploads += 1
        try:
            with upload_place(self.folder) as partial:
                await self._save(request, partial, limit, name)
                answer = await self._carried_out(self.workshop.receive, partial, name, kind)
        except ReactiveError as problem:
            return _refused(problem, 422)
        finally:
            self.uploads -= 1
        if kind == "song" and answer.status == 200:
            asyncio.get_running_loop().run_in_executor(self.analyzer, self.workshop.hear)
        return answer

    async def _save(self, request: web.Request, partial: Path, limit: int, name: str) -> None:
        size = 0
        with partial.open("xb") as handle:
            async for chunk in request.content.iter_chunked(CHUNK):
                size += len(chunk)
                if size > limit:
                    raise ProjectError(
                        f"is larger than {limit // 1_000_000:,} MB", where=name[:80], remedy="make it smaller"
                    )
                await self.run(self.reader, handle.write, chunk)
        if not size:
            raise ProjectError("is empty (0 bytes)", where=name[:80], remedy="export or copy it again")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _refused(problem: ReactiveError, status: int) -> web.Response:
    error: Mapping[str, str] = {
        "what": problem.what,
        "where": problem.where,
        "remedy": problem.remedy,
        "text": str(problem),
    }
    return web.json_response({"ok": False, "error": error}, status=status)
