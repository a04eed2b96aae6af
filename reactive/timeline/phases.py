"""Place the preset's phases over the song: always in their order, repeatedly, where each fits best.

The song is cut into blocks of a few bars that respect its sections. A dynamic programme chooses where the next phase
begins, so that the phases' `fits` curves, the sections' boundaries and the wanted lengths agree best. Phases that name
parts of the song are placed only there; the others share the rest, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reactive.audio.grid import Grid
from reactive.audio.structure import Section
from reactive.preset.schema import Phase

# bonus, in well-fitting bars, of a change of phase on a section's start, and its cost elsewhere
ON_SECTION, OFF_SECTION = 6.0, -4.0
# its bonus on a drop
ON_DROP = 12.0
# most seconds between a drop and its edge
NEAR = 0.05
# cost of each bar that a phase is too short or too long
WRONG_LENGTH = 3.0
BLOCK_BARS = 4


@dataclass(frozen=True)
class PhaseSpan:
    """A passage in one phase: phase number, round of the loop, start and end in seconds."""

    phase: int
    loop: int
    start: float
    end: float


def lay_phases(
    phases: list[Phase],
    fits: np.ndarray,
    seconds: np.ndarray,
    grid: Grid,
    sections: tuple[Section, ...],
    duration: float,
    *,
    parts: Sequence[str] = (),
    boundaries: Sequence[float] = (),
) -> list[PhaseSpan]:
    """Return spans that cover the song from 0 to `duration`.

    Parameters
    ----------
    phases
        The preset's phases, in their order.
    fits
        How well each phase fits each frame, float64 [phases, frames].
    seconds
        The frames' times.
    grid
        Beats and bars.
    sections
        The song's sections.
    duration
        The song's length in seconds.
    parts
        The name of each section; empty if names are not known.
    boundaries
        Times of drops, at which phases preferably begin.
    """
    if placed := _by_part(phases, fits, seconds, sections, parts):
        return _numbered(_with_rest(placed, phases, fits, seconds, grid, sections, parts, duration, boundaries))
    return _numbered(_lay(list(range(len(phases))), phases, fits, seconds, grid, sections, duration, boundaries))


# phase number, start and end in seconds
_Stretch = tuple[int, float, float]


def _by_part(
    phases: list[Phase], fits: np.ndarray, seconds: np.ndarray, sections: tuple[Section, ...], parts: Sequence[str]
) -> dict[int, int]:
    """Return the phase of each section that a phase names by its part; of several, the one that fits best."""
    placed = {}
    for number, (section, part) in enumerate(zip(sections, parts, strict=False)):
        if named := [index for index, phase in enumerate(phases) if part in phase.parts]:
            here = (seconds >= section.start) & (seconds < section.end)
            placed[number] = max(named, key=lambda index: float(fits[index, here].mean()) if here.any() else 0.0)
    return placed


def _with_rest(
    placed: dict[int, int],
    phases: list[Phase],
    fits: np.ndarray,
    seconds: np.ndarray,
    grid: Grid,
    sections: tuple[Section, ...],
    parts: Sequence[str],
    duration: float,
    boundaries: Sequence[float],
) -> list[_Stretch]:
    """Return passages: the placed sections, and between them the phases that name none of this song's parts."""
    free = [index for index, phase in enumerate(phases) if not set(phase.parts) & set(parts)] or list(
        range(len(phases))
    )
    stretches: list[_Stretch] = []
    number = 0
    while number < len(sections):
        if number in placed:
            first = number
            while number < len(sections) and placed.get(number) == placed[first]:
                number += 1
            stretches.append((placed[first], sections[first].start, sections[number - 1].end))
            continue
        stop = next((other for other in range(number, len(sections)) if other in placed), len(sections))
        inside = sections[number:stop]
        here = (seconds >= inside[0].start) & (seconds < inside[0].end)
        first = max(range(len(free)), key=lambda turn: float(fits[free[turn], here].mean()) if here.any() else 0.0)
        turned = [*free[first:], *free[:first]]
        stretches += _lay(turned, phases, fits, seconds, grid, inside, inside[-1].end, boundaries)
        number = stop
    phase, start, _ = stretches[-1]
    return [*stretches[:-1], (phase, start, duration)]


def _numbered(stretches: Sequence[_Stretch]) -> list[PhaseSpan]:
    """Return passages as spans with their rounds: a step back in the order of phases begins another round."""
    spans: list[PhaseSpan] = []
    for phase, start, end in stretches:
        loop = spans[-1].loop + (phase <= spans[-1].phase) if spans else 0
        spans.append(PhaseSpan(phase, loop, start, end))
    return spans


