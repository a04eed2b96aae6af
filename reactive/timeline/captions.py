"""Texts over the finished pictures and their times: titles at places of the song, lines while they are sung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reactive.audio.analysis import Analysis
from reactive.audio.grid import grid_of
from reactive.audio.parts import part_names
from reactive.preset.fields import parse_length
from reactive.preset.lyrics import Line
from reactive.preset.place import parse_place
from reactive.preset.schema import Overlay, Title
from reactive.timeline.places import find_place
from reactive.timeline.report import spans_of
from reactive.timeline.schedule import musical_seconds
from reactive.timeline.timeline import Timeline

# longest time in seconds of a line without an end of its own
LONGEST_LINE = 8.0


@dataclass(frozen=True)
class Caption:
    """A text from `start` to `end` in seconds, its corner, and its letters' height in picture heights."""

    start: float
    end: float
    text: str
    place: str
    size: float


def captions_of(
    overlay: Overlay, timeline: Timeline, analysis: Analysis, *, title: str = "", lyrics: Sequence[Line] = ()
) -> list[Caption]:
    """Return the texts that an overlay writes over a song's clip, in order of time.

    Parameters
    ----------
    title
        The song's name; without one, texts with ``{title}`` are left out. If no text of the preset has ``{title}``, the name
        is shown at the beginning.
    lyrics
        The lines of the song's words, written if the overlay shows them.
    """
    wanted = list(overlay.title)
    if title and not any("{title}" in one.text for one in wanted):
        wanted.append(Title(text="{title}"))
    spans, names, grid = spans_of(timeline), list(timeline.phases), grid_of(analysis)
    parts = part_names(analysis, lyrics)
    found = []
    for one in wanted:
        text = one.text.replace("{title}", title).strip()
        place = find_place(parse_place(one.at, names), analysis, spans, names, parts)
        if place is None or not text or ("{title}" in one.text and not title):
            continue
        end = place[1] if one.hold == "section" else place[0] + musical_seconds(grid, parse_length(one.hold))
        found.append(Caption(place[0], min(end, analysis.duration), text, one.place, one.size))
    if overlay.lyrics:
        found += [
            Caption(
                line.start,
                min(line.end, line.start + LONGEST_LINE),
                line.text,
                overlay.lyrics_place,
                overlay.lyrics_size,
            )
            for line in lyrics
            if line.start < analysis.duration
        ]
    return sorted(found, key=lambda caption: caption.start)
