"""Rearrange scores: other instruments, a bass on the roots, power chords, pads, and a drummer.

`arranged` changes the instruments; `played` changes the timing: pace, drift, rubato, jumps, ritardandi, swing, count-ins,
human timing. Beats and bars move with the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from training.ear.compose import BASSES, CHORDS, LEADS
from training.ear.drummers import Groove, drum_part
from training.ear.scores import DRUMS, Score, moved, retimed

# instruments for melody, chords and bass by style: General MIDI programs from 0
STYLES: dict[str, tuple[Sequence[int], Sequence[int], Sequence[int]]] = {
    "pop": (LEADS, CHORDS, BASSES),
    "rock": ((29, 30, 27, 18, 65, 54, 53), (27, 28, 29, 30, 16, 18), (33, 34, 34, 33)),
    "electronic": ((80, 81, 82, 84, 87, 50, 90), (50, 51, 62, 63, 81, 88, 89, 90, 95, 4), (38, 39, 87, 38)),
    "acoustic": ((24, 25, 21, 22, 73, 40, 68, 53), (0, 24, 25, 25, 21, 46), (32, 32, 33)),
    "jazz": ((11, 26, 56, 57, 65, 66, 71, 73), (0, 0, 4, 26, 16), (32, 32, 35)),
    "orchestra": ((40, 41, 68, 70, 71, 73, 60), (48, 49, 44, 46, 61, 52, 45), (42, 43, 58)),
    "strings": ((40, 48), (41, 42, 48, 49), (42, 43)),
}
BASS, GUITAR, PAD = 12, 13, 14


def instrument_swapped(score: Score, style: str, rng: np.random.Generator) -> Score:
    """Return the score with instruments of a style: melody, bass or chords are assigned by register."""
    leads, chords, basses = STYLES[style]
    controls = score.controls[score.controls[:, 2] != -1]
    tuned = [channel for channel in np.unique(score.notes[:, 4]) if channel != DRUMS]
    level = {channel: float(np.median(score.notes[score.notes[:, 4] == channel, 2])) for channel in tuned}
    crowd = {channel: _crowd(score.notes[score.notes[:, 4] == channel]) for channel in tuned}
    added = []
    for channel in tuned:
        if level[channel] < 48 and crowd[channel] < 1.4:
            choice = basses
        elif crowd[channel] < 1.3:
            choice = leads
        else:
            choice = chords
        added.append((0.0, channel, -1, choice[int(rng.integers(len(choice)))]))
    drums = score.controls[(score.controls[:, 2] == -1) & (score.controls[:, 1] == DRUMS)]
    return replace(score, controls=_by_time(np.concatenate([np.array(added, float).reshape(-1, 4), drums, controls])))


def arranged(score: Score, library: Sequence[Groove], rng: np.random.Generator, *, style: str | None = None) -> Score:
    """Return the score arranged for a band: instruments of a style, bass, guitars or pads, and drums if it has none."""
    style = style or str(
        rng.choice(["pop", "rock", "electronic", "acoustic", "jazz", "orchestra"], p=[0.3, 0.24, 0.2, 0.12, 0.1, 0.04])
    )
    band = instrument_swapped(score, style, rng)
    roots = roots_of(band)
    parts = [band.notes]
    added: list[tuple[float, int, int, int]] = []
    if rng.random() < 0.9:
        parts.append(bass_line(band, roots, rng))
        added.append((0.0, BASS, -1, int(rng.choice(STYLES[style][2]))))
    if style == "rock" and rng.random() < 0.75:
        parts.append(power_chords(band, roots, rng))
        added.append((0.0, GUITAR, -1, int(rng.choice([29, 30]))))
    elif rng.random() < 0.35:
        parts.append(pad(band, roots, rng))
        added.append((0.0, PAD, -1, int(rng.choice([48, 50, 88, 89, 90, 91, 94, 16]))))
    band = replace(
        band,
        notes=_by_time(np.concatenate(parts)),
        controls=_by_time(np.concatenate([np.array(added, float).reshape(-1, 4), band.controls])),
    )
    if not (band.notes[:, 4] == DRUMS).any() and rng.random() < 0.9:
        band = replace(band, notes=_by_time(np.concatenate([band.notes, drum_part(band, library, rng)])))
    return _dropouts(band, rng)


def roots_of(score: Score) -> np.ndarray:
    """Return for each beat the root's pitch class in its half bar, int64 [beats]; -1 where nothing sounds."""
    step = 2 if score.size % 2 == 0 else score.size
    tuned = score.notes[score.notes[:, 4] != DRUMS]
    roots = np.full(len(score.beats), -1)
    ends = np.append(score.beats, 2 * score.beats[-1] - score.beats[-2])
    for first in range(int(score.opens[0]), len(score.beats), step):
        last = min(first + step, len(score.beats))
        here = tuned[(tuned[:, 0] >= ends[first] - 0.03) & (tuned[:, 0] < ends[last] - 0.03)]
        if len(here):
            early = here[here[:, 0] < ends[first] + 0.1]
            roots[first:last] = int((early if len(early) else here)[:, 2].min()) % 12
        elif first:
            roots[first:last] = roots[first - 1]
    return roots


