"""Ctrl-C while the program is still being loaded ends it by one line. Imports only what Python has loaded by itself already.

Before this is reached, while Python itself starts (some hundredths of a second), nothing can be done.
"""

# not `signal`, which would load a dozen modules, in which an interruption is a traceback
import _signal
import os
import sys

STOPPED = 130
_PROGRAMS = ("reactive", "reactive.exe", "-m", "__main__.py")


def answer_early() -> None:
    """Until the program is loaded, let Ctrl-C end it by one line; only where this process is the program itself."""
    name = os.path.basename(sys.argv[0] if getattr(sys, "argv", None) else "")
    if name not in _PROGRAMS:
        return
    try:
        if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
            _signal.signal(_signal.SIGINT, _leave)
    except ValueError:
        # only the main thread may
        return


def loaded() -> None:
    """Let Ctrl-C be an exception again, which cleans up on its way."""
    try:
        if _signal.getsignal(_signal.SIGINT) is _leave:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    except ValueError:
        return


def _leave(number: int, frame: object) -> None:
    del number, frame
    try:
        os.write(2, b"Stopped; nothing was left behind.\n")
    except OSError:
        # nobody reads it; contextlib may not be loaded yet
        os._exit(STOPPED)
    os._exit(STOPPED)
