"""Measure how long a preview's picture stands still after its engine was killed: the thread that imagines ends at once."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.preview_clients import Player, connected

# seconds of playing before each crash: an engine that dies more often than five times a minute stays dead
BETWEEN = 15.0
# seconds after it in which the picture must not stand still
AFTER = 5.0


@contextlib.contextmanager
def serving(song: Path, folder: Path, **settings: Any) -> Iterator[str]:
    """Run a preview in a thread of this process, and yield its address."""
    from reactive.live.material import PreviewOptions
    from reactive.live.preview import Address, preview

    ready, ending, failed = threading.Event(), threading.Event(), []
    addresses: list[Address] = []

    def tell(address: Address) -> None:
        addresses.append(address)
        ready.set()

    def work() -> None:
        try:
            options = PreviewOptions.of(**settings)
            preview(song, options, takes=folder, port=0, keys=folder / "keys", ready=tell, stop=ending.is_set)
        except BaseException as problem:
            failed.append(problem)
            ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        ready.wait()
        if failed:
            raise failed[0]
        yield addresses[0].here
    finally:
        ending.set()
        thread.join()


def kill(engine: Any) -> threading.Thread:
    """Let the engine's thread end at its next piece of work, without any of its own code; return the thread."""

    def fatal(work: object) -> None:
        del work, engine.__dict__["_carry_out"]
        raise SystemExit

    engine.__dict__["_carry_out"] = fatal
    return engine._thread  # type: ignore[no-any-return]


async def crashes(url: str, count: int) -> tuple[list[float], list[float]]:
    """Kill the engine several times while the song plays.

    Returns
    -------
    For each time: seconds until the next picture is made, and the longest standstill at the playhead around it.
    """
    from reactive.live.engine import Engine

    engine = next(one for one in gc.get_objects() if type(one) is Engine and one._thread.is_alive())
    back, stood = [], []
    async with connected(url) as socket:
        player = Player(socket)
        await player.ready()
        await player.until_shown(0.0, playing=True)
        coming: list[float] = []
        for _ in range(count):
            await played(player, coming, BETWEEN)
            ending = kill(engine)
            while ending.is_alive():
                await played(player, coming, 0.01)
            began, made = time.monotonic(), engine._times[-1] if engine._times else None
            longest = 0.0
            while (not engine._times or engine._times[-1] == made) and time.monotonic() - began < 60:
                longest = max(longest, await played(player, coming, 0.05))
            back.append(time.monotonic() - began)
            stood.append(max(longest, await played(player, coming, AFTER)))
    return back, stood


async def played(player: Player, coming: list[float], seconds: float) -> float:
    """Play for some seconds; return the longest time without a new picture at the playhead. `coming`: received, not yet due."""
    began = changed = time.monotonic()
    longest = 0.0
    while (now := time.monotonic()) - began < seconds:
        if (song_time := await player.step()) is not None:
            coming.append(song_time)
        due = [at for at in coming if at <= player.now]
        if due:
            coming[:] = [at for at in coming if at > player.now]
            changed = now
        longest = max(longest, now - changed)
    return longest
