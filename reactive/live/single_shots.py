"""The edits of single shots of a song that is previewed, read again when their file is saved (`reactive shots`, the studio)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reactive.audio.analysis import Analysis
from reactive.live.file_state import file_state_of
from reactive.media.identity import carry_over
from reactive.media.sound import Track
from reactive.preset.shots import Shots, ShotsFile, open_shots
from reactive.timeline.shot_edits import apply_shots
from reactive.timeline.timeline import Timeline


@dataclass(frozen=True)
class SingleShots:
    """A shots file as it was last read: its path, its state then, and its contents; all None for no edits."""

    path: Path | None = None
    state: tuple[int, int, int] | None = None
    file: ShotsFile | None = None

    @property
    def edits(self) -> Shots:
        """The edits."""
        return self.file.shots if self.file else Shots()

    @property
    def photos(self) -> tuple[Path, ...]:
        """The photographs that it names, beside it."""
        return self.file.photos if self.file else ()

    @property
    def is_current(self) -> bool:
        """Whether the file was not saved, or removed, since it was read."""
        return self.path is None or file_state_of(self.path) == self.state

    def over(self, timeline: Timeline, analysis: Analysis) -> Timeline:
        """Return a timeline with the edits.

        Raises
        ------
        TimelineError
            If they belong to another song.
        """
        return apply_shots(timeline, analysis, self.edits).timeline if self.edits.shot else timeline


NO_SHOTS = SingleShots()


def read_shots(path: Path | None, track: Track | None = None) -> SingleShots:
    """Read a shots file; one that has only the hash of the song's bytes gets that of its sound too. A file that is gone has no edits.

    Raises
    ------
    ReactiveError
        If it is not a shots file.
    """
    if path is None:
        return NO_SHOTS
    if track is not None:
        carry_over(path, track)
    state = file_state_of(path)
    return SingleShots(path, state, open_shots(path) if state else None)
