"""Drum kits of recorded samples: those of Debian's `hydrogen-data` and `hydrogen-drumkits`. Audio is float32 mono at 22050 Hz."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np

from reactive.audio.spectrum import RATE

FOLDER = Path("/usr/share/hydrogen/data/drumkits")
# General MIDI drums by words in an instrument's name; the first match counts
WORDS = (
    ("kick", 36),
    ("bassdrum", 36),
    ("bass drum", 36),
    ("stick", 37),
    ("rim", 37),
    ("clap", 39),
    ("snare", 38),
    ("floor", 43),
    ("tom low", 43),
    ("tom lo", 43),
    ("tom mid", 47),
    ("tom", 48),
    ("pedal", 44),
    ("open", 46),
    ("hat", 42),
    ("hh", 42),
    ("cowbell", 56),
    ("ride", 51),
    ("bell", 53),
    ("crash", 49),
    ("splash", 55),
    ("shaker", 70),
    ("maraca", 70),
    ("tambourine", 54),
)
# substitutes for drums that a kit lacks
NEAREST = {
    35: 36,
    40: 38,
    39: 38,
    37: 38,
    44: 42,
    46: 42,
    22: 42,
    26: 46,
    52: 49,
    55: 49,
    57: 49,
    59: 51,
    53: 51,
    51: 49,
    41: 43,
    45: 43,
    43: 47,
    47: 48,
    48: 47,
    50: 48,
    70: 42,
    54: 42,
    69: 42,
    82: 70,
    31: 37,
    76: 37,
    56: 37,
    58: 43,
}

# highest velocity of each layer, and its sound
Layers = list[tuple[float, np.ndarray]]


@cache
def kits() -> list[str]:
    """Return the names of the kits that have at least a kick, a snare and a hat."""
    names = sorted(path.parent.name for path in FOLDER.glob("*/drumkit.xml"))
    return [name for name in names if {36, 38, 42} <= set(_described(name))]


def play(sounds: dict[int, Layers], hits: np.ndarray, samples: int) -> np.ndarray:
    """Return `samples` samples of hits, rows of (seconds, pitch, velocity 1 to 127), played with `sounds` (see `loaded`)."""
    mix = np.zeros(samples, np.float32)
    for start, pitch, velocity in hits:
        drum = int(pitch)
        for _ in range(4):
            if drum in sounds:
                break
            drum = NEAREST.get(drum, 42)
        if drum not in sounds:
            continue
        level = velocity / 127
        layers = sounds[drum]
        sound = next((sound for most, sound in layers if level <= most), layers[-1][1])
        first = round(start * RATE)
        part = mix[first : first + len(sound)]
        part += sound[: len(part)] * np.float32(level**1.3)
    return mix


def _described(kit: str) -> dict[int, list[tuple[float, Path]]]:
    root = ElementTree.parse(FOLDER / kit / "drumkit.xml").getroot()
    for element in root.iter():
        # some kits use an XML namespace
        element.tag = element.tag.rpartition("}")[2]
    found: dict[int, list[tuple[float, Path]]] = defaultdict(list)
    for instrument in root.iter("instrument"):
        name = instrument.findtext("name", "").lower()
        drum = next((drum for word, drum in WORDS if word in name), None)
        if drum is None or drum in found:
            continue
        layers = [
            (float(layer.findtext("max", "1")), layer.findtext("filename", "")) for layer in instrument.iter("layer")
        ]
        layers = layers or [(1.0, instrument.findtext("filename", ""))]
        for most, file in sorted(layers):
            if file and (FOLDER / kit / file).exists():
                found[drum].append((most, FOLDER / kit / file))
    return dict(found)


@cache
def loaded(kit: str) -> dict[int, Layers]:
    """Return the sounds of a kit by General MIDI drum."""
    import soundfile
    import soxr

    loaded: dict[int, Layers] = {}
    for drum, layers in _described(kit).items():
        for most, path in layers:
            sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = soxr.resample(sound.mean(axis=1), rate, RATE)[: 2 * RATE]
            # silence at the start would delay every hit
            loud = np.flatnonzero(np.abs(mono) > 0.02 * np.abs(mono).max(initial=1e-9))
            loaded.setdefault(drum, []).append((most, mono[loud[0] :] if len(loud) else mono))
    return loaded
