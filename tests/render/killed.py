"""Renders in a process of their own that gets a signal at a moment counted in calls, never in seconds.

A new process is started because threads of the test process would not survive a fork.

    python -m tests.render.killed command WHAT COUNT SIGNAL ARGUMENT...   the command line
    python -m tests.render.killed cases FILE                              many renders, each in a fork: see `killed_cases`
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def killed_cases(cases: Sequence[tuple[str, int, Path]], song: Path, settings: Any, work: Path) -> list[int]:
    """Render a song once for each case (kind of call, number of the call, clip); return how each process ended."""
    told = work / "cases.pickle"
    told.write_bytes(pickle.dumps((cases, song, settings)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.render.killed", "cases", str(told)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(status) for status in done.stdout.split()]


def signalled(what: str, count: int, number: int, *arguments: str) -> tuple[int, str]:
    """Run the command line and send it a signal at a call; return its exit code and output."""
    command = [sys.executable, "-m", "tests.render.killed", "command", what, str(count), str(number), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stderr


def _signal_at(what: str, count: int, number: int) -> None:
    """Send this process a signal at the `count`-th call of a kind."""
    # a process started in the background ignores Ctrl-C by default
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from reactive.diffusion.core import Core
    from reactive.render.store.journal import Journal
    from reactive.video.segment import SegmentEncoder

    owner: Any
    owner, name = {
        "imagine": (Core, "imagine"),
        "replace": (os, "replace"),
        "fsync": (os, "fsync"),
        "append": (Journal, "append"),
        "write": (SegmentEncoder, "write"),
    }[what]
    original = getattr(owner, name)
    left = count

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    setattr(owner, name, counting)


def _cases(file: Path) -> None:
    cases, song, settings = pickle.loads(file.read_bytes())
    import torch

    from reactive import load_model, make_clip

    torch.set_num_threads(1)
    # models are loaded once and inherited by each fork
    load_model(settings.model.name, device="cpu", steps=1)
    for what, count, out in cases:
        pid = os.fork()
        if pid == 0:
            try:
                _signal_at(what, count, signal.SIGKILL)
                make_clip(song, out, settings)
            finally:
                os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "cases":
        _cases(Path(sys.argv[2]))
    else:
        from reactive.cli import main

        _signal_at(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        main(sys.argv[5:], prog_name="reactive")
