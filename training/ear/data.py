"""Make what the network learns from: bands, drummers, songs and grooves, rendered and measured, a file an excerpt.

    python -m training.ear.data --work FOLDER --hearing FOLDER [--hours N]

`--hearing` names the folder of scores (its own README tells what they are). Nothing that `benchmarks/ear_split.tsv` names is used.
Excerpts come in mixed order, are numbered (the number is the seed) and kept, so a run that was broken off goes on.

A file holds, without compression: ``mel`` uint8 [stems, t, 64] and ``chroma`` uint8 [stems, t / 4, 24], power of each stem in
half decibels (see `stored`); ``beats`` seconds, ``opens`` indices of downbeats, ``kick``, ``snare``, ``hat`` seconds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter

from benchmarks.ear_split import not_for_training
from benchmarks.pieces import gather
from reactive.audio.spectrum import RATE, fold
from training.ear import accompany
from training.ear.bands import STYLES, arranged, instrument_swapped, played
from training.ear.compose import compose
from training.ear.drummers import Groove, groove_of
from training.ear.scores import DRUMS, Score, bars_of, kept_score, score_of, sounding_part
from training.ear.sound import stems
from training.ear.spoil import through_mp3

SECONDS = 64.0
ROLES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hat": (22, 26, 42, 44, 46, 49, 51, 52, 53, 54, 55, 57, 59, 69, 70),
}
# half decibels above -110 dB
FLOOR, STEPS = -110.0, 2.0
# how many excerpts of a hundred are of each kind
SHARES = {
    "band": 33,
    "pop": 5,
    "drummers": 12,
    "sheets": 11,
    "games": 8,
    "modules": 6,
    "strings": 7,
    "classical": 4,
    "grooves": 8,
    "styles": 4,
    "none": 2,
}

# sound stems and their truth: beats, opens, drum notes [n, 5]
Made = tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]


def stored(power: np.ndarray) -> np.ndarray:
    """Return power as half decibels above -110 dB, uint8."""
    level = STEPS * (10 * np.log10(np.maximum(power, 1e-12)) - FLOOR)
    return np.clip(np.round(level), 0, 255).astype(np.uint8)


class Sources:
    """The scores by kind; `hearing` is the folder that holds them, `kept` where those that were read are kept."""

    def __init__(self, hearing: Path, kept: Path) -> None:
        self.hearing, self.kept = hearing, kept
        self.forbidden = not_for_training()

    @cache  # noqa: B019, one object a process
    def files(self, *folders: str, suffix: str = ".mid") -> list[Path]:
        """Return the files of some folders that may be learnt from."""
        every = [(folder, path) for folder in folders for path in sorted((self.hearing / folder).rglob(f"*{suffix}"))]
        return [
            path
            for folder, path in every
            if (folder, str(path.relative_to(self.hearing / folder))) not in self.forbidden
        ]

    def one(self, rng: np.random.Generator, *folders: str) -> Score:
        """Return a score of some folders, drawn at random; those that nobody would tap to are passed over."""
        files = self.files(*folders)
        for _ in range(50):
            try:
                return kept_score(files[rng.integers(len(files))], self.kept)
            except ValueError as problem:
                logging.info("passed over: %s", problem)
        raise ValueError(f"no score to learn from in {', '.join(folders)} of {self.hearing}")

    @cache  # noqa: B019
    def grooves(self) -> tuple[Groove, ...]:
        """Return what the drummers played."""
        found = []
        for path in self.files("groove"):
            try:
                found.append(groove_of(kept_score(path, self.kept)))
            except ValueError as problem:
                logging.info("left out: %s", problem)
        return tuple(found)

    @cache  # noqa: B019
    def debian(self) -> tuple[Score, ...]:
        """Return the pieces of Debian's packages."""
        allowed = [piece for piece in gather() if not piece.held_out and ("debian", piece.name) not in self.forbidden]
        found = []
        for piece in allowed:
            try:
                found.append(score_of(piece.midi, piece.name))
            except ValueError as problem:
                logging.info("left out: %s", problem)
        return tuple(found)


def excerpt(score: Score, rng: np.random.Generator) -> Score:
    """Return some bars of about 64 s out of a score."""
    bar = score.size * 60 / score.tempo
    count = max(round(SECONDS / bar), 4)
    spare = len(score.opens) - 1 - count
    first = int(rng.integers(spare + 1)) if spare > 0 and rng.random() < 0.75 else 0
    return bars_of(score, first, count)


def heard(sources: Sources, score: Score, rng: np.random.Generator, *, rough: float = 0.2) -> Made:
    """Return a score as sound."""
    score = sounding_part(score)
    seconds = min(float(score.beats[-1]) + 2.0, 1.5 * SECONDS)
    drums = score.notes[score.notes[:, 4] == DRUMS]
    return stems(score, seconds, rng, sources.kept / "banks", rough=rough), score.beats, score.opens, drums


def transposed(score: Score, rng: np.random.Generator) -> Score:
    """Return the score some semitones higher or lower; drums stay."""
    notes = score.notes.copy()
    notes[notes[:, 4] != DRUMS, 2] += int(rng.integers(-5, 7))
    return replace(score, notes=notes)


