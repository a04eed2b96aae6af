"""The lease of a job: which run works on it. It is renewed meanwhile, for folders that several machines share.

On one machine the operating system's lock decides. Across machines the lease decides: a run that wants the job of
another machine watches that machine's lease for a while. Only whether it changes counts, never a clock, since clocks of machines
and file servers differ and jump.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from reactive.errors import OutputError
from reactive.files import write_text

# seconds between renewals, and without one after which a lease counts as dead
RENEWED = 5.0
WATCHED = 20.0
NAME = "lease"


@dataclass(frozen=True)
class LeaseHolder:
    """The contents of a lease: machine, process, owner, and how often it was renewed."""

    host: str
    process: int
    owner: str
    turn: int

    def __str__(self) -> str:
        """Return the holder in words."""
        return f"{self.host}, process {self.process}"


def lease_of(folder: Path) -> LeaseHolder | None:
    """Return the contents of a job's lease; None if there is none that can be read."""
    try:
        record = json.loads((folder / NAME).read_text())
        return LeaseHolder(
            str(record["host"]), int(record["process"]), str(record.get("owner", "")), int(record.get("turn", 0))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Lease:
    """A lease, held until it is closed.

    Raises
    ------
    OutputError
        If another machine renews it.
    OSError
        If it can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = secrets.token_hex(8)
        self.turn = 0
        self.taken: LeaseHolder | None = None
        held = lease_of(folder)
        if held is not None and held.host != socket.gethostname() and _alive(folder, held):
            raise OutputError(
                f"is being rendered by another machine ({held})",
                where=str(folder),
                remedy="wait until it is done, or choose another clip with -o",
            )
        self._renew()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check that nobody has taken the job over.

        Raises
        ------
        OutputError
            If another run has, because this one did not renew its lease.
        """
        if self.taken is not None:
            raise OutputError(
                f"was taken over by another run ({self.taken})",
                where=str(self.folder),
                remedy="it goes on there; nothing is lost",
            )

    def close(self) -> None:
        """Release it."""
        self._stop.set()
        self._thread.join()
        if self.taken is None:
            (self.folder / NAME).unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._stop.wait(RENEWED):
            held = lease_of(self.folder)
            if held is not None and held.owner != self.owner:
                self.taken = held
                return
            # a full or lost disk is reported by whoever writes to it
            with contextlib.suppress(OSError):
                self._renew()

    def _renew(self) -> None:
        self.turn += 1
        record = {"host": socket.gethostname(), "process": os.getpid(), "owner": self.owner, "turn": self.turn}
        write_text(self.folder / NAME, json.dumps(record))


def _alive(folder: Path, held: LeaseHolder) -> bool:
    """Return whether a lease is renewed while it is watched."""
    until = time.monotonic() + WATCHED
    while time.monotonic() < until:
        time.sleep(min(1.0, RENEWED / 2))
        now = lease_of(folder)
        if now is None:
            return False
        if now != held:
            return True
    return False
