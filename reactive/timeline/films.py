"""Which part of a film each shot shows: its strongest movement falls on the shot's strongest hit, calm parts on calm bars.

A film that lasts as long as the song was made to it, and is shown at the song's own time. Every other film is cut: each shot
begins at another place, and no place comes again before the rest of the film was shown. The preset's `[film]` decides how the
film runs from there: its rate, jumps, and after how many bars or beats a shot begins again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from reactive.audio.grid import Grid
from reactive.preset.bounds import LIMITS
from reactive.preset.fields import parse_length
from reactive.preset.schema import Film, Phase, Preset
from reactive.timeline.clock import frame_length, frame_time, nearest_frame
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.schedule import times_every

# value of `film_time` where a film is shown at the song's own time, or there is none
SONG_TIME = -1.0
# seconds; a film whose length is closer than this to the song's was made to it
SAME_LENGTH_SECONDS = 2.0
# penalty of a part for each time that it was shown: more than all other terms
_SHOWN = 4.0


@dataclass(frozen=True)
class Footage:
    """The properties of a film that decide its cuts.

    Attributes
    ----------
    duration
        Its length in seconds.
    rate
        Values of `movement` a second.
    movement
        How much its pictures change, float [n], 0 or more; nan where it was not measured.
    """

    duration: float
    rate: float
    movement: np.ndarray


def film_expressions(preset: Preset, phase: Phase) -> dict[str, str]:
    """Return the expressions of how a film runs in a phase, by the column that each makes."""
    film: Film = phase.film or preset.film
    return {"film_rate": film.rate, "film_jump": film.jump}


def place_films(
    preset: Preset,
    spans: Sequence[PhaseSpan],
    columns: Mapping[str, np.ndarray],
    curves: Mapping[str, np.ndarray],
    cuts: Sequence[int],
    footage: Mapping[int, Footage],
    *,
    grid: Grid,
    fps: Fraction,
) -> np.ndarray:
    """Return the column `film_time`: seconds of the film that each frame shows, float64 [frames]; `SONG_TIME` elsewhere.

    Parameters
    ----------
    columns
        The timeline's columns, with `source`, `ground`, `phase` and those of `film_expressions`.
    curves
        Signals of the song, float64 [frames]: `kick`, `onset` and `energy.level` are read.
    cuts
        Frames at which shots begin, rising.
    footage
        The properties of each film by its number in the columns `source` and `ground`; those not in it are shown at song time.
    """
    frames = len(columns["source"])
    made = np.full(frames, SONG_TIME)
    song = float(frame_time(frames, fps))
    cut = {number: film for number, film in footage.items() if abs(film.duration - song) > SAME_LENGTH_SECONDS}
    if not cut:
        return made
    shown = np.where(columns["source"] >= 0, columns["source"], columns["ground"])
    edges = [0, *sorted({*(np.flatnonzero(np.diff(shown)) + 1).tolist(), *cuts}), frames]
    step = float(frame_length(fps))
    rate = np.clip(columns["film_rate"], *LIMITS["film.rate"])
    jump = np.clip(columns["film_jump"], *LIMITS["film.jump"])
    strength = curves["kick"] + 0.5 * curves["onset"]
    parts = {number: _Parts(film) for number, film in cut.items()}
    for first, stop in zip(edges, edges[1:], strict=False):
        number = int(shown[first])
        if number not in parts or stop <= first:
            continue
        moved = _moved(
            rate[first:stop] * step, jump[first:stop], _restarts(preset, spans, columns, first, stop, grid, fps)
        )
        hit = int(np.argmax(strength[first:stop])) if strength[first:stop].any() else 0
        begin = parts[number].take(moved, hit, float(curves["energy.level"][first:stop].mean()))
        # rounded as in a timeline's file, so that a saved timeline gives the same pictures
        made[first:stop] = np.round(_folded(begin + moved, parts[number].film.duration), 6)
    return made


class _Parts:
    """Chooses parts of one film."""

    def __init__(self, film: Footage) -> None:
        self.film = film
        moving = np.nan_to_num(film.movement.astype(np.float64), nan=0.0)
        # by rank: one very strong movement must not make the rest look still
        ranks = np.argsort(np.argsort(moving, kind="stable"), kind="stable")
        self.rank = (ranks + 0.5) / max(len(moving), 1)
        self.known = np.isfinite(film.movement)
        self.times = np.zeros(len(moving))

    def take(self, moved: np.ndarray, hit: int, energy: float) -> float:
        """Return the second at which a shot begins.

        Parameters
        ----------
        moved
            How far the film has run at each of the shot's frames, seconds [n].
        hit
            The frame at which the song is strongest.
        energy
            How strong the song is over the shot, 0 to 1.
        """
        count = len(self.rank)
        if not count:
            return 0.0
        low, high = float(moved.min()), float(moved.max())
        begins = np.arange(count) / self.film.rate
        whole = begins[(begins + low >= 0) & (begins + high <= self.film.duration)]
        # a film shorter than the shot runs forwards and backwards
        begins = whole if len(whole) else begins[:1] - min(low, 0.0)
        # moments of a long shot that are compared
        looks = np.unique(np.linspace(0, len(moved) - 1, 48).round().astype(int))
        at = self._places(begins[:, None] + moved[looks])
        level = self.rank[at].mean(axis=1)
        peak = self.rank[self._places(begins + moved[hit])]
        near = self.rank[self._places(begins[:, None] + moved[hit] + np.array([-0.5, -0.25, 0.25, 0.5]))].mean(axis=1)
        score = -np.abs(level - energy) + (0.5 + 0.5 * energy) * (peak - near) + 0.5 * energy * peak
        score -= _SHOWN * self.times[at].mean(axis=1) + 2 * _SHOWN * ~self.known[at].all(axis=1)
        chosen = int(np.argmax(score))
        seen = np.unique(self._places(begins[chosen] + moved))
        self.times[seen] += 1
        return float(begins[chosen])

    def _places(self, seconds: np.ndarray) -> np.ndarray:
        folded = _folded(seconds, self.film.duration)
        return np.minimum((folded * self.film.rate).astype(int), len(self.rank) - 1)


def _moved(steps: np.ndarray, jumps: np.ndarray, restarts: Sequence[int]) -> np.ndarray:
    """Return how far a film has run at each frame of a shot, in seconds from its beginning [n]."""
    moved = np.concatenate([[0.0], np.cumsum(steps[:-1])]) + np.cumsum(np.concatenate([[0.0], jumps[1:]]))
    for begin in restarts:
        moved[begin:] -= moved[begin]
    return moved


def _restarts(
    preset: Preset,
    spans: Sequence[PhaseSpan],
    columns: Mapping[str, np.ndarray],
    first: int,
    stop: int,
    grid: Grid,
    fps: Fraction,
) -> list[int]:
    """Return the frames of a shot, counted from its own first, at which its film begins again."""
    phase = preset.phase[int(columns["phase"][first])]
    again = (phase.film or preset.film).again
    if again is None:
        return []
    length = parse_length(again)
    here = PhaseSpan(0, 0, float(frame_time(first, fps)), float(frame_time(stop, fps)))
    frames = (nearest_frame(time, fps) - first for time in times_every(grid, here, length.count, length.unit))
    return [frame for frame in frames if 0 < frame < stop - first]


def _folded(seconds: np.ndarray, duration: float) -> np.ndarray:
    """Return times within a film: beyond an end it runs backwards."""
    # slightly less than the film's end, so that the last picture is shown
    last = max(duration - 1e-3, 1e-6)
    within = np.mod(seconds, 2 * last)
    return np.where(within > last, 2 * last - within, within)
