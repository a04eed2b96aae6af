"""Lay the preset's phases over the song: always in their order, round and round, where each fits best.

The song is cut into blocks of a few bars that respect its sections. A dynamic programme chooses where the next phase
begins, so that the phases' own `fits` curves, the sections' boundaries and the asked-for lengths agree best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.audio.grid import Grid
from reactive.audio.structure import Section
from reactive.preset.schema import Phase

# a change of phase on a section's start is worth this many well-fitting bars; elsewhere it costs
ON_SECTION, OFF_SECTION = 6.0, -4.0
# each bar too short or too long costs this much
WRONG_LENGTH = 3.0
BLOCK_BARS = 4


@dataclass(frozen=True)
class PhaseSpan:
    """A stretch of the song in one phase: phase number, round of the loop, start and end in seconds."""

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
    """
    begin, end = grid.bar_position(np.array([0.0, duration])).tolist()
    limits, scale = _limits(phases, end - begin)
    block = max(1, min(BLOCK_BARS, int(limits[:, 0].min())))
    edges, on_section = _blocks(grid, sections, duration, block)
    bars = np.diff(grid.bar_position(edges))
    fit = _block_means(fits, seconds, edges)
    order = _best_path(fit * bars, bars, np.where(on_section, ON_SECTION, OFF_SECTION) * scale, limits, whole=scale < 1)
    spans: list[PhaseSpan] = []
    loop, began = 0, 0
    for i in range(1, len(order) + 1):
        if i == len(order) or order[i] != order[i - 1]:
            spans.append(PhaseSpan(order[i - 1] % len(phases), loop, float(edges[began]), float(edges[i])))
            if i < len(order) and order[i] % len(phases) == 0:
                loop += 1
            began = i
    return spans


def _limits(phases: list[Phase], bars: float) -> tuple[np.ndarray, float]:
    """Return fewest and most bars of each phase, and by how much a short song shortens them to fit one round in."""
    limits = np.array([phase.bars for phase in phases], float)
    scale = min(1.0, bars / max(limits[:, 0].sum() * 1.25, 1.0))
    return np.maximum(limits * scale, 1.0), scale


def _blocks(grid: Grid, sections: tuple[Section, ...], duration: float, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return block edges in seconds and, for each block, whether it starts with a section."""
    edges, starts = [0.0], [True]
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

    `change` is what it is worth to begin a phase at each block; `whole` asks for an end in the last phase.

    Semi-Markov Viterbi: `best[e]` holds, for each phase that ends at edge e, the best score up to there.
    """
    phases, blocks = gain.shape
    length = np.concatenate([[0.0], np.cumsum(bars)])
    total = np.concatenate([np.zeros((phases, 1)), np.cumsum(gain, axis=1)], axis=1)
    best = np.full((blocks + 1, phases), -np.inf)
    origin = np.zeros((blocks + 1, phases), int)
    for end in range(1, blocks + 1):
        for phase in range(phases):
            # twice the longest wanted length is as far back as is worth looking
            first = int(np.searchsorted(length, length[end] - 2 * limits[phase, 1] - 1))
            begins = np.arange(min(first, end - 1), end)
            # what a phase begins on: the song's start for the first one, elsewhere the end of the phase before it
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
    # a song too short for more gets a whole round all the same
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
