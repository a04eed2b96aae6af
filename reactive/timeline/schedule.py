"""The prompt schedule: which prompt follows which, when, and by a hard cut or a blend.

A switch is a *hit* (a hard cut on a beat or bar) or a *blend* over at least a beat. Hits are never closer than 0.35 s,
and a prompt holds at least two beats unless the preset has `strobe`. `pools` chooses the prompts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from reactive.audio.grid import Grid
from reactive.preset.fields import MusicalLength as Length
from reactive.preset.fields import parse_length
from reactive.preset.schema import Phase, Preset
from reactive.timeline.clock import frame_time, nearest_frame, nearest_frames
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.pools import Pools

MIN_HIT_SECONDS = 0.35
MIN_HOLD_BEATS = 2
# most bars before feedback restarts, so that it neither burns in nor drifts away
MAX_FEEDBACK_BARS = 8
# default lengths of blends; cuts become blends if there is no beat
DEFAULT_OVER = {"cut": "1 bar", "fade": "1 beat", "slerp": "1 bar"}
# share of the easing that slows down around the middle, where few-step models change most
LINGER = 0.7


@dataclass(frozen=True)
class PromptSwitch:
    """A change of prompt.

    Attributes
    ----------
    frame, stop
        First frame of the change, and the first frame with the new prompt alone (equal for a hit).
    is_cut
        Whether it is a hard cut.
    match
        Whether a hard cut keeps seed and walk.
    span
        Index of the span it belongs to.
    prompt
        Index of the new prompt.
    slerp
        Whether a blend goes along the arc between the two prompts rather than straight.
    """

    frame: int
    stop: int
    is_cut: bool
    match: bool
    span: int
    prompt: int
    slerp: bool = False


def schedule(
    preset: Preset,
    spans: list[PhaseSpan],
    grid: Grid,
    accents: list[np.ndarray],
    climbs: list[np.ndarray],
    pools: Pools,
    *,
    sections: list[float],
    fps: Fraction,
    frames: int,
    boundaries: Sequence[float] = (),
    parts: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> list[PromptSwitch]:
    """Return all changes of prompt, in order; the first is on frame 0.

    Parameters
    ----------
    spans
        The phases as laid over the song.
    accents
        For each phase, the curve of its switch's `accent`, float64 [frames].
    climbs
        For each phase whose prompts are an ordered list (`order = "ladder"`), the place on that list from 0 to 1, float64 [frames].
    sections
        Times at which sections start; feedback restarts there.
    boundaries
        Times of drops and of the ends of build-ups, at which prompts are cut.
    parts
        The name of each section; a prompt changes where the next section has other prompts to choose from.
    labels
        The letter of each section. Where the preset has motifs, a letter that comes back brings its prompts back.
    """
    events: list[PromptSwitch] = []
    motifs = Motifs(sections, labels if preset.motifs else ())
    for number, span in enumerate(spans):
        phase = preset.phase[span.phase]
        # the last phase of a loop returns to the noise seed that it began with, which only a cut can do
        last = len(preset.phase) - 1
        restarted = span.phase == 0 and span.loop > 0 and preset.phase[last].switch.how == "cut"
        returns_to_first_seed = preset.loop and last > 0 and (span.phase == last or restarted)
        dropped = [time for time in boundaries if phase.switch.drops and grid.heard and span.start <= time < span.end]
        pool_changes = _pool_changes(pools, span, sections, parts)
        fixed = {span.start, *_restarts(phase, span, grid, sections), *dropped, *pool_changes}
        marks = _marks(phase, span, grid, accents[span.phase], sections, fps, frames, returns_to_first_seed)
        cuts = phase.switch.how == "cut" and grid.heard
        # the later ones win: a drop always cuts
        marks = dict.fromkeys(pool_changes, cuts) | marks | dict.fromkeys(dropped, True)
        for seconds, is_cut in sorted(marks.items()):
            frame = 0 if not events else nearest_frame(seconds, fps)
            if frame >= frames:
                continue
            if events and not _far_enough(events[-1], frame, is_cut, phase, grid, fps):
                # these replace a switch just before them: a phase's beginning, a feedback restart, a drop, a section with other prompts
                if seconds not in fixed or len(events) == 1 or frame == events[-1].frame:
                    continue
                events.pop()
            height, part = float(climbs[span.phase][frame]), part_at(seconds, sections, parts)
            ladder = phase.order == "ladder"
            prompt = None if ladder else motifs.recall(span.phase, seconds, events[-1].prompt if events else None)
            if prompt is None:
                prompt = pools.next(span.phase, height, part)
                motifs.keep(span.phase, seconds, prompt)
            event = prompt_switch(phase, number, prompt, grid, seconds, frame, is_cut=is_cut, fps=fps)
            # the first prompt has nothing to blend from
            events.append(event if events else replace(event, stop=frame))
    return without_overlaps(events, frames)


class Motifs:
    """Remembers which prompts the music of a section was given, to give them again where it comes back.

    Parameters
    ----------
    sections
        Times at which sections start, in seconds.
    labels
        The letter of each section; none: nothing is remembered.
    """

    def __init__(self, sections: Sequence[float], labels: Sequence[str]) -> None:
        self.sections = sections
        self.labels = labels
        # sections of one letter that follow each other are one visit
        self.visits = [
            sum(a != b for a, b in zip(labels[:number], labels[1 : number + 1], strict=True))
            for number in range(len(labels))
        ]
        self.given: dict[tuple[int, str], list[int]] = {}
        self.next_index: dict[tuple[int, int], int] = {}

    def recall(self, phase: int, seconds: float, last: int | None) -> int | None:
        """Return the prompt that the phase had at this place of the section's music before, or None for a new one.

        Parameters
        ----------
        last
            The prompt that stands before it, which is passed over: a switch is always seen.
        """
        if not self.labels:
            return None
        number = self._section(seconds)
        given = self.given.get((phase, self.labels[number]), [])
        visit = phase, self.visits[number]
        index = self.next_index.get(visit, 0)
        while index < len(given) and given[index] == last:
            index += 1
        self.next_index[visit] = index + 1
        return given[index] if index < len(given) else None

    def keep(self, phase: int, seconds: float, prompt: int) -> None:
        """Remember a new prompt as the next of the section's music."""
        if self.labels:
            self.given.setdefault((phase, self.labels[self._section(seconds)]), []).append(prompt)

    def _section(self, seconds: float) -> int:
        return section_at(seconds, self.sections)


