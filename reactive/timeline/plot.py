"""Draw a timeline under its song: phases, prompts, walk, strength, lens and camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.plot import (
    BACKGROUND,
    FAINT,
    INK,
    draw_grid,
    draw_sections,
    draw_waveform,
    panels,
    plain_texts,
    save,
    use_fonts_for,
)
from reactive.timeline.clock import frame_length, frame_times
from reactive.timeline.timeline import FEEDBACK, Timeline

PHASE_COLOURS = ("#3d6b8e", "#c98a2b", "#a63a2e", "#4d7f62", "#75529a", "#8a8d93")
# least width of a prompt, as a share of the figure, for its name
READABLE = 1 / 60


@plain_texts()
def plot_timeline(timeline: Timeline, analysis: Analysis, path: Path, *, title: str) -> None:
    """Draw a timeline to a PNG, SVG or PDF.

    Raises
    ------
    OutputError
        If the name has another ending or the file can't be written.
    """
    use_fonts_for("".join([title, timeline.title, *timeline.prompts, *timeline.phases]))
    figure, axes = panels(
        analysis, title=f"{title}: {timeline.title}", ratios=(1.6, 0.5, 2.2, 1.0, 1.0, 1.0), path=path
    )
    seconds = frame_times(timeline.frames, timeline.fps)
    columns = timeline.columns
    draw_waveform(axes[0], analysis)
    draw_grid(axes[0], analysis)
    draw_sections(axes[1], analysis)
    _prompts(axes[2], timeline, seconds)
    _curve(axes[3], seconds, columns["speed"], "walk speed", "#7fc8f8")
    _curve(axes[4], seconds, columns["strength"], "strength", "#f2c14e")
    axes[4].set_ylim(0, 1.05)
    camera = (
        np.gradient(columns["camera_zoom"]) / frame_length(timeline.fps)
        if timeline.frames > 1
        else columns["camera_zoom"]
    )
    fed_back = columns["source"] == FEEDBACK
    _curve(axes[5], seconds, columns["lens_zoom"], "lens", "#e4572e")
    axes[5].plot(seconds, 1 + np.where(fed_back, camera, np.nan) / 10, color="#b58cf0", linewidth=0.8)
    axes[5].text(
        0.995,
        0.9,
        "lens zoom  |  camera zoom (feedback)",
        transform=axes[5].transAxes,
        color=INK,
        fontsize=7,
        ha="right",
        va="top",
    )
    axes[5].set_xlabel("time")
    save(figure, path)


def _prompts(axis: Any, timeline: Timeline, seconds: np.ndarray) -> None:
    """Draw each prompt as a block in its phase's colour, cuts as lines, names where there is room."""
    columns = timeline.columns
    prompt, phase = columns["prompt_to"], columns["phase"]
    edges = np.concatenate([[0], np.flatnonzero((np.diff(prompt) != 0) | (np.diff(phase) != 0)) + 1, [timeline.frames]])
    end = seconds[-1] + frame_length(timeline.fps)
    at = np.append(seconds, end)
    for row, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
        colour = PHASE_COLOURS[int(phase[start]) % len(PHASE_COLOURS)]
        left, width = at[start], at[stop] - at[start]
        axis.bar(
            left,
            1,
            width,
            align="edge",
            color=colour,
            alpha=0.75 + 0.25 * (row % 2),
            edgecolor=BACKGROUND,
            linewidth=0.3,
        )
        if width > READABLE * end:
            text = timeline.prompts[int(prompt[start])]
            axis.text(
                left + width / 2,
                0.5,
                text,
                rotation=90,
                ha="center",
                va="center",
                fontsize=5.5,
                color=INK,
                clip_on=True,
            )
    axis.vlines(at[list(timeline.cuts)], 1.0, 1.06, colors=INK, linewidth=0.5)
    changes = np.concatenate([[0], np.flatnonzero(np.diff(phase)) + 1])
    for start in changes:
        name = timeline.phases[int(phase[start])]
        axis.text(at[start], 1.09, f" {name}", color=INK, fontsize=8, va="bottom", clip_on=True)
    axis.set_ylim(0, 1.3)
    axis.set_yticks([])
    axis.set_ylabel("phases, prompts")


def _curve(axis: Any, seconds: np.ndarray, values: np.ndarray, name: str, colour: str) -> None:
    axis.plot(seconds, values, color=colour, linewidth=0.8)
    axis.set_ylabel(name)
    axis.grid(axis="y", color=FAINT, linewidth=0.3)
