"""Edits of single shots, applied to a timeline: other prompts, seeds and photographs, shots that are split, merged or moved.

First `_laid_out` decides where shots begin and end, then `_Writer` writes what changes into the timeline's columns. Frames outside
a changed shot, its blend in and the blend out of it keep every value. Only fed-back pictures depend on those before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import Grid, grid_of
from reactive.errors import TimelineError
from reactive.preset.shots import MAX_PARTS, ShotEdit, Shots, changed_edit, shot_photos
from reactive.timeline.clock import frame_time, nearest_frame
from reactive.timeline.edges import SoftShot
from reactive.timeline.evaluate import ease
from reactive.timeline.grounds import NONE
from reactive.timeline.schedule import blend_weights
from reactive.timeline.shots import Shot, chosen_shots, described_shot, shot_at, shots_of
from reactive.timeline.timeline import NO_SEED, Timeline, derive

# numbers of derived seeds, after those that a timeline uses itself; each soft shot of a cut has its own range of them
FIRST_ROLL, ROLLS_OF_A_SHOT = 1 << 20, 1 << 24
# least frames of a part of a divided shot
SHORTEST = 2
_LETTERS = ("", *"bcdefghijklmnopqrstuvwxyz")
# what a part of a divided shot takes over from the first part, unless it has its own
_TAKEN_OVER = ("prompt", "photo", "strength", "seed")


@dataclass(frozen=True)
class EditedShots:
    """A timeline with edits, its shots as they are now, the edits by these, and the names of edits without a shot."""

    timeline: Timeline
    shots: list[Shot]
    edits: Shots
    unknown: list[str]


@dataclass(frozen=True)
class _Laid:
    """A shot where the edits put it.

    Attributes
    ----------
    name, edit
        Its name, and its edit with what it takes over from the shot that it was divided from.
    origin
        The shot of the timeline without edits that it comes from.
    span
        Its frames.
    swallowed
        Shots that were merged into it.
    moved
        Whether its beginning is not `origin`'s.
    divided
        Whether it is a later part of `origin`.
    """

    name: str
    edit: ShotEdit
    origin: Shot
    span: SoftShot
    swallowed: tuple[Shot, ...] = ()
    moved: bool = False
    divided: bool = False

    @property
    def touched(self) -> bool:
        """Whether its columns are not those of the timeline without edits."""
        edit = self.edit
        content = edit.prompt or edit.photo or edit.seed is not None
        return bool(content or self.swallowed or self.moved or self.divided)

    @property
    def middle(self) -> int:
        """The frame at which its picture takes over: on a cut at once, else in the middle of the blend."""
        return self.span.start if self.span.hard else (self.span.start + self.span.settle) // 2


def apply_shots(timeline: Timeline, analysis: Analysis, edits: Shots) -> EditedShots:
    """Apply edits to a timeline.

    Photographs that edits name follow those of the timeline, in the order of `preset.shots.shot_photos`; videos come after.

    Raises
    ------
    TimelineError
        If the edits belong to another song.
    """
    _check_song(timeline, edits)
    edits, unknown = _by_soft_shots(edits, timeline, analysis)
    laid, missing = _laid_out(timeline, analysis, edits)
    made = _Writer(timeline, laid, shot_photos(edits)).written()
    shots = [described_shot(made, one.name, number, one.span) for number, one in enumerate(laid)]
    return EditedShots(made, shots, edits, unknown + missing)


def change_shots(
    timeline: Timeline,
    analysis: Analysis,
    edits: Shots,
    names: Sequence[str] = (),
    *,
    times: Sequence[float] = (),
    values: Mapping[str, object] | None = None,
    roll: bool = False,
    lock: bool | None = None,
    split: bool = False,
    merge: bool = False,
    reset: bool = False,
) -> Shots:
    """Return edits with those of some shots changed.

    Parameters
    ----------
    timeline
        The preset's timeline, without edits.
    names
        The shots to change, by name, number or a text of their prompt.
    times
        Further ones by a time in seconds at which they show.
    values
        Keys of an edit (prompt, photo, seed, strength, beats) and their new values.
    roll
        Give each another seed.
    lock
        True keeps each as it is now: its prompts and its seed; False unlocks it.
    split
        Divide each, at the beat nearest to its time in `times`, or to its middle.
    merge
        Merge shots that follow each other; one alone is merged with the next.
    reset
        Drop earlier edits.

    Raises
    ------
    TimelineError
        If the edits belong to another song, a shot does not exist, can't be divided or merged, or is changed while it is locked.
    PresetError
        If a value is not valid for its key.
    """
    now = apply_shots(timeline, analysis, edits)
    edits = now.edits
    table = dict(edits.shot)
    at = {shot_at(seconds, now.shots, timeline.fps).name: seconds for seconds in times}
    chosen = chosen_shots([*names, *at], now.shots)
    plain = {shot.name: shot for shot in shots_of(timeline, analysis)}
    for shot in chosen:
        edit = ShotEdit() if reset else table.get(shot.name, ShotEdit())
        if lock is False:
            edit = changed_edit(edit, locked=False)
        if edit.locked and (roll or values or split or merge):
            raise TimelineError(f'"{shot.name}" is locked', where="--shot", remedy="let it go first with --unlock")
        edit = changed_edit(edit, **(values or {}))
        if len(edit.prompt) > 1:
            raise TimelineError("a shot shows one prompt", where="--prompt", remedy="divide it first with --split")
        if roll:
            rolls = edit.rolls + 1
            origin = plain[_base(shot.name, plain)]
            number = FIRST_ROLL + rolls + ROLLS_OF_A_SHOT * _place_in_cut(shot, now.shots)
            edit = changed_edit(edit, rolls=rolls, seed=derive(origin.seed, number))
        table[shot.name] = edit
        if lock:
            trial = apply_shots(timeline, analysis, edits.model_copy(update={"shot": table}))
            kept = next(one for one in trial.shots if one.name == shot.name)
            table[shot.name] = changed_edit(edit, prompt=[kept.prompts[0]], seed=kept.seed, locked=True)
    if split:
        for shot in chosen:
            middle = float(frame_time(shot.start + shot.stop, timeline.fps)) / 2
            _divide(table, shot, at.get(shot.name, middle), plain, grid_of(analysis), timeline.fps)
    if merge:
        _merge(table, chosen, now.shots, plain, timeline)
    return edits.model_copy(update={"shot": {name: edit for name, edit in table.items() if edit != ShotEdit()}})


def _check_song(timeline: Timeline, shot_edits: Shots) -> None:
    named = {shot_edits.song_sha256, shot_edits.file_sha256} - {""}
    if named and not named & {timeline.song_sha256, timeline.file_sha256}:
        raise TimelineError("belongs to another song", where="the shots file", remedy="name another with --shots")


def _by_soft_shots(edits: Shots, timeline: Timeline, analysis: Analysis) -> tuple[Shots, list[str]]:
    """Return edits of a file of version 1, whose shots last from cut to cut, as edits of soft shots, and unknown names."""
    if edits.version != 1:
        return edits, []
    cut = {shot.name: shot for shot in shots_of(timeline, analysis, only_cuts=True)}
    soft = shots_of(timeline, analysis)
    table: dict[str, ShotEdit] = {}
    for name, edit in edits.shot.items():
        if (whole := cut.get(name)) is None:
            continue
        turn, text = -1, None
        for shot in soft:
            if not whole.start <= shot.start < whole.stop:
                continue
            turn, text = turn + (shot.prompts[0] != text), shot.prompts[0]
            own = edit.prompt[min(turn, len(edit.prompt) - 1) :][:1]
            first = shot.start == whole.start
            table[shot.name] = edit.model_copy(update={"prompt": own, "beats": edit.beats if first else 0})
    return edits.model_copy(update={"version": 2, "shot": table}), [name for name in edits.shot if name not in cut]


def _base(name: str, plain: Mapping[str, Shot]) -> str:
    """Return the name of the shot that a part was divided from; a shot that is not divided is its own."""
    return name if name in plain else name[:-1]


def _place_in_cut(shot: Shot, shots: Sequence[Shot]) -> int:
    """Return how many shots lie between a shot and the cut before it."""
    return next((back for back in range(shot.number + 1) if shots[shot.number - back].hard), shot.number)


# -- where shots begin and end -----------------------------------------------------------------------------------------


def _laid_out(timeline: Timeline, analysis: Analysis, edits: Shots) -> tuple[list[_Laid], list[str]]:
    """Return the shots as edits merge, divide and move them, and the names of edits without a shot."""
    plain, grid = shots_of(timeline, analysis), grid_of(analysis)
    laid: list[_Laid] = []
    known: set[str] = set()
    at = 0
    while at < len(plain):
        first, edit = plain[at], edits.shot.get(plain[at].name, ShotEdit())
        last = at
        while (
            last + 1 < len(plain)
            and last - at < edit.merge
            and _kind(timeline, plain[last + 1]) == _kind(timeline, first)
        ):
            last += 1
        swallowed = tuple(plain[at + 1 : last + 1])
        known |= {shot.name for shot in (first, *swallowed)}
        starts = [first.start, *_divisions(first, plain[last].stop, edit.split, grid, timeline.fps)]
        before = edit
        for letter, start, stop in zip(_LETTERS, starts, [*starts[1:], plain[last].stop], strict=False):
            name = first.name + letter
            own = edits.shot.get(name, ShotEdit()) if letter else edit
            known.add(name)
            if letter:
                over = {
                    key: value for key, value in edit.model_dump(exclude_defaults=True).items() if key in _TAKEN_OVER
                }
                own = ShotEdit.model_validate(over | own.model_dump(exclude_defaults=True))
            differs = any(getattr(own, key) != getattr(before, key) for key in _TAKEN_OVER)
            settle = min(start + first.settle - first.start, stop) if not letter or differs else start
            span = SoftShot(start, settle, stop, first.hard and (not letter or differs))
            laid.append(_Laid(name, own, first, span, () if letter else swallowed, divided=bool(letter) and differs))
            before = own
        at = last + 1
    return _moved(laid, grid, timeline.fps), [name for name in edits.shot if name not in known]


def _kind(timeline: Timeline, shot: Shot) -> int:
    """Return what a shot's pictures are made from: a photograph or film (0), nothing or the picture before."""
    return min(int(timeline.columns["source"][shot.stop - 1]), 0)


