"""Place grounds: which photograph or film is beneath each frame, how it is shown, and how one changes to the next.

A ground changes on a hard cut at once. Everywhere else its detail falls to 0, it changes
unseen behind the painting, and the new one's detail rises. So two photographs are never seen at once, unless a preset wants
a double exposure (`double`): then the ground before shows through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from reactive.audio.grid import Grid
from reactive.preset.bounds import LIMITS
from reactive.preset.fields import parse_length
from reactive.preset.schema import MATCH, NO_GROUND, Ground, Phase, Preset
from reactive.timeline.clock import frame_length, frames_in
from reactive.timeline.evaluate import ease
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.placement import changes_within
from reactive.timeline.schedule import PromptSwitch, musical_seconds

# prefix of a photograph that is fed in and was chosen by words
OWN = "own:"
# value of the column `ground` for none
NONE = -1
# columns of how a ground is shown: the key of `[ground]` that each comes from, and its value without a ground
SHOWN = {
    "detail": ("detail", 0.0),
    "ground_colour": ("colour", 0.0),
    "ground_light": ("light", 0.0),
    "ground_zoom": ("zoom", 1.0),
    "ground_x": ("x", 0.0),
    "ground_y": ("y", 0.0),
    "ground_parallax": ("parallax", 0.0),
    "ground_double": ("double", 0.0),
}
# keys that are summed up while a ground stays
MOVES = {"ground_push": "push", "ground_drift": "drift"}
# limits of `push` (in scale) and `drift` (in picture widths) while a ground stays
CLOSEST, FARTHEST_DRIFT = 1.5, 0.16
# number of pictures from the library before one may come again
APART = 8
# counters of the random generator for order and drift, after those of sources
_SHUFFLE, _TURN = 1 << 21, 1 << 22

# chooses a picture that fits a prompt, except the recent ones: ``library:NAME``, or ``own:NUMBER`` of a photograph that is
# fed in; None if nothing fits
Choose = Callable[[str, Sequence[str]], str | None]


def ground_expressions(preset: Preset, phase: Phase) -> dict[str, str]:
    """Return the expressions of a phase's ground by the column that each makes; without a ground those that show nothing."""
    table = phase.ground or preset.ground
    rest = {**{name: f"{value:g}" for name, (_, value) in SHOWN.items()}, **dict.fromkeys(MOVES, "0")}
    keys = {**{name: key for name, (key, _) in SHOWN.items()}, **MOVES}
    return rest if table is None else {name: getattr(table, key) for name, key in keys.items()}


