"""Synthesised songs of several genres: drums at given positions of a bar, bass and chords on roots that change with the bar."""

from __future__ import annotations

import numpy as np

from tests.audio.songs import RATE, drum, note

ROOTS = (45, 41, 48, 43)


def genre(
    beats: np.ndarray,
    size: int,
    places: dict[str, tuple[float, ...]],
    *,
    chord_beats: int | None = None,
    arpeggio: int = 0,
) -> np.ndarray:
    """Return a song, float32 mono at 22050 Hz.

    Parameters
    ----------
    beats
        Times in seconds; the first is a downbeat.
    size
        Beats of a bar.
    places
        By drum (kick, snare, hat), its positions in a bar, in beats from 0.
    chord_beats
        Length of each chord in beats; a bar if None.
    arpeggio
        Number of single chord notes a beat; 0 for none.
    """
    count = np.arange(len(beats))
    length = float(np.median(np.diff(beats)))
    song = np.zeros(round((beats[-1] + 3) * RATE))

    def at(place: float) -> float:
        inside = float(np.interp(place, count, beats))
        return inside if place <= count[-1] else float(beats[-1] + (place - count[-1]) * length)

    def add(sound: np.ndarray, seconds: float, level: float) -> None:
        first = round(seconds * RATE)
        part = song[first : first + len(sound)]
        part += level * sound[: len(part)]

    levels = {"kick": 0.9, "snare": 0.7, "hat": 0.3}
    hold = chord_beats or size
    for bar in range(len(beats) // size):
        for name, where in places.items():
            for place in where:
                add(drum(name), at(bar * size + place), levels[name])
    for number in range(0, len(beats), hold):
        root = ROOTS[number // hold % len(ROOTS)]
        chord = (root + 12, root + (16 if root in (41, 48, 43) else 15), root + 19)
        add(note(root - 12, 0.9 * hold * length), at(number), 0.5)
        for pitch in chord:
            add(note(pitch, hold * length), at(number), 0.2)
        for step in range(hold * arpeggio):
            add(note(chord[step % 3] + 12, 1.5 * length / arpeggio), at(number + step / arpeggio), 0.15)
    return (0.3 * song).astype(np.float32)


def straight(tempo: float, bars: int, size: int = 4) -> np.ndarray:
    """Return steady beats from half a second on."""
    return 0.5 + np.arange(bars * size) * (60 / tempo)
