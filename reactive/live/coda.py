"""Pictures that go on after a song's end: over its last bars again and again, calmly, since there is no sound to move with.

The timeline is computed once more as if these bars had no onsets and an even loudness; the walk goes out and comes back to where it
began, so that the noise has no seam where the bars begin again. Prompts still change on beats and bars.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reactive.audio.analysis import Analysis
from reactive.audio.onset import Onsets
from reactive.timeline.clock import frame_length, nearest_frame
from reactive.timeline.perform import Performance, joined
from reactive.timeline.timeline import Timeline

# share of the preset's own pace: the walk's greatest speed on its way out is pi times its mean
PACE = 1 / np.pi
QUIET = Onsets(np.zeros(0), np.zeros(0))


def calm_analysis(analysis: Analysis, start: float, end: float) -> Analysis:
    """Return an analysis without onsets, whose envelopes stay at their mean of the bars from `start` to `end`, in seconds."""
    envelopes = {}
    for name, curve in analysis.envelopes.items():
        first, stop = (round(edge / analysis.duration * len(curve)) for edge in (start, end))
        part = curve[first : max(stop, first + 1)]
        envelopes[name] = np.full_like(curve, part.mean() if len(part) else 0)
    return replace(analysis, onsets=dict.fromkeys(analysis.onsets, QUIET), envelopes=envelopes, moments=())


def calm_timeline(played: Performance, calm: Performance, start: float, end: float) -> Timeline:
    """Return the played timeline, calm from `start` to `end`, in seconds.

    Parameters
    ----------
    played, calm
        The performance of the song, and that of its calm analysis.
    """
    fps = played.timeline.fps
    first, stop = (min(nearest_frame(edge, fps), played.timeline.frames) for edge in (start, end))
    timeline = joined(played.timeline, calm.timeline, calm.raw, [], first, prompts=False)
    speed = calm.raw[first:stop]
    if not len(speed):
        return timeline
    far = float(speed.sum() * frame_length(fps)) * PACE
    turn = np.arange(len(speed)) / len(speed)
    walk = timeline.columns["walk"].copy()
    walk[first:stop] = walk[first] + far * (1 - np.cos(2 * np.pi * turn)) / 2
    return replace(timeline, columns=timeline.columns | {"walk": walk})