def prompt_switch(
    phase: Phase, number: int, prompt: int, grid: Grid, seconds: float, frame: int, *, is_cut: bool, fps: Fraction
) -> PromptSwitch:
    """Return a phase's change to `prompt` at `frame`: a cut, or the blend of its `switch`."""
    stop = frame
    if not is_cut:
        stop = max(frame + 1, nearest_frame(seconds + blend_seconds(grid, phase.switch.how, phase.switch.over), fps))
    return PromptSwitch(
        frame, stop, is_cut, phase.switch.match, number, prompt, slerp=not is_cut and phase.switch.how == "slerp"
    )


def _marks(
    phase: Phase,
    span: PhaseSpan,
    grid: Grid,
    accent: np.ndarray,
    sections: list[float],
    fps: Fraction,
    frames: int,
    returns_to_first_seed: bool,
) -> dict[float, bool]:
    """Return the times of a span's switches and whether each is a cut.

    Without a beat all switches are blends, except restarts of feedback.
    """
    is_cut = phase.switch.how == "cut" and grid.heard
    every = parse_length(phase.switch.every)
    regular = times_every(grid, span, every.count, every.unit)
    marks = {span.start: is_cut or (returns_to_first_seed and grid.heard)} | dict.fromkeys(regular, is_cut)
    beats = grid.beats[(grid.beats > span.start) & (grid.beats < span.end)]
    at = np.clip(nearest_frames(beats, fps), 0, frames - 1)
    if grid.heard:
        marks |= dict.fromkeys(beats[accent[at] > 0.5].tolist(), True)
    if phase.mode == "feedback":
        marks[span.start] = True
        marks |= dict.fromkeys(_restarts(phase, span, grid, sections), True)
    return marks


