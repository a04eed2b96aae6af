"""Make the training excerpts: bands, drummers, songs and grooves, rendered and measured, one file an excerpt.

    python -m training.ear.data --work FOLDER --hearing FOLDER [--hours N]

`--hearing` is the folder of scores (described in its README). Pieces listed in `benchmarks/ear_split.tsv` are not used.
Excerpts of all kinds are mixed; the number of an excerpt is its seed, and existing files are kept, so an interrupted run resumes.

A file holds, uncompressed: ``mel`` uint8 [stems, t, 64] and ``chroma`` uint8 [stems, t / 4, 24], power of each stem in
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
# number of excerpts of each kind in a hundred
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
Rendered = tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]


def stored(power: np.ndarray) -> np.ndarray:
    """Return power as half decibels above -110 dB, uint8."""
    level = STEPS * (10 * np.log10(np.maximum(power, 1e-12)) - FLOOR)
    return np.clip(np.round(level), 0, 255).astype(np.uint8)


class Sources:
    """The scores by kind; `hearing` is their folder, `kept` the folder of the cache."""

    def __init__(self, hearing: Path, kept: Path) -> None:
        self.hearing, self.kept = hearing, kept
        self.forbidden = not_for_training()

    @cache  # noqa: B019, there is one object in a process
    def files(self, *folders: str, suffix: str = ".mid") -> list[Path]:
        """Return the files of some folders that may be used for training."""
        every = [(folder, path) for folder in folders for path in sorted((self.hearing / folder).rglob(f"*{suffix}"))]
        return [
            path
            for folder, path in every
            if (folder, str(path.relative_to(self.hearing / folder))) not in self.forbidden
        ]

    def random_score(self, rng: np.random.Generator, *folders: str) -> Score:
        """Return a random score of some folders, skipping those with an unusable metre or tempo."""
        files = self.files(*folders)
        for _ in range(50):
            try:
                return kept_score(files[rng.integers(len(files))], self.kept)
            except ValueError as problem:
                logging.info("skipped: %s", problem)
        raise ValueError(f"no usable score in {', '.join(folders)} of {self.hearing}")

    @cache  # noqa: B019
    def grooves(self) -> tuple[Groove, ...]:
        """Return the drummers' grooves."""
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
    """Return about 64 s of a score, in full bars."""
    bar = score.size * 60 / score.tempo
    count = max(round(SECONDS / bar), 4)
    spare = len(score.opens) - 1 - count
    first = int(rng.integers(spare + 1)) if spare > 0 and rng.random() < 0.75 else 0
    return bars_of(score, first, count)


def rendered(sources: Sources, score: Score, rng: np.random.Generator, *, rough: float = 0.2) -> Rendered:
    """Return a score rendered as sound."""
    score = sounding_part(score)
    seconds = min(float(score.beats[-1]) + 2.0, 1.5 * SECONDS)
    drums = score.notes[score.notes[:, 4] == DRUMS]
    return stems(score, seconds, rng, sources.kept / "banks", rough=rough), score.beats, score.opens, drums


def transposed(score: Score, rng: np.random.Generator) -> Score:
    """Return the score transposed by some semitones; drums stay."""
    notes = score.notes.copy()
    notes[notes[:, 4] != DRUMS, 2] += int(rng.integers(-5, 7))
    return replace(score, notes=notes)


def _band(sources: Sources, rng: np.random.Generator) -> Rendered:
    score = transposed(excerpt(sources.random_score(rng, "pop909"), rng), rng)
    style = str(rng.choice(["pop", "rock", "electronic", "acoustic", "jazz"], p=[0.3, 0.27, 0.22, 0.12, 0.09]))
    return rendered(
        sources,
        played(arranged(score, sources.grooves(), rng, style=style), rng, loose=False),
        rng,
        rough=0.55 if style == "rock" else 0.2,
    )


def _pop(sources: Sources, rng: np.random.Generator) -> Rendered:
    score = transposed(excerpt(sources.random_score(rng, "pop909"), rng), rng)
    return rendered(sources, played(score, rng, loose=True), rng, rough=0.05)


def _drummers(sources: Sources, rng: np.random.Generator) -> Rendered:
    score = excerpt(sources.random_score(rng, "groove"), rng)
    return rendered(sources, played(score, rng, loose=False), rng, rough=0.35)


def _sheets(sources: Sources, rng: np.random.Generator) -> Rendered:
    score = transposed(excerpt(sources.random_score(rng, "openewld-mma"), rng), rng)
    kind = rng.random()
    if kind < 0.35:
        score = arranged(replace(score, notes=score.notes[score.notes[:, 4] != DRUMS]), sources.grooves(), rng)
    elif kind < 0.7:
        score = instrument_swapped(score, str(rng.choice(list(STYLES))), rng)
    return rendered(sources, played(score, rng, loose=not (score.notes[:, 4] == DRUMS).any()), rng)


def _games(sources: Sources, rng: np.random.Generator) -> Rendered:
    score = transposed(excerpt(_game(sources, rng), rng), rng)
    if rng.random() < 0.35 and (score.notes[:, 4] != DRUMS).any():
        score = instrument_swapped(score, str(rng.choice(list(STYLES))), rng)
    return rendered(sources, played(score, rng, loose=False), rng, rough=0.3)


def _strings(sources: Sources, rng: np.random.Generator) -> Rendered:
    score = transposed(excerpt(sources.random_score(rng, "mutopia", "openscore-lieder"), rng), rng)
    score = instrument_swapped(score, "strings" if rng.random() < 0.7 else "orchestra", rng)
    return rendered(sources, played(score, rng, loose=True), rng, rough=0.02)


