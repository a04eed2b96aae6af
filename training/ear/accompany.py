"""Generate accompaniments with MMA (Musical MIDI Accompaniment; Debian: `mma`) over random chord progressions.

Its library has some 2,000 grooves, from bebop to house, for General MIDI; each states the beats of its bar. A song of
MMA has one tempo and starts on a bar, so the true beat times can be calculated.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

LIBRARY = Path("/usr/share/mma/lib")
# number of MMA's beats (always quarters) in one felt beat, by beats of a bar
COMPOUND = {6: 3}
# skipped: their stated metre differs from what they play, or they are count-ins only
UNCLEAR = ("afro-cuban", "blues34", "blues68", "68ballad", "none", "metronome", "count", "ending", "intro")
# tempo in beats a minute, by the first word found in a style's name
TEMPI = (
    (("slow", "ballad", "bald", "hymn", "lullaby", "bolero", "spiritual", "ambient", "desert", "serenade"), (52, 105)),
    (
        ("fast", "quick", "vienese", "bebop", "jive", "twist", "polka", "charleston", "dixie", "bluegrass", "gypsy"),
        (130, 240),
    ),
    (
        ("punk", "ska", "metal", "mtl", "thr", "dnb", "rave", "samba", "merengue", "zydeco", "ragtime", "hrk"),
        (120, 225),
    ),
    (("swing", "jazz", "bigband", "shuffle", "boog", "bogg", "blues", "foxtrot", "western", "50s"), (85, 215)),
    (("house", "trance", "techno", "dance", "disco"), (110, 155)),
    (("hip", "r&b", "rb", "rnb", "funk", "soul", "trip"), (70, 125)),
)
USUAL = (70, 180)
QUALITIES = ("", "", "", "m", "m", "7", "m7", "M7", "dim", "sus4", "5")
ROOTS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


@dataclass(frozen=True)
class Style:
    """A file of MMA's library: names of its grooves, and the length of their bar in quarters."""

    file: Path
    grooves: tuple[str, ...]
    quarters: int


@dataclass(frozen=True)
class Accompaniment:
    """A generated piece: the MIDI file, and its beats and downbeats in seconds."""

    midi: bytes
    beats: np.ndarray
    downbeats: np.ndarray
    style: str


def available() -> bool:
    """Return whether MMA and its library are installed."""
    return shutil.which("mma") is not None and LIBRARY.exists()


@cache
def styles() -> tuple[Style, ...]:
    """Return every style with one unambiguous metre."""
    found = []
    for file in sorted(LIBRARY.glob("*/*.mma")):
        text = file.read_text("latin-1")
        times = {int(number) for number in re.findall(r"(?im)^\s*time\s+(\d+)", text)}
        grooves = tuple(re.findall(r"(?im)^\s*defgroove\s+(\S+)", text))
        if len(times) == 1 and grooves and not file.stem.startswith(UNCLEAR):
            found.append(Style(file, grooves, times.pop()))
    return tuple(style for style in found if style.quarters in (2, 3, 4, 5, 6))


def accompany(rng: np.random.Generator, seconds: float) -> Accompaniment:
    """Return at least `seconds` seconds of a random style; every fourth or eighth bar is a variation or a fill.

    Raises
    ------
    ValueError
        If MMA's library has no styles, or MMA fails on the song.
    """
    known = styles()
    if not known:
        raise ValueError(f"no styles of MMA in {LIBRARY} (Debian: apt-get install mma)")
    style = known[rng.integers(len(known))]
    felt = COMPOUND.get(style.quarters, 1)
    # MMA truncates the tempo to an integer, and the length of a beat to microseconds
    tempo = int(_tempo(rng, style) * felt)
    quarter = int(60e6 / tempo) / 1e6
    bars = int(np.ceil(seconds / (quarter * style.quarters))) + 1
    with tempfile.TemporaryDirectory() as folder:
        score, midi = Path(folder, "piece.mma"), Path(folder, "piece.mid")
        score.write_text(_score(rng, style, bars, tempo))
        done = subprocess.run(["mma", "-f", str(midi), str(score)], capture_output=True, timeout=1800, check=False)
        if done.returncode or not midi.exists():
            raise ValueError(f"MMA can't play {style.file.stem}")
        data = midi.read_bytes()
    beats = np.arange(0, bars * style.quarters, felt) * quarter
    return Accompaniment(data, beats, np.arange(bars) * style.quarters * quarter, style.file.stem)


def _tempo(rng: np.random.Generator, style: Style) -> float:
    name = style.file.stem.lower()
    span = next((span for words, span in TEMPI if any(word in name for word in words)), USUAL)
    if style.quarters in COMPOUND:
        span = (50, 130)
    return float(np.exp(rng.uniform(*np.log(span))))


def _score(rng: np.random.Generator, style: Style, bars: int, tempo: int) -> str:
    """Return the source of an MMA song: a loop of chords, the style's grooves, occasional variations and fills."""
    plain = [name for name in style.grooves if not re.search(r"(?i)(intro|end|fill)", name)] or list(style.grooves)
    fills = [name for name in style.grooves if re.search(r"(?i)fill", name)]
    loop = [_chord(rng) for _ in range(int(rng.choice([1, 2, 4, 4, 8])))]
    hold = int(rng.choice([1, 1, 2]))
    lines = [f"Tempo {tempo}", f"RndSeed {int(rng.integers(1 << 30))}", f"Groove {style.file.as_posix()}:{plain[0]}"]
    group = int(rng.choice([4, 8]))
    now = plain[rng.integers(len(plain))]
    for bar in range(bars):
        if bar % group == 0:
            now = plain[rng.integers(len(plain))] if rng.random() < 0.4 else now
            lines.append(f"Groove {style.file.as_posix()}:{now}")
        elif bar % group == group - 1 and fills and rng.random() < 0.6:
            lines.append(f"Groove {style.file.as_posix()}:{fills[rng.integers(len(fills))]}")
        lines.append(f"{bar + 1} {loop[bar // hold % len(loop)]}")
    return "\n".join(lines) + "\n"


def _chord(rng: np.random.Generator) -> str:
    return ROOTS[rng.integers(12)] + QUALITIES[rng.integers(len(QUALITIES))]
