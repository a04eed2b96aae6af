"""Apply live changes to a timeline: each holds from its frame on, and frames before it never change.

`start` decides the song by the preset alone; `apply` applies one change. Preview and final render
use the same functions, so they have the same columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.errors import PresetError, TimelineError
from reactive.preset.lyrics import Line
from reactive.preset.macros import macro_values
from reactive.preset.schema import ControlPicture, Preset, PresetLora, StylePicture
from reactive.preset.vocabulary import MACRO
from reactive.timeline.clock import frame_time, frames_in, nearest_frame
from reactive.timeline.control_pictures import CONTROLS, with_control_pictures
from reactive.timeline.controls import apply_controls, check_control
from reactive.timeline.evaluate import ease
from reactive.timeline.films import Footage
from reactive.timeline.grounds import SHOWN, Choose
from reactive.timeline.loras import LORAS, with_lora_strengths
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.schedule import blend_weights
from reactive.timeline.styles import STYLES, renumbered, with_styles
from reactive.timeline.timeline import FEEDBACK, NO_PALETTE, NO_SOURCE, Timeline, build_timeline
from reactive.timeline.walk import walk_of

KINDS = ("control", "knobs", "prompt", "phase", "preset", "freeze", "hold", "black", "reset")
# least seconds of a phase that was jumped to
SHORTEST_BARS = 2.0
MAX_CROSSFADE = 60.0
_FROZEN = (
    "guide",
    "prompt_from",
    "prompt_to",
    "weight",
    "slerp",
    "palette_from",
    "palette_to",
    "seed",
    "seed_from",
    "seed_weight",
    "source",
    "strength",
    "phase",
    "loop",
    "shot",
    "ground",
    "film_time",
    *SHOWN,
)


@dataclass(frozen=True)
class Change:
    """A live change, from a song time on.

    Attributes
    ----------
    time
        Seconds.
    kind
        ``control`` (name, value), ``knobs`` (text: as `write_knobs` gives it; value: seconds of glide), ``reset`` (everything as the
        preset has it), ``prompt`` (name: the old text, text: the new one), ``phase`` (value: its number), ``preset`` (name;
        value: seconds of crossfade), ``freeze``, ``hold`` or ``black`` (value: 1 on, 0 off).
    name, value, text
        Depending on the kind.
    """

    time: float
    kind: str
    name: str = ""
    value: float = 0.0
    text: str = ""


@dataclass(frozen=True)
class State:
    """Everything that changes can set."""

    preset: str
    controls: tuple[tuple[str, float], ...] = ()
    prompts: tuple[tuple[str, str], ...] = ()
    spans: tuple[PhaseSpan, ...] | None = None
    freeze: bool = False
    hold: bool = False
    black: bool = False


@dataclass(frozen=True)
class Performance:
    """A timeline with the changes so far; `black` bool [frames], `raw` the walk's speed before loops are closed."""

    timeline: Timeline
    black: np.ndarray
    raw: np.ndarray
    state: State


