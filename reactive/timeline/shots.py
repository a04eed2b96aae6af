"""Shots by name (``drop 1 / shot 2``), and edits of single ones applied to a timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.errors import TimelineError
from reactive.preset.expression import closest_name
from reactive.preset.shots import ShotEdit, Shots, changed_edit, shot_photos
from reactive.timeline.clock import frame_length, frame_time, nearest_frame
from reactive.timeline.edges import shot_edges
from reactive.timeline.grounds import NONE
from reactive.timeline.signals import drops
from reactive.timeline.timeline import FEEDBACK, Timeline, derive

# numbers of derived seeds, after those that a timeline uses itself
FIRST_ROLL = 1 << 20
# columns that belong to a shot and move with its beginning
SHOT_COLUMNS = ("shot", "prompt_from", "prompt_to", "weight", "seed", "source", "ground", "strength")


@dataclass(frozen=True)
class Shot:
    """A run of frames [start, stop) between two joins.

    `name` is the part of the song that the shot starts in, and its number there; it is stable as long as the song's sections and
    the preset's cuts are. `prompts` are the texts it shows, in order, `grounds` the names of the pictures and films beneath it.
    """

    name: str
    number: int
    start: int
    stop: int
    prompts: tuple[str, ...]
    seed: int
    fed_back: bool
    grounds: tuple[str, ...] = ()


def shots_of(timeline: Timeline, analysis: Analysis) -> list[Shot]:
    """Return a timeline's shots in order, named by the drops and sections of its song."""
    edges = shot_edges(timeline.columns, by_source=False)
    parts = _parts(analysis)
    counts: dict[str, int] = {}
    names = (*timeline.photos, *timeline.videos, *timeline.grounds)
    found = []
    for number, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
        # a section's first frame may be half a frame before the section begins
        moment = (start + 0.5) * frame_length(timeline.fps)
        part = [name for time, name in parts if time <= moment or time == parts[0][0]][-1]
        counts[part] = counts.get(part, 0) + 1
        columns = timeline.columns
        texts = tuple(timeline.prompts[index] for index in _runs(columns["prompt_to"][start:stop]))
        found.append(
            Shot(
                f"{part} / shot {counts[part]}",
                number,
                start,
                stop,
                texts,
                int(columns["seed"][start]),
                bool(columns["source"][start] == FEEDBACK),
                _shown(names, columns["ground"][start:stop], columns["film_time"][start:stop]),
            )
        )
    return found


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


def change_shots(
    timeline: Timeline,
    analysis: Analysis,
    edits: Shots,
    names: Sequence[str],
    *,
    values: Mapping[str, object] | None = None,
    roll: bool = False,
    lock: bool | None = None,
    reset: bool = False,
) -> Shots:
    """Return edits with those of some shots changed.

    Parameters
    ----------
    timeline
        The preset's timeline, without edits.
    names
        The shots to change, by name, number or a text of their prompt.
    values
        Keys of an edit (prompt, photo, seed, strength) and their new values.
    roll
        Give each another seed.
    lock
        True keeps each as it is now: its prompts and its seed; False unlocks it.
    reset
        Drop earlier edits.

    Raises
    ------
    TimelineError
        If the edits belong to another song, a shot does not exist, or it is rolled while it is locked.
    PresetError
        If a value is not valid for its key.
    """
    _check_song(timeline, edits)
    table = dict(edits.shot)
    plain = shots_of(timeline, analysis)
    for shot in chosen_shots(names, plain):
        edit = ShotEdit() if reset else table.get(shot.name, ShotEdit())
        if lock is False:
            edit = changed_edit(edit, locked=False)
        if edit.locked and (roll or values):
            raise TimelineError(f'"{shot.name}" is locked', where="--shot", remedy="let it go first with --unlock")
        edit = changed_edit(edit, **(values or {}))
        if roll:
            rolls = edit.rolls + 1
            edit = changed_edit(edit, rolls=rolls, seed=derive(shot.seed, FIRST_ROLL + rolls))
        table[shot.name] = edit
        if lock:
            trial = apply_shots(timeline, analysis, edits.model_copy(update={"shot": table}))[0]
            now = shots_of(trial, analysis)[shot.number]
            table[shot.name] = changed_edit(edit, prompt=list(now.prompts), seed=now.seed, locked=True)
    return edits.model_copy(update={"shot": {name: edit for name, edit in table.items() if edit != ShotEdit()}})


