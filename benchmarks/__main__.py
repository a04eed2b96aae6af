"""Measure the figures that the README quotes, on this machine.

    python -m benchmarks [job|core|...] [options]

Without a name: `job`, all stages from the bundled song to its clip. `NAME --help` explains a benchmark.
Compare ratios within one run rather than absolute figures: machines are noisy.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def main(arguments: list[str]) -> None:
    """Run the benchmark that the first argument names."""
    # the other modules of this folder are helpers
    names = sorted(file.stem for file in HERE.glob("[!_]*.py") if "\ndef main(" in file.read_text(encoding="utf-8"))
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{__doc__}\nBenchmarks: {', '.join(names)}")
        return
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "job"
    if name not in names:
        sys.exit(f"there is no benchmark {name}; there are {', '.join(names)}")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import_module(f"benchmarks.{name}").main(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