def part_at(seconds: float, sections: Sequence[float], parts: Sequence[str]) -> str:
    """Return the name of the section at a time; empty if it is not known."""
    if not parts:
        return ""
    return parts[section_at(seconds, sections)]


def section_at(seconds: float, sections: Sequence[float]) -> int:
    """Return the number of the section at a time."""
    # half of the shortest frame: a section begins on the nearest frame
    return max(bisect_right(sections, seconds + 0.002) - 1, 0)


def _pool_changes(pools: Pools, span: PhaseSpan, sections: Sequence[float], parts: Sequence[str]) -> list[float]:
    """Return the times inside a span where a section begins that has other prompts to choose from."""
    allowed = [pools.places(span.phase, part) for part in parts]
    return [
        time
        for number, time in enumerate(sections)
        if number and parts and span.start < time < span.end and allowed[number] != allowed[number - 1]
    ]


def _restarts(phase: Phase, span: PhaseSpan, grid: Grid, sections: list[float]) -> list[float]:
    """Return the times at which a feedback phase starts anew after its beginning."""
    if phase.mode != "feedback":
        return []
    within = [time for time in sections if span.start < time < span.end]
    return [*times_every(grid, span, MAX_FEEDBACK_BARS, "bar"), *within]


def times_every(grid: Grid, span: PhaseSpan, count: float, unit: str) -> list[float]:
    """Return the times inside a span that lie whole multiples of `count` beats or bars after its start."""
    marks = grid.bars if unit == "bar" else grid.beats
    if len(marks) < 2:
        return []
    # a span starts on a bar line; counting from the nearest whole bar or beat keeps every switch on the grid
    position = grid.bar_position if unit == "bar" else grid.beat_position
    start, end = position(np.array([span.start, span.end])).tolist()
    positions = np.arange(round(start) + count, min(end - 1e-6, len(marks) - 0.5), count)
    return [float(time) for time in np.interp(positions, np.arange(len(marks)), marks) if time > span.start + 1e-6]


def blend_seconds(grid: Grid, how: str, over: str | None) -> float:
    """Return how many seconds a blend takes: at least a beat; by default a beat for a fade and a bar for a slerp."""
    beat = float(np.median(np.diff(grid.beats)))
    return max(musical_seconds(grid, parse_length(over or DEFAULT_OVER[how])), beat)


def musical_seconds(grid: Grid, length: Length) -> float:
    """Return a musical length in seconds at the song's typical pace."""
    marks = grid.bars if length.unit == "bar" else grid.beats
    pace = float(np.median(np.diff(marks))) if len(marks) > 1 else 2.0
    return length.count * pace


def _far_enough(last: PromptSwitch, frame: int, is_cut: bool, phase: Phase, grid: Grid, fps: Fraction) -> bool:
    apart = frame_time(frame - last.frame, fps)
    if is_cut and last.is_cut and apart < Fraction(MIN_HIT_SECONDS):
        return False
    if phase.switch.strobe:
        return frame > last.frame
    beats = grid.beat_position(np.array([float(frame_time(last.frame, fps)), float(frame_time(frame, fps))]))
    # a quarter of a beat of tolerance: beats vary in length
    return bool(beats[1] - beats[0] > MIN_HOLD_BEATS - 0.25)


def without_overlaps(events: list[PromptSwitch], frames: int) -> list[PromptSwitch]:
    """End each blend before the next change begins."""
    ends = [event.frame for event in events[1:]] + [frames]
    return [replace(e, stop=max(e.frame, min(e.stop, end))) for e, end in zip(events, ends, strict=True)]


def blend_weights(count: int) -> np.ndarray:
    """Return the weights of a blend's frames, float64 [count], rising in (0, 1).

    Few-step models change most while the weight is near a half, so the weight moves fast at the ends and slowly in
    the middle, and the picture changes evenly.
    """
    share = (np.arange(count) + 1) / (count + 1)
    return (1 - LINGER) * share + LINGER * (0.5 + 4 * (share - 0.5) ** 3)