def _divisions(first: Shot, stop: int, beats: Sequence[float], grid: Grid, fps: Fraction) -> list[int]:
    """Return the frames at which a shot is divided, some beats after its beginning."""
    base = float(grid.beat_position(np.array([float(frame_time(first.start, fps))]))[0])
    frames: list[int] = []
    for count in sorted(beats):
        frame = _frame_of_beat(grid, base + count, fps)
        if frame - (frames[-1] if frames else first.start) >= SHORTEST and stop - frame >= SHORTEST:
            frames.append(frame)
    return frames


def _frame_of_beat(grid: Grid, position: float, fps: Fraction) -> int:
    last = len(grid.beats) - 1
    pace = float(np.median(np.diff(grid.beats)))
    seconds = float(np.interp(position, np.arange(last + 1), grid.beats)) + max(position - last, 0) * pace
    return nearest_frame(seconds, fps)


def _moved(laid: list[_Laid], grid: Grid, fps: Fraction) -> list[_Laid]:
    """Move the beginnings of shots by some beats; every shot keeps at least one frame."""
    beats, made = grid.beats, list(laid)
    for place, one in enumerate(laid):
        if not one.edit.beats or not place or not len(beats):
            continue
        span, before = one.span, made[place - 1]
        nearest = int(np.abs(beats - float(frame_time(span.start, fps))).argmin())
        beat = float(beats[min(max(nearest + one.edit.beats, 0), len(beats) - 1)])
        start = min(max(nearest_frame(beat, fps), before.span.start + 1), span.stop - 1)
        settle = min(start + span.settle - span.start, span.stop)
        made[place] = replace(one, span=replace(span, start=start, settle=settle), moved=True)
        made[place - 1] = replace(before, span=replace(before.span, stop=start, settle=min(before.span.settle, start)))
    return made


