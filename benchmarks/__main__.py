"""Print the figures that README quotes, measured in this run on this machine.

    python -m benchmarks [job|core|...] [options]

Without a name: `job`, the stages of the whole way from the song that ships to its clip. `--help` behind a name says more.
Ratios of one run matter more than absolute figures: machines are noisy.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def main(arguments: list[str]) -> None:
    """Run the benchmark that the first argument names."""
    # what else stands here only serves them
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