def apply_shots(timeline: Timeline, analysis: Analysis, edits: Shots) -> tuple[Timeline, list[str]]:
    """Return the timeline with edits applied, and the names without a shot.

    Photographs that edits name follow those of the timeline, in the order of `preset.shots.shot_photos`; videos come after.

    Raises
    ------
    TimelineError
        If the edits belong to another song.
    """
    _check_song(timeline, edits)
    shots = {shot.name: shot for shot in shots_of(timeline, analysis)}
    photos = shot_photos(edits)
    columns = {name: column.copy() for name, column in timeline.columns.items()}
    for name in ("source", "ground"):
        columns[name][columns[name] >= len(timeline.photos)] += len(photos)
    prompts, negatives = list(timeline.prompts), list(timeline.negatives)
    for name, edit in edits.shot.items():
        if (shot := shots.get(name)) is None:
            continue
        here = slice(shot.start, shot.stop)
        if edit.prompt:
            _show(columns, here, len(prompts), len(edit.prompt))
            prompts += edit.prompt
            negatives += [""] * len(edit.prompt) if negatives else []
        if edit.seed is not None:
            columns["seed"][here] = edit.seed
        if edit.photo:
            columns["source"][here] = len(timeline.photos) + photos.index(edit.photo)
            columns["strength"][here] = edit.strength
            # if the shot has a ground, the photograph replaces it
            columns["ground"][here] = np.where(columns["ground"][here] >= 0, columns["source"][here], NONE)
    cuts = _move_starts(columns, list(shots.values()), analysis, edits, timeline)
    made = replace(
        timeline,
        columns=columns,
        cuts=cuts,
        prompts=tuple(prompts),
        negatives=tuple(negatives),
        photos=(*timeline.photos, *photos),
    )
    return made, [name for name in edits.shot if name not in shots]


def _move_starts(
    columns: Mapping[str, np.ndarray], shots: Sequence[Shot], analysis: Analysis, edits: Shots, timeline: Timeline
) -> tuple[int, ...]:
    """Move the beginnings of shots by some beats, and return the new cuts; every shot keeps at least one frame."""
    beats = grid_of(analysis).beats
    starts = [shot.start for shot in shots]
    for place, shot in enumerate(shots):
        edit = edits.shot.get(shot.name)
        if edit is None or not edit.beats or not place or not len(beats):
            continue
        nearest = int(np.abs(beats - float(frame_time(shot.start, timeline.fps))).argmin())
        beat = beats[min(max(nearest + edit.beats, 0), len(beats) - 1)]
        stop = shots[place + 1].start if place + 1 < len(shots) else timeline.frames
        starts[place] = min(max(nearest_frame(float(beat), timeline.fps), starts[place - 1] + 1), stop - 1)
        old, new = shot.start, starts[place]
        # a shot's columns are taken from its nearest frame; walk, light and phase stay as they were
        here, like = (slice(old, new), old - 1) if new > old else (slice(new, old), old)
        for name in SHOT_COLUMNS:
            columns[name][here] = columns[name][like]
    moved = {shot.start: start for shot, start in zip(shots, starts, strict=True)}
    return tuple(sorted(moved.get(cut, cut) for cut in timeline.cuts))


def _check_song(timeline: Timeline, shot_edits: Shots) -> None:
    named = {shot_edits.song_sha256, shot_edits.file_sha256} - {""}
    if named and not named & {timeline.song_sha256, timeline.file_sha256}:
        raise TimelineError("belongs to another song", where="the shots file", remedy="name another with --shots")


def _show(columns: Mapping[str, np.ndarray], here: slice, first: int, count: int) -> None:
    """Replace a shot's prompts by `first` and the following ones, one for each; the last one stays."""
    after, weight = columns["prompt_to"][here], columns["weight"][here]
    turn = np.concatenate([[0], np.cumsum(np.diff(after) != 0)])
    place = np.minimum(turn, count - 1)
    before = np.where(weight > 0, np.minimum(np.maximum(turn - 1, 0), count - 1), place)
    columns["prompt_to"][here], columns["prompt_from"][here] = first + place, first + before
