"""The position in the song: the page's last report, extrapolated with this machine's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Transport:
    """The playhead as the page last reported it.

    Attributes
    ----------
    position
        Song time in seconds at that moment.
    playing
        Whether it moves.
    updated_at
        The moment, by `time.monotonic`.
    loop
        Start and end in seconds of the section that is repeated, or None.
    duration
        The song's length in seconds.
    jump
        A jump to come, once: at which time, and where to; or None.
    """

    duration: float
    position: float = 0.0
    playing: bool = False
    updated_at: float = 0.0
    loop: tuple[float, float] | None = None
    jump: tuple[float, float] | None = None

    @property
    def turn(self) -> tuple[float, float] | None:
        """The next jump of the playhead, of a loop or once: at which time, and where to; None for none."""
        back = None if self.loop is None or self.position >= self.loop[1] else (self.loop[1], self.loop[0])
        if self.jump is None or (back is not None and back[0] < self.jump[0]):
            return back
        return self.jump

    def at(self, now: float | None = None) -> float:
        """Return the playhead's song time."""
        if not self.playing:
            return self.position
        # a page that stopped reporting is extrapolated for at most 5 seconds
        passed = min(max((time.monotonic() if now is None else now) - self.updated_at, 0.0), 5.0)
        reached = self.position + passed
        if (turn := self.turn) is not None and self.position < turn[0] <= reached:
            past, length = reached - turn[0], turn[0] - turn[1]
            # a loop may be shorter than what has passed
            return turn[1] + (past if turn == self.jump else past % max(length, 0.05))
        return min(reached, self.duration)

    def until_turn(self, now: float | None = None) -> float | None:
        """Return the seconds until the next jump, at least 0; None if none comes or while paused."""
        if not self.playing or (self.jump is None and self.loop is None):
            return None
        edge = self.loop[1] if self.turn is None and self.loop else (self.turn or (self.position, 0.0))[0]
        passed = (time.monotonic() if now is None else now) - self.updated_at
        return max(0.0, edge - self.position - passed)
