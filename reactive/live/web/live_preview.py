"""A live input's preview on the network: the same server as for a song, and a page with only the current picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any, ClassVar

from aiohttp import web

from reactive.errors import ReactiveError, TimelineError
from reactive.live.control.announce import LiveCues
from reactive.live.control.external_io import CueSource
from reactive.live.control.remote import Action, target
from reactive.live.live_session import LiveSession
from reactive.live.outputs.feed import TimedPicture
from reactive.live.quantise import QUANTISE
from reactive.live.session import error_message
from reactive.live.web.clients import Client
from reactive.live.web.commands import LOOPING, Command, carry_out
from reactive.live.web.protocol import (
    Act,
    MakeChange,
    NameMark,
    NextPhase,
    One,
    PageMessage,
    TakeCredit,
    Tap,
    pack_picture,
)
from reactive.live.web.server import Server
from reactive.timeline.clock import frame_time

STATUS_SECONDS = 0.1
RELOAD_SECONDS = 0.25


class LivePreview:
    """The preview of a live input.

    Parameters
    ----------
    server
        The server of the pages.
    session
        The live session.
    """

    index: ClassVar[str] = "live.html"

    def __init__(self, server: Server, session: LiveSession) -> None:
        self.server = server
        self.clients = server.clients
        self.session = session
        self.known: dict[str, Command] = {
            "credit": self._take_credit,
            "change": self._turn,
            "next": self._next,
            "tap": self._tap,
            "one": self._one,
            "act": self._act,
            "mark": self._mark,
        }

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.session.studio.options.fps

    def hello(self) -> dict[str, Any]:
        """Return the first message for a page."""
        return {**self.session.hello(), "keys": dict(self.server.key_map)}

    def state(self) -> dict[str, Any]:
        """Return the state for a page."""
        return self.session.state()

    def add_routes(self, app: web.Application) -> None:
        """Add nothing: there is no song."""

    def cues(self) -> CueSource:
        """Return the source of OSC cues."""
        return LiveCues(self.session)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.session.studio.size

    def picture(self) -> TimedPicture | None:
        """Return the newest picture, with the time since the stream began."""
        shown = self.session.renderer.shown
        return None if shown is None else TimedPicture(shown.jpeg, float(frame_time(shown.frame, self.fps)))

    def update_wanted(self) -> None:
        """Imagine while anybody watches."""
        self.session.renderer.set_wanted(bool(self.clients.all or self.clients.watchers))

    async def holder_left(self) -> None:
        """Do nothing: the music plays whether anybody watches or not."""

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """Start hearing and imagining."""
        self.session.start()
        yield

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the background tasks."""
        return self._status(), self._reload()

    async def _status(self) -> None:
        waited = 0
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            self.update_wanted()
            if waited != self.session.conductor.waited:
                waited = self.session.conductor.waited
                await self.server.send_state()
            if self.session.renderer.died:
                await self.server.run(self.session.renderer.revive)
            if self.clients.all:
                await self.server.send({"t": "status", **self.session.status(), "outputs": self.server.output_status()})

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                changed = await self.server.run(self.session.reload)
            except ReactiveError as error:
                await self.server.send({**error_message(error), "about": "preset"})
                continue
            if changed:
                await self.server.send({"t": "reloaded"})
                await self.server.send_state()

    async def send_pictures(self, client: Client) -> None:
        """Send a page the newest picture whenever it can take one; it never waits for older ones."""
        last = 0
        self.update_wanted()
        while True:
            await client.wake.wait()
            client.wake.clear()
            if not await client.flush():
                return
            shown = self.session.renderer.shown
            if shown is None or shown.number == last or client.credit <= 0:
                continue
            last = shown.number
            client.credit -= 1
            message = pack_picture(0, shown.number, float(frame_time(shown.frame, self.fps)), shown.jpeg)
            if not await client.send_picture(message):
                return

    # -- commands ------------------------------------------------------------------------------------------------------
    async def handle(self, client: Client, message: PageMessage) -> None:
        """Carry out a page's message."""
        await carry_out(self.known, self.clients, client, message)

    async def act(self, action: Action) -> None:
        """Carry out an action of OSC or MIDI.

        Raises
        ------
        ReactiveError
            If it can't be done.
        """
        session = self.session
        if action.kind in ("song", "next-song", "previous-song"):
            raise TimelineError("a live input has no songs", remedy="preview a set list")
        if action.kind in ("snapshot", "store"):
            await self.server.run(
                getattr(session, "recall" if action.kind == "snapshot" else "store"), round(action.value)
            )
            await self.server.send_state()
            return
        if action.kind == "glide" and action.value:
            raise TimelineError("a live input recalls snapshots at once", remedy="preview a song")
        if action.kind == "cue":
            raise TimelineError("a live input has no cue points", remedy="store a snapshot of the knobs instead")
        if action.kind in LOOPING:
            raise TimelineError("a live input can't be repeated", remedy="preview a song")
        if action.kind == "quantise":
            following = QUANTISE[(QUANTISE.index(session.quantise) + 1) % len(QUANTISE)]
            session.quantise_by(action.name or following)
            await self.server.send_state()
            return
        if action.kind == "crossfade":
            action = Action("preset", session.next_preset(), action.value)
        if action.kind == "tap":
            await self.server.run(session.tap)
            return
        if action.kind == "one":
            await self.server.run(session.one)
            return
        if action.kind == "play":
            # only the picture can be stopped
            held = session.conductor.switches["hold"]
            action = Action("hold", value=float(not held if action.value < 0 else action.value < 0.5))
        if action.kind == "next":
            await self.server.run(session.next_phase)
        else:
            data: dict[str, Any] = {
                "kind": action.kind,
                "name": action.name,
                "value": action.value,
                "text": action.text,
            }
            if action.kind == "prompt":
                data["name"] = session.status()["prompt"]
            elif action.kind in session.conductor.switches and action.value < 0:
                data["value"] = 0.0 if session.conductor.switches[action.kind] else 1.0
            await self.server.run(session.change, data)
        await self.server.send_state()

    async def _take_credit(self, client: Client, message: TakeCredit) -> None:
        client.grant(message.n)

    async def _turn(self, client: Client, message: MakeChange) -> None:
        del client
        await self.server.run(self.session.change, message.model_dump(exclude_none=True))
        await self.server.send_state()

    async def _act(self, client: Client, message: Act) -> None:
        del client
        action = target(message.name)
        if action is None:
            raise TimelineError(f'there is no action "{message.name}"', remedy="reload the page")
        await self.act(action)

    async def _mark(self, client: Client, message: NameMark) -> None:
        del client
        if message.what == "cue":
            raise TimelineError("a live input has no cue points", remedy="store a snapshot of the knobs instead")
        await self.server.run(self.session.rename, message.number, message.name)
        await self.server.send_state()

    async def _next(self, client: Client, message: NextPhase) -> None:
        del client, message
        await self.act(Action("next"))

    async def _tap(self, client: Client, message: Tap) -> None:
        del client, message
        await self.act(Action("tap"))

    async def _one(self, client: Client, message: One) -> None:
        del client, message
        await self.act(Action("one"))
