"""What a program may be started without: stdin, stdout and stderr, and the time to load before Ctrl-C. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

STOPPED = 130


def answer_early() -> None:
    """Until the program is loaded, let Ctrl-C end it by one line; only where this process is the program itself."""
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    if name not in ("reactive", "reactive.exe", "-m", "__main__.py"):
        return
    with contextlib.suppress(ValueError):
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)


def loaded() -> None:
    """Let Ctrl-C be an exception again, which cleans up on its way."""
    with contextlib.suppress(ValueError):
        if signal.getsignal(signal.SIGINT) is _leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: Any) -> None:
    del number, frame
    with contextlib.suppress(OSError):
        os.write(2, b"Stopped; nothing was left behind.\n")
    os._exit(STOPPED)


def open_closed() -> None:
    """Open what was closed when the program began, to nowhere: who closes a stream does not want to read it.

    Otherwise the next file that is opened takes the stream's number, and whatever a library prints goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number is the closed one's
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