@dataclass
class Stage:
    """The inputs of a performance: the song, and the presets by name.

    Timelines of recent states are cached, so moving a slider to and fro is cheap.
    """

    analysis: Analysis
    samples: int
    fps: Fraction
    seed: int
    presets: Mapping[str, Preset]
    photos: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    lyrics: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    macros: Mapping[str, float] = field(default_factory=dict)
    choose: Choose | None = None
    footage: Sequence[Footage | None] = ()
    styles: Sequence[StylePicture] = ()
    control_pictures: Sequence[ControlPicture] = ()
    loras: Sequence[PresetLora] = ()
    _decided: dict[State, tuple[Timeline, np.ndarray]] = field(default_factory=dict)

    def start(self, preset: str) -> Performance:
        """Return the song as the preset decides it, without changes."""
        state = State(preset)
        timeline, raw = self._decide(state)
        return Performance(timeline, np.zeros(timeline.frames, bool), raw, state)

    def fold(self, preset: str, changes: Iterable[Change]) -> Performance:
        """Return the song with all changes, in their order of time."""
        performance = self.start(preset)
        for change in sorted(changes, key=lambda change: change.time):
            performance = self.apply(performance, change)
        return performance

    def apply(self, performance: Performance, change: Change) -> Performance:
        """Return a performance with one more change, not earlier than those it holds.

        Raises
        ------
        ReactiveError
            If the change is not possible.
        """
        old, before = performance.timeline, performance.state
        at = min(max(nearest_frame(change.time, old.fps), 0), old.frames - 1)
        state = self._changed(before, change, at, old)
        black = performance.black.copy()
        black[at:] = state.black
        if change.kind == "black":
            return replace(performance, black=black, state=state)
        decided, decided_raw = self._decide(replace(state, freeze=False, hold=False, black=False))
        raw = np.concatenate([performance.raw[:at], decided_raw[at:]])
        over = 0
        if change.kind in ("preset", "knobs"):
            over = min(int(frames_in(min(change.value, MAX_CROSSFADE), old.fps)), old.frames - 1 - at)
        rounds = closed_rounds(decided) if self.presets[state.preset].loop else []
        timeline = joined(old, decided, raw, rounds, at, over, prompts=change.kind == "preset")
        if state.freeze or state.hold:
            timeline = _held(old, timeline, at, whole=state.hold)
        return Performance(timeline, black, raw, state)

    def _changed(self, state: State, change: Change, at: int, timeline: Timeline) -> State:
        if change.kind == "control":
            if change.name.startswith(MACRO):
                value = macro_values(self.presets[state.preset], {change.name.removeprefix(MACRO): change.value})
                place = value[change.name.removeprefix(MACRO)]
            else:
                place = check_control(change.name, change.value)
            controls = dict(state.controls) | {change.name: place}
            return replace(state, controls=tuple(sorted(controls.items())))
        if change.kind == "knobs":
            return replace(state, controls=tuple(sorted((dict(state.controls) | self._known(state, change)).items())))
        if change.kind == "reset":
            return State(state.preset)
        if change.kind == "prompt":
            prompts = dict(state.prompts)
            # an edit of an edited prompt changes the original text
            first = next((old for old, new in prompts.items() if new == change.name), change.name)
            return replace(state, prompts=tuple((prompts | {first: change.text}).items()))
        if change.kind == "preset":
            if change.name not in self.presets:
                raise TimelineError(f'the preset "{change.name}" is not loaded', remedy="load it first")
            return replace(state, preset=change.name, spans=None)
        if change.kind == "phase":
            return replace(state, spans=self._jumped(state, round(change.value), at, timeline))
        if change.kind in ("freeze", "hold", "black"):
            switched: dict[str, Any] = {change.kind: bool(change.value)}
            return replace(state, **switched)
        raise TimelineError(f'"{change.kind[:40]}" is no live change', remedy=f"there are {', '.join(KINDS)}")

    def _known(self, state: State, change: Change) -> dict[str, float]:
        """Return the values of knobs, without macros that this preset does not have."""
        own = {macro.name for macro in self.presets[state.preset].macros}
        return known_knobs(read_knobs(change.text), own)

    def _decide(self, state: State) -> tuple[Timeline, np.ndarray]:
        """Return the timeline of a state over the whole song, and the walk's speed before loops are closed."""
        if state not in self._decided:
            while len(self._decided) >= 24:
                self._decided.pop(next(iter(self._decided)))
            controls = dict(state.controls)
            preset = with_styles(apply_controls(self.presets[state.preset], controls), self.styles)
            preset = with_control_pictures(preset, self.control_pictures)
            preset = with_lora_strengths(preset, self.loras)
            options: dict[str, Any] = {
                "samples": self.samples,
                "fps": self.fps,
                "seed": self.seed + int(controls.get("seed", 0)),
                "photos": self.photos,
                "videos": self.videos,
                "spans": state.spans,
                "lyrics": self.lyrics.get(state.preset, ()),
                "macros": self.turned(state),
                "choose": self.choose,
                "footage": self.footage,
            }
            timeline = build_timeline(self.analysis, preset, **options)
            # without closed loops the speed is the preset's own
            open_ended = preset.model_copy(update={"loop": False})
            raw = build_timeline(self.analysis, open_ended, **options).columns["speed"] if preset.loop else None
            told = dict(state.prompts)
            timeline = replace(timeline, prompts=tuple(told.get(text, text) for text in timeline.prompts))
            self._decided[state] = timeline, timeline.columns["speed"] if raw is None else raw
        return self._decided[state]

    def turned(self, state: State) -> dict[str, float]:
        """Return the values of the preset's own macros, without those of other presets."""
        at = {name.removeprefix(MACRO): value for name, value in state.controls if name.startswith(MACRO)}
        known = {macro.name for macro in self.presets[state.preset].macros}
        return {name: value for name, value in (dict(self.macros) | at).items() if name in known}

    def _jumped(self, state: State, phase: int, at: int, timeline: Timeline) -> tuple[PhaseSpan, ...]:
        """Return the spans after a jump: the phase from here on, then the others in turn where spans begin anyway."""
        count = len(self.presets[state.preset].phase)
        if not 0 <= phase < count:
            raise TimelineError(f"there is no phase {phase}", remedy=f"there are {count}, counted from 0")
        decided, _ = self._decide(replace(state, freeze=False, hold=False, black=False))
        spans = list(state.spans or _spans(decided, self.analysis.duration))
        here = float(frame_time(at, timeline.fps))
        kept = [span for span in spans if span.start < here]
        grid = grid_of(self.analysis)
        later = [span.start for span in spans if span.start > here]
        bars = grid.bar_position(np.array([here, *later]))
        starts = [
            here,
            *(time for time, bar in zip(later, bars[1:].tolist(), strict=True) if bar - bars[0] >= SHORTEST_BARS),
        ]
        if kept:
            kept[-1] = replace(kept[-1], end=here)
        loop = kept[-1].loop if kept else 0
        # a jump backwards, or to the same phase, begins another round
        loop += bool(kept) and phase <= kept[-1].phase
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], self.analysis.duration], strict=True)):
            turn = phase + number
            kept.append(PhaseSpan(turn % count, loop + turn // count, start, end))
        return tuple(kept)


def joined(
    old: Timeline,
    new: Timeline,
    raw: np.ndarray,
    rounds: list[tuple[int, int]],
    at: int,
    over: int = 0,
    *,
    prompts: bool = True,
) -> Timeline:
    """Return a timeline that is `old` before frame `at` and `new` from there on.

    The walk and the camera continue from where they were, and loops are closed again over the rest only.

    Parameters
    ----------
    raw
        The walk's speed before loops close, float64 [frames], joined already.
    rounds
        The frame ranges of loops to close.
    over
        Frames over which prompts and moves cross-fade.
    prompts
        Whether prompts cross-fade too; otherwise they change where the new timeline has it.
    """
    if at == 0 and over == 0:
        return new
    texts, prompt_number = _merged(_texts(old), _texts(new))
    phases, phase_number = _merged(old.phases, new.phases)
    given = len(old.photos) + len(old.videos)
    grounds, ground_number = _merged(old.grounds, new.grounds)
    # order: no ground, those that are fed in, those with names
    ground_numbers = np.concatenate([np.arange(given), given + ground_number, [-1]])
    renumber = {
        "prompt_from": prompt_number,
        "prompt_to": prompt_number,
        "phase": phase_number,
        "ground": ground_numbers,
    }
    styles, style_number = _merged(old.styles, new.styles)
    if len(styles) > len(STYLES):
        raise PresetError(
            f"the presets of this take have more than {len(STYLES)} pictures that steer the style", remedy="use fewer"
        )
    new = replace(new, columns=renumbered(new.columns, style_number.tolist()))
    shapes, shape_number = _merged(old.controls, new.controls)
    if len(shapes) > len(CONTROLS):
        raise PresetError(
            f"the presets of this take have more than {len(CONTROLS)} pictures whose shapes are kept",
            remedy="use fewer",
        )
    new = replace(new, columns=renumbered(new.columns, shape_number.tolist(), CONTROLS))
    loras, lora_number = _merged(old.loras, new.loras)
    if len(loras) > len(LORAS):
        raise PresetError(
            f"the presets of this take have more than {len(LORAS)} LoRAs whose strength changes", remedy="use fewer"
        )
    new = replace(new, columns=renumbered(new.columns, lora_number.tolist(), LORAS))
    palettes, palette_number = _merged(old.palettes, new.palettes)
    # the last one is for -1, no palette
    palette_number = np.append(palette_number, NO_PALETTE)
    renumber |= {"palette_from": palette_number, "palette_to": palette_number}
    share = np.ones(new.frames - at)
    share[:over] = ease((np.arange(over) + 1) / (over + 1))
    columns: dict[str, np.ndarray] = {}
    for name, ours in new.columns.items():
        theirs = old.columns[name]
        tail = renumber[name][ours[at:]] if name in renumber else ours[at:]
        if name.startswith("camera_") and name != "camera_flow":
            steps = np.diff(ours[at - 1 :] if at else np.concatenate([ours[:1], ours]))
            before = np.diff(theirs[at - 1 :] if at else np.concatenate([theirs[:1], theirs]))
            tail = (theirs[at - 1] if at else 0.0) + np.cumsum(before * (1 - share) + steps * share)
        elif over and (name.startswith(("lens_", "colour_", "style_", "lora_")) or name == "strength" or name in SHOWN):
            tail = theirs[at:] * (1 - share) + tail * share
        columns[name] = np.concatenate([theirs[:at], tail])
    if over and prompts:
        _crossfade(columns, old, at, over)
    speed = np.concatenate([old.columns["speed"][:at], raw[at:]])
    if over:
        speed[at : at + over] = (
            old.columns["speed"][at : at + over] * (1 - share[:over]) + raw[at : at + over] * share[:over]
        )
    columns["walk"], columns["speed"] = walk_of(speed, rounds, old.harmonics, new.fps, fixed=max(at, 1))
    changed = [name for name in ("source", "seed") if at and columns[name][at] != columns[name][at - 1]]
    cuts = (
        [cut for cut in old.cuts if cut < at]
        + ([at] if changed else [])
        + [cut for cut in new.cuts if cut > at + (over if prompts else 0)]
    )
    columns["shot"] = np.cumsum(np.isin(np.arange(new.frames), cuts)).astype(np.int64)
    merged, negatives = (tuple(part) for part in zip(*texts, strict=True))
    return replace(
        old,
        title=new.title,
        prompts=merged,
        negatives=negatives if any(negatives) else (),
        phases=phases,
        cuts=tuple(cuts),
        columns=columns,
        grounds=grounds,
        palettes=palettes,
        styles=styles,
        controls=shapes,
        loras=loras,
    )


def write_knobs(knobs: Mapping[str, float]) -> str:
    """Return values of knobs as the text of a change, such as ``macro.storm=0.5 walk=1.2``."""
    return " ".join(f"{name}={value:.6g}" for name, value in sorted(knobs.items()))


def read_knobs(text: str) -> dict[str, float]:
    """Return the values of knobs from the text of a change.

    Raises
    ------
    TimelineError
        If it is not one.
    """
    try:
        pairs = [pair.partition("=") for pair in text.split()]
        knobs = {name: float(value) for name, _, value in pairs}
    except ValueError:
        knobs = {}
    if not knobs:
        raise TimelineError(f'"{text[:40]}" are no knobs', remedy="write walk=1.2 macro.storm=0.5")
    return knobs


def known_knobs(knobs: Mapping[str, float], macros: Collection[str]) -> dict[str, float]:
    """Return checked values of knobs, without macros that are not in `macros`.

    Raises
    ------
    ReactiveError
        If a control is not known, or a value is no number.
    """
    known: dict[str, float] = {}
    for name, value in knobs.items():
        if not name.startswith(MACRO):
            known[name] = check_control(name, value)
        elif name.removeprefix(MACRO) in macros:
            if not 0 <= value <= 1:
                raise TimelineError(f"{name} = {value:g} is not within 0 to 1", remedy="give a number from 0 to 1")
            known[name] = value
    return known


def closed_rounds(timeline: Timeline) -> list[tuple[int, int]]:
    """Return the frame ranges of the rounds that have every phase."""
    loop, phase = timeline.columns["loop"], timeline.columns["phase"]
    rounds = []
    for number in np.unique(loop).tolist():
        inside = np.flatnonzero(loop == number)
        if len(np.unique(phase[inside])) == len(timeline.phases):
            rounds.append((int(inside[0]), int(inside[-1]) + 1))
    return rounds


def _crossfade(columns: dict[str, np.ndarray], old: Timeline, at: int, over: int) -> None:
    """Cross-fade from the prompt shown at `at` to the one that the new columns show `over` frames later."""
    main = "prompt_to" if old.columns["weight"][at] >= 0.5 else "prompt_from"
    arrival = "prompt_to" if columns["weight"][at + over] >= 0.5 else "prompt_from"
    columns["prompt_from"][at : at + over] = old.columns[main][at]
    columns["prompt_to"][at : at + over] = columns[arrival][at + over]
    columns["weight"][at : at + over] = blend_weights(over)
    columns["palette_from"][at : at + over] = old.columns[main.replace("prompt", "palette")][at]
    columns["palette_to"][at : at + over] = columns[arrival.replace("prompt", "palette")][at + over]
    # the old ground stays until the middle, and changes unseen there
    middle = at + over // 2
    if over > 1 and old.columns["ground"][at] != columns["ground"][middle]:
        columns["ground"][at:middle] = old.columns["ground"][at]
        columns["detail"][at : at + over] *= np.abs(np.linspace(-1, 1, over))
    source, seed = columns["source"], columns["seed"]
    if old.columns["source"][at] == NO_SOURCE == source[at + over]:
        # a walk that stays a walk keeps its noise until the new preset's first cut
        same = np.flatnonzero(seed[at:] != seed[at + over])
        same = same[same > over]
        stop = at + int(same[0]) if len(same) else len(seed)
        seed[at:stop] = old.columns["seed"][at]
        source[at : at + over] = NO_SOURCE
        columns["strength"][at : at + over] = 1.0
    else:
        source[at : at + over], seed[at : at + over] = source[at + over], seed[at + over]


def _held(old: Timeline, timeline: Timeline, at: int, *, whole: bool) -> Timeline:
    """Return a timeline whose walk and prompts are frozen from `at` on; with `whole` everything is."""
    columns = {name: column.copy() for name, column in timeline.columns.items()}
    prompt_number, phase_number = _merged(_texts(timeline), _texts(old))[1], _merged(timeline.phases, old.phases)[1]
    index = {"prompt_from": prompt_number, "prompt_to": prompt_number, "phase": phase_number}
    given = len(old.photos) + len(old.videos)
    index["ground"] = np.concatenate([np.arange(given), given + _merged(timeline.grounds, old.grounds)[1], [-1]])
    held = renumbered(old.columns, _merged(timeline.styles, old.styles)[1].tolist())
    held = renumbered(held, _merged(timeline.controls, old.controls)[1].tolist(), CONTROLS)
    held = renumbered(held, _merged(timeline.loras, old.loras)[1].tolist(), LORAS)
    index["palette_from"] = index["palette_to"] = np.append(_merged(timeline.palettes, old.palettes)[1], NO_PALETTE)
    names = [
        name
        for name in columns
        if name in _FROZEN
        or (
            whole
            and name.startswith(("lens_", "camera_", "colour_", "style_", "control_", "lora_", "dissolve", "morph"))
        )
    ]
    for name in names:
        value = held[name][at]
        columns[name][at:] = index[name][value] if name in index else value
    # as a running sum of speed 0
    columns["walk"][at:], columns["speed"][at:] = columns["walk"][max(at - 1, 0)], 0.0
    if whole and columns["source"][at] == FEEDBACK:
        # at strength 0 a fed-back picture does not change
        columns["strength"][at:] = 0.0
        columns["hit"][at:] = 0.0
    return replace(timeline, cuts=tuple(cut for cut in old.cuts if cut <= at), columns=columns)


def _spans(timeline: Timeline, duration: float) -> list[PhaseSpan]:
    """Return the spans of phases that a timeline's columns show."""
    phase, loop = timeline.columns["phase"], timeline.columns["loop"]
    edges = [0, *(np.flatnonzero((np.diff(phase) != 0) | (np.diff(loop) != 0)) + 1).tolist()]
    times = [float(frame_time(edge, timeline.fps)) for edge in edges]
    return [
        PhaseSpan(int(phase[edge]), int(loop[edge]), start, end)
        for edge, start, end in zip(edges, times, [*times[1:], duration], strict=True)
    ]


def _texts(timeline: Timeline) -> tuple[tuple[str, str], ...]:
    """Return each prompt with its negative."""
    return tuple(zip(timeline.prompts, timeline.negatives or ("",) * len(timeline.prompts), strict=True))


def _merged(first: tuple[Any, ...], second: tuple[Any, ...]) -> tuple[tuple[Any, ...], np.ndarray]:
    """Return both lists merged, and the index of each of the second's entries."""
    if first == second:
        return first, np.arange(len(second))
    names = list(first)
    known = {name: number for number, name in reversed(list(enumerate(names)))}
    numbers = []
    for name in second:
        if name not in known:
            known[name] = len(names)
            names.append(name)
        numbers.append(known[name])
    return tuple(names), np.array(numbers, np.int64)