def _band(sources: Sources, rng: np.random.Generator) -> Made:
    score = transposed(excerpt(sources.one(rng, "pop909"), rng), rng)
    style = str(rng.choice(["pop", "rock", "electronic", "acoustic", "jazz"], p=[0.3, 0.27, 0.22, 0.12, 0.09]))
    return heard(
        sources,
        played(arranged(score, sources.grooves(), rng, style=style), rng, loose=False),
        rng,
        rough=0.55 if style == "rock" else 0.2,
    )


def _pop(sources: Sources, rng: np.random.Generator) -> Made:
    score = transposed(excerpt(sources.one(rng, "pop909"), rng), rng)
    return heard(sources, played(score, rng, loose=True), rng, rough=0.05)


def _drummers(sources: Sources, rng: np.random.Generator) -> Made:
    score = excerpt(sources.one(rng, "groove"), rng)
    return heard(sources, played(score, rng, loose=False), rng, rough=0.35)


def _sheets(sources: Sources, rng: np.random.Generator) -> Made:
    score = transposed(excerpt(sources.one(rng, "openewld-mma"), rng), rng)
    kind = rng.random()
    if kind < 0.35:
        score = arranged(replace(score, notes=score.notes[score.notes[:, 4] != DRUMS]), sources.grooves(), rng)
    elif kind < 0.7:
        score = instrument_swapped(score, str(rng.choice(list(STYLES))), rng)
    return heard(sources, played(score, rng, loose=not (score.notes[:, 4] == DRUMS).any()), rng)


def _games(sources: Sources, rng: np.random.Generator) -> Made:
    score = transposed(excerpt(_game(sources, rng), rng), rng)
    if rng.random() < 0.35 and (score.notes[:, 4] != DRUMS).any():
        score = instrument_swapped(score, str(rng.choice(list(STYLES))), rng)
    return heard(sources, played(score, rng, loose=False), rng, rough=0.3)


def _strings(sources: Sources, rng: np.random.Generator) -> Made:
    score = transposed(excerpt(sources.one(rng, "mutopia", "openscore-lieder"), rng), rng)
    score = instrument_swapped(score, "strings" if rng.random() < 0.7 else "orchestra", rng)
    return heard(sources, played(score, rng, loose=True), rng, rough=0.02)


def _classical(sources: Sources, rng: np.random.Generator) -> Made:
    score = transposed(excerpt(sources.one(rng, "mutopia", "openscore-lieder"), rng), rng)
    if rng.random() < 0.4:
        score = arranged(score, sources.grooves(), rng)
    return heard(sources, played(score, rng, loose=not (score.notes[:, 4] == DRUMS).any()), rng, rough=0.05)


def _game(sources: Sources, rng: np.random.Generator) -> Score:
    debian = sources.debian()
    return debian[rng.integers(len(debian))] if debian and rng.random() < 0.5 else sources.one(rng, "simutrans")


def _modules(sources: Sources, rng: np.random.Generator) -> Made:
    files = [
        path for suffix in (".it", ".xm", ".mod", ".s3m") for path in sources.files("modules-permissive", suffix=suffix)
    ]
    path = files[rng.integers(len(files))]
    table = np.loadtxt(path.with_suffix(".beats"))
    # libopenmpt's own change of tempo is rounded to whole samples a tick, 1 % and more off: only the pitch changes here
    sound = module_sound(path, int(rng.integers(-3, 4)), sources.kept / "modules")
    beats = table[:, 0]
    length = min(len(sound) / RATE, SECONDS)
    begin = rng.uniform(0, max(len(sound) / RATE - length, 0.0))
    inside = (beats >= begin) & (beats < begin + length)
    cut = sound[round(begin * RATE) : round((begin + length) * RATE)]
    cut = through_mp3(cut, rng) if rng.random() < 0.12 else cut
    return [cut], beats[inside] - begin, np.flatnonzero(table[inside, 1] == 1), np.full((0, 5), np.nan)


def module_sound(path: Path, semitones: int, folder: Path) -> np.ndarray:
    """Return a tracker module as libopenmpt renders it, its samples so much higher, float32 mono at 22050 Hz; kept in `folder`."""
    place = folder / f"{path.stem}{semitones:+d}.npy"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            "openmpt123",
            "--batch",
            "--quiet",
            "--stdout",
            "--no-float",
            "--channels",
            "1",
            "--samplerate",
            str(RATE),
        ]
        command += ["--end-time", "200", "--pitch", f"{2 ** (semitones / 12):.6f}", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, timeout=3600)
        partly = place.with_suffix(f".{os.getpid()}.part")
        with partly.open("wb") as handle:
            np.save(handle, np.frombuffer(done.stdout, "<i2"))
        partly.replace(place)
    sound: np.ndarray = np.load(place).astype(np.float32) / 32768
    return sound


