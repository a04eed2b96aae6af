"""Run a studio: open the project, listen, and serve until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from reactive.errors import OutputError
from reactive.live.web.addresses import local_url, network_urls
from reactive.live.web.listening import bound_socket
from reactive.live.web.security import Gate, is_loopback, kept_key
from reactive.studio import renders
from reactive.studio.preview import PreviewProcess
from reactive.studio.server import StudioServer

DEFAULT_PORT = 7374


@dataclass(frozen=True)
class StudioAddress:
    """The addresses of a studio: on this machine (`here`), and in its networks (`more`)."""

    here: str
    more: tuple[str, ...]
    host: str
    port: int


def studio(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    keys: Path | None = None,
    keep_rendering: bool = True,
    ready: Callable[[StudioAddress], None] = lambda address: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a studio until SIGINT or SIGTERM.

    Parameters
    ----------
    folder
        The project's folder; a project is created if there is none.
    host, port
        Where to listen; port 0 means any free one, None the default one if it is free, else any.
    keys
        Folder of the cookie's key. Default: the user's state folder.
    keep_rendering
        Whether renders continue when the studio ends; otherwise they pause, and resume with the next start.
    ready
        Called when the page can be opened.
    stop
        Called ten times a second; returns whether to end.

    Raises
    ------
    ReactiveError
        If the folder can't be used, or the server can't listen at the address.
    """
    folder = folder.absolute()
    with contextlib.closing(_listener(host, port)) as listener:
        bound = int(listener.getsockname()[1])
        if keys is None:
            import platformdirs

            keys = platformdirs.user_state_path("reactive")
        gate = Gate(host, bound, key=kept_key(keys, bound), frames=True)
        here = f"{local_url(host, bound)}/#{gate.token}"
        others = () if is_loopback(host) else tuple(f"{url}/#{gate.token}" for url in network_urls(host, bound))
        preview = PreviewProcess(host, bound)
        server = StudioServer(gate, folder, preview.open)
        try:
            address = StudioAddress(here, others, host, bound)
            asyncio.run(_serve(server, listener, lambda: ready(address), stop))
        finally:
            preview.close()
            if not keep_rendering:
                for render in renders.list_renders(folder):
                    if render.state == "running":
                        # "wait" leaves the render in the queue, so that it resumes with the next start
                        renders.stop_file(folder, render.id).write_text("wait")


def _listener(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return bound_socket(host, port)
    try:
        return bound_socket(host, DEFAULT_PORT)
    except OutputError:
        return bound_socket(host, 0)


async def _serve(
    server: StudioServer, listener: socket.socket, ready: Callable[[], None], stop: Callable[[], bool]
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
        await web.SockSite(runner, listener).start()
        ready()
        while not ending.is_set() and not stop():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ending.wait()
    finally:
        await runner.cleanup()
