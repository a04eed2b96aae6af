"""The other inputs and outputs of a preview: OSC in, OSC out, MIDI in. Ports are opened first, so that errors show at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reactive.live.control.announce import Cue
from reactive.live.control.keys import read_keys
from reactive.live.control.link import check_link, joined_session
from reactive.live.control.midi import MidiMapping, open_port
from reactive.live.control.osc import OscReceiver, OscSender, bound_datagrams, check_installed
from reactive.live.control.remote import Action, Counts, Remote
from reactive.live.outputs.sink import OutputSpec, check_available

# seconds between checks for a new beat: too short for a person to notice
POLL_SECONDS = 0.005
# beats a minute of a Link session that nobody else has joined
LINK_TEMPO = 120.0


@dataclass(frozen=True)
class ExternalIOOptions:
    """The inputs and outputs to open.

    Attributes
    ----------
    osc_in, osc_out
        Host and port, or None.
    midi
        Part of a port's name, empty for the first port; None for no MIDI.
    mapped
        The controls that MIDI moves.
    mjpeg
        Whether an MJPEG address is issued at the start.
    outputs
        Sinks of frames for other programs.
    link
        Whether it joins the Ableton Link session of its network.
    keys
        The page's keys and their actions.
    """

    osc_in: tuple[str, int] | None = None
    osc_out: tuple[str, int] | None = None
    midi: str | None = None
    mapped: MidiMapping = field(default_factory=MidiMapping)
    mjpeg: bool = False
    outputs: tuple[OutputSpec, ...] = ()
    link: bool = False
    keys: Mapping[str, str] = field(default_factory=read_keys)


class CueSource(Protocol):
    """Finds the cues of a song or a live input that are new."""

    def cues(self) -> Iterator[Cue]:
        """Yield the cues since the last call."""
        ...

    def join(self, link: Any, put: Callable[[Action], None]) -> Coroutine[Any, Any, None]:
        """Return a coroutine that keeps it in step with an Ableton Link session."""
        ...


class ExternalIO:
    """The inputs and outputs that are open.

    Parameters
    ----------
    options
        Which ones.

    Raises
    ------
    ReactiveError
        If a library is missing, or a port can't be opened.
    """

    def __init__(self, options: ExternalIOOptions) -> None:
        self.counts = Counts()
        self._remote: Remote | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._osc_socket: socket.socket | None = None
        self._osc_sender: OscSender | None = None
        self._midi: Any = None
        for spec in options.outputs:
            check_available(spec)
        self._link_wanted = options.link
        if options.link:
            check_link()
        try:
            if options.osc_in or options.osc_out:
                check_installed()
            if options.osc_in:
                self._osc_socket = bound_datagrams(*options.osc_in)
            if options.osc_out:
                self._osc_sender = OscSender(*options.osc_out)
            if options.midi is not None:
                self._midi = open_port(options.midi, options.mapped, self._from_thread)
        except BaseException:
            self.close()
            raise

    @property
    def osc_port(self) -> int | None:
        """The port that receives OSC."""
        return int(self._osc_socket.getsockname()[1]) if self._osc_socket else None

    def _from_thread(self, action: Action) -> None:
        if self._loop is not None and self._remote is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._remote.put, action)

    async def run(self, act: Callable[[Action], Any], cues: CueSource) -> None:
        """Carry actions in and cues out until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._remote = Remote(act, self.counts)
        tasks = [asyncio.create_task(self._remote.run())]
        transport = None
        if self._osc_socket is not None:
            remote = self._remote
            transport, _ = await self._loop.create_datagram_endpoint(
                lambda: OscReceiver(remote.put, self.counts), sock=self._osc_socket
            )
        if self._osc_sender is not None:
            tasks.append(asyncio.create_task(self._tell(self._osc_sender, cues)))
        if self._link_wanted:
            link = joined_session(LINK_TEMPO)
            tasks.append(asyncio.create_task(cues.join(link, self._remote.put)))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            if transport is not None:
                transport.close()

    async def _tell(self, teller: OscSender, cues: CueSource) -> None:
        while True:
            for address, arguments in cues.cues():
                teller.send(address, *arguments)
            await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Close all ports."""
        for way in (self._midi, self._osc_sender, self._osc_socket):
            if way is not None:
                way.close()
