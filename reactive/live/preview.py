"""A preview from start to end: gather what it needs, listen, and serve until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from reactive.errors import OutputError
from reactive.live.control.external_io import ExternalIO, ExternalIOOptions
from reactive.live.control.microphone import Microphone
from reactive.live.live_session import LiveSession, SoundInput
from reactive.live.material import PreviewOptions, load_studio
from reactive.live.openmp import run_and_release_openmp_pool
from reactive.live.playlist import Playlist
from reactive.live.setlist import is_set_list, read_set_list, single
from reactive.live.web.addresses import local_url, network_urls
from reactive.live.web.listening import bound_socket
from reactive.live.web.live_preview import LivePreview
from reactive.live.web.login import RequestGuard
from reactive.live.web.mjpeg import PATH as MJPEG
from reactive.live.web.security import Gate, PerAddress, is_loopback, kept_key
from reactive.live.web.server import LOGIN_BURST, LOGINS, Server
from reactive.live.web.song_preview import SongPreview
from reactive.live.web.waiting import WaitingRoom

NO_EXTERNAL_IO = ExternalIOOptions()

USUAL_PORT = 7373


@dataclass(frozen=True)
class Address:
    """Where a preview is reached.

    Attributes
    ----------
    url
        Opens the page, from other machines too where they can reach it.
    here
        Opens it in this machine's own browser.
    more
        Further addresses for other machines, where this one has several networks.
    host, port
        What it listens at.
    open
        Whether other machines can reach it.
    mjpeg
        The address for programs that mix video, or an empty text.
    osc
        The port that OSC is heard at, or None.
    input
        The name of the live input, or an empty text.
    notes
        What is to be told of the song's file (whole sentences).
    """

    url: str
    host: str
    port: int
    open: bool
    here: str = ""
    more: tuple[str, ...] = ()
    mjpeg: str = ""
    osc: int | None = None
    input: str = ""
    notes: tuple[str, ...] = ()


def preview(
    song: str | os.PathLike[str],
    options: PreviewOptions,
    *,
    others: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    takes: Path = Path(),
    keys: Path | None = None,
    io_options: ExternalIOOptions = NO_EXTERNAL_IO,
    begun: Callable[[str], None] = lambda url: None,
    doing: Callable[[str], None] = lambda what: None,
    ready: Callable[[Address], None] = lambda address: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a preview of a song until SIGINT or SIGTERM.

    Parameters
    ----------
    song, options
        What is shown: a song's file, or a set list (`setlist.toml`).
    others
        Presets beside the first one, to fade to.
    host, port
        Where to listen; port 0 means any free one, None the usual one if it is free. What a browser keeps for the page
        (MIDI controls, the screen's delay) belongs to its port, and a page finds a server again only where it was.
    takes
        Folder in which takes are saved.
    keys
        Folder in which the cookie's key is kept from one start to the next. Default: the user's state folder.
    io_options
        OSC, MIDI and MJPEG.
    begun
        Called with the page's address for this machine as soon as it can be opened, where it says what is being done.
    doing
        Told what is being done until the preview is ready.
    ready
        Called once the preview is ready.
    stop
        Asked ten times a second whether to end.

    Raises
    ------
    ReactiveError
        For anything that is wrong with what was given.
    """

    def make(gate: Gate, external_io: ExternalIO, say: Callable[[str], None]) -> Server:
        server = Server(gate, external_io=external_io)
        path = Path(song)
        songs = read_set_list(path, options, others) if is_set_list(path) else single(path, options, others)
        playlist = Playlist(songs, lambda frames: server.made())
        try:
            server.preview = SongPreview(server, playlist, playlist.first(say), takes)
        except BaseException:
            playlist.close()
            raise
        return server

    _preview(make, SongPreview.index, host, port, keys, io_options, begun, doing, ready, stop)


