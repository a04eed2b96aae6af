"""How well rhythm is heard: `python -m benchmarks rhythm [--pieces WORD] [--seconds N] [--without-librosa]`.

Renders pieces of known beats (see `pieces`), hears each, and compares by mir_eval; beside it plain
`librosa.beat.beat_track` on the same audio. What is missing on this machine is said; nothing is installed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks.pieces import gather, missing, render

COLUMNS = ("F", "CMLt", "AMLt", "down F", "kick F", "snare F", "bias ms", "librosa F", "CMLt", "AMLt")
KICKS, SNARES, DRUMS = (35, 36), (37, 38, 39, 40), 9
# beats before this moment do not count, as is usual
TRIM = 5.0


def scores(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Return F-measure, CMLt and AMLt of beats."""
    import mir_eval

    truth, found = (mir_eval.beat.trim_beats(np.asarray(times, float), TRIM) for times in (truth, found))
    if len(truth) < 2:
        return float("nan"), float("nan"), float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, correct, _, any_level = mir_eval.beat.continuity(truth, found)
        return mir_eval.beat.f_measure(truth, found), correct, any_level


def onset_f(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the F-measure of onsets within 50 ms; nan where fewer than five are played."""
    import mir_eval

    truth = np.unique(np.round(truth, 3))
    if len(truth) < 5:
        return float("nan")
    return float(mir_eval.onset.f_measure(truth, found)[0]) if len(found) else 0.0


def bias_ms(truth: np.ndarray, found: np.ndarray) -> float:
    """Return by how many ms beats within 70 ms of the truth lie late, in the median."""
    if not len(truth) or not len(found):
        return float("nan")
    nearest = truth[np.abs(found[:, None] - truth[None]).argmin(axis=1)]
    late = (found - nearest)[np.abs(found - nearest) < 0.07]
    return 1000 * float(np.median(late)) if len(late) else float("nan")


def plain_librosa(path: Path) -> np.ndarray:
    """Return the beats that librosa finds by its defaults."""
    import librosa

    sound, rate = librosa.load(path)
    return np.asarray(librosa.beat.beat_track(y=sound, sr=rate, units="time")[1])


def measure(midi: bytes, folder: Path, *, seconds: float, librosa_too: bool) -> tuple[list[float], float]:
    """Return the columns of one piece and the seconds that hearing took for each second of sound."""
    from reactive.audio.analysis import analyze
    from reactive.media.midi import parse_midi
    from reactive.media.sound import open_track

    known = parse_midi(midi)
    path = folder / "piece.wav"
    render(midi, path, seconds=seconds)
    began = time.perf_counter()
    heard = analyze(open_track(path))
    took = time.perf_counter() - began
    first, last = known.notes[0, 0] - 0.07, min(known.notes[-1, 0] + 0.07, seconds)
    beats, bars = (marks[(marks >= first) & (marks <= last)] for marks in (known.beats, known.downbeats))
    drums = known.notes[(known.notes[:, 3] == DRUMS) & (known.notes[:, 0] < last)]
    row = [*scores(beats, heard.beats), scores(bars, heard.downbeats)[0]]
    for role, pitches in (("kick", KICKS), ("snare", SNARES)):
        found = heard.onsets[role].times if role in heard.onsets else np.zeros(0)
        row.append(onset_f(drums[np.isin(drums[:, 1], pitches), 0], found))
    row.append(bias_ms(beats, heard.beats))
    row += scores(beats, plain_librosa(path)) if librosa_too else [float("nan")] * 3
    return row, took / heard.duration


def table(names: list[str], rows: np.ndarray) -> str:
    """Return the table as text, a line a piece."""
    lines = [f"{'piece':<34}" + "".join(f"{name:>10}" for name in COLUMNS)]
    lines += [f"{name:<34}" + "".join(_cell(value) for value in row) for name, row in zip(names, rows, strict=True)]
    return "\n".join(lines)


def _cell(value: float) -> str:
    return f"{'-':>10}" if np.isnan(value) else f"{value:>10.3f}" if abs(value) <= 1 else f"{value:>10.1f}"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks rhythm", description=__doc__)
    parser.add_argument("--pieces", default="", help="only pieces whose names hold this word")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each piece (default: 120)")
    parser.add_argument("--split", choices=["held-out", "tuned", "both"], default="held-out")
    parser.add_argument("--without-librosa", action="store_true", help="leave plain librosa out, which takes longest")
    parser.add_argument(
        "--export", type=Path, metavar="FOLDER", help="write the MIDI that may be learnt from, and stop"
    )
    given = parser.parse_args(arguments)
    if lacking := missing():
        sys.exit("missing: " + "; ".join(lacking))
    pieces = gather()
    if given.export:
        given.export.mkdir(parents=True, exist_ok=True)
        for piece in pieces:
            if not piece.held_out:
                (given.export / f"{piece.name.replace(' ', '-')}.mid").write_bytes(piece.midi)
        return
    wanted = {"held-out": (True,), "tuned": (False,), "both": (True, False)}[given.split]
    pieces = [piece for piece in pieces if piece.held_out in wanted and given.pieces in piece.name]
    names: list[str] = []
    rows: list[list[float]] = []
    paces: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for piece in pieces:
            row, pace = measure(piece.midi, Path(folder), seconds=given.seconds, librosa_too=not given.without_librosa)
            names.append(piece.name)
            rows.append(row)
            paces.append(pace)
            print(table([piece.name], np.array([row])).splitlines()[1], flush=True)
    values = np.array(rows)
    print("\n" + table([], values[:0]))
    for kind in sorted({name.split()[0] for name in names}):
        of_kind = np.array([name.startswith(kind) for name in names])
        print(_mean_line(f"{kind}, {of_kind.sum()} pieces", values[of_kind]))
    print(_mean_line(f"all {len(names)} pieces, {given.split}", values))
    print(f"hearing took {np.mean(paces):.4f} s a second of sound")


def _mean_line(name: str, rows: np.ndarray) -> str:
    with warnings.catch_warnings():
        # a column of nothing has no mean
        warnings.simplefilter("ignore")
        return f"{name:<34}" + "".join(_cell(value) for value in np.nanmean(rows, axis=0))
