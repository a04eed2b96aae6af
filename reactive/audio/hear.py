"""Hear a song as its band wants it heard: from the cache if it can be, corrected by hand, with stems and markers."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
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
    settled, save
        Whether `corrections` hold those kept before too, see `settle`, and whether they shall be kept once applied.
    """

    corrections: Corrections = NOTHING
    forget: bool = False
    stems: tuple[tuple[str, Path], ...] = ()
    midi: Path | None = None
    markers: Path | None = None
    settled: bool = False
    save: bool = False


NO_WISHES = Wishes()


@dataclass(frozen=True)
class Heard:
    """A song, what was heard in it, and what its user should be told (whole sentences)."""

    track: Track
    analysis: Analysis
    notes: tuple[str, ...]


def settle(track: Track, wishes: Wishes) -> tuple[Wishes, tuple[str, ...]]:
    """Return wishes whose corrections are all that count, those kept for the song included, and what to tell of it."""
    if wishes.settled:
        return wishes, ()
    kept, note = (NOTHING, "") if wishes.forget else load_corrections(track.path, track.sha256)
    said = bool(wishes.corrections) or wishes.forget
    settled = replace(wishes, corrections=merged(kept, wishes.corrections), settled=True, save=said)
    return settled, (note,) if note else ()


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
    settled, told = settle(track, wishes)
    notes = [*track.notes, *told]
    try:
        analysis = corrected(analysis, settled.corrections)
    except GridError as problem:
        if wishes.corrections:
            raise
        notes.append(f"The grid kept for this song is not applied: {problem}")
    if settled.save:
        kept = save_corrections(track.path, track.sha256, settled.corrections)
        if kept:
            notes.append(f"The grid is kept in {kept}.")
    # stems and markers know better than any guess
    from reactive.audio.stems import with_markers, with_midi, with_stem

    for name, path in wishes.stems:
        analysis, told_of = with_stem(analysis, name, path)
        notes += [told_of] if told_of else []
    if wishes.midi:
        analysis, told_of = with_midi(analysis, wishes.midi)
        notes.append(told_of)
    if wishes.markers:
        analysis = with_markers(analysis, wishes.markers)
    return Heard(track, analysis, tuple(notes))
