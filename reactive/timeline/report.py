"""A report of what a preset does to a song: how often it switches, when it is busiest, which parts never come."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.audio.parts import part_names
from reactive.preset.describe import prompt_count
from reactive.preset.expression import parse, signals_of
from reactive.preset.place import parse_place
from reactive.preset.schema import Phase, Preset
from reactive.preset.vocabulary import MACRO
from reactive.timeline.clock import frame_length, frame_times
from reactive.timeline.grounds import ground_expressions
from reactive.timeline.phases import PhaseSpan
from reactive.timeline.places import find_place
from reactive.timeline.signals import drops, frame_signals
from reactive.timeline.timeline import FEEDBACK, Timeline

# a signal that stays below this throughout the song has no effect
STILL = 0.02


@dataclass(frozen=True)
class PresetReport:
    """What a preset does to one song.

    Attributes
    ----------
    frames, seconds
        The clip's length.
    switches, cuts, fades
        Changes of prompt, and the numbers of hard cuts and blends among them.
    shortest, typical
        How long a prompt holds, in seconds: the shortest time and the median.
    busiest, busiest_switches, busiest_kicks
        The busiest second (from the song's start), and its switches and kicks.
    phases
        For each phase: seconds shown, times it comes, prompts shown, prompts its pool can make.
    unreached
        Phases that never come.
    unseen_pins
        Pins whose place this song does not have.
    still
        Signals that the preset reads but that never change in this song.
    drops, rounds, fed_back
        Drops heard, rounds of the loop, share of frames that are fed back.
    beat
        Beats a minute, 0 without a beat.
    prompts_shown, prompts_possible
        Different prompts in the clip, and how many the preset can make.
    grounds
        Seconds for which each picture is beneath frames, by name.
    """

    frames: int
    seconds: float
    switches: int
    cuts: int
    fades: int
    shortest: float
    typical: float
    busiest: int
    busiest_switches: int
    busiest_kicks: int
    phases: dict[str, dict[str, float]]
    unreached: list[str]
    unseen_pins: list[str]
    still: list[str]
    drops: int
    rounds: int
    fed_back: float
    beat: float
    prompts_shown: int
    prompts_possible: int
    grounds: dict[str, float]
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain data for JSON."""
        return dict(vars(self))


def preset_report(timeline: Timeline, preset: Preset, analysis: Analysis) -> PresetReport:
    """Return a report on a preset and a song, given their timeline."""
    columns = timeline.columns
    switches, blends = _switches(timeline)
    length = frame_length(timeline.fps)
    seconds = timeline.frames * length
    holds = np.diff([0, *switches.tolist(), timeline.frames]) * length
    at_second = np.floor(frame_times(timeline.frames, timeline.fps)).astype(int)
    kicks = np.bincount(at_second, weights=columns["hit"] > 0)
    changes = np.bincount(at_second[switches], minlength=len(kicks)) if len(switches) else np.zeros(len(kicks))
    busiest = int(np.argmax(10 * changes + kicks))
    shown = {*columns["prompt_to"].tolist(), *columns["prompt_from"].tolist()}
    phases = {phase.name: _phase_facts(number, phase, timeline, length) for number, phase in enumerate(preset.phase)}
    return PresetReport(
        frames=timeline.frames,
        seconds=round(seconds, 3),
        switches=len(switches),
        cuts=len(switches) - blends,
        fades=blends,
        shortest=round(float(holds.min()), 3),
        typical=round(float(np.median(holds)), 3),
        busiest=busiest,
        busiest_switches=int(changes[busiest]),
        busiest_kicks=int(kicks[busiest]),
        phases=phases,
        unreached=[name for name, facts in phases.items() if not facts["times"]],
        unseen_pins=_unseen_pins(timeline, preset, analysis),
        still=_still(timeline, preset, analysis),
        drops=len(drops(analysis)),
        rounds=int(columns["loop"].max()) + 1,
        fed_back=round(float((columns["source"] == FEEDBACK).mean()), 4),
        beat=round(analysis.tempo, 2),
        prompts_shown=len(shown),
        prompts_possible=prompt_count(preset),
        grounds=_grounds(timeline, length),
        notes=list(preset.notes),
    )


def sentences(report: PresetReport) -> list[str]:
    """Return a report in plain sentences."""
    beat = f"{report.beat:.0f} beats a minute" if report.beat else "no steady beat, so cuts become fades"
    said = [
        f"The song lasts {_clock(report.seconds)}, with {beat} and {_count(report.drops, 'drop')}.",
        f"{_count(report.switches, 'switch', 'switches')}: {_count(report.cuts, 'cut')} and {_count(report.fades, 'fade')}; a prompt "
        f"holds {report.typical:.1f} s as a rule, {report.shortest:.1f} s at the shortest.",
        f"Busiest is the second from {_clock(report.busiest)}: {_count(report.busiest_switches, 'switch', 'switches')} and "
        f"{_count(report.busiest_kicks, 'kick')}.",
        f"{_count(report.prompts_shown, 'prompt')} of {report.prompts_possible:,} in {_count(report.rounds, 'round')} of the phases:",
    ]
    for name, facts in report.phases.items():
        if facts["times"]:
            share = facts["seconds"] / max(report.seconds, 1e-9)
            said.append(
                f"  {name}: {_count(int(facts['times']), 'time')}, {_clock(facts['seconds'])} in all ({share:.0%}), "
                f"{_count(int(facts['shown']), 'prompt')}"
            )
    if report.fed_back:
        said.append(f"{report.fed_back:.0%} of the clip grows out of the picture before (feedback).")
    if report.grounds:
        longest = sorted(report.grounds, key=lambda name: -report.grounds[name])
        said.append(f"Beneath the pictures, longest first: {', '.join(longest)}.")
    if report.unreached:
        said.append(
            f"Never reached: {', '.join(report.unreached)}; raise their `fits`, or shorten the `bars` of the others."
        )
    if report.unseen_pins:
        said.append(f"This song has no {', '.join(report.unseen_pins)}, so those pins are left out.")
    if report.still:
        said.append(f"Read, but never moving in this song: {', '.join(report.still)}.")
    return said + [f"Note: {note}." for note in report.notes]


def _switches(timeline: Timeline) -> tuple[np.ndarray, int]:
    """Return the frames at which the prompt changes or the picture jumps, and how many of them are blends."""
    before, after, weight = (timeline.columns[name] for name in ("prompt_from", "prompt_to", "weight"))
    blending = (before != after) & (weight > 0)
    cuts = np.zeros(timeline.frames, bool)
    cuts[list(timeline.cuts)] = True
    begins = np.flatnonzero(blending[1:] & (~blending[:-1] | (after[1:] != after[:-1])) & ~cuts[1:]) + 1
    jumps = np.flatnonzero(cuts)
    return np.union1d(begins, jumps), len(np.setdiff1d(begins, jumps))


def _phase_facts(number: int, phase: Phase, timeline: Timeline, length: float) -> dict[str, float]:
    here = timeline.columns["phase"] == number
    times = int(np.count_nonzero(np.diff(here.astype(int), prepend=0) == 1))
    shown = len(np.unique(timeline.columns["prompt_to"][here]))
    return {"seconds": round(float(here.sum() * length), 3), "times": times, "shown": shown, "pool": len(phase.prompts)}


def _grounds(timeline: Timeline, length: float) -> dict[str, float]:
    names = [*timeline.photos, *timeline.videos, *timeline.grounds]
    numbers, counts = np.unique(timeline.columns["ground"], return_counts=True)
    shown = zip(numbers.tolist(), counts.tolist(), strict=True)
    return {names[number]: round(count * length, 3) for number, count in shown if number >= 0}


def _unseen_pins(timeline: Timeline, preset: Preset, analysis: Analysis) -> list[str]:
    spans, names = spans_of(timeline), list(timeline.phases)
    parts = part_names(analysis)
    return [
        pin.at for pin in preset.pin if find_place(parse_place(pin.at, names), analysis, spans, names, parts) is None
    ]


def spans_of(timeline: Timeline) -> list[PhaseSpan]:
    """Return the passages of a timeline in one phase each."""
    phase, loop = timeline.columns["phase"], timeline.columns["loop"]
    edges = [0, *(np.flatnonzero((np.diff(phase) != 0) | (np.diff(loop) != 0)) + 1).tolist(), timeline.frames]
    length = frame_length(timeline.fps)
    return [
        PhaseSpan(int(phase[a]), int(loop[a]), a * length, b * length) for a, b in zip(edges, edges[1:], strict=False)
    ]


def _still(timeline: Timeline, preset: Preset, analysis: Analysis) -> list[str]:
    """Return the signals that a preset's expressions read but that stay near 0 in this song."""
    read: set[str] = set()
    for text in expressions(preset):
        read |= {name for name in signals_of(parse(text)) if not name.startswith(MACRO)}
    known = frame_signals(analysis, grid_of(analysis), frames=timeline.frames, fps=timeline.fps)
    return sorted(name for name in read & known.keys() if float(known[name].max()) < STILL)


def expressions(preset: Preset) -> list[str]:
    """Return every expression of a preset that one of its phases uses."""
    found = []
    for phase in preset.phase:
        found += [phase.fits, phase.switch.accent, phase.walk or preset.walk]
        found += list((phase.lens or preset.lens).model_dump().values())
        found += list((phase.colour or preset.colour).model_dump(exclude={"palette"}).values())
        if phase.order == "ladder":
            found.append(phase.climb)
        if phase.ground or preset.ground:
            found += ground_expressions(preset, phase).values()
        if phase.mode != "walk":
            found.append(phase.strength or preset.strength)
        if phase.mode == "feedback":
            found += list((phase.camera or preset.camera).model_dump().values())
    return [text for text in dict.fromkeys(found) if isinstance(text, str)]


def _count(number: int, one: str, many: str = "") -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