def preview_input(
    open_source: Callable[[], SoundInput],
    options: PreviewOptions,
    *,
    others: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    keys: Path | None = None,
    io_options: ExternalIOOptions = NO_EXTERNAL_IO,
    begun: Callable[[str], None] = lambda url: None,
    doing: Callable[[str], None] = lambda what: None,
    ready: Callable[[Address], None] = lambda address: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a preview of a live input until SIGINT or SIGTERM; as `preview` otherwise.

    Parameters
    ----------
    open_source
        Opens the input; called before the model is loaded, so that what is wrong with it is said at once.

    Raises
    ------
    ReactiveError
        For anything that is wrong with what was given.
    """

    def make(gate: Gate, external_io: ExternalIO, say: Callable[[str], None]) -> Server:
        say("opening the input")
        source = open_source()
        server = Server(gate, external_io=external_io)
        try:
            session = LiveSession(load_studio(options, say), source, server.made, (options.preset, *others))
        except BaseException:
            source.close()
            raise
        server.preview = LivePreview(server, session)
        return server

    _preview(make, LivePreview.index, host, port, keys, io_options, begun, doing, ready, stop)


def microphone(device: str | None) -> SoundInput:
    """Open a sound input.

    Raises
    ------
    MediaError
        If there is none.
    """
    found = Microphone(device)
    return SoundInput(found.name, found, found.sample_rate, found.latency, found.close)


def _preview(
    make: Callable[[Gate, ExternalIO, Callable[[str], None]], Server],
    index: str,
    host: str,
    port: int | None,
    keys: Path | None,
    io_options: ExternalIOOptions,
    begun: Callable[[str], None],
    doing: Callable[[str], None],
    ready: Callable[[Address], None],
    stop: Callable[[], bool],
) -> None:
    # a port that is taken is said at once, not after seconds of hearing and loading
    with (
        contextlib.closing(_listener(host, port)) as listener,
        contextlib.closing(ExternalIO(io_options)) as external_io,
    ):
        bound = int(listener.getsockname()[1])
        if keys is None:
            import platformdirs

            keys = platformdirs.user_state_path("reactive")
        gate = Gate(host, bound, key=kept_key(keys, bound))
        here, others = local_url(host, bound), () if is_loopback(host) else network_urls(host, bound)
        # what other machines can open serves this one too, but a browser trusts its own machine's name with more
        reached = others[0] if others else here
        with WaitingRoom(RequestGuard(gate, index, PerAddress(LOGINS, LOGIN_BURST)), listener) as room:

            def say(what: str) -> None:
                doing(what)
                room.say(what)

            begun(f"{here}/#{gate.token}")
            server = run_and_release_openmp_pool(make, gate, external_io, say)
            if io_options.outputs:
                say("opening the outputs")
                server.open_outputs(io_options.outputs)
            say("opening the page")
            address = Address(
                url=f"{reached}/#{gate.token}",
                host=host,
                port=bound,
                open=not is_loopback(host),
                here=f"{here}/#{gate.token}",
                more=tuple(f"{url}/#{gate.token}" for url in others[1:]),
                mjpeg=f"{reached}{MJPEG}?token={server.view_token.issue()}" if io_options.mjpeg else "",
                osc=external_io.osc_port,
                input=server.preview.session.source.name if isinstance(server.preview, LivePreview) else "",
                notes=server.preview.session.material.track.notes if isinstance(server.preview, SongPreview) else (),
            )
            try:
                asyncio.run(_serve(server, listener, room, lambda: ready(address), stop))
            finally:
                if server.outputs is not None:
                    server.outputs.close()


def _listener(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return bound_socket(host, port)
    try:
        return bound_socket(host, USUAL_PORT)
    except OutputError:
        return bound_socket(host, 0)


async def _serve(
    server: Server, listener: socket.socket, room: WaitingRoom, ready: Callable[[], None], stop: Callable[[], bool]
) -> None:
    runner = web.AppRunner(server.application(), access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows and threads know no such handlers; there Ctrl-C interrupts as ever
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, ending.set)
    try:
        await asyncio.get_running_loop().run_in_executor(None, room.close)
        await web.SockSite(runner, listener).start()
        ready()
        while not ending.is_set() and not stop():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ending.wait()
    finally:
        await runner.cleanup()
