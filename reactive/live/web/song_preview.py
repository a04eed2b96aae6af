"""A song's preview on the network: its sound, pictures ahead of the playhead, loops, and reloaded presets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

from reactive.errors import ReactiveError
from reactive.live.control.announce import SongCues
from reactive.live.control.external_io import CueSource
from reactive.live.control.remote import Action
from reactive.live.openmp import run_and_release_openmp_pool
from reactive.live.outputs.feed import TimedPicture
from reactive.live.picture_store import Picture
from reactive.live.playlist import Playlist, PreparedSong
from reactive.live.session import Session, error_message
from reactive.live.web.clients import Client
from reactive.live.web.commands import SongCommands
from reactive.live.web.protocol import ChooseEnding, ChooseSong, PageMessage, SongEnded, pack_picture
from reactive.live.web.server import Server
from reactive.timeline.clock import frame_time

STATUS_SECONDS = 0.5
RELOAD_SECONDS = 0.25
# longest time between checks for a loop's end, and how long the page may take to go back
LOOP_SECONDS, LOOP_ANSWER = 0.05, 1.0


class SongPreview:
    """The preview of a song or a set list.

    Parameters
    ----------
    server
        The server of the pages.
    playlist
        The songs.
    shown
        The one that is shown at the start.
    takes
        Folder in which takes are saved.
    """

    index: ClassVar[str] = "index.html"

    def __init__(self, server: Server, playlist: Playlist, shown: PreparedSong, takes: Path) -> None:
        self.server = server
        self.clients = server.clients
        self.playlist = playlist
        self.shown = shown
        self.commands = SongCommands(server, shown.session, takes)
        self.commands.known |= {"song": self._choose_song, "ended": self._song_is_over, "ending": self._choose_ending}
        self.commands.action = self.act
        self._cues = SongCues(shown.session)
        # the loaded or loading next song, and the task that loads it
        self._next: asyncio.Task[PreparedSong] | None = None
        self._next_number: int | None = None
        self._loader = ThreadPoolExecutor(1, "reactive-next-song")
        self._changing = asyncio.Lock()
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def session(self) -> Session:
        """The session of the song that is shown."""
        return self.shown.session

    def hello(self) -> dict[str, Any]:
        """Return the first message for a page."""
        own = {"song": self.playlist.begun, "keys": dict(self.server.key_map), "framed_by": self.server.gate.framed_by}
        return {**self.session.hello(), **own}

    def state(self) -> dict[str, Any]:
        """Return the state for a page."""
        loaded = (
            self._next is not None and self._next.done() and not self._next.cancelled() and not self._next.exception()
        )
        return {**self.session.state(), **self.playlist.state(self._next_number if loaded else None)}

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.session.material.options.fps

    def add_routes(self, app: web.Application) -> None:
        """Add routes for the song and for the data that the page draws."""
        app.router.add_get("/song", self._song)
        app.router.add_get("/lanes", self._lanes)

    async def handle(self, client: Client, message: PageMessage) -> None:
        """Carry out a page's message."""
        await self.commands.handle(client, message)

    async def act(self, action: Action) -> None:
        """Carry out an action of OSC or MIDI."""
        if action.kind == "song":
            await self.show_song(self.playlist.checked(int(action.value)))
        elif action.kind in ("next-song", "previous-song"):
            await self.show_song(self.playlist.neighbour(1 if action.kind == "next-song" else -1))
        else:
            await self.commands.act(action)

    def cues(self) -> CueSource:
        """Return the source of OSC cues."""
        return self._cues

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the clip."""
        return self.session.material.size

    def picture(self) -> TimedPicture | None:
        """Return the current picture."""
        engine = self.session.engine
        shown = engine.current_picture()
        return None if shown is None else TimedPicture(shown.jpeg, float(frame_time(shown.frame, engine.timeline.fps)))

    def update_wanted(self) -> None:
        """Imagine while somebody can take pictures."""
        self.session.engine.set_wanted(self.clients.wants_pictures)

    async def holder_left(self) -> None:
        """Stop the music."""
        await self.server.run(self.session.clock, self.session.engine.transport.at(), False)

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """Start imagining, and load the next song."""
        self.session.engine.set_wanted(False)
        self.session.engine.start()
        self._load_next()
        try:
            yield
        finally:
            if self._next is not None:
                self._next.cancel()
            self._loader.shutdown(wait=False, cancel_futures=True)
            self.playlist.close()

    # -- the set list --------------------------------------------------------------------------------------------------
    def _load_next(self) -> None:
        """Load the song that follows, while this one plays."""
        if self.playlist.following is not None:
            self._load(self.playlist.following)

    def _load(self, number: int) -> asyncio.Task[PreparedSong]:
        if (
            self._next is not None
            and self._next_number == number
            and not (self._next.done() and self._next.exception())
        ):
            return self._next

        async def load() -> PreparedSong:
            loop = asyncio.get_running_loop()
            call = partial(run_and_release_openmp_pool, self.playlist.prepare, number)
            return await loop.run_in_executor(self._loader, call)

        def loaded(task: asyncio.Task[PreparedSong]) -> None:
            if task.cancelled():
                return
            # an error is reported now, while there is time to fix it
            problem = task.exception()
            told = (
                self.server.send(error_message(problem))
                if isinstance(problem, ReactiveError)
                else self.server.send_state()
            )
            telling = asyncio.get_running_loop().create_task(told)
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

        self._next_number = number
        self._next = asyncio.create_task(load())
        self._next.add_done_callback(loaded)
        return self._next

    async def show_song(self, number: int, playing: bool | None = None) -> None:
        """Go to a song of the list; the current one goes on until it is loaded.

        Parameters
        ----------
        playing
            Whether it plays at once; None if the one before did.

        Raises
        ------
        ReactiveError
            If it can't be loaded.
        """
        async with self._changing:
            if number == self.playlist.number:
                begins = self.session.engine.transport.playing if playing is None else playing
                if (holder := self.clients.holder) is not None:
                    await self.server.send({"t": "begin", "playing": begins}, holder)
                return
            prepared = await self._load(number)
            before, self.shown = self.shown, prepared
            prepared.session.quantise = before.session.quantise
            prepared.session.glide = before.session.glide
            self._next = self._next_number = None
            old, new = before.session.engine, prepared.session.engine
            begins = old.transport.playing if playing is None else playing
            self.playlist.begin(prepared, before)
            self.commands.session, self.commands.loop_sent_at = prepared.session, None
            self._cues.show(prepared.session)
            # pages tell old pictures from new ones by the epoch, which must only grow
            new.epoch += old.epoch + 1
            old.set_wanted(False)
            for client in self.clients.all.values():
                client.credit = 0
            new.set_wanted(self.clients.wants_pictures)
            new.start()
            await self.server.send({"t": "hello", **self.hello()})
            await self.server.send_state()
            await self.server.send_roles()
            if (holder := self.clients.holder) is not None:
                await self.server.send({"t": "begin", "playing": begins}, holder)
            self.clients.wake()
            await asyncio.get_running_loop().run_in_executor(None, self.playlist.let_go, before)
            self._load_next()

    async def _choose_song(self, client: Client, message: ChooseSong) -> None:
        del client
        if message.number is not None:
            await self.show_song(self.playlist.checked(message.number))
        elif message.step is not None:
            await self.show_song(self.playlist.neighbour(message.step))

    async def _choose_ending(self, client: Client, message: ChooseEnding) -> None:
        del client
        self.playlist.end_with(message.ending)
        await self.server.send_state()

    async def _song_is_over(self, client: Client, message: SongEnded) -> None:
        del message
        ending, following = self.playlist.ending, self.playlist.following
        if ending == "repeat":
            await self.server.send({"t": "begin", "playing": True}, client)
        elif ending == "next" and following is not None:
            await self.show_song(following, playing=True)
        elif ending != "stop":
            session = self.session
            await self.commands.edited(await self.server.run(session.go_on))
            if session.coda is not None:
                start, end = session.coda
                await self.server.send({"t": "go on", "a": start, "b": end}, client)

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the background tasks."""
        return self._status(), self._reload(), self._keep_loop()

    async def _status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            engine = self.session.engine
            engine.set_wanted(self.clients.wants_pictures)
            if engine.died:
                await self.server.run(engine.revive)
            status = engine.status()
            shot = status.shot
            fps = engine.timeline.fps
            await self.server.send(
                {
                    "t": "status",
                    "rate": round(status.rate, 1),
                    "ahead": round(status.ahead, 2),
                    "stride": status.stride.as_integer_ratio(),
                    "behind": round(status.behind, 2),
                    "late": status.late,
                    "prepared": status.prepared,
                    "quality": engine.stride_control.quality,
                    "shot": [float(frame_time(edge, fps)) for edge in shot] if shot else None,
                    "failed": str(engine.error) if engine.error else None,
                    "note": engine.note,
                    "kept": len(engine.store),
                    "outputs": self.server.output_status(),
                }
            )
            transport = engine.transport
            viewers = [client for client in self.clients.all.values() if client is not self.clients.holder]
            if viewers:
                await self.server.send({"t": "clock", "time": transport.at(), "playing": transport.playing}, *viewers)

    async def _keep_loop(self) -> None:
        """Send the page that plays back when a loop's end has come; a hidden page's timers are too slow."""
        now = asyncio.get_running_loop().time
        while True:
            transport = self.session.engine.transport
            left = transport.until_turn()
            waiting = self.commands.loop_sent_at is not None and now() - self.commands.loop_sent_at < LOOP_ANSWER
            if left == 0 and not waiting and (holder := self.clients.holder) is not None:
                # a playhead that is past a loop's end goes back too
                turn = transport.turn or (transport.loop[::-1] if transport.loop else None)
                assert turn is not None
                self.commands.loop_sent_at = now()
                once = {"once": True} if turn == transport.jump else {}
                await self.server.send({"t": "back", "time": turn[1], "edge": turn[0], **once}, holder)
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
        if request.headers.get("Range", "").count(",") > 0:
            raise web.HTTPRequestRangeNotSatisfiable(text="one range at a time")
        return web.FileResponse(self.shown.wav, headers={"Content-Type": "audio/wav"})

    async def _lanes(self, request: web.Request) -> web.StreamResponse:
        del request
        lanes = await self.server.run(self.session.lanes)
        response = web.json_response(lanes, dumps=lambda data: json.dumps(data, separators=(",", ":")))
        response.enable_compression()
        return response

    async def send_pictures(self, client: Client) -> None:
        """Send a page messages, and the pictures that it will show next, soonest first, as far as its credit goes."""
        while True:
            await client.wake.wait()
            client.wake.clear()
            if not await client.flush():
                return
            engine = self.session.engine
            if client.epoch != engine.epoch:
                client.epoch = engine.epoch
                client.sent.clear()
            waiting = False
            for picture in self._due(client):
                if client.credit <= 0:
                    waiting = True
                    break
                client.sent.add(picture.frame)
                client.credit -= 1
                seconds = float(frame_time(picture.frame, engine.timeline.fps))
                if not await client.send_picture(pack_picture(client.epoch, picture.frame, seconds, picture.jpeg)):
                    return
                if client.epoch != engine.epoch or engine is not self.session.engine:
                    # the playhead jumped; begin again
                    client.wake.set()
                    break
            if client is self.clients.holder:
                engine.stride_control.delivered(waiting and engine.transport.playing)
            engine.set_wanted(self.clients.wants_pictures)

    def _due(self, client: Client) -> Iterator[Picture]:
        """Yield the pictures that a page lacks, soonest first; where the playhead has nothing newer, one that is late."""
        engine = self.session.engine
        window = engine.window()
        late = engine.late_picture()
        if late is not None and not any(late.frame <= frame <= window[0].start for frame in client.sent):
            yield late
        for run in window:
            for frame in run:
                if frame not in client.sent and (picture := engine.store.get(frame)) is not None:
                    yield picture