# -- what is written into the columns ----------------------------------------------------------------------------------


class _Writer:
    """Writes shots into a copy of a timeline's columns."""

    def __init__(self, timeline: Timeline, laid: Sequence[_Laid], photos: Sequence[str]) -> None:
        self.timeline, self.laid, self.photos = timeline, laid, photos
        self.columns = {name: column.copy() for name, column in timeline.columns.items()}
        for name in ("source", "ground"):
            self.columns[name][self.columns[name] >= len(timeline.photos)] += len(photos)
        self.plain = {name: column.copy() for name, column in self.columns.items()}
        self.prompts, self.negatives = list(timeline.prompts), list(timeline.negatives)
        self.prompt, self.seed = self._contents()

    def written(self) -> Timeline:
        """Return the timeline with everything written."""
        for place, one in enumerate(self.laid):
            if one.swallowed:
                self._write_merged(one)
            if one.moved:
                self._write_moved(place, one)
            before, after = self.laid[place - 1 : place], self.laid[place + 1 : place + 2]
            if one.touched or any(other.touched for other in before) or any(other.moved for other in after):
                self._write_prompts(place, one)
            if one.edit.photo:
                self._write_photo(place, one)
            if place:
                self._turn_seeds(place, one)
        cuts = self._write_cuts()
        return replace(
            self.timeline,
            columns=self.columns,
            cuts=cuts,
            prompts=tuple(self.prompts),
            negatives=tuple(self.negatives),
            photos=(*self.timeline.photos, *self.photos),
        )

    def _contents(self) -> tuple[list[int], list[int]]:
        """Return the prompt's number and the seed of each shot."""
        numbers: dict[str, int] = {}
        prompts, seeds = [], []
        for one in self.laid:
            number = int(self.plain["prompt_to"][one.origin.start])
            if one.edit.prompt:
                text = one.edit.prompt[0]
                number = numbers.setdefault(text, len(self.prompts))
                if number == len(self.prompts):
                    self.prompts.append(text)
                    self.negatives += [""] * bool(self.negatives)
            prompts.append(number)
            seeds.append(one.origin.seed if one.edit.seed is None else one.edit.seed)
        return prompts, seeds

    def _write_merged(self, one: _Laid) -> None:
        """Let the first shot's picture stay through those that were merged into it."""
        columns, first = self.columns, one.origin
        here, like = slice(first.stop, one.swallowed[-1].stop), first.stop - 1
        for name in ("source", "ground", "palette_to"):
            columns[name][here] = columns[name][like]
        columns["palette_from"][here] = columns["palette_to"][like]
        joins = slice(first.start, one.swallowed[-1].start)
        columns["dissolve"][joins] = columns["morph"][joins] = 0
        for shot in one.swallowed:
            # the ground goes on where it was, and does not fade out and in
            rest = slice(shot.start, here.stop)
            columns["ground_zoom"][rest] *= columns["ground_zoom"][shot.start - 1] / columns["ground_zoom"][shot.start]
            columns["ground_x"][rest] += columns["ground_x"][shot.start - 1] - columns["ground_x"][shot.start]
            if not shot.hard:
                reach = shot.settle - shot.start
                begin, end = max(shot.start - reach, first.start), min(shot.settle + reach, here.stop) - 1
                columns["detail"][begin : end + 1] = np.linspace(
                    columns["detail"][begin], columns["detail"][end], end - begin + 1
                )
        shown = columns["ground"][here] >= 0
        columns["ground_zoom"][here] = np.where(shown, np.maximum(columns["ground_zoom"][here], 1.0), 1.0)

    def _write_moved(self, place: int, one: _Laid) -> None:
        """Let the shot before show until the new beginning, or this one from it on."""
        columns, old, new = self.columns, self.plain_start(one), one.span.start
        if one.span.hard:
            for name in ("dissolve", "morph"):
                count = int((columns[name][self.laid[place - 1].span.start : old] > 0).sum())
                ramp = columns[name][old - count : old].copy()
                columns[name][old - count : max(old, new)] = 0
                kept = min(count, max(new - self.laid[place - 1].span.settle, 0))
                columns[name][new - kept : new] = ramp[count - kept :]
            here, like = (slice(old, new), old - 1) if new > old else (slice(new, old), old)
            for name in ("source", "ground", "strength"):
                columns[name][here] = columns[name][like]
            return
        was = (old + one.origin.settle) // 2
        here, like = (slice(was, one.middle), was - 1) if one.middle > was else (slice(one.middle, was), was)
        columns["ground"][here] = columns["ground"][like]
        if columns["ground"][one.middle] != columns["ground"][one.middle - 1]:
            self._dip("detail", one.span.start, one.middle, one.span.settle)

    @staticmethod
    def plain_start(one: _Laid) -> int:
        """Return where a shot that was moved began."""
        return one.origin.start

    def _write_prompts(self, place: int, one: _Laid) -> None:
        """Write prompts, their weights and the seed of a shot."""
        columns, span = self.columns, one.span
        prompt, before = self.prompt[place], self.prompt[place - 1] if place else self.prompt[place]
        blend, alone = slice(span.start, span.settle), slice(span.settle, span.stop)
        own = slice(one.origin.start, one.origin.settle)
        mixes = bool((self.plain["prompt_from"][own] != self.plain["prompt_to"][own]).any())
        if one.touched:
            columns["prompt_to"][span.start : span.stop] = prompt
            columns["prompt_from"][alone] = prompt
            columns["weight"][alone] = columns["slerp"][alone] = 0
            columns["seed"][span.start : span.stop] = self.seed[place]
        if mixes or (not span.hard and prompt != before):
            columns["prompt_from"][blend] = before
            columns["prompt_to"][blend] = prompt
        if not span.hard and (one.moved or one.divided):
            columns["weight"][blend] = blend_weights(span.settle - span.start) if prompt != before else 0
            columns["slerp"][blend] = self.plain["slerp"][one.origin.start]
        after = self.laid[place + 1] if place + 1 < len(self.laid) else None
        if after is not None and after.moved and not one.touched:
            # it stays longer
            longer = slice(max(span.settle, min(self.plain_start(after), span.stop)), span.stop)
            columns["prompt_to"][longer] = columns["prompt_from"][longer] = prompt
            columns["weight"][longer] = columns["slerp"][longer] = 0
            columns["seed"][longer] = self.seed[place]

    def _write_photo(self, place: int, one: _Laid) -> None:
        """Let a shot grow out of its own photograph, and show it if it has a ground."""
        columns = self.columns
        number = len(self.timeline.photos) + self.photos.index(one.edit.photo)
        after = self.laid[place + 1] if place + 1 < len(self.laid) else None
        stop = after.middle if after is not None else one.span.stop
        here = slice(one.middle, stop)
        columns["source"][here] = number
        columns["strength"][here] = one.edit.strength
        columns["ground"][here] = np.where(columns["ground"][here] >= 0, number, NONE)
        for other in (one, after):
            if other is not None and not other.span.hard:
                # a picture changes where nothing of it is seen
                self._dip("strength", other.span.start, other.middle, other.span.settle)
                if self.plain["ground"][other.middle] == self.plain["ground"][other.middle - 1]:
                    self._dip("detail", other.span.start, other.middle, other.span.settle)

    def _dip(self, name: str, begin: int, middle: int, stop: int) -> None:
        """Hide a picture at `middle`: its detail falls to 0 there, or its strength rises to 1."""
        falling, rising = np.arange(begin, middle), np.arange(middle, stop)
        shown = np.concatenate(
            [
                ease((middle - falling - 0.5) / max(middle - begin, 1)),
                ease((rising - middle + 0.5) / max(stop - middle, 1)),
            ]
        )
        column = self.columns[name]
        column[begin:stop] = column[begin:stop] * shown if name == "detail" else 1 - (1 - column[begin:stop]) * shown

    def _turn_seeds(self, place: int, one: _Laid) -> None:
        """Let the noise turn from the seed before to the shot's own while it comes."""
        before, span = self.laid[place - 1], one.span
        if span.hard or self.seed[place] == self.seed[place - 1] or span.settle == span.start:
            return
        columns, blend = self.columns, slice(span.start, span.settle)
        columns["seed_from"][blend] = self.seed[place - 1]
        columns["seed_weight"][blend] = blend_weights(span.settle - span.start)
        columns["seed"][span.start : span.stop] = self.seed[place]
        # a shot shorter than its blend leaves the one before half way
        columns["seed_from"][before.span.settle : span.start] = NO_SEED

    def _write_cuts(self) -> tuple[int, ...]:
        """Write the column `shot`, and return the cuts."""
        hard = {one.origin.start for one in self.laid if one.span.hard and one.moved and not one.divided}
        hard |= {shot.start for one in self.laid for shot in one.swallowed if shot.hard}
        new = {one.span.start for one in self.laid if one.span.hard}
        was = self.plain["shot"]
        edges = ({0, *(np.flatnonzero(np.diff(was)) + 1).tolist()} - hard) | new
        self.columns["shot"] = np.cumsum(np.isin(np.arange(len(was)), sorted(edges - {0}))).astype(np.int64)
        return tuple(sorted((set(self.timeline.cuts) - hard) | (new - {0})))


