"""What a program may be started without: stdin, stdout and stderr. Imports nothing heavy."""

from __future__ import annotations

import os
import sys


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
