"""Draw what was heard: the waveform coloured by band, beats and bars, onsets, sections. For a person to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.spectrum import FINE_HOP, RATE
from reactive.errors import OutputError

BACKGROUND, INK, FAINT = "#14151a", "#e8e6e1", "#5a5d68"
# low, mid, high: warm to cold, told apart by brightness too
BAND_COLOURS = ("#e4572e", "#f2c14e", "#7fc8f8")
SECTION_COLOURS = ("#4f6d7a", "#9a6d38", "#6b4f7a", "#4f7a5c", "#7a4f58", "#56647a", "#7a744f", "#3f7a78")
COLUMNS = 1600
FORMATS = (".png", ".svg", ".pdf")


def plot_analysis(analysis: Analysis, path: Path, *, title: str) -> None:
    """Draw an analysis to a PNG, SVG or PDF.

    Raises
    ------
    OutputError
        If the name has another ending or the file can't be written.
    """
    figure, axes = panels(analysis, title=title, ratios=(3.0, 1.3, 0.6, 0.6), path=path)
    wave, onsets, moments, sections = axes
    draw_waveform(wave, analysis)
    draw_grid(wave, analysis)
    named: tuple[str, ...] = ("kick", "snare", "hat")
    roles = [role for role in named if role in analysis.onsets] or ["low", "mid", "high"]
    for row, (role, colour) in enumerate(zip(roles, BAND_COLOURS, strict=False)):
        found = analysis.onsets[role]
        # each hit a stroke as high as it is strong: four minutes of them stay readable
        onsets.vlines(found.times, row - 0.42, row - 0.42 + 0.84 * found.strengths, colors=colour, linewidth=0.7)
    onsets.set_yticks(range(len(roles)), roles)
    onsets.set_ylim(-0.6, len(roles) - 0.4)
    draw_moments(moments, analysis)
    draw_sections(sections, analysis)
    sections.set_xlabel("time")
    save(figure, path)


def panels(analysis: Analysis, *, title: str, ratios: tuple[float, ...], path: Path) -> tuple[Any, list[Any]]:
    """Return a figure with panels above one another that share the song's time axis."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f'can\'t draw a "{path.suffix}" file', where=str(path), remedy="name it .png, .svg or .pdf")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    # long songs get a wider sheet, so that bars stay apart
    width = float(np.clip(analysis.duration / 12, 12, 40))
    figure = Figure(figsize=(width, 1.25 * sum(ratios) + 0.9), facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(np.atleast_1d(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)))
    tempo = f"{analysis.tempo:.1f} beats a minute" if analysis.tempo else "no steady beat"
    facts = "   ".join(filter(None, [title, clock_label(analysis.duration), tempo, analysis.metre, analysis.key]))
    axes[0].set_title(facts, color=INK, loc="left", fontsize=11)
    for axis in axes:
        axis.set_facecolor(BACKGROUND)
        axis.tick_params(colors=INK, labelsize=8)
        axis.yaxis.label.set_color(INK)
        axis.xaxis.label.set_color(INK)
        for spine in axis.spines.values():
            spine.set_color(FAINT)
        axis.set_xlim(0, max(analysis.duration, 0.1))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock_label(value)))
    axes[-1].locator_params(axis="x", nbins=24)
    return figure, axes


def draw_waveform(axis: Any, analysis: Analysis) -> None:
    """Draw the peak envelope, each column coloured by the balance of its bands."""
    count = min(COLUMNS, len(analysis.fine))
    edges = np.linspace(0, len(analysis.fine), count + 1).astype(int)
    peaks = np.array(
        [analysis.fine[a : max(b, a + 1)].max(initial=0.0) for a, b in zip(edges, edges[1:], strict=False)]
    )
    rows = len(analysis.envelopes["low"])
    at = np.linspace(0, rows, count + 1).astype(int)
    bands = np.stack(
        [
            [analysis.envelopes[band][a : max(b, a + 1)].mean() for a, b in zip(at, at[1:], strict=False)]
            for band in ("low", "mid", "high")
        ],
        axis=1,
    )
    # each band against its own loud level: highs are always weaker than lows
    bands = bands / np.maximum(np.percentile(bands, 95, axis=0), 1e-9)
    share = np.clip(bands, 0, 1.5) ** 1.5
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
    from matplotlib.colors import to_rgb

    colours = np.clip(share @ np.array([to_rgb(colour) for colour in BAND_COLOURS]), 0, 1)
    middle = (edges[:-1] + edges[1:]) / 2 * FINE_HOP / RATE
    axis.vlines(middle, -peaks, peaks, colors=colours, linewidth=1.1)
    axis.set_ylim(-1.05, 1.05)
    axis.set_yticks([])
    axis.set_ylabel("waveform")


def draw_grid(axis: Any, analysis: Analysis) -> None:
    """Draw beats as short ticks and bars as long ones at the foot of a panel."""
    low, high = axis.get_ylim()
    height = high - low
    if analysis.duration < 400:
        axis.vlines(analysis.beats, low, low + 0.05 * height, colors=INK, linewidth=0.4, alpha=0.7)
    axis.vlines(analysis.downbeats, low, low + 0.11 * height, colors=INK, linewidth=0.8)


def draw_moments(axis: Any, analysis: Analysis) -> None:
    """Draw builds as rising wedges, drops as lines with a name, breaks and silences as bars."""
    for moment in analysis.moments:
        if moment.kind == "build":
            axis.fill([moment.start, moment.end, moment.end], [0, 0, 1], color=BAND_COLOURS[1], alpha=0.7, linewidth=0)
        elif moment.kind == "drop":
            axis.axvline(moment.start, color=BAND_COLOURS[0], linewidth=1.6)
            axis.text(moment.start, 0.5, " drop", color=INK, fontsize=8, va="center", clip_on=True)
        else:
            colour = BAND_COLOURS[2] if moment.kind == "break" else FAINT
            axis.axvspan(moment.start, moment.end, 0.0, 0.35, color=colour, alpha=0.6, linewidth=0)
            axis.text(moment.start, 0.18, f" {moment.kind}", color=INK, fontsize=7, va="center", clip_on=True)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_ylabel("moments")


def draw_sections(axis: Any, analysis: Analysis) -> None:
    """Draw sections as labelled blocks, as high as they are energetic."""
    letters = sorted({section.label for section in analysis.sections})
    for section in analysis.sections:
        colour = SECTION_COLOURS[letters.index(section.label) % len(SECTION_COLOURS)]
        height = 0.25 + 0.75 * section.energy
        axis.bar(section.start, height, section.end - section.start, align="edge", color=colour, edgecolor=BACKGROUND)
        axis.text(section.start, 0.08, f" {section.label}", color=INK, fontsize=9, va="bottom", clip_on=True)
    axis.set_ylim(0, 1.05)
    axis.set_yticks([])
    axis.set_ylabel("sections")


def clock_label(seconds: float) -> str:
    """Return ``3:07``."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def save(figure: Any, path: Path) -> None:
    """Write a figure."""
    try:
        figure.savefig(path, dpi=110, facecolor=BACKGROUND)
    except OSError as problem:
        path.unlink(missing_ok=True)
        raise OutputError(
            f"can't be written ({problem.strerror})", where=str(path), remedy="choose another place"
        ) from None
