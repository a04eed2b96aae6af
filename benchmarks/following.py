"""How well the beat of music that is still being played is followed: `python -m benchmarks following --hearing FOLDER`.

Renders pieces of known beats as `python -m benchmarks rhythm` does, plays each to `reactive.audio.causal` in blocks, and compares the
beats as they are told, after a warm-up, with the truth and with what hearing the whole piece finds. Beside it the same by onset
strength alone. A change of level is a leap of the tempo by more than a fifth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.beat_scores import beat_scores
from benchmarks.ear_pieces import Known, render_split
from benchmarks.rhythm import lacking
from reactive.audio.causal import OnlineAnalyzer

COLUMNS = ("F", "CMLt", "AMLt", "down F", "F offline", "changes/min", "by onsets: F", "CMLt", "AMLt", "down F")
WARM_UP, BLOCK = 3.0, 512
LEAP = 0.2


def follow(path: Path, *, network: bool = True) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return beats and "ones" as they were told, changes of level a minute after the warm-up, and seconds taken a second of sound."""
    sound, rate = soundfile.read(path, dtype="float32")
    began = time.process_time()
    analyzer = OnlineAnalyzer(rate, network=network)
    rows = [row for first in range(0, len(sound), BLOCK) for row in analyzer.feed(sound[first : first + BLOCK])]
    took = (time.process_time() - began) * rate / len(sound)
    known = np.array([row.known_at for row in rows])
    beats, bars, tempo, heard = (
        np.array([getattr(row.position, name) for row in rows]) for name in ("beats", "bars", "tempo", "heard")
    )
    crossed = (np.floor(beats[1:]) > np.floor(beats[:-1])) & heard[1:]
    one = crossed & (np.round(bars[1:] * 4).astype(int) % 4 == 0)
    steady = known > WARM_UP
    # a tempo that glides counts by where it comes to rest
    leaps, last = 0, 0.0
    for value in tempo[steady & heard][:: round(0.5 / (known[1] - known[0]))]:
        if last and abs(np.log(value / last)) > LEAP:
            leaps += 1
            last = 0.0
        last = last or float(value)
    return known[1:][crossed], known[1:][one], leaps / max((known[-1] - WARM_UP) / 60, 1e-9), took


def row_of(piece: Known) -> tuple[list[float], float]:
    """Return the columns of one piece, and the seconds that following took for each second of sound."""
    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track

    def late(times: np.ndarray) -> np.ndarray:
        return times[times > WARM_UP]

    whole = analyze(open_track(piece.path)).beats
    row: list[float] = []
    pace = 0.0
    for network in (True, False):
        beats, ones, changes, took = follow(piece.path, network=network)
        row += [*beat_scores(late(piece.beats), late(beats)), beat_scores(late(piece.downbeats), late(ones))[0]]
        if network:
            row += [beat_scores(late(whole), late(beats))[0], changes]
            pace = took
    return row, pace


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks following", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hearing", type=Path, help="the folder of scores that ear_split.tsv names")
    parser.add_argument("--pieces", default="", help="only pieces whose kind or name holds this word")
    parser.add_argument("--seconds", type=float, default=100.0, help="of each piece (default: 100)")
    parser.add_argument("--renders", type=Path, help="keep the rendered sound in this folder for the next time")
    given = parser.parse_args(arguments)
    if found := lacking("validation", given.hearing):
        sys.exit("missing: " + "; ".join(found))
    table: dict[str, list[list[float]]] = {}
    paces = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.renders or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'':<44}" + "".join(f"{name:>13}" for name in COLUMNS))
        for piece in render_split("validation", given.hearing, folder, seconds=given.seconds, word=given.pieces):
            row, pace = row_of(piece)
            paces.append(pace)
            table.setdefault(piece.kind, []).append(row)
            print(_line(f"{piece.kind}: {piece.name}", row), flush=True)
    if not table:
        sys.exit(f"no piece of the split validation has {given.pieces!r} in its name")
    print()
    for kind, rows in sorted(table.items()):
        print(_line(f"{kind}, {len(rows)} pieces", np.nanmean(rows, axis=0).tolist()))
    every = [row for rows in table.values() for row in rows]
    print(_line(f"all, {len(every)} pieces", np.nanmean(every, axis=0).tolist()))
    print(f"following took {np.mean(paces):.3f} s of one core a second of sound")


def _line(name: str, row: list[float]) -> str:
    return f"{name[:43]:<44}" + "".join(f"{value:>13.2f}" for value in row)


if __name__ == "__main__":
    main()
