"""Run a preview: load everything, listen, and serve until it is stopped."""

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

from reactive.errors import ModelError, OutputError
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
from reactive.live.web.login import PAGES, RequestGuard
from reactive.live.web.mjpeg import PATH as MJPEG
from reactive.live.web.security import Gate, PerAddress, is_loopback, kept_key
from reactive.live.web.server import LOGIN_BURST, LOGINS, Preview, Server
from reactive.live.web.song_preview import SongPreview
from reactive.live.web.waiting import WaitingRoom
from reactive.timeline.loras import split_lora, varies

NO_EXTERNAL_IO = ExternalIOOptions()

DEFAULT_PORT = 7373


@dataclass(frozen=True)
class Address:
    """The addresses of a preview.

    Attributes
    ----------
    url
        Opens the page, also from other machines if they can reach it.
    here
        Opens the page in a browser of this machine.
    more
        Further addresses for other machines, if this one has several networks.
    host, port
        The address at which it listens.
    open
        Whether other machines can reach it.
    mjpeg
        The address for programs that mix video, or an empty text.
    osc
        The port that receives OSC, or None.
    input
        The name of the live input, or an empty text.
    notes
        Sentences for the user: about the song's file, or about a preset's features that a live input does not support.
    remote, look
        The addresses of the remote control for phones, and of what can only look.
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
    remote: str = ""
    look: str = ""


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
    framed_by: int | None = None,
    begun: Callable[[str], None] = lambda url: None,
    doing: Callable[[str], None] = lambda what: None,
    ready: Callable[[Address], None] = lambda address: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a preview of a song until SIGINT or SIGTERM.

    Parameters
    ----------
    song, options
        A song's file or a set list (`setlist.toml`), and the settings.
    others
        Further presets, to fade to.
    host, port
        Where to listen; port 0 means any free one, None the default one if it is free, else any. A browser stores the page's data (MIDI
        controls, the screen's delay) by port, and an open page reconnects to the same port only.
    takes
        Folder in which takes are saved.
    keys
        Folder of the cookie's key, which is kept between starts. Default: the user's state folder.
    io_options
        OSC, MIDI, MJPEG, and the page's keys.
    framed_by
        A port of this machine whose page may show this one in a frame.
    begun
        Called with the page's address on this machine as soon as it can be opened; the page shows the progress of loading.
    doing
        Called with a description of each step until the preview is ready.
    ready
        Called when the preview is ready.
    stop
        Called ten times a second; returns whether to end.

    Raises
    ------
    ReactiveError
        If an input can't be used.
    """

    def make(gate: Gate, external_io: ExternalIO, say: Callable[[str], None]) -> Server:
        server = Server(gate, external_io=external_io, key_map=io_options.keys)
        path = Path(song)
        songs = read_set_list(path, options, others) if is_set_list(path) else single(path, options, others)
        playlist = Playlist(songs, lambda frames: server.made())
        try:
            server.preview = SongPreview(server, playlist, playlist.first(say), takes)
        except BaseException:
            playlist.close()
            raise
        return server

    _preview(make, SongPreview.index, host, port, keys, io_options, framed_by, begun, doing, ready, stop)


def preview_input(
    open_source: Callable[[], SoundInput],
    options: PreviewOptions,
    *,
    others: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    keys: Path | None = None,
    io_options: ExternalIOOptions = NO_EXTERNAL_IO,
    framed_by: int | None = None,
    begun: Callable[[str], None] = lambda url: None,
    doing: Callable[[str], None] = lambda what: None,
    ready: Callable[[Address], None] = lambda address: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a preview of a live input until SIGINT or SIGTERM; other parameters as in `preview`.

    Parameters
    ----------
    open_source
        Opens the input; called before the model is loaded, so that errors are reported at once.

    Raises
    ------
    ReactiveError
        If an input can't be used.
    """

    for text in options.model.loras:
        if varies(split_lora(text)[1]):
            raise ModelError(
                "its strength can't follow a live input", where=f"--lora {text}", remedy="give a number as its strength"
            )

    def make(gate: Gate, external_io: ExternalIO, say: Callable[[str], None]) -> Server:
        say("opening the input")
        source = open_source()
        server = Server(gate, external_io=external_io, key_map=io_options.keys)
        try:
            session = LiveSession(load_studio(options, say), source, server.made, (options.preset, *others))
        except BaseException:
            source.close()
            raise
        server.preview = LivePreview(server, session)
        return server

    _preview(make, LivePreview.index, host, port, keys, io_options, framed_by, begun, doing, ready, stop)


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
    framed_by: int | None,
    begun: Callable[[str], None],
    doing: Callable[[str], None],
    ready: Callable[[Address], None],
    stop: Callable[[], bool],
) -> None:
    # listen first: an error about the port must be reported at once, not after seconds of analysis and loading
    with (
        contextlib.closing(_listener(host, port)) as listener,
        contextlib.closing(ExternalIO(io_options)) as external_io,
    ):
        bound = int(listener.getsockname()[1])
        if keys is None:
            import platformdirs

            keys = platformdirs.user_state_path("reactive")
        gate = Gate(host, bound, key=kept_key(keys, bound), framed_by=framed_by)
        here, others = local_url(host, bound), () if is_loopback(host) else network_urls(host, bound)
        # the network address also works on this machine, but browsers allow more features on localhost
        reached = others[0] if others else here
        with WaitingRoom(RequestGuard(gate, index, PerAddress(LOGINS, LOGIN_BURST), {}, PAGES), listener) as room:

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
                notes=_notes(server.preview),
                remote=f"{reached}/remote#{gate.token}",
                look=f"{reached}/look#{gate.look_token}",
            )
            try:
                asyncio.run(_serve(server, listener, room, lambda: ready(address), stop))
            finally:
                if server.outputs is not None:
                    server.outputs.close()


def _notes(shown: Preview) -> tuple[str, ...]:
    """Return the preview's sentences for the user."""
    if isinstance(shown, SongPreview):
        return shown.session.material.track.notes
    return shown.session.notes if isinstance(shown, LivePreview) else ()


def _listener(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return bound_socket(host, port)
    try:
        return bound_socket(host, DEFAULT_PORT)
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
        # on Windows and in other threads handlers can't be set; there Ctrl-C raises KeyboardInterrupt
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
