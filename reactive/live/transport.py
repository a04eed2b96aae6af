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
    """

    duration: float
    position: float = 0.0
    playing: bool = False
    updated_at: float = 0.0
    loop: tuple[float, float] | None = None

    def at(self, now: float | None = None) -> float:
        """Return the playhead's song time."""
        if not self.playing:
            return self.position
        # a page that stopped reporting is extrapolated for at most 5 seconds
        passed = min(max((time.monotonic() if now is None else now) - self.updated_at, 0.0), 5.0)
        reached = self.position + passed
        if self.loop and self.position < self.loop[1] <= reached:
            return self.loop[0] + (reached - self.loop[0]) % max(self.loop[1] - self.loop[0], 0.05)
        return min(reached, self.duration)

    def until_loop_ends(self, now: float | None = None) -> float | None:
        """Return the seconds until the end of the loop, at least 0; None without a loop or while paused."""
        if not self.playing or self.loop is None:
            return None
        passed = (time.monotonic() if now is None else now) - self.updated_at
        return max(0.0, self.loop[1] - self.position - passed)
