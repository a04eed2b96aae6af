"""Render scores, drums separate from the rest: FluidSynth with soundfonts, sampled kits, or drums by formula; then degraded.

Audio is float32 mono at 22050 Hz. FluidSynth gets files of one tempo, since it drifts over many changes of tempo.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from reactive.audio.spectrum import RATE
from training.ear import banks, kits
from training.ear.render import drums_by_formula, synthesize
from training.ear.scores import DRUMS, Score, to_midi
from training.ear.spoil import compressed, driven, roomy, through_mp3

FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3")
# TimGM6mb is not used, because the benchmark renders with it
FONTS = {"FluidR3_GM.sf2": 0.4, "MuseScore_General_Lite.sf3": 0.25, "sf_GMbank.sf2": 0.25, "OPL-3_FM_128M.sf2": 0.1}
DRUM_FONTS = ("Black_Pearl_4_LV2.sf2", "Red_Zeppelin_4_LV2.sf2")
# drum sets of General MIDI 2 / GS: standard, room, power, electronic, 808, jazz, brush, orchestra
SETS = (0, 0, 0, 8, 8, 16, 16, 24, 25, 25, 32, 40)
# share of the excerpts that FluidSynth renders with its reverb; the others are mixed from banks
BY_FLUIDSYNTH = 0.1


def fonts() -> dict[str, Path]:
    """Return the installed soundfonts, sorted by file name."""
    places = [Path(folder, name) for folder in FOLDERS for name in (*FONTS, *DRUM_FONTS)]
    return {place.name: place for place in places if place.exists()}


def stems(
    score: Score, seconds: float, rng: np.random.Generator, folder: Path, *, rough: float = 0.2
) -> list[np.ndarray]:
    """Return two stems of the same length as in one recording: all but drums, and drums; silent ones are left out.

    `rough` is the probability of distortion by amplifiers and limiters; banks of notes are cached in `folder`.
    """
    samples = round(seconds * RATE)
    there = fonts()
    names = [name for name in FONTS if name in there]
    font = there[
        str(rng.choice(names, p=np.array([FONTS[name] for name in names]) / sum(FONTS[name] for name in names)))
    ]
    reverb = bool(rng.random() < 0.5)
    live = rng.random() < BY_FLUIDSYNTH
    found = []
    if (score.notes[:, 4] != DRUMS).any():
        if live:
            rest = _fitted(synthesize(to_midi(score, drums=False), font, reverb=reverb), samples)
        else:
            rest = banks.play(score, font, samples, folder, rng)
        found.append(_mastered(rest, rng, rough))
    if (score.notes[:, 4] == DRUMS).any():
        found.append(_mastered(_drums(score, samples, font, folder if not live else None, reverb, rng), rng, rough))
    room, codec = rng.random() < 0.3, rng.random() < 0.12
    if room:
        # the same room for both stems
        seed = int(rng.integers(1 << 30))
        found = [roomy(stem, np.random.default_rng(seed)) for stem in found]
    return [through_mp3(stem, rng) for stem in found] if codec else found


def _drums(
    score: Score, samples: int, font: Path, folder: Path | None, reverb: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return the drums: sampled, by formula, or from a soundfont (from its bank in `folder`, if that is given)."""
    hits = score.notes[score.notes[:, 4] == DRUMS]
    strokes = hits[:, [0, 2, 3]]
    there = fonts()
    kind = rng.random()
    known = kits.kits()
    if kind < 0.38 and known:
        return kits.play(kits.loaded(known[rng.integers(len(known))]), strokes, samples)
    if kind < 0.53:
        return drums_by_formula(strokes, samples, rng)
    program = SETS[rng.integers(len(SETS))]
    extra = [there[name] for name in DRUM_FONTS if name in there]
    if kind < 0.65 and extra:
        program, font = 0, extra[rng.integers(len(extra))]
    if folder:
        return kits.play(banks.drum_set(font, program, folder), strokes, samples)
    controls = np.array([(0.0, DRUMS, -1, program)] if program else np.zeros((0, 4))).reshape(-1, 4)
    return _fitted(synthesize(to_midi(replace(score, controls=controls), drums=True), font, reverb=reverb), samples)


def _mastered(sound: np.ndarray, rng: np.random.Generator, rough: float) -> np.ndarray:
    sound = sound / max(float(np.percentile(np.abs(sound), 99.9)), 1e-4)
    if rng.random() < rough:
        sound = driven(sound, rng)
    if rng.random() < 0.3:
        sound = compressed(sound, rng)
    return sound.astype(np.float32)


def _fitted(sound: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(sound, (0, max(samples - len(sound), 0)))[:samples]