# -- dividing and merging ----------------------------------------------------------------------------------------------


def _divide(
    table: dict[str, ShotEdit], shot: Shot, seconds: float, plain: Mapping[str, Shot], grid: Grid, fps: Fraction
) -> None:
    """Divide a shot at the beat nearest to a time; edits of later parts keep to them."""
    base = _base(shot.name, plain)
    edit = table.get(base, ShotEdit())
    start, moment = grid.beat_position(np.array([float(frame_time(plain[base].start, fps)), seconds])).tolist()
    count = float(round(moment - start)) if grid.heard else round(moment - start, 3)
    frame = _frame_of_beat(grid, start + count, fps)
    if frame - shot.start < SHORTEST or shot.stop - frame < SHORTEST or len(edit.split) >= MAX_PARTS:
        raise TimelineError(
            f'"{shot.name}" has no beat near {seconds:.1f} s that divides it',
            where="--split",
            remedy="choose another time",
        )
    place = _LETTERS.index(shot.name.removeprefix(base))
    for number in range(len(edit.split), place, -1):
        _rename(table, base + _LETTERS[number], base + _LETTERS[number + 1])
    if place and shot.name in table:
        # both parts stay as they are
        table[base + _LETTERS[place + 1]] = table[shot.name].model_copy(update={"beats": 0})
    table[base] = changed_edit(edit, split=sorted({*edit.split, count}))


