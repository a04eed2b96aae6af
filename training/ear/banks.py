"""Render scores quickly: FluidSynth plays each note of an instrument once, numpy mixes the pieces from these notes.

Without FluidSynth's reverb and chorus (rooms are added later, see `spoil`), pitch bends, and the brightness of louder notes.
The banks of notes are cached in a folder. float32 mono at 22050 Hz.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from reactive.audio.spectrum import RATE
from training.ear.kits import Layers
from training.ear.render import synthesize
from training.ear.scores import DRUMS, Score, to_midi

# seconds for which a note is held, and seconds from one note to the next
HOLD, SLOT = 2.6, 3.2
# every third semitone is recorded, the others are resampled from it
PITCHES = np.arange(27, 103, 3)
DRUM_PITCHES, DRUM_SLOT = np.arange(27, 88), 1.2
# velocity of the recorded notes; exponents of amplitude by velocity (as in FluidSynth) and by channel volume
LEVEL, VELOCITY, VOLUME = 100, 2.0, 2.0
RELEASE = (0.04, 0.25)
USUAL_VOLUME = {7: 100.0, 11: 127.0}


def play(score: Score, font: Path, samples: int, folder: Path, rng: np.random.Generator) -> np.ndarray:
    """Return `samples` samples of all notes of a score except drums, played with a soundfont."""
    mix = np.zeros(samples, np.float32)
    release = round(float(np.exp(rng.uniform(*np.log(RELEASE)))) * RATE)
    fade = np.linspace(1, 0, release, dtype=np.float32) ** 2
    for channel in np.unique(score.notes[:, 4]):
        if channel == DRUMS:
            continue
        notes = score.notes[score.notes[:, 4] == channel]
        programs = _controller(score, channel, -1, 0.0, notes[:, 0]).astype(int)
        volume = np.ones(len(notes))
        for controller, usual in USUAL_VOLUME.items():
            volume *= (_controller(score, channel, controller, usual, notes[:, 0]) / usual) ** VOLUME
        gains = ((notes[:, 3] / LEVEL) ** VELOCITY * volume).astype(np.float32)
        for (start, length, pitch, _, _), program, gain in zip(notes, programs, gains, strict=True):
            sound = _note(font, folder, int(program), int(np.clip(pitch, PITCHES[0] - 4, PITCHES[-1] + 4)))
            first, held = round(start * RATE), round(length * RATE)
            _add(mix, first, sound[:held], gain)
            tail = sound[held : held + release]
            _add(mix, first + held, tail * fade[: len(tail)], gain)
    return mix


def drum_set(font: Path, program: int, folder: Path) -> dict[int, Layers]:
    """Return a soundfont's drums in the form that `kits.play` takes."""
    strokes = _recorded(font, f"drums{program}", DRUMS, program, DRUM_PITCHES, DRUM_SLOT, 0.3, folder)
    loud = np.abs(strokes).max(axis=1)
    return {
        int(pitch): [(1.0, stroke.astype(np.float32) / 32768)]
        for pitch, stroke, level in zip(DRUM_PITCHES, strokes, loud, strict=True)
        if level > 200
    }


def _add(mix: np.ndarray, first: int, sound: np.ndarray, gain: np.float32) -> None:
    part = mix[first : first + len(sound)]
    part += sound[: len(part)] * gain


def _controller(score: Score, channel: float, kind: int, usual: float, times: np.ndarray) -> np.ndarray:
    """Return a channel's controller value at each time."""
    rows = score.controls[(score.controls[:, 1] == channel) & (score.controls[:, 2] == kind)]
    values = np.concatenate([[usual], rows[:, 3]])
    current: np.ndarray = values[np.searchsorted(rows[:, 0], times + 1e-3)]
    return current


@lru_cache(maxsize=20_000)
def _note(font: Path, folder: Path, program: int, pitch: int) -> np.ndarray:
    bank = _bank(font, folder, program)
    nearest = int(np.abs(PITCHES - pitch).argmin())
    sound = bank[nearest].astype(np.float32) / 32768
    ratio = 2 ** ((pitch - PITCHES[nearest]) / 12)
    if ratio != 1:
        sound = np.interp(np.arange(0, len(sound) - 1, ratio), np.arange(len(sound)), sound).astype(np.float32)
    # recorded notes end at HOLD seconds, so longer ones fade out
    end = round(0.3 * RATE)
    sound[-end:] *= np.linspace(1, 0, end, dtype=np.float32)
    loud = np.flatnonzero(np.abs(sound) > 1e-4)
    return sound[: loud[-1] + 1] if len(loud) else sound[:1]


@cache
def _bank(font: Path, folder: Path, program: int) -> np.ndarray:
    return _recorded(font, str(program), 0, program, PITCHES, SLOT, HOLD, folder)


def _recorded(
    font: Path, name: str, channel: int, program: int, pitches: np.ndarray, slot: float, hold: float, folder: Path
) -> np.ndarray:
    """Return int16 [pitches, slot]: each pitch played once; cached in `folder`."""
    place = folder / f"{font.stem}-{name}.npy"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        starts = np.arange(len(pitches)) * slot
        notes = np.stack([starts, *np.broadcast_arrays(hold, pitches, LEVEL, channel)], axis=1).astype(float)
        controls = np.array([(0.0, channel, -1, program)], float)
        score = Score(notes, controls, np.zeros(0), np.zeros(0, int), name)
        sound = synthesize(to_midi(score), font, reverb=False)
        size = round(slot * RATE)
        padded = np.pad(sound, (0, max(len(pitches) * size - len(sound), 0)))[: len(pitches) * size]
        partial = place.with_suffix(f".{os.getpid()}.part")
        with partial.open("wb") as handle:
            np.save(handle, np.round(padded.reshape(len(pitches), size) * 32767).astype(np.int16))
        partial.replace(place)
    kept: np.ndarray = np.load(place, mmap_mode="r")
    return kept
