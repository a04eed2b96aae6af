"""Prompts at places and times of their own: pins and the lines of a song's words take over from the pools for a while.

Fixed joins (a phase's beginning, a restart of feedback) stay where they are, with the inserted
prompt; other switches during it are left out, and after it the pool continues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from reactive.audio.analysis import Analysis
from reactive.audio.grid import Grid
from reactive.preset.fields import MusicalLength as Length
from reactive.preset.fields import parse_length as parse_span
from reactive.preset.lyrics import Line
from reactive.preset.place import parse_place
from reactive.preset.schema import Preset
from reactive.timeline.clock import nearest_frame
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.places import find_place
from reactive.timeline.pools import Pools
from reactive.timeline.schedule import MIN_HIT_SECONDS, PromptSwitch, blend_seconds, musical_seconds, without_overlaps

# seconds; if the pool's next switch is this soon after an inserted prompt, the prompt stays until then
WAIT_BEATS = 2.0


@dataclass(frozen=True)
class Insertion:
    """A prompt from `start` to `end` (seconds), how it comes, and how long that takes in seconds (0: a cut)."""

    start: float
    end: float
    prompt: int
    how: str
    over: float


def pin_insertions(
    preset: Preset,
    analysis: Analysis,
    spans: Sequence[PhaseSpan],
    grid: Grid,
    pools: Pools,
    parts: Sequence[str],
) -> list[Insertion]:
    """Return the preset's pins whose places this song has, in order of time."""
    names = [phase.name for phase in preset.phase]
    found = []
    for pin in preset.pin:
        place = find_place(parse_place(pin.at, names), analysis, spans, names, parts)
        if place is None:
            continue
        start, end = place
        if pin.hold != "section":
            end = start + musical_seconds(grid, parse_span(pin.hold))
        how = pin.how if grid.heard else "fade"
        over = 0.0 if how == "cut" else blend_seconds(grid, how, pin.over)
        found.append(Insertion(start, end, pools.take(pin.prompt, pin.negative, ground=pin.ground), how, over))
    return sorted(found, key=lambda insertion: insertion.start)


def line_insertions(
    preset: Preset, lines: Sequence[Line], grid: Grid, pools: Pools, duration: float
) -> list[Insertion]:
    """Return the lines of a song's words as the preset's `lyrics` shows them, in order of time."""
    table = preset.lyrics
    longest = musical_seconds(grid, parse_span(table.hold))
    found: list[Insertion] = []
    for line in lines:
        if line.start >= duration or (found and line.start - found[-1].start < MIN_HIT_SECONDS):
            continue
        template = table.prompts[len(found) % len(table.prompts)]
        prompt = pools.take(template.text, template.negative, line.text, template.ground)
        over = 0.0 if table.how == "cut" else blend_seconds(grid, table.how, table.over)
        found.append(Insertion(line.start, min(line.end, line.start + longest, duration), prompt, table.how, over))
    # overlapping lines: the later one takes over
    ends = [later.start for later in found[1:]] + [duration]
    return [replace(one, end=min(one.end, end)) for one, end in zip(found, ends, strict=True)]


def insert(
    events: list[PromptSwitch],
    insertions: Sequence[Insertion],
    spans: Sequence[PhaseSpan],
    grid: Grid,
    *,
    fixed: Callable[[PromptSwitch, PromptSwitch | None], bool],
    resume: Callable[[int, int], PromptSwitch],
    fps: Fraction,
    frames: int,
) -> list[PromptSwitch]:
    """Return the schedule with prompts inserted, in order; a later insertion replaces an earlier one.

    Parameters
    ----------
    events
        The schedule; the first event is on frame 0.
    fixed
        Called with an event and the one before it: whether it has to stay where it is.
    resume
        Called with a frame and a span's number: the change back to that span's pool.
    """
    beat = musical_seconds(grid, Length(1.0, "beat"))
    for insertion in insertions:
        first, stop = nearest_frame(insertion.start, fps), min(nearest_frame(insertion.end, fps), frames)
        if first >= frames or stop <= first:
            continue
        near = max(0, nearest_frame(max(insertion.start - MIN_HIT_SECONDS, 0.0), fps))
        before = [event for event in events if event.frame < first]
        inside = [event for event in events if first <= event.frame < stop]
        after = [event for event in events if event.frame >= stop]
        structure = [e for i, e in enumerate(events) if e in inside and fixed(e, events[i - 1] if i else None)]
        # a cut just before would make two cuts too close
        before = [
            e for i, e in enumerate(before) if e.frame <= near or fixed(e, before[i - 1] if i else None) or e.frame == 0
        ]
        number = span_at(spans, first, fps)
        cut = insertion.how == "cut"
        end = first if cut else max(first + 1, nearest_frame(insertion.start + insertion.over, fps))
        entry = PromptSwitch(first, end, cut, False, number, insertion.prompt, slerp=insertion.how == "slerp")
        held = bool(before) and before[-1].frame > near and cut
        if held:
            # that join can't move, so the insertion begins with it
            before[-1] = replace(before[-1], prompt=insertion.prompt)
        head = [] if held or (structure and structure[0].frame == first) else [entry]
        kept = [replace(event, prompt=insertion.prompt) for event in structure]
        tail = []
        soon = nearest_frame(insertion.end + WAIT_BEATS * beat, fps)
        if stop < frames and not (after and after[0].frame <= soon):
            tail = [resume(stop, span_at(spans, stop, fps))]
        events = [*before, *head, *kept, *tail, *after]
    return without_overlaps(events, frames)


def span_at(spans: Sequence[PhaseSpan], frame: int, fps: Fraction) -> int:
    """Return the number of the span with a frame."""
    starts = [nearest_frame(stretch.start, fps) for stretch in spans]
    return max(i for i, start in enumerate(starts) if start <= frame or i == 0)
