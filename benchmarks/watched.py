"""Run `reactive run` in this process and print its peak memory at given numbers of finished frames.

python -m benchmarks.watched 1000,15000 run song.wav ...

Prints one JSON object: the command's summary (it needs --json), the process's peak in MB, and the peak by finished frames.
`benchmarks.measure.render` uses it so that the benchmark's own memory is not counted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        # ru_maxrss may be inherited from the parent process
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def watch() -> None:
    """Run the command."""
    from click.testing import CliRunner

    import reactive.render.run as rendering
    from reactive.cli import main as command

    marks = [int(mark) for mark in sys.argv[1].split(",") if mark]
    found: dict[int, float] = {}
    make = rendering.make_clip

    def watched(song: Any, out: Any, settings: Any, *, progress: Any = None, **more: Any) -> Any:
        def report(stage: str, done: int, total: int) -> None:
            if stage == "rendering":
                for mark in marks:
                    if done >= mark and mark not in found:
                        found[mark] = peak_mb()
            if progress:
                progress(stage, done, total)

        return make(song, out, settings, progress=report, **more)

    # the command looks up make_clip when it is called
    rendering.make_clip = watched
    done = CliRunner().invoke(command, sys.argv[2:])
    if done.exit_code:
        sys.exit(done.output or str(done.exception))
    print(json.dumps({"summary": json.loads(done.stdout), "peak_mb": peak_mb(), "peak_mb_at": found}))


if __name__ == "__main__":
    watch()
