"""A timeline in terms of other tools: the prompt of each frame, the picture's move, and the share of it that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reactive.timeline.timeline import FARTHEST, FEEDBACK, NO_SOURCE, Timeline

# share kept between pictures of a walk in a tool that always uses feedback: Deforum's default
WALK_KEPT_SHARE = 0.65


@dataclass(frozen=True)
class Run:
    """Frames [start, stop) that share a text; `negative` is the prompt's negative."""

    start: int
    stop: int
    text: str
    negative: str = ""


def prompt_runs(timeline: Timeline) -> list[Run]:
    """Return the prompts in order of appearance; in a blend the new one starts where its weight reaches 0.5."""
    columns = timeline.columns
    shown = np.where(columns["weight"] >= 0.5, columns["prompt_to"], columns["prompt_from"])
    edges = _edges(shown)
    negatives = timeline.negatives or ("",) * len(timeline.prompts)
    return [Run(a, b, timeline.prompts[int(shown[a])], negatives[int(shown[a])]) for a, b in edges]


def phase_runs(timeline: Timeline) -> list[Run]:
    """Return the preset's phases in order of appearance."""
    phase = timeline.columns["phase"]
    # the same phase in the next cycle is another run
    edges = _edges(phase + len(timeline.phases) * timeline.columns["loop"])
    return [Run(a, b, timeline.phases[int(phase[a])]) for a, b in edges]


def shot_runs(timeline: Timeline) -> list[Run]:
    """Return the ranges between cuts, each with its first prompt."""
    edges = [0, *(cut for cut in timeline.cuts if 0 < cut < timeline.frames), timeline.frames]
    first = timeline.columns["prompt_to"]
    return [Run(a, b, timeline.prompts[int(first[a])]) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def moves(timeline: Timeline) -> dict[str, np.ndarray]:
    """Return the picture's move from the previous frame to each frame, float64 [frames]: camera and lens together.

    `zoom` is a factor, `rotate` degrees counter-clockwise, `x` and `y` shares of width and height. On a cut, and on the
    first frame, nothing moves.
    """
    columns = timeline.columns
    fed = columns["source"] == FEEDBACK
    moved = {
        "zoom": np.exp(np.clip(_step(columns["camera_zoom"]), -FARTHEST, FARTHEST) * fed) * _ratio(columns["lens_zoom"])
    }
    for name in ("rotate", "x", "y"):
        moved[name] = _step(columns[f"camera_{name}"]) * fed + _step(columns[f"lens_{name}"])
    cuts = [cut for cut in timeline.cuts if 0 <= cut < timeline.frames]
    for name, curve in moved.items():
        curve[cuts] = 1.0 if name == "zoom" else 0.0
    return moved


def kept_share(timeline: Timeline) -> np.ndarray:
    """Return the share of the previous picture that each frame keeps, float64 [frames] in 0..1; 0 on a cut.

    For frames with a source or feedback this is 1 minus the strength. In a walk our own pictures keep nothing, since the
    noise moves smoothly; tools without such noise need to keep a part.
    """
    columns = timeline.columns
    share = np.where(columns["source"] == NO_SOURCE, WALK_KEPT_SHARE, 1 - columns["strength"])
    share[[0, *(cut for cut in timeline.cuts if 0 <= cut < timeline.frames)]] = 0.0
    return np.clip(share, 0.0, 1.0)


def seeds(timeline: Timeline) -> np.ndarray:
    """Return each frame's seed for other tools: the lower 32 bits, int64 [frames]."""
    return np.mod(timeline.columns["seed"], 2**32)


def _edges(values: np.ndarray) -> list[tuple[int, int]]:
    """Return the ranges (start, stop) of equal integers."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return list(zip(edges, edges[1:], strict=False))


def _step(curve: np.ndarray) -> np.ndarray:
    return np.diff(curve, prepend=curve[:1])


def _ratio(curve: np.ndarray) -> np.ndarray:
    return np.concatenate([[1.0], curve[1:] / curve[:-1]])