def _rename(table: dict[str, ShotEdit], old: str, new: str) -> None:
    if old in table:
        table[new] = table.pop(old)
    else:
        table.pop(new, None)


def _merge(
    table: dict[str, ShotEdit],
    chosen: Sequence[Shot],
    shots: Sequence[Shot],
    plain: Mapping[str, Shot],
    timeline: Timeline,
) -> None:
    """Merge shots that follow each other; of a divided shot that is not chosen to its end all parts are taken."""
    numbers = sorted(shot.number for shot in chosen)
    numbers = [numbers[0], numbers[0] + 1] if len(numbers) == 1 else numbers
    if numbers != list(range(numbers[0], numbers[-1] + 1)) or numbers[-1] >= len(shots):
        raise TimelineError(
            "these shots do not follow each other", where="--merge", remedy="choose one, or some in a row"
        )
    order = list(plain)
    first, last = (_base(shots[number].name, plain) for number in (numbers[0], numbers[-1]))
    edit = table.get(first, ShotEdit())
    if first == last:
        # parts of one shot grow together again
        places = [_LETTERS.index(shots[number].name.removeprefix(first)) for number in numbers]
        kept = [count for number, count in enumerate(edit.split, 1) if not places[0] < number <= places[-1]]
        for number in range(places[0] + 1, places[-1] + 1):
            table.pop(first + _LETTERS[number], None)
        for number in range(places[-1] + 1, len(edit.split) + 1):
            _rename(table, first + _LETTERS[number], first + _LETTERS[number - places[-1] + places[0]])
        table[first] = changed_edit(edit, split=kept)
        return
    names = order[order.index(first) : order.index(last) + 1 + table.get(last, ShotEdit()).merge]
    for name in names[1:]:
        if _kind(timeline, plain[name]) != _kind(timeline, plain[first]):
            raise TimelineError(
                f'"{name}" is made in another way than "{first}" (walk, photograph or feedback)',
                where="--merge",
                remedy="give it the same prompt instead",
            )
        for letter in _LETTERS:
            table.pop(name + letter, None)
    table[first] = changed_edit(edit, merge=len(names) - 1)
