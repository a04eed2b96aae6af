"""CSV: one row a frame, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io

import numpy as np

from reactive.timeline.clock import frame_times
from reactive.timeline.timeline import CURVES, INTEGERS, Timeline

# spreadsheets treat cells that start with one of these as formulas
_FORMULA = ("=", "+", "-", "@")
_TEXTS = ("phase", "prompt_from", "prompt_to")


def csv_text(timeline: Timeline) -> str:
    """Return the timeline as CSV: frame, seconds, then every column; phases and prompts as texts.

    A text that a spreadsheet would treat as a formula gets an apostrophe in front.
    """
    integers = [name for name in INTEGERS if name in timeline.columns]
    curves = [name for name in CURVES if name in timeline.columns]
    names = {"phase": timeline.phases, "prompt_from": timeline.prompts, "prompt_to": timeline.prompts}
    columns: list[list[object]] = [
        list(range(timeline.frames)),
        np.round(frame_times(timeline.frames, timeline.fps), 6).tolist(),
    ]
    for name in integers:
        values = timeline.columns[name].tolist()
        columns.append([_safe(names[name][value]) for value in values] if name in _TEXTS else values)
    columns += [np.round(timeline.columns[name], 7).tolist() for name in curves]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "seconds", *integers, *curves])
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
