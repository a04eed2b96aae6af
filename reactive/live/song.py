"""The song's sound for browsers, and its data for the page.

Browsers decode compressed sound with different delays, so the page gets exactly the analysed samples, as WAV.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.audio.parts import part_names
from reactive.errors import MediaError
from reactive.media.sound import Track, heard_blocks
from reactive.timeline.timeline import Timeline

# the size in a WAV header has 32 bits
MAX_WAV = 4_000_000_000
PEAKS = 4000


def write_wav(track: Track, path: Path) -> None:
    """Write a song's samples as 16-bit WAV of at most two channels, surround folded as in the clip.

    Raises
    ------
    MediaError
        If it is too long for that.
    """
    channels = min(track.channels, 2)
    if track.samples * channels * 2 > MAX_WAV:
        raise MediaError("is too long to preview", where=str(track.path), remedy="preview an excerpt of it")
    with wave.open(str(path), "wb") as target:
        target.setnchannels(channels)
        target.setsampwidth(2)
        target.setframerate(track.sample_rate)
        for block in heard_blocks(track):
            scaled = np.clip(block, -1, 1) * 32767
            target.writeframesraw(scaled.round().astype("<i2").tobytes())


def analysis_for_page(analysis: Analysis) -> dict[str, Any]:
    """Return the song's data for the page: peaks and brightness of the waveform, beats, bars, sections."""
    grid = grid_of(analysis)
    fine = np.asarray(analysis.fine, np.float64)
    fine = fine.max(axis=tuple(range(1, fine.ndim))) if fine.ndim > 1 else fine
    peaks = _fewer(fine, min(PEAKS, max(len(fine), 1)))
    rms = np.asarray(analysis.envelopes["rms"], np.float64)
    low, high = (np.asarray(analysis.envelopes[name], np.float64) for name in ("low", "high"))
    count = len(peaks)
    return {
        "duration": analysis.duration,
        "tempo": round(analysis.tempo, 2),
        "heard": grid.heard,
        "peaks": _rounded(peaks / max(peaks.max(initial=0.0), 1e-9)),
        "loudness": _rounded(_fewer(rms, count) / max(rms.max(initial=0.0), 1e-9)),
        "low": _rounded(_fewer(low, count) / max(low.max(initial=0.0), 1e-9)),
        "high": _rounded(_fewer(high, count) / max(high.max(initial=0.0), 1e-9)),
        "beats": [round(float(time), 4) for time in grid.beats if 0 <= time < analysis.duration],
        "bars": [round(float(time), 4) for time in grid.bars if 0 <= time < analysis.duration],
        "sections": [
            {
                "start": round(s.start, 3),
                "end": round(s.end, 3),
                "label": s.label,
                "name": name,
                "energy": round(s.energy, 3),
            }
            for s, name in zip(analysis.sections, part_names(analysis), strict=True)
        ],
    }


def last_bars(analysis: Analysis, count: int = 8) -> tuple[float, float]:
    """Return start and end, in seconds, of a song's last complete audible bars, which are repeated after its end."""
    loud = np.asarray(analysis.envelopes["rms"], np.float64)
    # inaudible: below a twentieth of the peak
    sounding = np.flatnonzero(loud > 0.05 * max(loud.max(initial=0.0), 1e-9))
    end = analysis.duration * (int(sounding[-1]) + 1) / len(loud) if len(sounding) else analysis.duration
    bars = [float(bar) for bar in grid_of(analysis).bars if 0 <= bar <= end + 1e-6]
    if len(bars) < 2:
        return 0.0, analysis.duration
    return bars[max(0, len(bars) - 1 - count)], bars[-1]


def timeline_for_page(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline's data for the page: runs of phases and prompts, cuts, and curves."""
    columns = timeline.columns
    main = np.where(columns["weight"] >= 0.5, columns["prompt_to"], columns["prompt_from"])
    curves = {
        "speed": _curve(columns["speed"]),
        "strength": _curve(columns["strength"]),
        "zoom": _curve(columns["lens_zoom"] - 1),
        "kick": _curve(columns["hit"]),
        # for moving the last picture while there is no new one
        "rotate": _curve(columns["lens_rotate"]),
        "x": _curve(columns["lens_x"]),
        "y": _curve(columns["lens_y"]),
    }
    return {
        "frames": timeline.frames,
        "phases": list(timeline.phases),
        "phase": _runs(columns["phase"]),
        "loop": _runs(columns["loop"]),
        "prompts": {int(number): timeline.prompts[number] for number in np.unique(main)},
        "prompt": _runs(main),
        "mode": _runs(np.where(columns["source"] == -2, 2, np.where(columns["source"] >= 0, 1, 0))),
        "cuts": list(timeline.cuts),
        "curves": curves,
    }


def _runs(column: np.ndarray) -> list[list[int]]:
    """Return a column as pairs [first frame, value]."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(column)) + 1])
    return [[int(start), int(column[start])] for start in starts]


def _curve(column: np.ndarray) -> dict[str, Any]:
    """Return a curve with its range, by frame."""
    low, high = float(column.min()), float(column.max())
    return {"low": round(low, 4), "high": round(high, 4), "values": _rounded(column)}


def _fewer(curve: np.ndarray, count: int) -> np.ndarray:
    """Return the maximum of each of `count` equal parts of a curve."""
    if not len(curve):
        return np.zeros(count)
    edges = np.linspace(0, len(curve), count + 1)
    first = np.minimum(edges[:-1].astype(int), len(curve) - 1)
    return np.maximum.reduceat(curve, first)


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values, 3).tolist()