def place_grounds(
    preset: Preset,
    spans: Sequence[PhaseSpan],
    ranges: Sequence[tuple[int, int]],
    events: Sequence[PromptSwitch],
    columns: Mapping[str, np.ndarray],
    turns: Turns,
    *,
    cuts: Sequence[int],
    grid: Grid,
    sections: list[float],
    fps: Fraction,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the column `ground`, those of `SHOWN`, and `strength` as joins through the painting make it.

    Parameters
    ----------
    ranges
        The frames [first, stop) of each span.
    columns
        The timeline's columns so far, with the values of `ground_expressions`.
    turns
        Chooses the grounds.
    cuts
        Frames at which shots begin, rising.
    """
    frames = len(columns["source"])
    ground, overs = np.full(frames, NONE, np.int64), np.zeros(frames, np.int64)
    for number, (stretch, (first, stop)) in enumerate(zip(spans, ranges, strict=True)):
        table = preset.phase[stretch.phase].ground or preset.ground
        own = [event for event in events if event.span == number and event.frame < stop] or [
            PromptSwitch(first, first, True, False, number, 0)
        ]
        if first >= stop:
            continue
        if table is None:
            ground[_middle(own[0]) :] = NONE
            overs[_middle(own[0])] = own[0].stop - own[0].frame
            continue
        over = max(2, round(frames_in(musical_seconds(grid, parse_length(table.over)), fps)))
        # during a blend of prompts a ground changes where both have the same weight
        begins = {_middle(event): max(event.stop - event.frame, over) for event in own}
        if table.every != "prompt":
            entry = _middle(own[0])
            begins = {entry: begins[entry]}
            begins |= dict.fromkeys(changes_within(table.every, stretch, grid, sections, entry, stop, fps), over)
        for frame, lasts in begins.items():
            if frame < frames:
                ground[frame:], overs[frame] = turns.next(stretch.phase, table, int(columns["prompt_to"][frame])), lasts
        # a source is its own ground, so that image to image keeps its sharpness
        fed = np.arange(first, stop)[columns["source"][first:stop] >= 0]
        ground[fed] = columns["source"][fed]
    dip, hidden = _changes(preset, columns, ground, overs, cuts)
    made = _shown(columns, ground, cuts, fps, seed)
    made["detail"] = made["detail"] * dip
    # a source changes at the moment at which nothing of it is kept
    made["strength"] = np.where(hidden < 1, 1 - (1 - columns["strength"]) * hidden, columns["strength"])
    return made


def grounds_before(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return for each frame the last frame before it that showed another ground, int64 [frames]; -1 where none did.

    A double exposure shows that ground too, as it was last seen.
    """
    ground = columns["ground"]
    found = np.full(len(ground), -1, np.int64)
    edges = [0, *(np.flatnonzero(np.diff(ground)) + 1).tolist(), len(ground)]
    # the two grounds that were shown last, the newest first, and their last frames
    recent: list[tuple[int, int]] = []
    for start, stop in zip(edges, edges[1:], strict=False):
        shown = int(ground[start])
        if shown < 0:
            continue
        recent = [one for one in recent if one[0] != shown][:1]
        if recent:
            found[start:stop] = recent[0][1]
        recent.insert(0, (shown, stop - 1))
    return found


class Turns:
    """Chooses grounds by number: each phase's in its order, the user's own first.

    Parameters
    ----------
    prompts, named
        All prompts by number, and the ground of each, if it has one.
    given
        How many photographs and videos are fed in: grounds are numbered as sources are, and after them those with names.
    choose
        Picks a picture of the library for a prompt; None: no library.

    Attributes
    ----------
    names
        The names of the chosen grounds that are not fed in, in the order of their numbers.
    """

    def __init__(
        self, prompts: Sequence[str], named: Sequence[str | None], *, given: int, choose: Choose | None, seed: int
    ) -> None:
        self.prompts, self.named, self.given, self.choose = prompts, named, given, choose
        self.names: list[str] = []
        self.seed = seed % 2**63
        self.shown: dict[int, int] = {}
        self.matched: dict[int, str | None] = {}
        self.taken: list[str] = []

    def next(self, phase: int, table: Ground, prompt: int) -> int:
        """Return the ground that comes next in a phase, under a prompt; `NONE` if there is none."""
        name = self.named[prompt]
        if name == NO_GROUND:
            return NONE
        own = self.given and table.own
        if MATCH in (name, *table.show) if own else name == MATCH:
            matched = self._match(prompt)
            if matched is not None and matched.startswith(OWN):
                return int(matched.removeprefix(OWN))
            if own and matched is None:
                return self._turn(phase, table, "own", self.given)
            name = matched or NO_GROUND
        elif own:
            return self._turn(phase, table, "own", self.given)
        if name is None and table.show:
            name = table.show[self._turn(phase, table, "show", len(table.show))]
            if name == MATCH:
                name = self._match(prompt)
        if name is None or name == NO_GROUND:
            return NONE
        if name not in self.names:
            self.names.append(name)
        return self.given + self.names.index(name)

    def _turn(self, phase: int, table: Ground, kind: str, count: int) -> int:
        # in sequence, the user's own continue from phase to phase
        counter = phase if kind == "show" or table.order == "shuffle" else -1
        place = self.shown.get(counter, 0)
        self.shown[counter] = place + 1
        if table.order == "sequence":
            return place % count
        key = [self.seed, _SHUFFLE + (phase << 10) + place // count]
        return int(np.random.Generator(np.random.Philox(key=key)).permutation(count)[place % count])

    def _match(self, prompt: int) -> str | None:
        # a prompt that comes again has the same picture
        if prompt not in self.matched:
            self.matched[prompt] = self.choose(self.prompts[prompt], self.taken[-APART:]) if self.choose else None
            if (name := self.matched[prompt]) is not None:
                self.taken.append(name)
        return self.matched[prompt]


def _middle(event: PromptSwitch) -> int:
    return (event.frame + event.stop) // 2


def _changes(
    preset: Preset, columns: Mapping[str, np.ndarray], ground: np.ndarray, overs: np.ndarray, cuts: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Place changes of ground within joins; return each frame's factors of detail and of how much of a source is kept, [frames]."""
    frames = len(ground)
    dip, hidden = np.ones(frames), np.ones(frames)
    joining = (columns["dissolve"] > 0) | (columns["morph"] > 0)
    for before, cut in zip([0, *cuts], cuts, strict=False):
        apart = np.flatnonzero(~joining[before:cut])
        begin = before + int(apart[-1]) + 1 if len(apart) else before
        through = preset.phase[int(columns["phase"][cut])].switch.join == "through"
        if begin == cut or not (through or ground[cut - 1] != ground[cut]):
            continue
        middle = (begin + cut) // 2
        ground[middle:cut] = ground[cut]
        _lower(dip, begin, middle, cut)
        if through:
            _lower(hidden, begin, middle, cut)
    for change in (np.flatnonzero(np.diff(ground)) + 1).tolist():
        place = int(np.searchsorted(cuts, change, side="right"))
        before, after = cuts[place - 1] if place else 0, cuts[place] if place < len(cuts) else frames
        # on a cut it changes at once; within a join there is a dip already
        if change not in (0, before) and not joining[change]:
            half = max(1, int(overs[change]) // 2)
            _lower(dip, max(change - half, before), change, min(change + half, after))
    return dip, hidden


def _lower(curve: np.ndarray, begin: int, middle: int, stop: int) -> None:
    """Let a curve fall to 0 from `begin` to `middle` and rise again until `stop`."""
    falling, rising = np.arange(begin, middle), np.arange(middle, stop)
    curve[begin:middle] *= ease((middle - falling - 0.5) / max(middle - begin, 1))
    curve[middle:stop] *= ease((rising - middle + 0.5) / max(stop - middle, 1))


def _shown(
    columns: Mapping[str, np.ndarray], ground: np.ndarray, cuts: Sequence[int], fps: Fraction, seed: int
) -> dict[str, np.ndarray]:
    """Return `ground` and the columns of `SHOWN`, with sums over the time that a ground stays."""
    made = {"ground": ground}
    for name, (key, rest) in SHOWN.items():
        made[name] = np.where(ground >= 0, np.clip(columns[name], *LIMITS[f"ground.{key}"]), rest)
    jumps = np.flatnonzero(np.diff(ground)) + 1
    edges = [0, *sorted({*jumps.tolist(), *cuts}), len(ground)]
    step = frame_length(fps)
    for number, (begin, stop) in enumerate(zip(edges, edges[1:], strict=False)):
        if ground[begin] < 0:
            continue
        here = slice(begin, stop)
        nearer = _kept(
            np.cumsum(np.clip(columns["ground_push"][here], *LIMITS["ground.push"]) * step), math.log(CLOSEST)
        )
        # backing away begins close, so that the ground always covers the picture
        made["ground_zoom"][here] *= np.exp(nearer - nearer.min())
        aside = _kept(np.cumsum(np.clip(columns["ground_drift"][here], *LIMITS["ground.drift"]) * step), FARTHEST_DRIFT)
        way = np.random.Generator(np.random.Philox(key=[seed % 2**63, _TURN + number])).choice([-1.0, 1.0])
        # centred on the middle of the stay
        made["ground_x"][here] += way * (aside - (aside[0] + aside[-1]) / 2)
    return made


def _kept(sums: np.ndarray, most: float) -> np.ndarray:
    """Return running sums, scaled down if they exceed `most`."""
    reach = float(sums.max() - sums.min())
    return sums if reach <= most else sums * (most / reach)
