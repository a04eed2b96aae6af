"""Draw an analysis: the waveform coloured by band, beats and bars, onsets, sections."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.errors import OutputError
from reactive.media.fonts import font_with, usual_font

BACKGROUND, INK, FAINT = "#14151a", "#e8e6e1", "#5a5d68"
# low, mid, high: warm to cold, also different in brightness
BAND_COLOURS = ("#d9482b", "#f0b43c", "#dff1ff")
SECTION_COLOURS = ("#4f6d7a", "#9a6d38", "#6b4f7a", "#4f7a5c", "#7a4f58", "#56647a", "#7a744f", "#3f7a78")
BREAK_COLOUR = "#3f6f9f"
# heights of low, mid and high at their loud level
BAND_REACH = (0.95, 0.62, 0.3)
COLUMNS = 2600
FORMATS = (".png", ".svg", ".pdf")


@contextmanager
def plain_texts() -> Iterator[None]:
    """Write names as they are while a figure is drawn: "$" begins no formula."""
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        # a letter that is in no font is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def use_fonts_for(text: str) -> None:
    """For a text with letters that the default font lacks, use installed fonts from now on."""
    import matplotlib
    from matplotlib.font_manager import FontProperties, fontManager

    names = list(matplotlib.rcParams["font.family"])
    for letter in text:
        if letter.isspace() or (path := font_with(letter)) is None or path == usual_font():
            continue
        name = FontProperties(fname=path).get_name()
        if name not in names:
            fontManager.addfont(path)
            names.append(name)
    matplotlib.rcParams["font.family"] = names


@plain_texts()
def plot_analysis(analysis: Analysis, path: Path, *, title: str) -> None:
    """Draw an analysis to a PNG, SVG or PDF.

    Raises
    ------
    OutputError
        If the name has another ending or the file can't be written.
    """
    use_fonts_for(title + "".join(section.label for section in analysis.sections))
    figure, axes = panels(analysis, title=title, ratios=(3.0, 1.4, 0.7, 0.5, 0.6), path=path)
    wave, onsets, loudness, moments, sections = axes
    draw_waveform(wave, analysis)
    draw_grid(wave, analysis)
    for axis in (wave, onsets, loudness):
        shade_sections(axis, analysis)
    draw_loudness(loudness, analysis)
    named: tuple[str, ...] = ("kick", "snare", "hat")
    roles = [role for role in named if role in analysis.onsets] or ["low", "mid", "high"]
    for row, (role, colour) in enumerate(zip(roles, BAND_COLOURS, strict=False)):
        found = analysis.onsets[role]
        # each hit is a line as high as its strength, which stays readable over four minutes
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

    # long songs get a wider figure, so that bars stay apart
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
    """Draw the waveform as DJs' players do: peaks in grey, over them low, mid and high, centred."""
    count = max(min(COLUMNS, len(analysis.fine)), 1)
    seconds = (np.arange(count) + 0.5) * (analysis.duration / count)
    peaks = _columns(analysis.fine, count, np.max)
    axis.fill_between(seconds, -peaks, peaks, color=FAINT, alpha=0.45, linewidth=0, step="mid")
    for band, colour, reach in zip(("low", "mid", "high"), BAND_COLOURS, BAND_REACH, strict=True):
        level = _columns(analysis.envelopes[band], count, np.max)
        # each band relative to its own loud level, since highs are always weaker than lows, but within the peaks
        height = np.minimum(reach * level / max(float(np.percentile(level, 98)), 1e-9), 1.0) * np.minimum(
            1.0, 1.15 * peaks
        )
        axis.fill_between(seconds, -height, height, color=colour, alpha=0.9, linewidth=0, step="mid")
    axis.set_ylim(-1.05, 1.05)
    axis.set_yticks([])
    axis.set_ylabel("waveform")
    for band, colour, left in zip(("low", "mid", "high"), BAND_COLOURS, (0.9, 0.93, 0.96), strict=True):
        axis.text(left, 1.01, band, color=colour, fontsize=8, va="bottom", transform=axis.transAxes)


def _columns(curve: np.ndarray, count: int, kind: Any) -> np.ndarray:
    edges = np.linspace(0, len(curve), count + 1).astype(int)
    spans = zip(edges, np.maximum(edges[1:], edges[:-1] + 1), strict=False)
    return np.array([float(kind(curve[min(a, len(curve) - 1) : b])) for a, b in spans])


def draw_grid(axis: Any, analysis: Analysis) -> None:
    """Draw beats as short ticks and bars as long ones at the foot of a panel; every eighth bar has its number."""
    low, high = axis.get_ylim()
    height = high - low
    axis.set_ylim(low - 0.12 * height, high)
    low -= 0.12 * height
    if analysis.duration < 400:
        axis.vlines(analysis.beats, low, low + 0.03 * height, colors=INK, linewidth=0.4, alpha=0.7)
    axis.vlines(analysis.downbeats, low, low + 0.06 * height, colors=INK, linewidth=0.7)
    step = 8 * max(round(analysis.duration / 400), 1)
    for number in range(0, len(analysis.downbeats), step):
        at = analysis.downbeats[number]
        axis.axvline(at, color=INK, linewidth=0.5, alpha=0.22)
        axis.text(at, low + 0.065 * height, f" {number + 1}", color=INK, fontsize=7, va="bottom", clip_on=True)


def shade_sections(axis: Any, analysis: Analysis) -> None:
    """Tint a panel by section and draw a line where each drop comes."""
    letters = sorted({section.label for section in analysis.sections})
    for section in analysis.sections:
        colour = SECTION_COLOURS[letters.index(section.label) % len(SECTION_COLOURS)]
        axis.axvspan(section.start, section.end, color=colour, alpha=0.22, linewidth=0, zorder=0)
    for moment in analysis.moments:
        if moment.kind == "drop":
            axis.axvline(moment.start, color=BAND_COLOURS[0], linewidth=1.4, alpha=0.9)


def draw_loudness(axis: Any, analysis: Analysis) -> None:
    """Draw momentary loudness, down to 36 below the loudest moment."""
    rows = len(analysis.envelopes["rms"])
    count = max(min(COLUMNS // 2, rows), 1)
    seconds = (np.arange(count) + 0.5) * (analysis.duration / count)
    loudness = _columns(analysis.envelopes["loudness"], count, np.mean)
    top = float(loudness.max(initial=-60.0))
    axis.fill_between(seconds, top - 36, np.maximum(loudness, top - 36), color=BAND_COLOURS[2], alpha=0.25, linewidth=0)
    axis.plot(seconds, np.maximum(loudness, top - 36), color=BAND_COLOURS[2], linewidth=0.9)
    axis.set_ylim(top - 36, top + 2)
    axis.set_ylabel("LUFS")


def draw_moments(axis: Any, analysis: Analysis) -> None:
    """Draw builds as rising wedges, drops as lines with a name, breaks and silences as bars."""
    for moment in analysis.moments:
        if moment.kind == "build":
            axis.fill([moment.start, moment.end, moment.end], [0, 0, 1], color=BAND_COLOURS[1], alpha=0.7, linewidth=0)
        elif moment.kind == "drop":
            axis.axvline(moment.start, color=BAND_COLOURS[0], linewidth=1.6)
            axis.text(moment.start, 0.5, " drop", color=INK, fontsize=8, va="center", clip_on=True)
        else:
            colour = BREAK_COLOUR if moment.kind == "break" else FAINT
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
