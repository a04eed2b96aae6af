"""Accuracy of beats, downbeats and drums.

    python -m benchmarks rhythm --hearing FOLDER [--split validation] [--weights FILE] [--others NAME ...]

Renders pieces with known beats (`ear_pieces`), analyses each, and scores with mir_eval: means by kind, 95 % bootstrap
intervals over pieces, and the shares of pieces heard on a wrong metrical level, off the beat, or with the downbeat on a wrong
beat; also for librosa, and for madmom and Beat This! if they are installed. For the first two splits `--hearing` names the
folder of scores that `ear_split.tsv` lists; `debian` and `tuned` are pieces of Debian's packages. Missing tools are listed;
nothing is installed.

The split `held-out` may be measured three times, with `--use "purpose"`; each use is recorded in `ear_log.md`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.beat_scores import beat_scores, bias_ms, interval, misheard, onset_f
from benchmarks.ear_pieces import Known, render_debian, render_split
from benchmarks.ear_split import log_use, named, require_use
from benchmarks.other_ears import hear_by, installed
from benchmarks.pieces import missing, missing_tools

COLUMNS = ("F", "CMLt", "AMLt", "down F", "bias ms", "level", "off", "one", "kick F", "snare F")
# Debian's packages of the pieces
PACKAGES = {"freedoom": "freedoom", "hydrogen": "hydrogen-data", "openmsx": "openttd-openmsx"}
# difference in F above which a piece counts as better
MARGIN = 1e-9


@dataclass(frozen=True)
class Ear:
    """A program's results: a row of `COLUMNS` for each piece."""

    name: str
    rows: np.ndarray


def row_of(piece: Known, beats: np.ndarray, downbeats: np.ndarray) -> list[float]:
    """Return the columns of one piece; those of drums are nan."""
    level, phase, downbeat = misheard(piece.beats, piece.downbeats, beats, downbeats)
    row = [*beat_scores(piece.beats, beats), beat_scores(piece.downbeats, downbeats)[0], bias_ms(piece.beats, beats)]
    return [*row, float(level), float(phase), float(downbeat), float("nan"), float("nan")]


def own_ear(pieces: list[Known]) -> tuple[Ear, float]:
    """Return the results of `reactive`, and its analysis time in seconds for each second of sound."""
    from reactive.audio.analysis import analyze
    from reactive.media.sound import open_track

    rows, paces = [], []
    for piece in pieces:
        began = time.perf_counter()
        heard = analyze(open_track(piece.path))
        paces.append((time.perf_counter() - began) / heard.duration)
        row = row_of(piece, heard.beats, heard.downbeats)
        for column, role, truth in ((-2, "kick", piece.kicks), (-1, "snare", piece.snares)):
            if truth is not None:
                row[column] = onset_f(truth, heard.onsets[role].times)
        rows.append(row)
        print(_line(f"{piece.kind}: {piece.name}"[:44], np.array(row)), flush=True)
    return Ear("reactive", np.array(rows)), float(np.mean(paces))


def other_ear(name: str, pieces: list[Known], python: str) -> Ear:
    """Return another program's results."""
    heard = hear_by(name, [piece.path for piece in pieces], python)
    return Ear(name, np.array([row_of(piece, *found) for piece, found in zip(pieces, heard, strict=True)]))


def report(pieces: list[Known], ears: list[Ear]) -> str:
    """Return the tables as text: for each kind and for all pieces, one line a program."""
    kinds = np.array([piece.kind for piece in pieces])
    lines = [f"{'':<44}" + "".join(f"{name:>9}" for name in COLUMNS)]
    for kind in [*sorted(set(kinds)), "all"]:
        selected = np.ones(len(kinds), bool) if kind == "all" else kinds == kind
        for ear in ears:
            with warnings.catch_warnings():
                # columns without values give a warning
                warnings.simplefilter("ignore")
                lines.append(
                    _line(f"{kind}, {selected.sum()} pieces: {ear.name}", np.nanmean(ear.rows[selected], axis=0))
                )
    lines.append("95 % intervals of the means over all pieces:")
    for ear in ears:
        spans = [interval(ear.rows[:, column]) for column in range(4)]
        text = ", ".join(f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in zip(COLUMNS, spans, strict=False))
        lines.append(f"  {ear.name}: {text}")
    own = ears[0].rows[:, 0]
    for ear in ears[1:]:
        better = float(np.mean(own > ear.rows[:, 0] + MARGIN))
        lines.append(f"{ears[0].name} has the higher F than {ear.name} on {better:.0%} of the pieces")
    return "\n".join(lines)