def _grooves(sources: Sources, rng: np.random.Generator) -> Made:
    piece = compose(rng, SECONDS)
    controls = np.array([(0.0, channel, -1, program) for channel, program in piece.programs.items()], float).reshape(
        -1, 4
    )
    notes = np.array(sorted(piece.notes), float)
    opens = np.searchsorted(piece.beats, piece.downbeats - 1e-6)
    score = Score(notes, controls, piece.beats, opens, piece.style)
    return heard(sources, score, rng, rough=0.6 if piece.style in ("metal", "punk", "rock") else 0.2)


def _styles(sources: Sources, rng: np.random.Generator) -> Made:
    piece = accompany.accompany(rng, SECONDS)
    score = score_of(piece.midi, piece.style)
    score = replace(score, beats=piece.beats, opens=np.searchsorted(piece.beats, piece.downbeats - 1e-6))
    return heard(sources, played(transposed(score, rng), rng, loose=False), rng)


def _none(sources: Sources, rng: np.random.Generator) -> Made:
    """Return what has no beat: noise that swells, held chords that come at any time, single sounds here and there."""
    samples = round(SECONDS * RATE)
    kind = rng.random()
    sound = np.zeros(samples, np.float32)
    if kind < 0.6:
        swell = np.exp(
            np.interp(np.arange(samples), np.linspace(0, samples, 40), rng.normal(0, rng.uniform(0.1, 1), 40))
        )
        slope = rng.uniform(0, 0.97)
        sound += 0.1 * lfilter([1 - slope], [1, -slope], rng.standard_normal(samples)) * swell
    if kind > 0.4:
        starts = np.sort(rng.uniform(0, SECONDS - 4, rng.integers(1, 25)))
        notes = [
            (start, rng.uniform(0.2, 4), pitch, rng.uniform(40, 110), 0)
            for start in starts
            for pitch in rng.integers(36, 90, rng.integers(1, 4))
        ]
        controls = np.array([(0.0, 0, -1, rng.choice([*range(48, 56), *range(88, 104), 0, 14, 42]))], float)
        score = Score(np.array(notes, float), controls, np.zeros(0), np.zeros(0, int), "no beat")
        sound += stems(score, SECONDS, rng, sources.kept / "banks", rough=0.05)[0]
    return [sound], np.zeros(0), np.zeros(0, int), np.zeros((0, 5))


MAKERS: dict[str, Callable[[Sources, np.random.Generator], Made]] = {
    "band": _band,
    "pop": _pop,
    "drummers": _drummers,
    "sheets": _sheets,
    "games": _games,
    "modules": _modules,
    "strings": _strings,
    "classical": _classical,
    "grooves": _grooves,
    "styles": _styles,
    "none": _none,
}


def write(path: Path, made: Made, kind: str) -> float:
    """Measure the stems and write an excerpt; return its length in seconds."""
    sounds, beats, opens, drums = made
    spectra = [fold([sound]) for sound in sounds]
    roles = {role: np.unique(drums[np.isin(drums[:, 2], pitches), 0]) for role, pitches in ROLES.items()}
    # a module's drums are unknown: nan says so
    roles = {role: np.full(1, np.nan) for role in ROLES} if kind == "modules" else roles
    held: dict[str, Any] = {
        "mel": np.stack([stored(one.mel) for one in spectra]),
        "chroma": np.stack([stored(one.chroma) for one in spectra]),
        "beats": beats.astype(np.float32),
        "opens": opens.astype(np.int32),
        **{role: times.astype(np.float32) for role, times in roles.items()},
    }
    partly = path.with_suffix(".part")
    with partly.open("wb") as handle:
        np.savez(handle, **held)
    os.replace(partly, path)
    return len(sounds[0]) / RATE


def kinds_in_order(count: int) -> list[str]:
    """Return the kind of each excerpt: in every hundred as many of each as `SHARES` says."""
    hundred = [kind for kind, share in SHARES.items() for _ in range(share)]
    rng = np.random.default_rng(22)
    return [kind for _ in range(-(-count // len(hundred))) for kind in rng.permutation(hundred)][:count]


def main() -> None:
    """Write what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where the excerpts go")
    parser.add_argument("--hearing", type=Path, required=True, help="the folder of scores")
    parser.add_argument("--hours", type=float, default=80.0)
    parser.add_argument("--part", default="0/1", help="of several processes, this one: 0/2 and 1/2 share the work")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    given.work.mkdir(parents=True, exist_ok=True)
    sources = Sources(given.hearing, given.work / "kept")
    turn, parts = (int(number) for number in given.part.split("/"))
    seconds = 0.0
    for number, kind in enumerate(kinds_in_order(round(given.hours * 3600 / SECONDS))):
        path = given.work / f"{kind}-{number:05d}.npz"
        failed = path.with_suffix(".left-out")
        if number % parts != turn or path.exists() or failed.exists():
            continue
        try:
            seconds += write(path, MAKERS[kind](sources, np.random.default_rng([number, 22])), kind)
        except (ValueError, IndexError, subprocess.SubprocessError) as problem:
            logging.warning("%s left out: %s", path.name, problem)
            failed.write_text(json.dumps({"why": str(problem)}), encoding="utf-8")
        if number % 20 == turn:
            logging.info("excerpt %d, %.2f hours in this run", number, seconds / 3600)


if __name__ == "__main__":
    main()
