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
from reactive.live.material import Options, gather
from reactive.live.security import Gate, is_loopback, kept_key
from reactive.live.server import Server, bound_socket
from reactive.live.session import Session

USUAL_PORT = 7373


@dataclass(frozen=True)
class Address:
    """Where a preview is reached: `url` opens the page; `open` says whether other machines can reach it."""

    url: str
    host: str
    port: int
    open: bool


def preview(
    song: str | os.PathLike[str],
    options: Options,
    *,
    others: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    takes: Path = Path(),
    keys: Path | None = None,
    ready: Callable[[Address], None] = lambda address: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a preview until SIGINT or SIGTERM.

    Parameters
    ----------
    song, options
        What is shown.
    others
        Presets beside the first one, to fade to.
    host, port
        Where to listen; port 0 means any free one, None the usual one if it is free. What a browser keeps for the page
        (MIDI controls, the screen's delay) belongs to its port, and a page finds a server again only where it was.
    takes
        Folder in which takes are saved.
    keys
        Folder in which the cookie's key is kept from one start to the next. Default: the user's state folder.
    ready
        Called once the page can be opened.
    stop
        Asked ten times a second whether to end.

    Raises
    ------
    ReactiveError
        For anything that is wrong with what was given.
    """
    # a port that is taken is said at once, not after seconds of hearing and loading
    with contextlib.closing(_listener(host, port)) as listener:
        bound = int(listener.getsockname()[1])
        if keys is None:
            import platformdirs

            keys = platformdirs.user_state_path("reactive")
        gate = Gate(host, bound, key=kept_key(keys, bound))
        server: Server | None = None

        def made(frames: list[int]) -> None:
            if server is not None:
                server.made(frames)

        session = Session(gather(song, options), made, (options.preset, *others))
        server = Server(session, gate, takes)
        shown = f"[{host}]" if ":" in host else {"0.0.0.0": "127.0.0.1", "": "127.0.0.1"}.get(host, host)
        address = Address(f"http://{shown}:{bound}/#{gate.token}", host, bound, not is_loopback(host))
        asyncio.run(_serve(server, listener, lambda: ready(address), stop))


def _listener(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return bound_socket(host, port)
    try:
        return bound_socket(host, USUAL_PORT)
    except OutputError:
        return bound_socket(host, 0)


async def _serve(server: Server, listener: object, ready: Callable[[], None], stop: Callable[[], bool]) -> None:
    runner = web.AppRunner(server.application(), access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows and threads know no such handlers; there Ctrl-C interrupts as ever
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, ending.set)
    try:
        await web.SockSite(runner, listener).start()  # type: ignore[arg-type]
        ready()
        while not ending.is_set() and not stop():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ending.wait()
    finally:
        await runner.cleanup()