def bass_line(score: Score, roots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a bass on the roots: held, on beats, in eighths, off the beat, or syncopated."""
    patterns = {
        "held": (0.0,),
        "beats": (0.0, 1.0),
        "eighths": (0.0, 0.5, 1.0, 1.5),
        "off": (0.5, 1.5),
        "dotted": (0.0, 0.75, 1.5),
        "pushed": (0.0, 1.5),
        "sixteenths": tuple(np.arange(0, 2, 0.25)),
    }
    pattern = patterns[str(rng.choice(list(patterns), p=[0.14, 0.2, 0.26, 0.08, 0.14, 0.12, 0.06]))]
    level, octave = rng.uniform(70, 115), rng.random() < 0.15
    length = rng.uniform(0.3, 0.95)
    found = []
    for beat in range(int(score.opens[0]), len(roots) - 1, 2):
        if roots[beat] < 0 or rng.random() < 0.02:
            continue
        for number, place in enumerate(pattern):
            where = beat + place
            root = roots[min(int(where), len(roots) - 1)]
            pitch = 28 + (root - 4) % 12 + (12 if octave and number % 2 else 0)
            pitch += int(rng.choice([0, 0, 0, 0, 0, 7, 12])) if place else 0
            found.append(
                (where, length * (2 if len(pattern) == 1 else 0.5), pitch, level * rng.uniform(0.88, 1.08), BASS)
            )
    return _in_seconds(found, score)


def power_chords(score: Score, roots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a guitar's root, fifth and octave: held, in eighths, galloping, or in sixteenths."""
    patterns = (
        (0.0,),
        (0.0, 0.5, 1.0, 1.5),
        (0.0, 0.5, 0.75, 1.0, 1.5, 1.75),
        tuple(np.arange(0, 2, 0.25)),
        (0.0, 0.75, 1.5),
    )
    pattern = patterns[rng.choice(len(patterns), p=[0.25, 0.35, 0.12, 0.08, 0.2])]
    level, length = rng.uniform(75, 115), rng.uniform(0.3, 1.0)
    found = []
    for beat in range(int(score.opens[0]), len(roots) - 1, 2):
        for place in pattern:
            root = roots[min(int(beat + place), len(roots) - 1)]
            if root >= 0:
                base = 40 + (root - 4) % 12
                chord = (base, base + 7, base + 12)
                long = length * 2 / len(pattern)
                found += [(beat + place, long, pitch, level * rng.uniform(0.9, 1.05), GUITAR) for pitch in chord]
    return _in_seconds(found, score)


def pad(score: Score, roots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return held fifths (a third would depend on the key) for each run of beats with the same root."""
    turns = np.flatnonzero(np.diff(roots, prepend=-2))
    found = []
    level = rng.uniform(45, 90)
    for first, last in zip(turns, [*turns[1:], len(roots)], strict=True):
        if roots[first] >= 0:
            base = 52 + (roots[first] - 4) % 12
            chord = (base, base + 7, base + 12)
            found += [(float(first), float(last - first), pitch, level, PAD) for pitch in chord]
    return _in_seconds(found, score)


def _in_seconds(found: list[tuple[float, float, float, float, int]], score: Score) -> np.ndarray:
    notes = np.array(found, float).reshape(-1, 5)
    count = np.arange(len(score.beats), dtype=float)
    ends = moved(notes[:, 0] + notes[:, 1], count, score.beats)
    notes[:, 0] = moved(notes[:, 0], count, score.beats)
    notes[:, 1] = np.maximum(ends - notes[:, 0], 0.03)
    return notes


def _crowd(notes: np.ndarray) -> float:
    """Return the mean number of notes that start together."""
    return len(notes) / max(len(np.unique(np.round(notes[:, 0], 2))), 1)


def _by_time(table: np.ndarray) -> np.ndarray:
    ordered: np.ndarray = table[np.argsort(table[:, 0], kind="stable")]
    return ordered


def _dropouts(score: Score, rng: np.random.Generator) -> Score:
    """Return the score with some channels silent in some blocks of bars, as in arrangements."""
    kept = np.ones(len(score.notes), bool)
    edges = np.append(score.downbeats, np.inf)
    bar = np.searchsorted(edges, score.notes[:, 0] + 0.02) - 1
    for channel in np.unique(score.notes[:, 4]):
        if channel == DRUMS:
            continue
        of_channel = score.notes[:, 4] == channel
        share = rng.choice([0.0, 0.0, 0.15, 0.4])
        for block in range(int(bar.max()) // 8 + 1):
            if rng.random() < share:
                kept &= ~(of_channel & (bar // 8 == block))
    return replace(score, notes=score.notes[kept]) if kept.sum() > 40 else score


def played(score: Score, rng: np.random.Generator, *, loose: bool) -> Score:
    """Return the score with another timing; `loose` (for music without drums) varies the tempo more."""
    result = swung(score, float(rng.uniform(0.56, 0.68))) if rng.random() < 0.08 else score
    result = retimed(result, _times(result.beats, rng, loose=loose))
    tuned = result.notes[:, 4] != DRUMS
    jitter = rng.normal(0, 1, len(result.notes)) * np.where(tuned, abs(rng.normal(0, 0.007)), abs(rng.normal(0, 0.003)))
    notes = result.notes.copy()
    notes[:, 0] = np.maximum(notes[:, 0] + jitter, 0.0)
    result = replace(result, notes=_by_time(notes))
    return counted_in(result, rng) if rng.random() < 0.12 else result


def swung(score: Score, middle: float) -> Score:
    """Return the score with swing: `middle` is the position of the offbeat, 0.5 straight, 2/3 triplets. Beats stay."""
    count = np.arange(len(score.beats), dtype=float)

    def warp(times: np.ndarray) -> np.ndarray:
        place = moved(times, score.beats, count)
        beat_index, inside = np.floor(place), place % 1
        late = np.where(inside < 0.5, inside * middle / 0.5, middle + (inside - 0.5) * (1 - middle) / 0.5)
        return moved(beat_index + late, count, score.beats)

    notes = score.notes.copy()
    notes[:, 0] = np.maximum(warp(notes[:, 0]), 0.0)
    return replace(score, notes=_by_time(notes))


def _times(beats: np.ndarray, rng: np.random.Generator, *, loose: bool) -> np.ndarray:
    """Return new times for the beats: another tempo, steady, drifting, with rubato, a jump, or a ritardando."""
    tempo = 60 / float(np.median(np.diff(beats)))
    low, high = max(-0.25, np.log(52 / tempo)), min(0.25, np.log(215 / tempo))
    pace = np.diff(beats) * np.exp(-rng.uniform(min(low, high), max(low, high)))
    count = len(pace)
    shape = str(
        rng.choice(
            ["steady", "drift", "ramp", "bend", "jump"],
            p=[0.3, 0.25, 0.13, 0.25, 0.07] if loose else [0.5, 0.27, 0.11, 0.05, 0.07],
        )
    )
    place = np.linspace(-1, 1, count)
    if shape == "drift":
        walk = np.cumsum(rng.normal(0, 0.012 if loose else 0.005, count))
        pace = pace * np.exp(np.clip(walk - walk.mean(), -0.2, 0.2))
    elif shape == "ramp":
        pace = pace * np.exp(rng.uniform(-0.09, 0.09) * place)
    elif shape == "bend":
        depth = rng.uniform(0.02, 0.14 if loose else 0.05)
        pace = pace * (1 + depth * np.sin(2 * np.pi * (np.arange(count) / rng.uniform(6, 33) + rng.random())))
    elif shape == "jump":
        pace[int(rng.integers(count // 4, max(3 * count // 4, count // 4 + 1))) :] *= np.exp(
            rng.choice([-1, 1]) * rng.uniform(0.06, 0.35)
        )
    if rng.random() < (0.25 if loose else 0.08):
        # ritardando at the end
        tail = min(int(rng.integers(4, 13)), count)
        pace[-tail:] = pace[-tail:] * np.exp(np.linspace(0, rng.uniform(0.1, 0.5), tail))
    return float(beats[0]) + np.concatenate([[0.0], np.cumsum(pace)])


def counted_in(score: Score, rng: np.random.Generator) -> Score:
    """Return the score after a count-in bar of sticks, closed hats or a click."""
    pace = float(score.beats[1] - score.beats[0])
    size = score.size
    lead = size * pace
    pitch = int(rng.choice([37, 42, 31, 56, 76]))
    ticks = np.arange(size) * pace
    hits = np.array([(at, 0.1, pitch, rng.uniform(60, 115), DRUMS) for at in ticks])
    notes, controls = score.notes.copy(), score.controls.copy()
    notes[:, 0] += lead
    controls[controls[:, 0] > 0, 0] += lead
    first = score.beats[0]
    beats = np.concatenate([first + ticks, score.beats + lead])
    hits[:, 0] += first
    opens = np.concatenate([[0], score.opens + size]) if score.opens[0] == 0 else score.opens + size
    return replace(
        score, notes=_by_time(np.concatenate([hits, notes])), controls=_by_time(controls), beats=beats, opens=opens
    )
