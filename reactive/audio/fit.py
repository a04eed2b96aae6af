"""Whether saved corrections of a grid still give what they gave when they were saved.

An analysis may change (a newer version, another file of the song), and "beat 3" or "half tempo" then mean something else. So a
grid's file notes the tempo and one downbeat of its outcome, which are compared with today's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.corrections import Corrections, kept_outcome, saved_in

# a tempo is the same within 4 %, a downbeat within 0.1 s
_SAME_TEMPO, _NEAR = 0.04, 0.1


def outcome(analysis: Analysis) -> dict[str, Any]:
    """Return what corrections led to: tempo in beats a minute, and the time of the first downbeat in seconds."""
    one = float(analysis.downbeats[0]) if len(analysis.downbeats) else None
    return {"tempo": analysis.tempo, "one": one}


def misfit(song: Path, digest: str, older: str, corrections: Corrections, analysis: Analysis) -> str:
    """Return a sentence if a song's saved corrections no longer give what they gave; empty if they do, or none is known.

    Parameters
    ----------
    song, digest, older
        The song and its hashes, as `load_corrections` takes them.
    corrections, analysis
        What was applied, and what came of it.
    """
    file = saved_in(song, (digest, older), corrections)
    before = kept_outcome(file) if file else {}
    told = []
    tempo, one = before.get("tempo"), before.get("one")
    if tempo and analysis.tempo and abs(analysis.tempo / tempo - 1) > _SAME_TEMPO:
        told.append(f"they gave {tempo:.1f} beats a minute and give {analysis.tempo:.1f} now")
    if one is not None and len(analysis.downbeats):
        nearest = float(analysis.downbeats[np.abs(analysis.downbeats - one).argmin()])
        if abs(nearest - one) > _NEAR:
            told.append(f'a "one" was at {one:.2f} s, and the nearest is at {nearest:.2f} s now')
    if not told or file is None:
        return ""
    return (
        f"The corrections kept in {file.name} ({options_of(corrections)}) no longer fit: {'; '.join(told)}. Look at them with "
        "`reactive analyze --bars`, then correct anew, or drop them with --forget-grid."
    )


def options_of(corrections: Corrections) -> str:
    """Return corrections of the grid as the options that they are given by."""
    grid = replace(corrections, sections=None)
    values = {
        "--bpm": grid.bpm,
        "--offset-ms": grid.offset_ms,
        "--half": grid.half,
        "--double": grid.double,
        "--downbeat": grid.downbeat,
        "--meter": grid.meter,
        "--beats": f"{len(grid.beats)} beats" if grid.beats is not None else None,
    }
    said = []
    for name, value in values.items():
        if value is True:
            said.append(name)
        elif value not in (None, False):
            said.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(said)