def _lay(
    order: Sequence[int],
    phases: list[Phase],
    fits: np.ndarray,
    seconds: np.ndarray,
    grid: Grid,
    sections: tuple[Section, ...],
    end: float,
    boundaries: Sequence[float],
) -> list[_Stretch]:
    """Return the phases of `order`, repeatedly, placed over adjoining sections up to `end` where they fit best."""
    begin = sections[0].start
    chosen = [phases[index] for index in order]
    first, last = grid.bar_position(np.array([begin, end])).tolist()
    limits, scale = _limits(chosen, last - first)
    block = max(1, min(BLOCK_BARS, int(limits[:, 0].min())))
    edges, on_section = _blocks(grid, sections, end, block)
    bars = np.diff(grid.bar_position(edges))
    fit = _block_means(fits[list(order)], seconds, edges)
    worth = np.where(on_section, ON_SECTION, OFF_SECTION)
    for time in boundaries:
        worth[np.abs(edges[:-1] - time) < NEAR] = ON_DROP
    path = _best_path(fit * bars, bars, worth * scale, limits, whole=scale < 1)
    turns = [0, *(i for i in range(1, len(path)) if path[i] != path[i - 1]), len(path)]
    return [
        (order[path[a] % len(order)], float(edges[a]), float(edges[b])) for a, b in zip(turns, turns[1:], strict=False)
    ]


def _limits(phases: list[Phase], bars: float) -> tuple[np.ndarray, float]:
    """Return minimum and maximum bars of each phase, and the factor by which a short song shortens them to fit one round."""
    limits = np.array([phase.bars for phase in phases], float)
    scale = min(1.0, bars / max(limits[:, 0].sum() * 1.25, 1.0))
    return np.maximum(limits * scale, 1.0), scale


def _blocks(grid: Grid, sections: tuple[Section, ...], duration: float, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return block edges in seconds and, for each block, whether it starts with a section."""
    edges, starts = [sections[0].start], [True]
    bar = float(np.median(np.diff(grid.bars))) if len(grid.bars) > 1 else duration
    for section in sections:
        inside = grid.bars[(grid.bars > section.start + bar / 2) & (grid.bars < section.end - bar / 2)]
        if section.start > edges[-1] + bar / 2:
            edges.append(section.start)
            starts.append(True)
        for i, time in enumerate(inside.tolist()):
            if (i + 1) % block == 0:
                edges.append(time)
                starts.append(False)
    return np.array([*edges, duration]), np.array(starts)


def _block_means(fits: np.ndarray, seconds: np.ndarray, edges: np.ndarray) -> np.ndarray:
    total = np.concatenate([np.zeros((len(fits), 1)), np.cumsum(fits, axis=1)], axis=1)
    frames = np.searchsorted(seconds, edges)
    first, last = frames[:-1], np.maximum(frames[1:], frames[:-1] + 1).clip(max=len(seconds))
    means: np.ndarray = (total[:, last] - total[:, np.minimum(first, last - 1)]) / np.maximum(last - first, 1)
    return means


def _best_path(gain: np.ndarray, bars: np.ndarray, change: np.ndarray, limits: np.ndarray, *, whole: bool) -> list[int]:
    """Return for each block the number of phases begun so far, less one; the path with the greatest gain.

    `change` is the gain of beginning a phase at each block; `whole` requires an end in the last phase.

    Semi-Markov Viterbi: `best[e]` holds, for each phase that ends at edge e, the best score up to there.
    """
    phases, blocks = gain.shape
    length = np.concatenate([[0.0], np.cumsum(bars)])
    total = np.concatenate([np.zeros((phases, 1)), np.cumsum(gain, axis=1)], axis=1)
    best = np.full((blocks + 1, phases), -np.inf)
    origin = np.zeros((blocks + 1, phases), int)
    for end in range(1, blocks + 1):
        for phase in range(phases):
            # look back at most twice the longest wanted length
            first = int(np.searchsorted(length, length[end] - 2 * limits[phase, 1] - 1))
            begins = np.arange(min(first, end - 1), end)
            # a phase begins at the song's start or at the end of the phase before it
            before = best[begins, phase - 1] + change[begins]
            if begins[0] == 0:
                before[0] = 0.0 if phase == 0 else -np.inf
            lasts = length[end] - length[begins]
            wrong = np.maximum(lasts - limits[phase, 1], 0.0)
            if end < blocks:
                wrong += np.maximum(limits[phase, 0] - lasts, 0.0)
            scores = before + total[phase, end] - total[phase, begins] - WRONG_LENGTH * wrong
            winner = int(scores.argmax())
            if scores[winner] > -np.inf:
                best[end, phase], origin[end, phase] = scores[winner], begins[winner]
    spans: list[tuple[int, int]] = []
    # even a very short song gets a whole round
    complete = whole and np.isfinite(best[blocks, -1])
    end, phase = blocks, phases - 1 if complete else int(best[blocks].argmax())
    while end > 0:
        begin = int(origin[end, phase])
        spans.append((begin, end))
        end, phase = begin, (phase - 1) % phases
    order: list[int] = []
    for number, (begin, stop) in enumerate(reversed(spans)):
        order += [number] * (stop - begin)
    return order
