"""The analysis of a song with its band's corrections, stems and markers; from the cache if possible."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

from reactive.audio.analysis import Analysis
from reactive.audio.cache import hear_once
from reactive.audio.corrections import (
    NO_CORRECTIONS,
    Corrections,
    apply_corrections,
    grid_file,
    load_corrections,
    make_room,
    merge_corrections,
    save_corrections,
)
from reactive.audio.fit import misfit, options_of, outcome
from reactive.audio.parts import name_sections
from reactive.errors import GridError
from reactive.media.identity import carry_over
from reactive.media.sound import Track

# files are stored with absolute paths, since a job may be resumed from another folder
File = Annotated[Path, PlainSerializer(lambda path: str(path.absolute()), when_used="json")]


class HearingOptions(BaseModel):
    """What a person adds to the analysis.

    Attributes
    ----------
    corrections
        Corrections of the grid; they are saved for the next time.
    forget
        Drop the saved corrections.
    stems
        Names and files.
    midi
        Notes as MIDI.
    markers
        A MIDI or WAV file whose markers are the song's sections.
    settled, save
        Whether `corrections` include the saved ones already, see `merge_saved`, and whether they are saved once applied.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    corrections: Corrections = NO_CORRECTIONS
    forget: bool = False
    stems: tuple[tuple[str, File], ...] = ()
    midi: File | None = None
    markers: File | None = None
    settled: bool = False
    save: bool = False


DEFAULT_HEARING = HearingOptions()


@dataclass(frozen=True)
class Heard:
    """A song, its analysis, and sentences for its user."""

    track: Track
    analysis: Analysis
    notes: tuple[str, ...]


def merge_saved(track: Track, options: HearingOptions) -> tuple[HearingOptions, tuple[str, ...]]:
    """Return options whose corrections include those saved for the song, and sentences for its user."""
    if options.settled:
        return options, ()
    names = (track.path, track.sha256, track.file_sha256)
    kept, note = (NO_CORRECTIONS, "") if options.forget else load_corrections(*names)
    if kept and (file := grid_file(*names)):
        note = carry_over(file, track)
    said = bool(options.corrections) or options.forget
    corrections = merge_corrections(kept, options.corrections)
    merged = options.model_copy(update={"corrections": corrections, "settled": True, "save": said})
    dropped = ""
    if kept.downbeat and corrections.downbeat is None:
        dropped = (
            f'The kept --downbeat {kept.downbeat} counted other beats and is dropped; name the "one" anew, as '
            "`reactive analyze --bars` numbers the beats."
        )
    return merged, tuple(filter(None, (note, dropped)))


def hear(song: str | os.PathLike[str], options: HearingOptions = DEFAULT_HEARING) -> Heard:
    """Analyse a song and apply what its user adds; given corrections are saved beside the song.

    Raises
    ------
    MediaError
        If the song, a stem or a MIDI file can't be read.
    GridError
        If a correction can't be applied or saved.
    """
    track, analysis = hear_once(song)
    merged, saved_notes = merge_saved(track, options)
    notes = [*track.notes, *saved_notes]
    try:
        analysis, merged, told = _corrected(track, analysis, merged)
        notes += told
    except GridError as problem:
        # a correction that is given now is reported, one that was kept does not stop anything
        if merged.save:
            raise
        kept_options = options_of(merged.corrections)
        notes.append(f"The grid kept for this song ({kept_options}) is not applied: {problem} --forget-grid drops it.")
    else:
        if merged.corrections and not merged.save:
            unfit = misfit(track.path, track.sha256, track.file_sha256, merged.corrections, analysis)
            notes += [unfit] if unfit else []
    if merged.save:
        moved = make_room(track.path, track.sha256, track.file_sha256) if merged.corrections else ""
        notes += [moved] if moved else []
        kept = save_corrections(track.path, track.sha256, merged.corrections, track.file_sha256, gave=outcome(analysis))
        if kept:
            notes.append(f"The grid is kept in {kept}.")
    # stems and markers replace what was estimated
    from reactive.audio.stems import with_markers, with_midi, with_stem

    for name, path in options.stems:
        analysis, told_of = with_stem(analysis, name, path)
        notes += [told_of] if told_of else []
    if options.midi:
        analysis, told_of = with_midi(analysis, options.midi)
        notes.append(told_of)
    if options.markers:
        analysis = with_markers(analysis, options.markers)
    if names := merged.corrections.sections:
        analysis, unknown = name_sections(analysis, names)
        if unknown:
            notes.append(f"This song has no section {', '.join(unknown)}; see `reactive analyze`.")
    return Heard(track, analysis, tuple(notes))


def _corrected(
    track: Track, analysis: Analysis, merged: HearingOptions
) -> tuple[Analysis, HearingOptions, tuple[str, ...]]:
    """Return the analysis with its grid corrected; a kept "one" whose beat is gone does not stop what is given now."""
    corrections = merged.corrections
    try:
        return apply_corrections(analysis, corrections), merged, ()
    except GridError as problem:
        kept, _ = load_corrections(track.path, track.sha256, track.file_sha256)
        if not merged.save or problem.where != "--downbeat" or kept.downbeat != corrections.downbeat:
            raise
        merged = merged.model_copy(update={"corrections": replace(corrections, downbeat=None)})
        note = f"The kept --downbeat {kept.downbeat} is dropped: {problem.what}. {problem.remedy.capitalize()}."
        return apply_corrections(analysis, merged.corrections), merged, (note,)
