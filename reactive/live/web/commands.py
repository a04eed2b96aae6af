"""The commands of a page. Only the page that holds the transport moves it; every page with controls may turn them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from reactive.errors import TimelineError
from reactive.live.control.remote import Action, target
from reactive.live.quantise import QUANTISE
from reactive.live.session import Session
from reactive.live.web.clients import Client, Clients
from reactive.live.web.protocol import (
    Act,
    AskSavePlan,
    CorrectGrid,
    Forget,
    MakeChange,
    NameMark,
    PageMessage,
    Prepare,
    SavePreset,
    SaveTake,
    Seek,
    SetLoop,
    TakeCredit,
    TakeOver,
    TellClock,
    Undo,
)
from reactive.live.web.server import Server
from reactive.timeline.clock import frame_time, frames_in, nearest_frame

# each takes the model of its message
Command = Callable[[Client, Any], Awaitable[None]]
# messages that an output window may send: it can only watch
LOOKING = ("credit",)
# an epoch that answers no jump of a page
NO_JUMP = -1
LOOPING = ("loop", "loop-in", "loop-out", "loop-off")
MARKING = ("cue", "snapshot", "store", "glide")
# messages that count only from the page that plays the song, the holder of the transport
HOLDING = ("clock", "seek", "loop", "ended")


async def carry_out(known: Mapping[str, Command], clients: Clients, client: Client, message: PageMessage) -> None:
    """Carry out one message.

    Parameters
    ----------
    known
        The known commands.

    Raises
    ------
    ValueError
        If the message is not known.
    ReactiveError
        If it can't be done.
    """
    if client.kind == "look" and message.t not in LOOKING:
        raise TimelineError("this link can only look", remedy="ask who plays for the link to play")
    command = known.get(message.t)
    if command is None or (client.kind == "output" and message.t not in LOOKING):
        raise ValueError("unknown message")
    if message.t in HOLDING and client is not clients.holder:
        return
    await command(client, message)


class SongCommands:
    """The commands of pages while a song is previewed.

    Parameters
    ----------
    server
        The server of the pages.
    session
        The session that is played.
    takes
        Folder in which takes are saved.
    """

    def __init__(self, server: Server, session: Session, takes: Path) -> None:
        self.server = server
        self.session = session
        self.takes = takes
        # carries out an action; the preview of a set list has more of them
        self.action: Callable[[Action], Awaitable[None]] = self.act
        # when the page was told to go back to a loop's start, until it does
        self.loop_sent_at: float | None = None
        self.known: dict[str, Command] = {
            "credit": self._credit,
            "clock": self._clock,
            "seek": self._seek,
            "act": self._act,
            "mark": self._mark,
            "loop": self._loop,
            "take over": self._take_over,
            "change": self._change,
            "undo": self._undo,
            "forget": self._forget,
            "prepare": self._prepare,
            "save take": self._save_take,
            "grid": self._grid,
            "keep?": self._may_keep,
            "keep": self._keep,
        }

    async def handle(self, client: Client, message: PageMessage) -> None:
        """Carry out a page's message, as `carry_out` does."""
        await carry_out(self.known, self.server.clients, client, message)

    async def act(self, action: Action) -> None:
        """Carry out an action of OSC or MIDI at the playhead.

        Raises
        ------
        ReactiveError
            If it can't be done.
        """
        session = self.session
        here = session.engine.transport.at()
        if action.kind in ("tap", "one"):
            # the page that plays decides what becomes of the song's grid
            holder = self.server.clients.holder
            if holder is not None:
                await self.server.send({"t": action.kind, "time": here}, holder)
            return
        if action.kind == "play":
            await self._play(action.value)
            return
        if action.kind in LOOPING:
            await self._change_loop(action)
            return
        if action.kind == "quantise":
            following = QUANTISE[(QUANTISE.index(session.quantise) + 1) % len(QUANTISE)]
            session.quantise_by(action.name or following)
            await self.server.send_state()
            return
        if action.kind in MARKING:
            await self._use_mark(action, here)
            return
        data: dict[str, Any] = {"time": here, "kind": action.kind, "name": action.name, "value": action.value}
        frame = min(int(frames_in(here, session.engine.timeline.fps)), session.engine.timeline.frames - 1)
        if action.kind == "next":
            timeline = session.performance.timeline
            count = len(session.stage.presets[session.performance.state.preset].phase)
            data |= {"kind": "phase", "value": (int(timeline.columns["phase"][frame]) + 1) % count}
        elif action.kind == "crossfade":
            data |= {"kind": "preset", "name": session.next_preset()}
        elif action.kind == "prompt":
            data |= {"name": session.prompt_at(frame), "text": action.text}
        elif action.kind in ("black", "hold", "freeze") and action.value < 0:
            data["value"] = 0.0 if getattr(session.performance.state, action.kind) else 1.0
        await self.edited(await self.server.run(session.change, data))

    async def _use_mark(self, action: Action, here: float) -> None:
        session, number = self.session, round(action.value)
        if action.kind == "cue" and number:
            await self._jump(session.jump_to(number), here)
        elif action.kind == "cue":
            session.set_cue()
        elif action.kind == "store":
            session.store(number)
        elif action.kind == "glide":
            session.glide = number
        else:
            await self.edited(await self.server.run(session.recall, number, here))
            return
        await self.server.send_state()

    async def _jump(self, jump: tuple[float, float], here: float) -> None:
        """Let the page that plays jump now, unless the jump is still to come."""
        if self.session.engine.transport.jump is not None:
            return
        holder = self.server.clients.holder
        if holder is None:
            raise TimelineError("no page is open to play the song", remedy="open the preview's address")
        await self.server.send({"t": "back", "time": jump[1], "edge": here, "once": True}, holder)

    async def _mark(self, client: Client, message: NameMark) -> None:
        del client
        self.session.rename(message.what, message.number, message.name)
        await self.server.send_state()

    async def _change_loop(self, action: Action) -> None:
        session = self.session
        if action.kind == "loop-in":
            session.loop_from()
        elif action.kind == "loop-out":
            session.loop_to()
        elif action.kind == "loop-off":
            session.loop(None)
        elif action.value:
            session.loop_bars(round(action.value))
        else:
            session.loop_section()
        await self._loop_changed()

    async def _loop_changed(self) -> None:
        self.loop_sent_at = None
        if self.session.coda is not None and self.session.engine.transport.loop is None:
            await self.edited(await self.server.run(self.session.sound_again))
        if self.session.waiting:
            await self.edited(await self.server.run(self.session.settle))
        else:
            await self.server.send_state()

    async def _act(self, client: Client, message: Act) -> None:
        del client
        action = target(message.name)
        if action is None:
            raise TimelineError(f'there is no action "{message.name}"', remedy="reload the page")
        await self.action(action)

    async def _play(self, value: float) -> None:
        """Let the page that holds the transport play (1), pause (0), or toggle (below 0): the sound plays in the page."""
        holder = self.server.clients.holder
        if holder is None:
            raise TimelineError("no page is open to play the song", remedy="open the preview's address")
        playing = not self.session.engine.transport.playing if value < 0 else value >= 0.5
        await self.server.send({"t": "play", "playing": playing}, holder)

    async def _credit(self, client: Client, message: TakeCredit) -> None:
        client.grant(message.n)
        self.session.engine.set_wanted(self.server.clients.wants_pictures)

    async def _clock(self, client: Client, message: TellClock) -> None:
        del client
        self.session.clock(message.time, message.playing)

    async def _seek(self, client: Client, message: Seek) -> None:
        # the page drops its pictures, and with them its credit
        client.credit = message.credit
        self.loop_sent_at = None
        jumping = self.session.engine.transport.jump is not None
        arriving = bool(self.session.waiting)
        seek = self.session.seek
        # changes that waited for this jump come with it
        epoch, landed = (
            await self.server.run(seek, message.time, message.playing)
            if arriving
            else seek(message.time, message.playing)
        )
        await self.server.send({"t": "epoch", "epoch": epoch, "n": message.n, "time": landed}, client)
        await self._tell_viewers(epoch)
        if arriving:
            await self.edited(epoch)
        elif jumping:
            await self.server.send_state()
        self.session.engine.set_wanted(self.server.clients.wants_pictures)

    async def _loop(self, client: Client, message: SetLoop) -> None:
        del client
        section = (message.a, message.b) if message.a is not None and message.b is not None else None
        self.session.loop(section)
        await self._loop_changed()

    async def _take_over(self, client: Client, message: TakeOver) -> None:
        del message
        self.server.clients.holder = client
        await self.server.send_roles()

    async def _change(self, client: Client, message: MakeChange) -> None:
        del client
        # changes are applied in order, so a new one must not overtake
        epoch = await self.server.run(self.session.change, message.model_dump(exclude_none=True))
        await self.edited(epoch)

    async def _undo(self, client: Client, message: Undo) -> None:
        del client, message
        await self.edited(await self.server.run(self.session.forget, True))

    async def _forget(self, client: Client, message: Forget) -> None:
        del client, message
        await self.edited(await self.server.run(self.session.forget, False))

    async def _prepare(self, client: Client, message: Prepare) -> None:
        del client
        session = self.session
        shot = session.engine.prepare(nearest_frame(max(message.time, 0.0), session.engine.timeline.fps))
        if shot is None:
            raise TimelineError("nothing is fed back here", remedy="pre-render where a feedback shot plays")

    async def _save_take(self, client: Client, message: SaveTake) -> None:
        del client, message
        session, server = self.session, self.server
        stem = session.material.track.path.stem
        # the page can't choose the path
        names = [f"{stem}.take.json", *(f"{stem}.{count}.take.json" for count in range(2, 10_000))]
        path = next(path for name in names if not (path := self.takes / name).exists())
        await server.run(session.save_take, path)
        await server.send({"t": "saved", "path": str(path), "changes": len(session.changes)})
        await server.send_state()

    async def _grid(self, client: Client, message: CorrectGrid) -> None:
        del client
        await self.edited(await self.server.run(self.session.correct, message.model_dump(exclude_none=True)))

    async def _may_keep(self, client: Client, message: AskSavePlan) -> None:
        del message
        await self.server.send({"t": "keep?", **await self.server.run(self.session.save_plan)}, client)

    async def _keep(self, client: Client, message: SavePreset) -> None:
        del client
        epoch, path = await self.server.run(self.session.save_preset, message.name)
        await self.server.send({"t": "kept", "path": str(path)})
        await self.edited(epoch)

    async def edited(self, epoch: int) -> None:
        """Send all pages a new epoch and the state."""
        engine = self.session.engine
        # pictures from before the change stay valid
        since = float(frame_time(engine.changed, engine.timeline.fps))
        await self.server.send({"t": "epoch", "epoch": epoch, "n": NO_JUMP, "since": since})
        self.server.clients.wake()
        await self.server.send_state()

    async def _tell_viewers(self, epoch: int) -> None:
        """Tell the pages that do not play the song where it is."""
        self.server.clients.wake()
        viewers = [client for client in self.server.clients.all.values() if client is not self.server.clients.holder]
        if viewers:
            transport = self.session.engine.transport
            clock = {"t": "clock", "time": transport.at(), "playing": transport.playing, "epoch": epoch}
            await self.server.send(clock, *viewers)
