"""Shots by name (``drop 1 / shot 2``): what shows one prompt on one picture between two changes, hard or soft.

`shot_edits` changes single ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.errors import TimelineError
from reactive.preset.expression import closest_name
from reactive.timeline.clock import frame_length, frames_in, nearest_frame
from reactive.timeline.edges import SoftShot, shot_edges, soft_shots
from reactive.timeline.signals import drops
from reactive.timeline.timeline import FEEDBACK, Timeline


@dataclass(frozen=True)
class Shot:
    """A run of frames [start, stop) that shows one prompt on one picture.

    `name` is the part of the song that the shot starts in, and its number there; it is stable as long as the song's sections and
    the preset's changes are. Until `settle` the shot before it is blended out; `hard` says whether it begins with a cut.
    `prompts` are the texts it shows, in order, `grounds` the names of the pictures and films beneath it.
    """

    name: str
    number: int
    start: int
    stop: int
    prompts: tuple[str, ...]
    seed: int
    fed_back: bool
    grounds: tuple[str, ...] = ()
    settle: int = 0
    hard: bool = True


def shots_of(timeline: Timeline, analysis: Analysis, *, only_cuts: bool = False) -> list[Shot]:
    """Return a timeline's shots in order, named by the drops and sections of its song.

    Parameters
    ----------
    only_cuts
        Whether a shot lasts from cut to cut, whatever it turns into meanwhile, as in shots files of version 1.
    """
    if only_cuts:
        edges = shot_edges(timeline.columns, by_source=False)
        spans = [SoftShot(start, start, stop, True) for start, stop in zip(edges, edges[1:], strict=False)]
    else:
        spans = soft_shots(timeline.columns, frames_in(1, timeline.fps))
    parts = _parts(analysis)
    counts: dict[str, int] = {}
    found = []
    for number, span in enumerate(spans):
        # a section's first frame may be half a frame before the section begins
        moment = (span.start + 0.5) * frame_length(timeline.fps)
        part = [name for time, name in parts if time <= moment or time == parts[0][0]][-1]
        counts[part] = counts.get(part, 0) + 1
        found.append(described_shot(timeline, f"{part} / shot {counts[part]}", number, span))
    return found


def described_shot(timeline: Timeline, name: str, number: int, span: SoftShot) -> Shot:
    """Return what a timeline shows in a run of frames as a shot."""
    columns, names = timeline.columns, (*timeline.photos, *timeline.videos, *timeline.grounds)
    start, stop = span.start, span.stop
    # a picture beneath changes in the middle of a blend
    own = slice(min((start + span.settle) // 2, stop - 1), stop)
    return Shot(
        name,
        number,
        start,
        stop,
        tuple(timeline.prompts[index] for index in _runs(columns["prompt_to"][start:stop])),
        int(columns["seed"][start]),
        bool(columns["source"][start] == FEEDBACK),
        _shown(names, columns["ground"][own], columns["film_time"][own]),
        span.settle,
        span.hard,
    )


def _parts(analysis: Analysis) -> list[tuple[float, str]]:
    """Return the starts and names of the song's parts: drops by their number, the rest by the section's."""
    falling = drops(analysis)
    return [
        (section.start, f"drop {falling.index(section.start) + 1}" if section.start in falling else f"section {number}")
        for number, section in enumerate(analysis.sections, 1)
    ]


def _shown(names: Sequence[str], ground: np.ndarray, film_time: np.ndarray) -> tuple[str, ...]:
    """Return the names of grounds in order; for a film that is cut, with the second of the film at which it begins."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ground)) + 1]).tolist()
    return tuple(
        names[ground[start]] + (f" from {film_time[start]:.1f} s" if film_time[start] >= 0 else "")
        for start in starts
        if ground[start] >= 0
    )


def _runs(values: np.ndarray) -> list[int]:
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    return [int(values[start]) for start in starts]


def find_shot(name: str, shots: Sequence[Shot]) -> Shot:
    """Return the shot of a name, or of a number counted from 1 over the whole clip.

    Raises
    ------
    TimelineError
        If there is none; similar names are suggested.
    """
    wanted = " ".join(name.split())
    for shot in shots:
        if wanted == shot.name or wanted == str(shot.number + 1):
            return shot
    raise TimelineError(
        f'there is no shot "{name}"', where="--shot", remedy=closest_name(wanted, [shot.name for shot in shots])
    )


def shot_at(seconds: float, shots: Sequence[Shot], fps: Fraction) -> Shot:
    """Return the shot that shows at a time of the song.

    Raises
    ------
    TimelineError
        If the clip has no frame there.
    """
    frame = nearest_frame(seconds, fps)
    for shot in shots:
        if shot.start <= frame < shot.stop:
            return shot
    lasts = float(shots[-1].stop * frame_length(fps))
    raise TimelineError(f"{seconds:g} s is not within the clip", where="--at", remedy=f"it lasts {lasts:.1f} s")


def chosen_shots(names: Sequence[str], shots: Sequence[Shot]) -> list[Shot]:
    """Return the shots that names choose, each once: by name, by number, or all whose prompt contains the text.

    Raises
    ------
    TimelineError
        If a name chooses none; similar names are suggested.
    """
    chosen: dict[int, Shot] = {}
    for name in names:
        wanted = " ".join(name.split())
        exact = [shot for shot in shots if wanted in (shot.name, str(shot.number + 1))]
        telling = [
            shot for shot in shots if len(wanted) > 2 and any(wanted.lower() in text.lower() for text in shot.prompts)
        ]
        for shot in exact or telling or [find_shot(name, shots)]:
            chosen[shot.number] = shot
    return list(chosen.values())
