"""Drum parts for any song: recorded drummers near its tempo, or rule-based patterns in metres without recordings.

A library of recorded drum parts (`Groove`) has times in beats. `drum_part` adds drums to a score in blocks of bars: normal, half
or double time, with fills, breaks, hats only, and crashes at the start of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.ear.compose import CLOSED, CRASH, KICK, OTHERS, RIDE, SNARE, STYLES, TOMS
from training.ear.scores import DRUMS, Score, moved

# General MIDI drums of the additional numbers that electronic kits send
GENERAL = {22: 42, 26: 46, 58: 43, 40: 38}
# maximum change of a drummer's tempo, in octaves
NEAR = 0.3
SHARES = {"same": 0.86, "half": 0.09, "double": 0.05}


@dataclass(frozen=True)
class Groove:
    """A recorded drum part: hits float64 [n, 3] (beat, pitch, velocity), beats of a bar, bars, beats a minute."""

    hits: np.ndarray
    size: int
    bars: int
    tempo: float
    name: str

    def bar(self, number: int) -> np.ndarray:
        """Return the hits of a bar, with times from its first beat, without a hit just before it."""
        first = number % self.bars * self.size
        inside = (self.hits[:, 0] >= first - 0.04) & (self.hits[:, 0] < first + self.size - 0.04)
        return self.hits[inside] - np.array([first, 0, 0])


def groove_of(score: Score) -> Groove:
    """Return a drum score with times in beats."""
    drums = score.notes[score.notes[:, 4] == DRUMS]
    place = moved(drums[:, 0], score.beats, np.arange(len(score.beats), dtype=float)) - score.opens[0]
    pitch = [GENERAL.get(int(note), int(note)) for note in drums[:, 2]]
    hits = np.stack([place, pitch, drums[:, 3]], axis=1)
    bars = max(int(np.ceil((place.max(initial=0.0) - 0.5) / score.size)), 1)
    return Groove(hits, score.size, bars, score.tempo, score.name)


def by_rule(rng: np.random.Generator, size: int, *, triplets: bool) -> Groove:
    """Return a groove of one bar from the patterns of `compose`, with or without swing."""
    if size == 4 and not triplets:
        style = list(STYLES)[rng.integers(len(STYLES))]
        patterns, parts = STYLES[style][1], 4
    else:
        shapes = [shape for shape in OTHERS if shape[0] == size]
        fit = [shape for shape in shapes if (shape[1] == 3) == triplets] or shapes or [(4, 3)]
        metre = fit[rng.integers(len(fit))]
        patterns, parts = OTHERS[metre], metre[1]
        size = metre[0]
    lines = patterns[rng.integers(len(patterns))]
    hat = int(rng.choice([CLOSED, CLOSED, CLOSED, RIDE, 70, 54]))
    hits = []
    for line, pitch, level in zip(lines, (KICK, SNARE, hat), rng.uniform(60, 120, 3), strict=True):
        for slot, mark in enumerate(line):
            if mark != "-":
                hits.append((slot / parts, pitch, level * (0.5 if mark == "o" else 1.0)))
    return Groove(np.array(sorted(hits)), size, 1, 0.0, "by rule")


def drum_part(score: Score, library: Sequence[Groove], rng: np.random.Generator) -> np.ndarray:
    """Return a drum part for the score, float64 [n, 5], times in seconds of the score."""
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    # number of beats of the score for each beat of the groove
    stretch = {"same": 1.0, "half": 2.0, "double": 0.5}[kind]
    if kind != "same" and score.size != 4:
        stretch = 1.0
    fits = [
        groove
        for groove in library
        if groove.size == score.size and abs(np.log2(groove.tempo * stretch / score.tempo)) < NEAR
    ]
    recorded = bool(fits) and rng.random() < 0.85
    groove = fits[rng.integers(len(fits))] if recorded else by_rule(rng, score.size, triplets=in_triplets(score))
    if groove.size != score.size:
        return np.zeros((0, 5))
    hits: list[np.ndarray] = []
    bars = len(score.opens)
    at, now, filled = 0, int(rng.integers(groove.bars)), False
    while at < bars:
        length = int(rng.choice([4, 4, 8, 8, 2]))
        what = str(rng.choice(["all", "none", "hats", "no hats"], p=[0.76, 0.12, 0.07, 0.05]))
        if at == 0 and rng.random() < 0.3:
            what = "none"
        block = _block(groove, now, min(length, bars - at), stretch, score.size)
        if what == "none":
            block = block[:0]
        elif what == "hats":
            block = block[np.isin(block[:, 1], (42, 44, 46, 51, 59, 70, 54))]
        elif what == "no hats":
            block = block[~np.isin(block[:, 1], (42, 44, 46, 51, 59, 70, 54))]
        if filled and what == "all" and rng.random() < 0.5:
            block = np.concatenate([[[0.0, CRASH, rng.uniform(80, 125)]], block])
        filled = what == "all" and rng.random() < 0.55
        if filled:
            block = _with_fill(block, length, score.size, rng)
        if len(block):
            hits.append(block + np.array([at * score.size, 0, 0]))
        at += length
        now += length
        if rng.random() < 0.15:
            now = int(rng.integers(groove.bars))
    return _notes(np.concatenate(hits) if hits else np.zeros((0, 3)), score, rng)


def in_triplets(score: Score) -> bool:
    """Return whether notes between beats lie on thirds rather than quarters of a beat."""
    place = moved(score.notes[:, 0], score.beats, np.arange(len(score.beats), dtype=float)) % 1
    between = (place > 0.1) & (place < 0.9)
    if between.sum() < 8:
        return False
    near = [
        np.abs(place[between, None] - np.array(marks)).min(axis=1) < 0.05
        for marks in ((1 / 3, 2 / 3), (0.25, 0.5, 0.75))
    ]
    return bool(near[0].sum() > near[1].sum())


def _block(groove: Groove, first: int, bars: int, stretch: float, size: int) -> np.ndarray:
    """Return `bars` bars of the score, taken from bar `first` of the groove on, in beats of the score."""
    # double time: two bars of the groove in one bar of the score; half time: half a bar
    count = max(int(np.ceil(bars / stretch)), 1)
    parts = [groove.bar(first + number) + np.array([number * size, 0, 0]) for number in range(count)]
    block = np.concatenate(parts) * np.array([stretch, 1, 1])
    kept: np.ndarray = block[block[:, 0] < bars * size - 0.04]
    return kept


def _with_fill(block: np.ndarray, bars: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the block with a fill of snare and toms in its last beats."""
    beats = float(rng.choice([1, 2, 2, min(size, 4)]))
    begin = bars * size - beats
    kept = block[(block[:, 0] < begin - 0.04) | (block[:, 1] == KICK)]
    parts = int(rng.choice([2, 3, 4, 4]))
    voices = [SNARE, *TOMS] if rng.random() < 0.65 else [SNARE]
    places = begin + np.arange(0, beats, 1 / parts)
    places = places[rng.random(len(places)) < 0.85]
    order = np.minimum((places - begin) / beats * len(voices), len(voices) - 1).astype(int)
    fill = np.stack([places, np.array(voices)[order], rng.uniform(70, 125, len(places))], axis=1)
    return np.concatenate([kept, fill])


def _notes(hits: np.ndarray, score: Score, rng: np.random.Generator) -> np.ndarray:
    level = rng.uniform(0.85, 1.1)
    start = moved(hits[:, 0] + score.opens[0], np.arange(len(score.beats), dtype=float), score.beats)
    notes = np.stack(
        [
            np.maximum(start, 0.0),
            np.full(len(hits), 0.1),
            hits[:, 1],
            np.clip(hits[:, 2] * level, 1, 127),
            np.full(len(hits), DRUMS),
        ],
        axis=1,
    )
    return notes[np.argsort(notes[:, 0], kind="stable")]
