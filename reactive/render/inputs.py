"""What was given beside the song, read once: what is rendered and what the recipe says come from the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reactive.preset.library import PresetFile
from reactive.preset.lyrics import Line, LyricsFile
from reactive.preset.schema import Preset
from reactive.preset.shots import Shots, ShotsFile


@dataclass(frozen=True)
class RenderInputs:
    """Files that were read before anything was heard or loaded.

    Attributes
    ----------
    preset
        The preset; None where an edited timeline or a take stands in its place.
    lyrics
        The song's words, of a file that was given or of the preset's folder; None for none.
    shots
        Edits of single shots; None if there are none.
    photos
        All photographs in the order of their numbers: those that were given, then those that the edits name.
    notes
        What is to be told of the files, each a sentence.
    """

    preset: PresetFile | None = None
    lyrics: LyricsFile | None = None
    shots: ShotsFile | None = None
    photos: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def preset_data(self) -> Preset | None:
        """What the preset says."""
        return self.preset.preset if self.preset else None

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of the song's words."""
        return self.lyrics.lines if self.lyrics else ()

    @property
    def shot_edits(self) -> Shots | None:
        """The edits of single shots."""
        return self.shots.shots if self.shots else None
