"""The set list of a preview: while one song is shown, the next one is analysed and loaded. Independent of the network.

All songs share one model. A song's changes are kept while another one plays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactive.errors import TimelineError
from reactive.live.material import Studio, load_material, song_material
from reactive.live.memory import give_back_memory
from reactive.live.session import Session
from reactive.live.setlist import ENDINGS, SetList
from reactive.live.song import write_wav
from reactive.timeline.perform import Change


@dataclass(frozen=True)
class PreparedSong:
    """A song that can start at once: its number in the list, its session with a paused engine, and its sound for browsers."""

    number: int
    session: Session
    wav: Path


class Playlist:
    """A set list in progress.

    Parameters
    ----------
    songs
        The list.
    made
        Called from an engine's thread with the new frames.
    """

    def __init__(self, songs: SetList, made: Callable[[list[int]], None]) -> None:
        self.songs = songs
        self.ending = songs.ending
        self.number = 0
        # number of started songs, by which a page distinguishes them
        self.begun = 0
        self._made = made
        self._studio: Studio | None = None
        self._changes: dict[int, list[Change]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="reactive-preview-")

    def first(self, say: Callable[[str], None] = lambda what: None) -> PreparedSong:
        """Load the model and the first song.

        Raises
        ------
        ReactiveError
            If an input can't be used.
        """
        song = self.songs.songs[0]
        material = load_material(song.file, song.options, say)
        self._studio = material
        say("computing the timeline")
        return self._prepared(0, Session(material, self._made, song.presets))

    def prepare(self, number: int) -> PreparedSong:
        """Analyse a song and compute its timeline; this takes seconds and does not affect the current song.

        Raises
        ------
        ReactiveError
            If it can't be read, or there is no such song.
        """
        assert self._studio is not None
        song = self.songs.songs[self.checked(number)]
        session = Session(song_material(song.file, song.options, self._studio), self._made, song.presets)
        return self._prepared(number, session)

    def _prepared(self, number: int, session: Session) -> PreparedSong:
        if changes := self._changes.get(number):
            session.replay(changes)
        with tempfile.NamedTemporaryFile(dir=self._folder.name, suffix=".wav", delete=False) as target:
            wav = Path(target.name)
        write_wav(session.material.track, wav)
        # the analysis needs several times as much as what is kept of it
        give_back_memory()
        return PreparedSong(number, session, wav)

    def begin(self, prepared: PreparedSong, before: PreparedSong) -> None:
        """Start a song in place of another one."""
        self._changes[before.number] = list(before.session.changes)
        self.number = prepared.number
        self.begun += 1

    def let_go(self, before: PreparedSong) -> None:
        """Close a song that is no longer shown, after its current picture."""
        before.session.close()
        before.wav.unlink(missing_ok=True)
        give_back_memory()

    def checked(self, number: int) -> int:
        """Return the number of a song after checking it.

        Raises
        ------
        TimelineError
            If there is no such song.
        """
        if not 0 <= number < len(self.songs.songs):
            raise TimelineError(f"there is no song {number + 1}", remedy=f"there are {len(self.songs.songs)}")
        return number

    def neighbour(self, step: int) -> int:
        """Return the number of the next (1) or previous (-1) song.

        Raises
        ------
        TimelineError
            If there is none.
        """
        number = self.number + step
        if not 0 <= number < len(self.songs.songs):
            what = "this is the last song" if step > 0 else "this is the first song"
            raise TimelineError(what, remedy="choose one from the list")
        return number

    @property
    def following(self) -> int | None:
        """The number of the next song, or None after the last."""
        return self.number + 1 if self.number + 1 < len(self.songs.songs) else None

    def end_with(self, ending: object) -> None:
        """Set what follows after the end of a song.

        Raises
        ------
        TimelineError
            If there is no such ending.
        """
        if not isinstance(ending, str) or ending not in ENDINGS:
            raise TimelineError("there is no such ending", remedy=f"there are {', '.join(ENDINGS)}")
        self.ending = ending

    def state(self, ready: int | None) -> dict[str, Any]:
        """Return the list for pages; `ready` is the number of the song that is loaded in advance, if any."""
        return {
            "songs": [song.title for song in self.songs.songs],
            "song": self.number,
            "ready": ready,
            "ending": self.ending,
            "endings": ENDINGS,
        }

    def close(self) -> None:
        """Remove temporary files."""
        self._folder.cleanup()
