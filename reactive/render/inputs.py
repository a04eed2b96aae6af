"""The files that are given beside the song, read once, so that the clip and its recipe come from the same bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reactive.media.cube import read_cube
from reactive.media.fonts import missing_letters, no_font_for
from reactive.media.picture import parse_colour, read_picture, read_transparent
from reactive.media.video import open_film
from reactive.preset.control import control_pictures
from reactive.preset.library import PresetFile, open_lyrics_of, open_preset
from reactive.preset.lyrics import Line, LyricsFile
from reactive.preset.macros import macro_values
from reactive.preset.photographs import source_notes
from reactive.preset.schema import Overlay, Preset
from reactive.preset.shots import Shots, ShotsFile, open_shots
from reactive.preset.style import style_pictures
from reactive.render.outputs import check_output
from reactive.render.overlay import load_font
from reactive.render.settings import Settings
from reactive.render.take import load_take
from reactive.sources.footage import FILMS
from reactive.timeline.control_pictures import control_names, with_control_pictures
from reactive.timeline.styles import style_names, with_styles


@dataclass(frozen=True)
class RenderInputs:
    """Files that were read before anything was heard or loaded.

    Attributes
    ----------
    preset
        The preset; None if an edited timeline or a take replaces it.
    lyrics
        The song's words, from a file that was given or from the preset's folder; None if there are none.
    shots
        Edits of single shots; None if there are none.
    photos
        All photographs in the order of their numbers: those that were given, then those that the edits name.
    notes
        Sentences about the files, for the user.
    lut
        The preset's colour table; None if it has none, or another was given.
    """

    preset: PresetFile | None = None
    lyrics: LyricsFile | None = None
    shots: ShotsFile | None = None
    photos: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    lut: Path | None = None

    @property
    def preset_data(self) -> Preset | None:
        """What the preset says."""
        return self.preset.preset if self.preset else None

    @property
    def preset_path(self) -> Path | None:
        """The preset's file."""
        return self.preset.path if self.preset else None

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of the song's words."""
        return self.lyrics.lines if self.lyrics else ()

    @property
    def shot_edits(self) -> Shots | None:
        """The edits of single shots."""
        return self.shots.shots if self.shots else None


def read_inputs(song: str | os.PathLike[str], outs: Sequence[Path], settings: Settings) -> RenderInputs:
    """Read all files but the song, so that a broken one is reported before seconds of hearing and loading.

    Parameters
    ----------
    song
        The song; only its name is looked at.
    outs
        The clips that will be written.
    settings
        Names the files.

    Raises
    ------
    ReactiveError
        If a file can't be read, or a clip can't be written where it is meant to be.
    """
    written = [path for path in (settings.sources.timeline, settings.sources.take) if path]
    fed = (
        *settings.sources.photos,
        *settings.sources.videos,
        *settings.sources.style_paths,
        *settings.sources.control_paths,
    )
    inputs = [Path(song), *fed, *written]
    for path in outs:
        check_output(path, inputs, overwrite=True)
    if settings.sources.take:
        load_take(settings.sources.take)
    preset = None if written else open_preset(settings.preset)
    lyrics = open_lyrics_of(preset, settings.sources.lyrics) if preset else None
    shots = open_shots(settings.sources.shots) if preset and settings.sources.shots else None
    if preset:
        macro_values(preset.preset, settings.macros)
    photos = (*settings.sources.photos, *(shots.photos if shots else ()))
    background = parse_colour(settings.sources.background, where="--background")
    for photo in photos:
        read_picture(photo, background=background)
    if preset:
        named = {path.name: path for path in settings.sources.style_paths}
        for name in style_names(with_styles(preset.preset, style_pictures(settings.sources.styles))):
            read_picture(named.get(name) or preset.path.parent / name, background=background)
        _check_controls(settings, preset.preset, preset.path.parent, background)
    own = preset.path.parent / preset.preset.lut if preset and preset.preset.lut and not settings.colours.lut else None
    if table := settings.colours.lut or own:
        read_cube(table)
    found = RenderInputs(preset, lyrics, shots, photos, lut=own)
    shown = _check_overlay(settings, found)
    notes = [note for video in settings.sources.videos for note in open_film(video).notes]
    unfed = source_notes(preset.preset, photos=len(photos), videos=len(settings.sources.videos)) if preset else []
    return replace(found, notes=(*notes, *(lyrics.notes if lyrics else ()), *shown, *unfed))


def _check_controls(settings: Settings, preset: Preset, folder: Path, background: tuple[int, int, int]) -> None:
    """Check that the files can be read whose shapes a preset, or the settings, keep."""
    named = {path.name: path for path in settings.sources.control_paths}
    shown = with_control_pictures(preset, control_pictures(settings.sources.controls))
    for name in filter(None, (name.partition(":")[2] for name in control_names(shown))):
        path = named.get(name) or folder / name
        if path.suffix.lower() in FILMS:
            open_film(path)
        else:
            read_picture(path, background=background)


def _check_overlay(settings: Settings, inputs: RenderInputs) -> list[str]:
    """Read what is laid over the pictures; return a sentence for the user if no font has one of its letters."""
    overlay, folder = (
        (inputs.preset.preset.overlay, inputs.preset.path.parent) if inputs.preset else (Overlay(), Path())
    )
    logo = settings.overlay.logo or (folder / overlay.logo if overlay.logo else None)
    if logo:
        read_transparent(logo)
    font = folder / overlay.font if overlay.font else None
    if font:
        load_font(font, 12)
    texts = [settings.overlay.title, *(title.text for title in overlay.title)]
    if settings.overlay.show_lyrics or overlay.lyrics:
        texts += [line.text for line in inputs.lines]
    lacking = missing_letters((text for text in texts if text), font)
    if not lacking:
        return []
    return [no_font_for(lacking)]
