"""Hear a song as its band wants it heard: from the cache if it can be, corrected by hand, with stems and markers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from reactive.audio.analysis import Analysis
from reactive.audio.cache import hear_once
from reactive.audio.corrections import NOTHING, Corrections, corrected, load_corrections, merged, save_corrections
from reactive.errors import GridError
from reactive.media.sound import Track


@dataclass(frozen=True)
class Wishes:
    """What a person adds to what is heard.

    Attributes
    ----------
    corrections
        Of the grid; they are kept for the next time.
    forget
        Drop the corrections kept before.
    stems
        Names and files.
    midi
        Notes as MIDI.
    markers
        A MIDI or WAV file whose markers are the song's sections.
    """

    corrections: Corrections = NOTHING
    forget: bool = False
    stems: tuple[tuple[str, Path], ...] = ()
    midi: Path | None = None
    markers: Path | None = None


NO_WISHES = Wishes()


@dataclass(frozen=True)
class Heard:
    """A song, what was heard in it, and what its user should be told (whole sentences)."""

    track: Track
    analysis: Analysis
    notes: tuple[str, ...]


def hear(song: str | os.PathLike[str], wishes: Wishes = NO_WISHES) -> Heard:
    """Hear a song and apply what its user wishes; given corrections are kept beside the song.

    Raises
    ------
    MediaError
        If the song, a stem or a MIDI file can't be read.
    GridError
        If a correction can't be applied or kept.
    """
    track, analysis = hear_once(song)
    notes = []
    saved, note = (NOTHING, "") if wishes.forget else load_corrections(track.path, track.sha256)
    if note:
        notes.append(note)
    corrections = merged(saved, wishes.corrections)
    try:
        analysis = corrected(analysis, corrections)
    except GridError as problem:
        if wishes.corrections:
            raise
        notes.append(f"The grid kept for this song is not applied: {problem}")
    if wishes.corrections or wishes.forget:
        kept = save_corrections(track.path, track.sha256, corrections)
        if kept:
            notes.append(f"The grid is kept in {kept}.")
    # stems and markers know better than any guess
    from reactive.audio.stems import with_markers, with_midi, with_stem

    for name, path in wishes.stems:
        analysis = with_stem(analysis, name, path)
    if wishes.midi:
        analysis = with_midi(analysis, wishes.midi)
    if wishes.markers:
        analysis = with_markers(analysis, wishes.markers)
    return Heard(track, analysis, tuple(notes))
