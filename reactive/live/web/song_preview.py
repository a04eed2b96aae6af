"""A song's preview on the network: the song itself, pictures ahead of the playhead, loops, and presets that are saved anew."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

from reactive.errors import ReactiveError
from reactive.live.control.announce import SongCues
from reactive.live.control.external_io import CueSource
from reactive.live.control.remote import Action
from reactive.live.outputs.feed import TimedPicture
from reactive.live.session import Session, error_message
from reactive.live.song import write_wav
from reactive.live.web.clients import Client
from reactive.live.web.commands import SongCommands
from reactive.live.web.protocol import PageMessage, pack_picture
from reactive.live.web.server import Server
from reactive.timeline.clock import frame_time

STATUS_SECONDS = 0.5
RELOAD_SECONDS = 0.25
# how often at least is looked whether a loop's end has come, and how long the page is waited for to go back
LOOP_SECONDS, LOOP_ANSWER = 0.05, 1.0


class SongPreview:
    """A song that is previewed.

    Parameters
    ----------
    server
        Whose pages look.
    session
        What is played.
    takes
        Folder in which takes are saved.
    """

    index: ClassVar[str] = "index.html"

    def __init__(self, server: Server, session: Session, takes: Path) -> None:
        self.server = server
        self.clients = server.clients
        self.session = session
        self.commands = SongCommands(server, session, takes)
        self.wav: Path | None = None

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.session.material.options.fps

    def add_routes(self, app: web.Application) -> None:
        """Add the song, and what the page draws of it."""
        app.router.add_get("/song", self._song)
        app.router.add_get("/lanes", self._lanes)

    async def handle(self, client: Client, message: PageMessage) -> None:
        """Carry out a page's message."""
        await self.commands.handle(client, message)

    async def act(self, action: Action) -> None:
        """Carry out what came by OSC or MIDI."""
        await self.commands.act(action)

    def cues(self) -> CueSource:
        """Return what knows what OSC tells."""
        return SongCues(self.session)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the clip."""
        return self.session.material.size

    def picture(self) -> TimedPicture | None:
        """Return what is to be seen now."""
        engine = self.session.engine
        shown = engine.current_picture()
        return None if shown is None else TimedPicture(shown.jpeg, float(frame_time(shown.frame, engine.timeline.fps)))

    def update_wanted(self) -> None:
        """Imagine as long as somebody can take pictures."""
        self.session.engine.set_wanted(self.clients.wants_pictures)

    async def holder_left(self) -> None:
        """Stop the music."""
        await self.server.run(self.session.clock, self.session.engine.transport.at(), False)

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """Write the song as browsers play it, and begin to imagine."""
        with tempfile.TemporaryDirectory(prefix="reactive-preview-") as folder:
            self.wav = Path(folder) / "song.wav"
            await self.server.run(write_wav, self.session.material.track, self.wav)
            self.session.engine.set_wanted(False)
            self.session.engine.start()
            yield

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what goes on as long as it plays."""
        return self._status(), self._reload(), self._keep_loop()

    async def _status(self) -> None:
        engine = self.session.engine
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            engine.set_wanted(self.clients.wants_pictures)
            status = engine.status()
            shot = status.shot
            fps = engine.timeline.fps
            await self.server.send({
                "t": "status", "rate": round(status.rate, 1), "ahead": round(status.ahead, 2),
                "stride": status.stride.as_integer_ratio(), "behind": round(status.behind, 2),
                "late": status.late, "prepared": status.prepared, "quality": engine.stride_control.quality,
                "shot": [float(frame_time(edge, fps)) for edge in shot] if shot else None,
                "failed": str(engine.error) if engine.error else None, "note": engine.note, "kept": len(engine.store),
                "outputs": self.server.output_status(),
            })  # fmt: skip
            transport = engine.transport
            viewers = [client for client in self.clients.all.values() if client is not self.clients.holder]
            if viewers:
                await self.server.send({"t": "clock", "time": transport.at(), "playing": transport.playing}, *viewers)

    async def _keep_loop(self) -> None:
        """Send the page that plays back when a loop's end has come; a hidden page's own timers would not notice."""
        now = asyncio.get_running_loop().time
        while True:
            left = self.session.engine.transport.until_loop_ends()
            waiting = self.commands.loop_sent_at is not None and now() - self.commands.loop_sent_at < LOOP_ANSWER
            if left == 0 and not waiting and (holder := self.clients.holder) is not None:
                loop = self.session.engine.transport.loop
                assert loop is not None
                self.commands.loop_sent_at = now()
                await self.server.send({"t": "back", "time": loop[0]}, holder)
            await asyncio.sleep(LOOP_SECONDS if left is None or left == 0 else min(left, LOOP_SECONDS))

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                epoch = await self.server.run(self.session.reload)
            except ReactiveError as error:
                await self.server.send({**error_message(error), "about": "preset"})
                await self.server.send_state()
                continue
            if epoch is not None:
                await self.server.send({"t": "reloaded"})
                await self.commands.edited(epoch)

    async def _song(self, request: web.Request) -> web.StreamResponse:
        assert self.wav is not None
        if request.headers.get("Range", "").count(",") > 0:
            raise web.HTTPRequestRangeNotSatisfiable(text="one range at a time")
        return web.FileResponse(self.wav, headers={"Content-Type": "audio/wav"})

    async def _lanes(self, request: web.Request) -> web.StreamResponse:
        del request
        lanes = await self.server.run(self.session.lanes)
        response = web.json_response(lanes, dumps=lambda data: json.dumps(data, separators=(",", ":")))
        response.enable_compression()
        return response

    async def send_pictures(self, client: Client) -> None:
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