def _classical(sources: Sources, rng: np.random.Generator) -> Rendered:
    score = transposed(excerpt(sources.random_score(rng, "mutopia", "openscore-lieder"), rng), rng)
    if rng.random() < 0.4:
        score = arranged(score, sources.grooves(), rng)
    return rendered(sources, played(score, rng, loose=not (score.notes[:, 4] == DRUMS).any()), rng, rough=0.05)


def _game(sources: Sources, rng: np.random.Generator) -> Score:
    debian = sources.debian()
    return (
        debian[rng.integers(len(debian))] if debian and rng.random() < 0.5 else sources.random_score(rng, "simutrans")
    )


def _modules(sources: Sources, rng: np.random.Generator) -> Rendered:
    files = [
        path for suffix in (".it", ".xm", ".mod", ".s3m") for path in sources.files("modules-permissive", suffix=suffix)
    ]
    path = files[rng.integers(len(files))]
    table = np.loadtxt(path.with_suffix(".beats"))
    # libopenmpt rounds a changed tempo to samples a tick, an error of 1 % and more, so only the pitch is changed
    sound = module_sound(path, int(rng.integers(-3, 4)), sources.kept / "modules")
    beats = table[:, 0]
    length = min(len(sound) / RATE, SECONDS)
    begin = rng.uniform(0, max(len(sound) / RATE - length, 0.0))
    inside = (beats >= begin) & (beats < begin + length)
    cut = sound[round(begin * RATE) : round((begin + length) * RATE)]
    cut = through_mp3(cut, rng) if rng.random() < 0.12 else cut
    return [cut], beats[inside] - begin, np.flatnonzero(table[inside, 1] == 1), np.full((0, 5), np.nan)


def module_sound(path: Path, semitones: int, folder: Path) -> np.ndarray:
    """Return a tracker module rendered by libopenmpt with transposed samples, float32 mono at 22050 Hz; cached in `folder`."""
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
        partial = place.with_suffix(f".{os.getpid()}.part")
        with partial.open("wb") as handle:
            np.save(handle, np.frombuffer(done.stdout, "<i2"))
        partial.replace(place)
    sound: np.ndarray = np.load(place).astype(np.float32) / 32768
    return sound


def _grooves(sources: Sources, rng: np.random.Generator) -> Rendered:
    piece = compose(rng, SECONDS)
    controls = np.array([(0.0, channel, -1, program) for channel, program in piece.programs.items()], float).reshape(
        -1, 4
    )
    notes = np.array(sorted(piece.notes), float)
    opens = np.searchsorted(piece.beats, piece.downbeats - 1e-6)
    score = Score(notes, controls, piece.beats, opens, piece.style)
    return rendered(sources, score, rng, rough=0.6 if piece.style in ("metal", "punk", "rock") else 0.2)


def _styles(sources: Sources, rng: np.random.Generator) -> Rendered:
    piece = accompany.accompany(rng, SECONDS)
    score = score_of(piece.midi, piece.style)
    score = replace(score, beats=piece.beats, opens=np.searchsorted(piece.beats, piece.downbeats - 1e-6))
    return rendered(sources, played(transposed(score, rng), rng, loose=False), rng)


def _none(sources: Sources, rng: np.random.Generator) -> Rendered:
    """Return sound without a beat: swelling noise, held chords at random times, isolated sounds."""
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


MAKERS: dict[str, Callable[[Sources, np.random.Generator], Rendered]] = {
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


def write(path: Path, rendered: Rendered, kind: str) -> float:
    """Measure the stems and write an excerpt; return its length in seconds."""
    sounds, beats, opens, drums = rendered
    spectra = [fold([sound]) for sound in sounds]
    roles = {role: np.unique(drums[np.isin(drums[:, 2], pitches), 0]) for role, pitches in ROLES.items()}
    # the drums of a module are unknown: nan
    roles = {role: np.full(1, np.nan) for role in ROLES} if kind == "modules" else roles
    held: dict[str, Any] = {
        "mel": np.stack([stored(one.mel) for one in spectra]),
        "chroma": np.stack([stored(one.chroma) for one in spectra]),
        "beats": beats.astype(np.float32),
        "opens": opens.astype(np.int32),
        **{role: times.astype(np.float32) for role, times in roles.items()},
    }
    partial = path.with_suffix(".part")
    with partial.open("wb") as handle:
        np.savez(handle, **held)
    os.replace(partial, path)
    return len(sounds[0]) / RATE


def kinds_in_order(count: int) -> list[str]:
    """Return the kind of each excerpt; every hundred follows `SHARES`."""
    hundred = [kind for kind, share in SHARES.items() for _ in range(share)]
    rng = np.random.default_rng(22)
    return [kind for _ in range(-(-count // len(hundred))) for kind in rng.permutation(hundred)][:count]


def main() -> None:
    """Write the missing excerpts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where the excerpts go")
    parser.add_argument("--hearing", type=Path, required=True, help="the folder of scores")
    parser.add_argument("--hours", type=float, default=80.0)
    parser.add_argument("--part", default="0/1", help="of several processes, this one: 0/2 and 1/2 share the work")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    sources = Sources(options.hearing, options.work / "kept")
    turn, parts = (int(number) for number in options.part.split("/"))
    seconds = 0.0
    for number, kind in enumerate(kinds_in_order(round(options.hours * 3600 / SECONDS))):
        path = options.work / f"{kind}-{number:05d}.npz"
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
