"""The pieces for testing and for tuning the beat tracker, listed in `ear_split.tsv`: set aside by source before training.

Splits: ``held-out`` may be measured at most three times, and each use is recorded in `ear_log.md`; ``validation`` is for
tuning without a limit; ``reserved`` has the same drummers, song books and packages as those two. Training uses none of them.
"""

from __future__ import annotations

import csv
import datetime
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SPLIT, LOG = HERE / "ear_split.tsv", HERE / "ear_log.md"
MAX_USES = 3


@dataclass(frozen=True)
class Named:
    """A piece's name; `source` is its folder, or ``debian`` for the pieces of `pieces.gather`."""

    split: str
    kind: str
    source: str
    name: str


def named(split: str | None = None) -> list[Named]:
    """Return the pieces of a split; default: all pieces."""
    with SPLIT.open(encoding="utf-8", newline="") as handle:
        every = [Named(**row) for row in csv.DictReader(handle, delimiter="\t")]
    return [piece for piece in every if split in (None, piece.split)]


def not_for_training() -> frozenset[tuple[str, str]]:
    """Return source and name of every piece that must not be used for training."""
    return frozenset((piece.source, piece.name) for piece in named())


def uses(log: Path = LOG) -> int:
    """Return how often the held-out split was measured."""
    return sum(line.startswith("| ") and line[2:3].isdigit() for line in log.read_text(encoding="utf-8").splitlines())


def require_use(purpose: str | None, log: Path = LOG) -> None:
    """Exit with a message unless the held-out split may be measured for the purpose."""
    if not purpose:
        sys.exit(f'the held-out split may be measured {MAX_USES} times only: state the purpose with --use "..."')
    if uses(log) >= MAX_USES:
        sys.exit(
            f"the held-out split has been measured {MAX_USES} times (benchmarks/ear_log.md): set a new one aside by source"
        )


def log_use(what: str, pieces: int, figures: Sequence[float], log: Path = LOG) -> None:
    """Record a use of the held-out split; `figures` are beat F, CMLt, AMLt, downbeat F."""
    cells = [str(uses(log) + 1), datetime.date.today().isoformat(), what, str(pieces), *(f"{x:.3f}" for x in figures)]
    with log.open("a", encoding="utf-8") as handle:
        handle.write(f"| {' | '.join(cells)} |\n")