def _line(name: str, row: np.ndarray) -> str:
    return f"{name:<44}" + "".join(
        f"{'-':>9}" if np.isnan(x) else f"{x:>9.3f}" if abs(x) <= 1 else f"{x:>9.1f}" for x in row
    )


def lacking(split: str, hearing: Path | None) -> list[str]:
    """Return what this machine lacks for rendering a split."""
    if split in ("debian", "tuned"):
        return missing()
    from benchmarks.pieces import SOUNDFONT, gather

    found = missing_tools(SOUNDFONT)
    if hearing is None or not (hearing / "pop909").is_dir():
        found.append("the folder of scores (--hearing FOLDER, with pop909, groove, ... in it)")
    if not shutil.which("openmpt123"):
        found.append("openmpt123 (Debian: apt-get install openmpt123)")
    have = {piece.name for piece in gather()}
    lost = {piece.name.split()[0] for piece in named(split) if piece.source == "debian" and piece.name not in have}
    found += [f"pieces of {name} (Debian: apt-get install {PACKAGES[name]})" for name in sorted(lost)]
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks rhythm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--split", choices=["validation", "held-out", "debian", "tuned"], default="validation")
    parser.add_argument("--hearing", type=Path, help="the folder of scores that ear_split.tsv names")
    parser.add_argument("--use", help="purpose of using the held-out split, for its log")
    parser.add_argument("--pieces", default="", help="only pieces whose kind or name contains this word")
    parser.add_argument("--seconds", type=float, default=100.0, help="of each piece (default: 100)")
    parser.add_argument("--weights", type=Path, help="of one rhythm network, alone (default: both that ship)")
    parser.add_argument(
        "--others",
        nargs="*",
        default=["librosa", "madmom"],
        metavar="NAME",
        help="librosa, madmom, beat-this=CHECKPOINT",
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter in which the others are installed")
    parser.add_argument("--renders", type=Path, help="keep the rendered sound in this folder and reuse it")
    parser.add_argument("--json", type=Path, help="write every piece's figures to this file")
    options = parser.parse_args(arguments)
    if absent := lacking(options.split, options.hearing):
        sys.exit("missing: " + "; ".join(absent))
    if options.split == "held-out":
        require_use(options.use)
    if options.weights:
        from reactive.audio import network

        network.NETWORKS = ((options.weights, 1.0),)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.renders or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if options.split in ("debian", "tuned"):
            found = render_debian([options.split == "debian"], folder, seconds=options.seconds, word=options.pieces)
        else:
            found = render_split(options.split, options.hearing, folder, seconds=options.seconds, word=options.pieces)
        pieces = list(found)
        if not pieces:
            sys.exit(f"no piece of the split {options.split} has {options.pieces!r} in its name")
        own, pace = own_ear(pieces)
        ears = [own]
        for name in options.others:
            if installed(name, options.python):
                ears.append(other_ear(name, pieces, options.python))
            else:
                print(f"{name} is not installed in {options.python}: skipped")
    print("\n" + report(pieces, ears))
    print(f"hearing took {pace:.4f} s a second of sound")
    if options.split == "held-out":
        log_use(options.use, len(pieces), np.nanmean(own.rows[:, :4], axis=0).tolist())
    if options.json:
        table = [
            {"kind": piece.kind, "name": piece.name, **{ear.name: ear.rows[at].tolist() for ear in ears}}
            for at, piece in enumerate(pieces)
        ]
        options.json.write_text(json.dumps({"columns": COLUMNS, "pieces": table}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
